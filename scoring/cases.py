"""What web services answer and how they fail, as a table: one row per case, with its source. Pure data.

The first row that matches is the verdict (scoring/verdicts.py); the last row matches all: what is unknown
stops the call, and is never tried again. Sources are statements and sections of facts/azureml.md unless
another file is named.
"""

from collections.abc import Collection
from dataclasses import dataclass
from enum import Enum

from errors import BadAnswer, CredentialsRefused, Failure, Fault, ServiceDown, Silence, Throttled, TooLarge


class Action(Enum):
    """What to do next."""

    DONE = "read the results"
    RETRY = "send the same again"
    SPLIT = "send it in halves"
    BLAME = "a row is at fault: find it"
    REFRESH = "get a new token, then send the same again"
    STOP = "give up the call"


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """One row of the table. What is given of fault, statuses … codes must all match.

    Attributes:
        said: what happened, for a message.
        source: where this rule comes from.
        action: what to do; after `times` such outcomes of the same rows, `then` instead.
        alone: what to do in place of SPLIT where there is one row only.
        failure: what the call fails with where it ends here.
        advice: what a person can do.
        strike: it speaks for a service that is down (scoring/breaker.py).
        explained: the service itself says that the rows are at fault, and not it.
    """

    said: str
    source: str
    action: Action
    failure: type[Failure] = BadAnswer
    advice: str = ""
    times: int = 0
    then: Action = Action.STOP
    alone: Action = Action.STOP
    strike: bool = False
    explained: bool = False
    fault: Fault | None = None
    inner: bool = False
    statuses: Collection[int] = ()
    model_statuses: Collection[int] = ()
    reasons: Collection[str] = ()
    codes: Collection[str] = ()
    header: str = ""


MODEL_STATUS = "ms-azureml-model-error-statuscode"
MODEL_REASON = "ms-azureml-model-error-reason"
# azureml-inference-server-http sends it with every answer of a scoring script, failed or not (§2).
RUN_FAILED = "x-ms-run-function-failed"

_SLOW = (
    "Raise request_timeout_ms of the deployment (5 s by default), or lower batch_rows of the model; "
    "timeout_s must be longer than the deployment's."
)
_BUSY = "Lower in_flight or parallel of the model, or give the deployment more instances."
_DOWN = "Look at the deployment's state and log; calls are tried again by Sesam."
_ROWS = "Look at the deployment's log: the scoring script fails on what it is sent."
_WRONG_URL = "No deployment has traffic, or the model's url or deployment is wrong."
_ROLE = (
    'With auth = "entra" the app\'s identity needs the scope https://ml.azure.com/.default and a role with '
    'onlineEndpoints/score/action (AzureML Data Scientist); with auth = "key" set MODELS__<NAME>__KEY anew.'
)

CASES: tuple[Case, ...] = (
    Case(said="answered", source="§2 status codes", action=Action.DONE, statuses=(200,)),
    Case(
        said="the model answered with an error",
        source="statements 21 and 34",
        action=Action.BLAME,
        advice=_ROWS,
        explained=True,
        inner=True,
    ),
    # --- no answer
    Case(
        said="no answer in time",
        source="statements 29 and 33",
        action=Action.RETRY,
        times=1,
        then=Action.SPLIT,
        alone=Action.RETRY,
        failure=Silence,
        advice=_SLOW,
        strike=True,
        fault=Fault.SILENT,
    ),
    Case(
        said="no connection",
        source="statement 29, §2 how Microsoft's own client decides",
        action=Action.RETRY,
        failure=ServiceDown,
        advice="Check the model's url, its DNS name and the network between.",
        strike=True,
        fault=Fault.UNREACHABLE,
    ),
    Case(
        said="the connection or the answer broke off",
        source="statement 29; engineering.md C-M2",
        action=Action.RETRY,
        failure=ServiceDown,
        advice=_DOWN,
        strike=True,
        fault=Fault.BROKEN,
    ),
    Case(
        said="no trusted TLS connection",
        source="engineering.md C4 fault 19",
        action=Action.STOP,
        failure=ServiceDown,
        advice="Its certificate has expired, is for another host, or is signed by nobody known here.",
        fault=Fault.UNTRUSTED,
    ),
    Case(
        said="its answer cannot be decoded",
        source="engineering.md C-M2",
        action=Action.STOP,
        advice="Something between here and the model sends what is no HTTP, or a broken content encoding.",
        fault=Fault.GARBLED,
    ),
    # --- the platform in front of the model
    Case(
        said="it redirects, which is never followed: the key stays with this address",
        source="statement 17",
        action=Action.STOP,
        advice="Set the model's url to the final address.",
        statuses=range(300, 400),
    ),
    Case(
        said="it refuses our token or key",
        source="statement 16",
        action=Action.REFRESH,
        times=1,
        failure=CredentialsRefused,
        advice=_ROLE,
        statuses=(401,),
    ),
    Case(
        said="it refuses our identity or key",
        source="statement 38, §2 status codes",
        action=Action.STOP,
        failure=CredentialsRefused,
        advice=_ROLE,
        statuses=(403,),
    ),
    Case(
        said="there is nothing at this address",
        source="statement 38",
        action=Action.STOP,
        failure=ServiceDown,
        advice=_WRONG_URL,
        statuses=(404,),
    ),
    Case(
        said="it takes no JSON",
        source="statement 38",
        action=Action.STOP,
        advice="It refuses the content type application/json: the url is not that of a scoring service.",
        statuses=(415,),
    ),
    Case(
        said="it asks for patience",
        source="statement 29",
        action=Action.RETRY,
        failure=Throttled,
        advice=_BUSY,
        statuses=(429,),
    ),
    Case(
        said="the request is too large for it",
        source="statements 32 and 33",
        action=Action.SPLIT,
        alone=Action.BLAME,
        failure=TooLarge,
        advice="Lower batch_rows or batch_bytes of the model.",
        explained=True,
        statuses=(413,),
    ),
    Case(
        said="the model was too slow",
        source="statements 29 and 33",
        action=Action.RETRY,
        times=1,
        then=Action.SPLIT,
        alone=Action.RETRY,
        failure=Silence,
        advice=_SLOW,
        strike=True,
        statuses=(408, 504),
    ),
    # --- classic: the reason is in the body
    Case(
        said="the request does not fit the web service",
        source="§1.1, §1.3 (classic codes)",
        action=Action.STOP,
        advice="Check dialect, input_name, parameters and url of the model against the service's help page.",
        statuses=(400,),
        codes=(
            "InvalidInputNames",
            "UnexpectedParameter",
            "MissingRequiredGlobalParameters",
            "RequestBodyInvalid",
            "BadVersionCall",
        ),
    ),
    Case(
        said="its model is in conflict with its own description",
        source="statement 32",
        action=Action.STOP,
        advice="Publish the web service again.",
        statuses=(409,),
        codes=("Conflict", "ModelOutputMetadataMismatch"),
    ),
    Case(
        said="it asks for patience",
        source="statement 32",
        action=Action.RETRY,
        failure=Throttled,
        advice=_BUSY,
        statuses=(503,),
        codes=("RequestThrottled", "TooManyConcurrentRequests", "NoMoreResources"),
    ),
    Case(
        said="it is starting",
        source="statement 32",
        action=Action.RETRY,
        failure=ServiceDown,
        statuses=(503,),
        codes=("InitializingContainers", "TooManyHostsBeingInitialized"),
    ),
    # --- 424: the model container's answer, behind the platform
    Case(
        said="it asks for patience",
        source="statement 31, §2 424 mechanics",
        action=Action.RETRY,
        failure=Throttled,
        advice=_BUSY,
        statuses=(424,),
        reasons=("too_many_pending_request",),
    ),
    Case(
        said="the model is not ready",
        source="statement 31",
        action=Action.RETRY,
        failure=ServiceDown,
        advice=_DOWN,
        statuses=(424,),
        reasons=("model_not_ready", "too_few_model_instance"),
    ),
    Case(
        said="the model asks for patience",
        source="statement 31",
        action=Action.RETRY,
        failure=Throttled,
        advice=_BUSY,
        statuses=(424,),
        model_statuses=(429,),
    ),
    Case(
        said="the model is away",
        source="statement 31",
        action=Action.RETRY,
        failure=ServiceDown,
        advice=_DOWN,
        strike=True,
        statuses=(424,),
        model_statuses=(503,),
    ),
    Case(
        said="the model was too slow",
        source="statements 31 and 33",
        action=Action.RETRY,
        times=1,
        then=Action.SPLIT,
        alone=Action.RETRY,
        failure=Silence,
        advice=_SLOW,
        strike=True,
        statuses=(424,),
        model_statuses=(408, 504),
    ),
    Case(
        said="the request is too large for the model",
        source="statement 33",
        action=Action.SPLIT,
        alone=Action.BLAME,
        failure=TooLarge,
        advice="Lower batch_rows or batch_bytes of the model.",
        explained=True,
        statuses=(424,),
        model_statuses=(413,),
    ),
    Case(
        said="the model refuses the rows",
        source="statement 34",
        action=Action.BLAME,
        advice=_ROWS,
        explained=True,
        statuses=(424,),
        model_statuses=(400, 422),
    ),
    Case(
        said="the scoring script fails on the rows",
        source="statements 31 and 34",
        action=Action.RETRY,
        times=1,
        then=Action.BLAME,
        advice=_ROWS,
        explained=True,
        statuses=(424,),
        model_statuses=(500,),
    ),
    Case(
        said="the model container refuses the request",
        source="statement 31 (4xx is permanent)",
        action=Action.STOP,
        advice="Check url and dialect of the model, and the deployment's log.",
        statuses=(424,),
        model_statuses=range(400, 500),
    ),
    # --- a model container without the platform in front of it
    Case(
        said="the model refuses the rows",
        source="statement 34",
        action=Action.BLAME,
        advice=_ROWS,
        explained=True,
        statuses=(400, 422),
    ),
    Case(
        said="the scoring script fails on the rows",
        source="statement 34, §2 (500 for every exception in run())",
        action=Action.RETRY,
        times=1,
        then=Action.BLAME,
        advice=_ROWS,
        explained=True,
        statuses=(500,),
        header=RUN_FAILED,
    ),
    Case(
        said="an operation on the endpoint is under way",
        source="§2 status codes (Kubernetes)",
        action=Action.RETRY,
        failure=ServiceDown,
        statuses=(409,),
    ),
    Case(
        said="it failed",
        source="§1.3, §2 status codes (bounded)",
        action=Action.RETRY,
        times=2,
        failure=ServiceDown,
        advice=_DOWN,
        strike=True,
        statuses=(500,),
    ),
    Case(
        said="the model crashed",
        source="§2 status codes (Kubernetes: an exception or a crash in run(); bounded)",
        action=Action.RETRY,
        times=2,
        then=Action.BLAME,
        failure=ServiceDown,
        advice=_DOWN,
        strike=True,
        statuses=(502,),
    ),
    Case(
        said="it is away",
        source="statement 29",
        action=Action.RETRY,
        failure=ServiceDown,
        advice=_DOWN,
        strike=True,
        statuses=(503,),
    ),
    Case(
        said="something unknown came back",
        source="issue 3 part 4: unknown means stop",
        action=Action.STOP,
        advice="Check the model's url, and the web service's own log.",
    ),
)

# Where the breaker holds back a request of a call that is under way.
LEFT_ALONE = Case(
    said="it is left alone for a while after repeated failures",
    source="issue 3 part 6",
    action=Action.RETRY,
    failure=ServiceDown,
    advice=_DOWN,
)
