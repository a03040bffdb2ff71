"""What an answer or a fault of a web service means for the rows that were sent. Pure.

`judge` walks the table of scoring/cases.py from the top and stops at the first line that matches.
"""

import json
import re
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

from errors import EntitiesRefused, Failure, Fault
from scoring.cases import MODEL_REASON, MODEL_STATUS, RULES, UNKNOWN, Action, Case, Rule

# The nth wait is FIRST_WAIT_S · 2ⁿ⁻¹, at most LONGEST_WAIT_S, of which the upper half is random. A longer
# Retry-After is cut to LONGEST_WAIT_S too: one of a day must not outlive the call (fault 12).
FIRST_WAIT_S = 1.0
LONGEST_WAIT_S = 30.0

_ITS_ID = re.compile(r"[A-Za-z0-9_-]{1,64}")


@dataclass(frozen=True, slots=True)
class Reply:
    """An answer read whole. `framed` is False where only the closing of the connection told its end."""

    status: int
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    body: bytes = field(default=b"", repr=False)
    framed: bool = True

    @property
    def request_id(self) -> str:
        """The service's own id of the request (statement 14); empty where what it sent is none."""
        given = self.headers.get("x-request-id", "")
        return given if _ITS_ID.fullmatch(given) else ""


@dataclass(frozen=True, slots=True)
class Trouble:
    """No answer, or none that was read whole."""

    fault: Fault


@dataclass(frozen=True, slots=True)
class InnerError:
    """A 200 answer that reports an error (statement 21); the text is fit to show."""

    text: str


type Outcome = Reply | Trouble | InnerError


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


def judge(outcome: Outcome, met: Collection[Case] = (), *, rows: int = 2) -> Verdict:
    """Say what an outcome means.

    Args:
        outcome: an answer read whole, a fault, or an error inside a 200.
        met: the cases that these rows have met before, alone or with others, one entry each time.
        rows: how many rows were sent; one cannot be split.
    """
    codes = _codes(outcome)
    case = rule_of(outcome, codes).case
    action = case.action
    if case.times and sum(earlier is case for earlier in met) >= case.times:
        action = case.then
    if action is Action.SPLIT and rows == 1:
        action = case.alone
    headers = outcome.headers if isinstance(outcome, Reply) else {}
    return Verdict(case, action, _seen(outcome, codes), _status(outcome), _retry_after(headers))


def rule_of(outcome: Outcome, codes: Collection[str]) -> Rule:
    """Find the line of the table that an outcome falls under; `codes` are those of its body."""
    return next(rule for rule in RULES if _matches(rule, outcome, codes))


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
    if not text:
        return None
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


def _matches(rule: Rule, outcome: Outcome, codes: Collection[str]) -> bool:
    match outcome:
        case Trouble(fault):
            return rule.fault is fault or rule.case is UNKNOWN
        case InnerError():
            return rule.inner
    if rule.fault or rule.inner:
        return False
    if rule.statuses and outcome.status not in rule.statuses:
        return False
    if rule.model_statuses and _model_status(outcome) not in rule.model_statuses:
        return False
    if rule.reasons and outcome.headers.get(MODEL_REASON) not in rule.reasons:
        return False
    if rule.header and rule.header not in outcome.headers:
        return False
    return not rule.codes or any(code in rule.codes for code in codes)


def _model_status(reply: Reply) -> int:
    text = reply.headers.get(MODEL_STATUS, "")
    return int(text) if re.fullmatch(r"[1-5][0-9]{2}", text) else 0


def _status(outcome: Outcome) -> int:
    """Give the status that the model itself answered, for an entity's error."""
    if isinstance(outcome, Reply):
        return _model_status(outcome) or outcome.status
    return EntitiesRefused.status if isinstance(outcome, InnerError) else 0


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
