"""What one call to a model did, told: its spans, its metrics, and one log line that joins all its ids.

A batch is one call of Sesam's, a sub-batch one body's worth of its rows, an attempt one request. They find
each other by the context they run in (telemetry.carried), so that nothing between them passes them on.
"""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import NamedTuple

import telemetry
from cutoff import NotKept
from errors import Failure, Throttled
from scoring.verdicts import Outcome, Reply, Trouble, Verdict

# So many of the web service's ids stand in a batch's line; a large batch has more, which its spans hold.
MOST_IDS = 20

# The outcome of a batch that was answered with 200; every other one is a kind of failure.
GOOD = "scored"


class Report(NamedTuple):
    """What one call did with its entities; counts only, never values."""

    entities: int = 0
    passed: int = 0
    scored: int = 0
    marked: int = 0
    outside: int = 0


@dataclass
class Batch:
    """One call under way; its attempts add themselves, from many threads."""

    report: Report = field(default_factory=Report)
    requests: int = 0
    retries: int = 0
    throttled: int = 0
    x_request_ids: list[str] = field(default_factory=list)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def add(self, attempt: "Attempt", *, retry: bool) -> None:
        """Count an attempt."""
        with self._lock:
            self.requests += 1
            self.retries += retry
            self.throttled += attempt.throttled
            if attempt.x_request_id and len(self.x_request_ids) < MOST_IDS:
                self.x_request_ids.append(attempt.x_request_id)


@dataclass
class SubBatch:
    """One body's worth of rows under way; used by one thread."""

    model: str
    attempts: int = 0


@dataclass
class Attempt:
    """One request: what came back, and what it means, as far as is known; whether it was sent at all."""

    sent: bool = True
    outcome: Outcome | None = None
    verdict: Verdict | None = None

    @property
    def status(self) -> str:
        """The answer's status, or in a word why there is none."""
        match self.outcome:
            case Reply(status=status):
                return str(status)
            case Trouble(fault=fault):
                return fault.name.lower()
        return "none"

    @property
    def x_request_id(self) -> str:
        """The web service's own id of the request."""
        return self.outcome.request_id if isinstance(self.outcome, Reply) else ""

    @property
    def throttled(self) -> bool:
        """Whether the web service asked for patience."""
        return self.verdict is not None and self.verdict.case.failure is Throttled


_batch: ContextVar[Batch | None] = ContextVar("batch", default=None)
_sub_batch: ContextVar[SubBatch | None] = ContextVar("sub_batch", default=None)


@contextmanager
def batch(model: str) -> Iterator[Batch]:
    """Tell of a call: `report` is set by the block, and a failure tells its kind."""
    told, began, outcome, status = Batch(), time.monotonic(), GOOD, 200
    token = _batch.set(told)
    try:
        with telemetry.BATCH.open(model=model, request_id=telemetry.request_id()) as span:
            yield told
            span.set_attribute("entities", told.report.entities)
    except Exception as error:
        outcome, status = telemetry.kind_of(error), error.status if isinstance(error, Failure) else 500
        raise
    finally:
        _batch.reset(token)
        _tell(model, told, outcome, status, time.monotonic() - began)


def _tell(model: str, told: Batch, outcome: str, status: int, seconds: float) -> None:
    telemetry.BATCHES.tell(1, model=model, outcome=outcome)
    telemetry.SCORED.tell(told.report.scored, model=model)
    telemetry.MARKED.tell(told.report.marked, model=model)
    telemetry.OUTSIDE.tell(told.report.outside, model=model)
    telemetry.tell(
        "batch",
        request_id=telemetry.request_id(),
        model=model,
        outcome=outcome,
        status=status,
        ms=round(seconds * 1000),
        **told.report._asdict(),
        requests=told.requests,
        retries=told.retries,
        throttled=told.throttled,
        x_request_ids=told.x_request_ids,
    )


@contextmanager
def sub_batch(model: str, rows: int, attempts: int = 0) -> Iterator[None]:
    """Tell of a body's worth of rows, sent until its verdict is final, or once; after so many `attempts`."""
    token = _sub_batch.set(SubBatch(model, attempts))
    try:
        with telemetry.SUB_BATCH.open(model=model, rows=rows):
            yield
    finally:
        _sub_batch.reset(token)


@contextmanager
def attempt(request_id: str) -> Iterator[Attempt]:
    """Tell of one request of the sub-batch under way, whatever becomes of it."""
    of = _sub_batch.get() or SubBatch("")
    of.attempts += 1
    told, began, retry = Attempt(), time.monotonic(), of.attempts > 1
    with telemetry.ATTEMPT.open(model=of.model, request_id=request_id, retry=retry) as span:
        try:
            yield told
        except NotKept:
            told.sent = False
            raise
        finally:
            span.set_attributes({"status": told.status, "x_request_id": told.x_request_id})
            if told.sent:
                _count(of.model, told, retry, time.monotonic() - began)


def _count(model: str, told: Attempt, retry: bool, seconds: float) -> None:
    telemetry.REQUESTS.tell(1, model=model, status=told.status)
    telemetry.LATENCY.tell(seconds, model=model)
    if retry:
        telemetry.RETRIES.tell(1, model=model)
    if told.throttled:
        telemetry.THROTTLED.tell(1, model=model)
    under_way = _batch.get()
    if under_way:
        under_way.add(told, retry=retry)
