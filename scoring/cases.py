"""What web services answer and how they fail, as a table: a line a case, with its source. Pure data.

The first line of RULES that matches is the verdict (scoring/verdicts.py); the last matches all: what is
unknown stops the call, and is never tried again. Sources are statements and sections of facts/azureml.md
unless another file is named.
"""

from collections.abc import Collection
from dataclasses import KW_ONLY, dataclass
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


DONE, RETRY, SPLIT, BLAME, REFRESH, STOP = Action


@dataclass(frozen=True, slots=True, eq=False)
class Case:
    """What happened, and what follows from it.

    Attributes:
        said: what happened, for a message.
        action: what to do; after `times` such outcomes of the same rows, `then` instead.
        alone: what to do in place of SPLIT where there is one row only.
        failure: what the call fails with where it ends here.
        advice: what a person can do.
        strike: it speaks for a service that is down (scoring/breaker.py).
        explained: the service itself says that the rows are at fault, and not it.
    """

    said: str
    action: Action
    failure: type[Failure] = BadAnswer
    advice: str = ""
    _: KW_ONLY
    times: int = 0
    then: Action = STOP
    alone: Action = STOP
    strike: bool = False
    explained: bool = False


@dataclass(frozen=True, slots=True, eq=False)
class Rule:
    """A line of the table: when it is which case, and who says so. What is given must all match.

    Attributes:
        fault: no answer was read whole, for this reason.
        inner: a 200 answer reports an error.
        statuses: of the answer.
        model_statuses: what the model itself answered, as the platform in front of it tells.
        reasons: likewise.
        codes: of a classic error body.
        header: it has this header.
    """

    case: Case
    source: str
    _: KW_ONLY
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

# ---- the cases

_SEE_LOG = "Look at the deployment's state and log; calls are tried again by Sesam."
_ROLE = (
    'With auth = "entra" the app\'s identity needs the scope https://ml.azure.com/.default and a role with '
    'onlineEndpoints/score/action (AzureML Data Scientist); with auth = "key" set MODELS__<NAME>__KEY anew.'
)
_TOO_SLOW = (
    "Raise request_timeout_ms of the deployment (5 s by default), or lower batch_rows of the model; "
    "timeout_s must be longer than the deployment's."
)
_SCRIPT = "Look at the deployment's log: the scoring script fails on what it is sent."

ANSWERED = Case("answered", DONE)

SILENT = Case("no answer in time", RETRY, Silence, _TOO_SLOW, times=1, then=SPLIT, alone=RETRY, strike=True)
UNREACHABLE = Case(
    "no connection",
    RETRY,
    ServiceDown,
    "Check the model's url, its DNS name and the network between.",
    strike=True,
)
BROKEN_OFF = Case("the connection or the answer broke off", RETRY, ServiceDown, _SEE_LOG, strike=True)
UNTRUSTED = Case(
    "no trusted TLS connection",
    STOP,
    ServiceDown,
    "Its certificate has expired, is for another host, or is signed by nobody known here: REQUESTS_CA_BUNDLE "
    "names the certificates of a private authority.",
)
GARBLED = Case(
    "its answer cannot be decoded",
    STOP,
    advice="Something between here and the model sends what is no HTTP, or a broken content encoding.",
)

REDIRECTED = Case(
    "it redirects, which is never followed: the key stays with this address",
    STOP,
    advice="Set the model's url to the final address.",
)
TOKEN_REFUSED = Case("it refuses our token or key", REFRESH, CredentialsRefused, _ROLE, times=1)
IDENTITY_REFUSED = Case("it refuses our identity or key", STOP, CredentialsRefused, _ROLE)
NOTHING_THERE = Case(
    "there is nothing at this address",
    STOP,
    ServiceDown,
    "No deployment has traffic, or the model's url or deployment is wrong.",
)
NO_JSON = Case(
    "it takes no JSON",
    STOP,
    advice="It refuses the content type application/json: the url is not that of a scoring service.",
)
BUSY = Case(
    "it asks for patience",
    RETRY,
    Throttled,
    "Lower in_flight or parallel of the model, or give the deployment more instances.",
)
TOO_SLOW = Case(
    "the model was too slow", RETRY, Silence, _TOO_SLOW, times=1, then=SPLIT, alone=RETRY, strike=True
)
TOO_MUCH = Case(
    "the request is too large for it",
    SPLIT,
    TooLarge,
    "Lower batch_rows or batch_bytes of the model.",
    alone=BLAME,
    explained=True,
)
NOT_READY = Case("it is not ready", RETRY, ServiceDown, _SEE_LOG)
BEING_CHANGED = Case("an operation on the endpoint is under way", RETRY, ServiceDown)
AWAY = Case("it is away", RETRY, ServiceDown, _SEE_LOG, strike=True)
FAILED = Case("it failed", RETRY, ServiceDown, _SEE_LOG, times=2, strike=True)
CRASHED = Case("the model crashed", RETRY, ServiceDown, _SEE_LOG, times=2, then=BLAME, strike=True)

ROWS_REFUSED = Case("the model refuses the rows", BLAME, advice=_SCRIPT, explained=True)
SCRIPT_FAILED = Case(
    "the scoring script fails on the rows", RETRY, advice=_SCRIPT, times=1, then=BLAME, explained=True
)
ERROR_INSIDE = Case("the model answered with an error", BLAME, advice=_SCRIPT, explained=True)
REQUEST_UNFIT = Case(
    "the request does not fit the web service",
    STOP,
    advice="Check dialect, input_name, parameters and url of the model against the service's help page.",
)
REQUEST_REFUSED = Case(
    "the model container refuses the request",
    STOP,
    advice="Check url and dialect of the model, and the deployment's log.",
)
MODEL_IN_CONFLICT = Case(
    "its model is in conflict with its own description", STOP, advice="Publish the web service again."
)
UNKNOWN = Case(
    "something unknown came back", STOP, advice="Check the model's url, and the web service's own log."
)

# Where the breaker holds back a request of a call that is under way (issue 3 part 6): no answer, so no rule.
LEFT_ALONE = Case("it is left alone for a while after repeated failures", RETRY, ServiceDown, _SEE_LOG)

# ---- when it is which

_UNFIT_CODES = (
    "InvalidInputNames",
    "UnexpectedParameter",
    "MissingRequiredGlobalParameters",
    "RequestBodyInvalid",
    "BadVersionCall",
)
_BUSY_CODES = ("RequestThrottled", "TooManyConcurrentRequests", "NoMoreResources")
_STARTING_CODES = ("InitializingContainers", "TooManyHostsBeingInitialized")
_CONFLICT_CODES = ("Conflict", "ModelOutputMetadataMismatch")

RULES: tuple[Rule, ...] = (
    Rule(ANSWERED, "§2 status codes", statuses=(200,)),
    Rule(ERROR_INSIDE, "statements 21 and 34", inner=True),
    # no answer
    Rule(SILENT, "statements 29 and 33", fault=Fault.SILENT),
    Rule(UNREACHABLE, "statement 29, §2 how Microsoft's own client decides", fault=Fault.UNREACHABLE),
    Rule(BROKEN_OFF, "statement 29; engineering.md C-M2", fault=Fault.BROKEN),
    Rule(UNTRUSTED, "engineering.md C4 fault 19", fault=Fault.UNTRUSTED),
    Rule(GARBLED, "engineering.md C-M2", fault=Fault.GARBLED),
    # the platform in front of the model
    Rule(REDIRECTED, "statement 17", statuses=range(300, 400)),
    Rule(TOKEN_REFUSED, "statement 16", statuses=(401,)),
    Rule(IDENTITY_REFUSED, "statement 38, §2 status codes", statuses=(403,)),
    Rule(NOTHING_THERE, "statement 38", statuses=(404,)),
    Rule(NO_JSON, "statement 38", statuses=(415,)),
    Rule(BUSY, "statement 29", statuses=(429,)),
    Rule(TOO_MUCH, "statements 32 and 33", statuses=(413,)),
    Rule(TOO_SLOW, "statements 29 and 33", statuses=(408, 504)),
    # classic: the reason is in the body
    Rule(REQUEST_UNFIT, "§1.1, §1.3 (classic codes)", statuses=(400,), codes=_UNFIT_CODES),
    Rule(MODEL_IN_CONFLICT, "statement 32", statuses=(409,), codes=_CONFLICT_CODES),
    Rule(BUSY, "statement 32", statuses=(503,), codes=_BUSY_CODES),
    Rule(NOT_READY, "statement 32", statuses=(503,), codes=_STARTING_CODES),
    # 424: the model container's answer, behind the platform
    Rule(BUSY, "statement 31, §2 424 mechanics", statuses=(424,), reasons=("too_many_pending_request",)),
    Rule(NOT_READY, "statement 31", statuses=(424,), reasons=("model_not_ready", "too_few_model_instance")),
    Rule(BUSY, "statement 31", statuses=(424,), model_statuses=(429,)),
    Rule(AWAY, "statement 31", statuses=(424,), model_statuses=(503,)),
    Rule(TOO_SLOW, "statements 31 and 33", statuses=(424,), model_statuses=(408, 504)),
    Rule(TOO_MUCH, "statement 33", statuses=(424,), model_statuses=(413,)),
    Rule(ROWS_REFUSED, "statement 34", statuses=(424,), model_statuses=(400, 422)),
    Rule(SCRIPT_FAILED, "statements 31 and 34", statuses=(424,), model_statuses=(500,)),
    Rule(REQUEST_REFUSED, "statement 31 (4xx is permanent)", statuses=(424,), model_statuses=range(400, 500)),
    # a model container without the platform in front of it
    Rule(ROWS_REFUSED, "statement 34", statuses=(400, 422)),
    Rule(SCRIPT_FAILED, "statement 34, §2 (500 for all of run())", statuses=(500,), header=RUN_FAILED),
    Rule(BEING_CHANGED, "§2 status codes (Kubernetes)", statuses=(409,)),
    Rule(FAILED, "§1.3, §2 status codes (bounded)", statuses=(500,)),
    Rule(CRASHED, "§2 status codes (Kubernetes: run() raised or crashed; bounded)", statuses=(502,)),
    Rule(AWAY, "statement 29", statuses=(503,)),
    Rule(UNKNOWN, "issue 3 part 4: unknown means stop"),
)
