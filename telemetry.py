"""What the app tells its operator: every span, metric and structured event, by name, and how they leave.

Spans and metrics go through OpenTelemetry's API, which does nothing until somebody listens: Azure Monitor
where APPLICATIONINSIGHTS_CONNECTION_STRING is set (azure_monitor.py, imported only then), a test's memory, or
nobody. Log lines go through the standard library's logging, one line a batch and a run: a word, and one JSON
object that Log Analytics can parse.

Names, counts, durations and ids only. No entity, key, token or URL query is ever among them, and of an
exception only its kind. docs/telemetry.md explains every name here; a test compares the two.
"""

import functools
import logging
import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar, copy_context
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal

import msgspec
from opentelemetry import context, metrics, trace

from errors import Failure

NAME = "sesam-azureml"
CONNECTION = "APPLICATIONINSIGHTS_CONNECTION_STRING"

log = logging.getLogger(NAME)
log.setLevel(logging.INFO)  # the root's level is the host's business; these lines are few and wanted
# Under requests and Azure's SDKs: at debug level it writes whole URLs, whose query may be a key or a SAS.
logging.getLogger("urllib3").setLevel(logging.INFO)

_request_id: ContextVar[str] = ContextVar("request_id", default="")
_started = threading.Lock()
_tracer = trace.get_tracer(NAME)  # stands in for the listener's, once there is one


@dataclass(frozen=True)
class Span:
    """A kind of span: a step that takes time.

    Attributes:
        name: what traces call it.
        attributes: all that it may carry.
    """

    name: str
    attributes: tuple[str, ...] = ()

    def open(self, **attributes: str | int | bool) -> "_Open":
        """Measure what the block does; a failure marks the span with its kind and passes on."""
        return _Open(self.name, attributes)

    def __call__[**P, T](self, work: Callable[P, T]) -> Callable[P, T]:
        """Decorate a function whose every call is such a step."""

        @functools.wraps(work)
        def measured(*args: P.args, **given: P.kwargs) -> T:
            with self.open():
                return work(*args, **given)

        return measured


class _Open:
    """A span around a block: what `start_as_current_span` does, less two generators at every step."""

    __slots__ = ("_attributes", "_name", "_span", "_token")

    def __init__(self, name: str, attributes: dict[str, str | int | bool]) -> None:
        self._name = name
        self._attributes = attributes

    def __enter__(self) -> trace.Span:
        start()
        self._span = _tracer.start_span(
            self._name,
            attributes=self._attributes,
            # Both would write the exception's text and stack trace: either may hold what nobody foresaw.
            record_exception=False,
            set_status_on_exception=False,
        )
        self._token = context.attach(trace.set_span_in_context(self._span))
        return self._span

    def __exit__(self, _: object, error: BaseException | None, __: object) -> None:
        if isinstance(error, Exception):
            self._span.set_status(trace.Status(trace.StatusCode.ERROR, kind_of(error)))
        context.detach(self._token)
        self._span.end()


@dataclass(frozen=True)
class Metric:
    """A number over time.

    Attributes:
        name: what the metrics table calls it.
        kind: a counter's values are summed, a gauge's last one counts, a histogram's distribution is kept.
        unit: in UCUM, as OpenTelemetry wants it.
        attributes: what it is told apart by: names from the settings, outcomes and statuses, nothing else.
    """

    name: str
    kind: Literal["counter", "gauge", "histogram"]
    unit: str
    attributes: tuple[str, ...]

    def tell(self, value: float, **attributes: str) -> None:
        """Add, set or record a value."""
        self._write(value, attributes)

    @cached_property
    def _write(self) -> Callable[[float, dict[str, str]], None]:
        meter = metrics.get_meter(NAME)
        match self.kind:
            case "counter":
                return meter.create_counter(self.name, self.unit).add
            case "gauge":
                return meter.create_gauge(self.name, self.unit).set
            case "histogram":
                return meter.create_histogram(self.name, self.unit).record


# ---- scoring

BATCH = Span("batch", ("model", "request_id", "entities"))
SUB_BATCH = Span("sub-batch", ("model", "rows"))
ATTEMPT = Span("attempt", ("model", "request_id", "retry", "status", "x_request_id"))

SCORED = Metric("bridge.entities.scored", "counter", "{entity}", ("model",))
MARKED = Metric("bridge.entities.marked", "counter", "{entity}", ("model",))
OUTSIDE = Metric("bridge.entities.outside_contract", "counter", "{entity}", ("model",))
BATCHES = Metric("bridge.batches", "counter", "{batch}", ("model", "outcome"))
REQUESTS = Metric("bridge.requests", "counter", "{request}", ("model", "status"))
RETRIES = Metric("bridge.retries", "counter", "{request}", ("model",))
THROTTLED = Metric("bridge.throttled", "counter", "{request}", ("model",))
LATENCY = Metric("bridge.latency", "histogram", "s", ("model",))

# ---- training export: one run and its steps

RUN = Span("run", ("export", "run", "tries"))
PIPE = Span("run.pipe")
DOWNLOAD = Span("run.download")
COMMIT = Span("run.commit")
PARQUET = Span("run.parquet")
WRITE = Span("run.write")
ADVANCE = Span("run.advance")
REGISTER = Span("run.register")
RETIRE = Span("run.retire")

RUNS = Metric("bridge.runs", "counter", "{run}", ("export", "outcome"))
ROWS = Metric("bridge.snapshot.rows", "gauge", "{row}", ("export",))
BYTES = Metric("bridge.snapshot.bytes", "gauge", "By", ("export",))
LATEST_AGE = Metric("bridge.latest.age", "gauge", "s", ("export",))

SPANS = tuple(each for each in list(globals().values()) if isinstance(each, Span))
METRICS = tuple(each for each in list(globals().values()) if isinstance(each, Metric))

# The fields of each log line.
LINES = {
    "batch": (
        *("request_id", "model", "outcome", "status", "ms"),
        *("entities", "passed", "scored", "marked", "outside"),
        *("requests", "retries", "throttled", "x_request_ids"),
    ),
    "run": ("export", "id", "tries", "outcome", "started", "finished", "version", "detail", "ms"),
    "not-queued": ("export", "reason"),
    "not-registered": ("export", "version", "reason"),
    "not-observed": ("model", "reason"),
}


def tell(event: str, **fields: Any) -> None:
    """Log an event, such as `batch` or `run`, with its fields."""
    _tell(logging.INFO, event, fields)


def warn(event: str, **fields: Any) -> None:
    """Log an event that somebody should look at."""
    _tell(logging.WARNING, event, fields)


def _tell(level: int, event: str, fields: dict[str, Any]) -> None:
    start()
    log.log(level, "%s %s", event, msgspec.json.encode(fields).decode())


def kind_of(error: Exception) -> str:
    """Say of what kind a failure is: its slug, or a class's name; never its text."""
    return error.slug if isinstance(error, Failure) else type(error).__name__


@contextmanager
def request(id_: str) -> Iterator[None]:
    """Let all that the block does be found by this id, here and in the web service's log."""
    start()
    token = _request_id.set(id_)
    try:
        yield
    finally:
        _request_id.reset(token)


def request_id() -> str:
    """Give the id of the request under way; empty where there is none."""
    return _request_id.get()


def carried[**P, T](work: Callable[P, T]) -> Callable[P, T]:
    """Let work on another thread belong to the span and the request of this one."""
    copied = copy_context()

    def within(*args: P.args, **given: P.kwargs) -> T:
        return copied.run(work, *args, **given)

    return within


@functools.cache
def _start() -> None:
    if os.environ.get(CONNECTION):
        import azure_monitor

        azure_monitor.listen(log)


def start() -> None:
    """Let Azure Monitor listen, where its connection string is set; at the first call only.

    Not when the app is imported: the SDK takes its time (docs/telemetry.md), and cold start counts.
    """
    with _started:
        _start()
