"""One body sent until its verdict is final: `tenacity` runs the loop, the table of verdicts judges.

It ends with the results, with what to do about the rows (split, blame), or with the verdict that the call
fails with. It never waits where there is no time or no attempt left: the last verdict then stands.
"""

import random
import re
import threading
import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import count
from typing import NamedTuple, Protocol

from tenacity import RetryCallState, Retrying, retry_if_result

from cutoff import NotKept
from errors import BadAnswer, Fault
from scoring import measured
from scoring.breaker import Breaker, Permit, Signal
from scoring.cases import LEFT_ALONE, SILENT, Action, Case
from scoring.deadline import Deadline
from scoring.dialects import AnswerUnusable, Results
from scoring.dialects.answers import decode_answer
from scoring.verdicts import InnerError, Outcome, Reply, Trouble, Verdict, judge, wait_s

# The service cuts it at 40 characters, and azmlinfsrv refuses 100 (statement 14).
REQUEST_ID = re.compile(r"[A-Za-z0-9_-]{1,40}")


class Wire(Protocol):
    """What posts a body: `scoring.endpoint.Endpoint`."""

    model: str
    whom: str

    @property
    def renewable(self) -> bool:
        """Say whether a 401 may be mended by a fresh token."""

    @property
    def kept(self) -> bool:
        """Say whether `kept` is worth asking for."""

    def post(
        self, body: bytes, deadline: Deadline, request_id: str, *, fresh: bool = False, kept: bool = False
    ) -> Outcome:
        """Post once; see Endpoint."""

    def close(self) -> None:
        """Let go of the connections kept."""


class ReportedInside(Exception):
    """A 200 answer reports an error; the text is fit to show."""


class Allowance:
    """How many requests may still be spent on some rows, however they are cut; for many threads."""

    def __init__(self, requests: int) -> None:
        self._left = requests
        self._lock = threading.Lock()

    def spend(self) -> bool:
        """Take one; False where there is none left."""
        with self._lock:
            if self._left <= 0:
                return False
            self._left -= 1
            return True


@dataclass(frozen=True, slots=True)
class Parcel:
    """One body to send.

    Attributes:
        body: JSON in UTF-8.
        rows: how many rows it holds.
        read: the decoded JSON of a 200 answer → results. Raises AnswerUnusable or ReportedInside.
        met: the cases that its rows have met before, in larger parcels.
        allowance: what its retries are spent from.
    """

    body: bytes = field(repr=False)
    rows: int
    read: Callable[[object], Results]
    met: tuple[Case, ...]
    allowance: Allowance


_numbers = count(1)


@dataclass(slots=True)
class Call:
    """What the parcels of one call share.

    Attributes:
        deadline: of the call.
        request_id: begins the id of every request; made up where it is none that the service takes.
        numbers: end it; this process's own, as callers may give every call the same id.
        over: set when nobody waits for the call any more.
        last: the latest verdict that waiting could have mended, and that was not the deadline's own doing.
    """

    deadline: Deadline
    request_id: str
    over: threading.Event = field(default_factory=threading.Event)
    last: Verdict | None = None
    numbers: Iterator[int] = field(default=_numbers)

    def __post_init__(self) -> None:
        """See to the id."""
        if not REQUEST_ID.fullmatch(self.request_id):
            self.request_id = uuid.uuid4().hex

    def next_id(self) -> str:
        """Give the next request its id: at most 40 characters, none twice on a connection."""
        return f"{self.request_id[:32]}-{next(self.numbers) % 10**7}"


class Sent(NamedTuple):
    """How a parcel ended: DONE with results, SPLIT, BLAME, or the verdict that the call fails with.

    Sent once, it may also be to be sent again: RETRY, REFRESH, where there is time for it.
    """

    verdict: Verdict
    met: tuple[Case, ...] = ()
    results: Results | None = None

    @property
    def final(self) -> bool:
        """Say whether it is not to be sent again as it is."""
        return self.verdict.action not in (Action.RETRY, Action.REFRESH)


def _rest(seconds: float, over: threading.Event) -> None:
    over.wait(seconds)


class Sender:
    """Sends parcels to one web service; used by many threads.

    Args:
        wire: posts one body.
        breaker: of this web service.
        attempts: how often one parcel is sent at most.
        enough_s: the shortest wait after which a missing answer counts against the service. A request that is
            cut sooner, by its own call's deadline, had waited for its turn too long, and says nothing.
        rest: waits so many seconds, or until the event is set.
        chance: gives numbers in [0, 1), for jitter.
    """

    def __init__(
        self,
        wire: Wire,
        breaker: Breaker | None = None,
        *,
        attempts: int = 4,
        enough_s: float = 0.0,
        rest: Callable[[float, threading.Event], None] = _rest,
        chance: Callable[[], float] = random.random,
    ) -> None:
        self.whom = wire.whom
        self.breaker = breaker or Breaker(time.monotonic)
        self._wire = wire
        self._attempts = attempts
        self._enough_s = enough_s
        self._rest = rest
        self._chance = chance

    def send(self, parcel: Parcel, call: Call, first: Sent | None = None) -> Sent:
        """Send a parcel until its verdict is final; `first` is how it ended where it was sent once already.

        Raises:
            BadAnswer: a 200 answer that cannot be matched to the rows.
            ServiceDown: the breaker is open and the parcel was never sent.
            Failure: no token can be had.
        """
        met = list(parcel.met)

        def refreshed(sent: Sent) -> Sent:
            if sent.verdict.action is Action.REFRESH:
                sent = self._attempt(parcel, call, (*met, sent.verdict.case), fresh=True)
            met.append(sent.verdict.case)
            return sent._replace(met=tuple(met))

        def attempt() -> Sent:
            return refreshed(self._attempt(parcel, call, met))

        with measured.sub_batch(self._wire.model, parcel.rows, attempts=1 if first else 0):
            sent = refreshed(first) if first else attempt()
            # Nearly every parcel ends here: a loop is made only where there is something to go round.
            return sent if sent.final else self._retried(sent, attempt, parcel, call)

    def send_once(self, parcel: Parcel, call: Call) -> Sent | None:
        """Send a parcel once, by what is kept (Endpoint.post, `kept`); None where nothing was sent.

        Nothing but the reading of an answer can then hold the calling thread beyond the deadline.

        Raises:
            See send.
        """
        if not self._wire.kept or not call.deadline.left():
            return None
        try:
            with measured.sub_batch(self._wire.model, parcel.rows):
                sent = self._attempt(parcel, call, parcel.met, kept=True)
        except NotKept:
            return None
        if not sent.final and self._in_vain(sent.verdict, call):
            sent = sent._replace(verdict=replace(sent.verdict, action=Action.STOP))
        return sent._replace(met=(*parcel.met, sent.verdict.case))

    def _in_vain(self, verdict: Verdict, call: Call) -> bool:
        """Say whether a parcel that was sent once need not even wait for its turn to be sent again."""
        pause = 0.0 if verdict.action is Action.REFRESH else wait_s(verdict, 1, self._chance)
        tired = verdict.action is Action.RETRY and self._attempts <= 1
        return tired or pause >= call.deadline.left()

    def _retried(self, first: Sent, attempt: Callable[[], Sent], parcel: Parcel, call: Call) -> Sent:
        def wait(state: RetryCallState) -> float:
            return wait_s(_verdict(state), state.attempt_number, self._chance)

        def stop(state: RetryCallState) -> bool:
            late = state.upcoming_sleep >= call.deadline.left()
            tired = state.attempt_number >= self._attempts
            return late or tired or call.over.is_set() or not parcel.allowance.spend()

        retrying = Retrying(
            retry=retry_if_result(lambda sent: not sent.final),
            wait=wait,
            stop=stop,
            sleep=lambda seconds: self._rest(seconds, call.over),
            retry_error_callback=_sent,
        )
        done = [first]
        return retrying(lambda: done.pop() if done else attempt())

    def close(self) -> None:
        """Let go of the connections kept."""
        self._wire.close()

    def _attempt(
        self, parcel: Parcel, call: Call, met: Sequence[Case], *, fresh: bool = False, kept: bool = False
    ) -> Sent:
        permit = self.breaker.admit()
        if not isinstance(permit, Permit):
            held = Verdict(LEFT_ALONE, Action.RETRY, retry_after=permit)
            if len(met) == len(parcel.met):
                raise held.failure(self.whom)
            return Sent(held)
        signal, given = Signal.NONE, call.deadline.left()
        try:
            sent = self._exchange(parcel, call, met, fresh, kept)
            hurried = given <= self._enough_s and not call.deadline.left()
            signal = Signal.NONE if hurried else _signal(sent.verdict)
        except BadAnswer:
            signal = Signal.ALIVE
            raise
        finally:
            self.breaker.report(permit, signal)
        return sent

    def _exchange(self, parcel: Parcel, call: Call, met: Sequence[Case], fresh: bool, kept: bool) -> Sent:
        sent = self._post(parcel, call, met, fresh, kept)
        if sent.verdict.action is Action.REFRESH and not self._wire.renewable:
            sent = Sent(replace(sent.verdict, action=Action.STOP))
        silenced = sent.verdict.case is SILENT and not call.deadline.left()
        if silenced and call.last is not None:
            # It was our own deadline that cut this one short: what the service last said stands.
            return Sent(replace(call.last, action=Action.STOP))
        if sent.verdict.case.failure.transient and not silenced:
            call.last = sent.verdict
        return sent

    def _post(self, parcel: Parcel, call: Call, met: Sequence[Case], fresh: bool, kept: bool) -> Sent:
        request_id = call.next_id()
        with measured.attempt(request_id) as told:
            outcome = self._wire.post(parcel.body, call.deadline, request_id, fresh=fresh, kept=kept)
            told.outcome = outcome
            results = None
            if isinstance(outcome, Reply) and outcome.status == 200:
                outcome, results = self._read(parcel, outcome)
            verdict = told.verdict = judge(outcome, met, rows=parcel.rows)
        return Sent(verdict, results=results)

    def _read(self, parcel: Parcel, reply: Reply) -> tuple[Outcome, Results | None]:
        try:
            answer = decode_answer(reply.body)
        except AnswerUnusable as error:
            if not reply.framed:
                # Nothing but JSON itself can tell that such an answer was cut (engineering.md C-M2).
                return Trouble(Fault.BROKEN), None
            raise self._bad(error) from None
        try:
            return reply, parcel.read(answer)
        except ReportedInside as error:
            return InnerError(str(error)), None
        except AnswerUnusable as error:
            raise self._bad(error) from None

    def _bad(self, error: AnswerUnusable) -> BadAnswer:
        return BadAnswer(f"{self.whom}: {error}. Check dialect, input_name and output_name of the model.")


def _verdict(state: RetryCallState) -> Verdict:
    return _sent(state).verdict


def _sent(state: RetryCallState) -> Sent:
    assert state.outcome is not None  # noqa: S101 - for the type checker: asked after an attempt only
    sent: Sent = state.outcome.result()
    return sent


def _signal(verdict: Verdict) -> Signal:
    if verdict.action is Action.DONE:
        return Signal.GOOD
    if verdict.action is Action.REFRESH:
        return Signal.NONE  # the request with a fresh token tells
    # Rows that are too slow together, or perhaps to blame, say nothing against the service yet.
    about_rows = verdict.action in (Action.SPLIT, Action.BLAME)
    return Signal.BAD if verdict.case.strike and not about_rows else Signal.ALIVE
