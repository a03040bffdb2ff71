"""What an answer or a fault of a web service means, as a table. Pure.

`judge` walks `CASES` from the top; the first row that matches is the verdict. The last row matches all:
what is unknown stops the call, and is never tried again. Sources are statements and sections of
facts/azureml.md unless another file is named.
"""

import json
import re
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from enum import Enum

from errors import BadAnswer, CredentialsRefused, Failure, Fault, ServiceDown, Silence, Throttled, TooLarge

# The nth wait is FIRST_WAIT_S · 2ⁿ⁻¹, at most LONGEST_WAIT_S, of which the upper half is random. A longer
# Retry-After is cut to LONGEST_WAIT_S too: one of a day must not outlive the call (fault 12).
FIRST_WAIT_S = 1.0
LONGEST_WAIT_S = 30.0


class Action(Enum):
    """What to do next."""

    DONE = "read the results"
    RETRY = "send the same again"
    SPLIT = "send it in halves"
    BLAME = "a row is at fault: find it"
    REFRESH = "get a new token, then send the same again"
    STOP = "give up the call"


@dataclass(frozen=True, slots=True)
class Reply:
    """An answer read whole. `framed` is False where only the closing of the connection told its end."""

    status: int
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    body: bytes = field(default=b"", repr=False)
    framed: bool = True


@dataclass(frozen=True, slots=True)
class Trouble:
    """No answer, or none that was read whole."""

    fault: Fault


@dataclass(frozen=True, slots=True)
class InnerError:
    """A 200 answer that reports an error (statement 21); the text is fit to show."""

    text: str


type Outcome = Reply | Trouble | InnerError


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


@dataclass(frozen=True, slots=True)
class Verdict:
    """What an outcome means for the rows that were sent."""

    case: Case
    action: Action
    seen: str = ""
    status: int = 0
    retry_after: float | None = None

    @property
    def message(self) -> str:
        """Say what happened, without advice; fit for an entity's error, the same at every call."""
        return f"{self.case.said} ({self.seen})" if self.seen else self.case.said

    def failure(self, whom: str) -> Failure:
        """Give the failure of a call that ends here; `whom` names the web service."""
        advice = f" {self.case.advice}" if self.case.advice else ""
        failure = self.case.failure
        wait = self.retry_after if self.retry_after is not None else LONGEST_WAIT_S
        return failure(f"{whom}: {self.message}.{advice}", retry_after=wait if failure.transient else None)


MODEL_STATUS = "ms-azureml-model-error-statuscode"
MODEL_REASON = "ms-azureml-model-error-reason"
# azureml-inference-server-http sends it with every answer of a scoring script, failed or not (§2).
RUN_FAILED = "x-ms-run-function-failed"

# The status of a row whose error came inside a 200.
REFUSED_INSIDE = 422

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


def judge(outcome: Outcome, met: Collection[Case] = (), *, rows: int = 2) -> Verdict:
    """Say what an outcome means.

    Args:
        outcome: an answer read whole, a fault, or an error inside a 200.
        met: the cases that these rows have met before, alone or with others, one entry each time.
        rows: how many rows were sent; one cannot be split.
    """
    codes = _codes(outcome)
    case = next(case for case in CASES if _matches(case, outcome, codes))
    action = case.action
    if case.times and sum(earlier is case for earlier in met) >= case.times:
        action = case.then
    if action is Action.SPLIT and rows == 1:
        action = case.alone
    headers = outcome.headers if isinstance(outcome, Reply) else {}
    return Verdict(case, action, _seen(outcome, codes), _status(outcome), _retry_after(headers))


def wait_s(verdict: Verdict, attempt: int, random: Callable[[], float]) -> float:
    """Give the seconds to wait after the nth attempt (from 1); `random` gives numbers in [0, 1)."""
    backoff = min(FIRST_WAIT_S * 2.0 ** (attempt - 1), LONGEST_WAIT_S)
    if verdict.retry_after is None:
        return backoff * (0.5 + random() / 2)
    # Never sooner than asked, and not all at once.
    return verdict.retry_after + random() * min(backoff, 1.0)


def _retry_after(headers: Mapping[str, str]) -> float | None:
    """Read `retry-after`, seconds or an HTTP date, capped; None where there is none to read."""
    text = headers.get("retry-after", "").strip()
    if re.fullmatch(r"[0-9]{1,12}(\.[0-9]{1,9})?", text):
        return min(float(text), LONGEST_WAIT_S)
    try:
        # Measured against the sender's own clock: ours may differ.
        seconds = (_moment(text) - _moment(headers.get("date", ""))).total_seconds()
    except (ValueError, OverflowError):
        return None
    return min(max(seconds, 0.0), LONGEST_WAIT_S)


def _moment(text: str) -> datetime:
    moment = parsedate_to_datetime(text)
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def _matches(case: Case, outcome: Outcome, codes: Collection[str]) -> bool:
    match outcome:
        case Trouble(fault):
            return case.fault is fault or case is CASES[-1]
        case InnerError():
            return case.inner
    if case.fault or case.inner:
        return False
    if case.statuses and outcome.status not in case.statuses:
        return False
    if case.model_statuses and _model_status(outcome) not in case.model_statuses:
        return False
    if case.reasons and outcome.headers.get(MODEL_REASON) not in case.reasons:
        return False
    if case.header and case.header not in outcome.headers:
        return False
    return not case.codes or any(code in case.codes for code in codes)


def _model_status(reply: Reply) -> int:
    text = reply.headers.get(MODEL_STATUS, "")
    return int(text) if re.fullmatch(r"[1-5][0-9]{2}", text) else 0


def _status(outcome: Outcome) -> int:
    """Give the status that the model itself answered, for an entity's error."""
    if isinstance(outcome, Reply):
        return _model_status(outcome) or outcome.status
    return REFUSED_INSIDE if isinstance(outcome, InnerError) else 0


def _seen(outcome: Outcome, codes: Collection[str]) -> str:
    match outcome:
        case InnerError(text):
            return text
        case Trouble():
            return ""
    parts = [f"status {outcome.status}"]
    if status := _model_status(outcome):
        parts.append(f"model status {status}")
    reason = outcome.headers.get(MODEL_REASON, "")
    parts += [word for word in (reason, *codes) if _WORD.fullmatch(word)]
    return ", ".join(parts)


# Codes and reasons are words of the platform; anything else could be data and is not shown (statement 42).
_WORD = re.compile(r"[A-Za-z][A-Za-z_]{2,59}")


def _codes(outcome: Outcome) -> tuple[str, ...]:
    """Give `error.code` and `error.details[0].code` of a classic error body (§1.3)."""
    if not isinstance(outcome, Reply) or outcome.status == 200 or not outcome.body.lstrip().startswith(b"{"):
        return ()
    try:
        error = json.loads(outcome.body).get("error")
    except (ValueError, RecursionError):
        return ()
    if not isinstance(error, dict):
        return ()
    details = error.get("details")
    first = details[0] if isinstance(details, list) and details else None
    found = (error.get("code"), first.get("code") if isinstance(first, dict) else None)
    return tuple(code for code in found if isinstance(code, str))
