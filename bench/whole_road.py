"""2. Scoring, the whole road: entities per second through the real engine, beside a direct client.

The direct client posts the same rows, already encoded, straight to the web service; beside it two functions
under the same engine: a plain one, which checks nothing, and an empty one, which asks no web service but
pauses as long as it would. Client, service, app and storage are processes of their own, and share the
machine's cores.
"""

from collections.abc import Sequence
from contextlib import AbstractContextManager

from bench.customers import entities
from bench.models import AnswersAtOnce, answer_to, model_of
from bench.parts import ROOT, Driven, Parts, drive, running_parts
from bench.tables import Table
from local.host.process import RunningApp, running_app
from scoring.batch import score
from scoring.deadline import Deadline

CALLERS = (1, 4, 16, 64)
BATCH, LARGE = 100, 1_000
# More would be for the cores alone to answer.
CALLERS_OF_LARGE = 16


def run(callers: Sequence[int] = CALLERS, seconds: float = 3) -> list[Table]:
    """Measure all; ours, the direct client and the other functions in turn."""
    with running_parts() as parts, _running_empty(parts.service) as empty:
        sizes = [(BATCH, count) for count in callers]
        sizes += [(LARGE, count) for count in callers if count <= CALLERS_OF_LARGE]
        rows = [
            _beside(f"{size:,} entities, callers: {count}", parts, empty, "churn", size, count, seconds)
            for size, count in sizes
        ]
        rows.append(
            _beside(f"{LARGE:,} entities split by 4, callers: 1", parts, empty, "split", LARGE, 1, seconds)
        )
        hop = _hop(empty, callers, seconds)
    about = (
        "A service with 20 ms a request and 0.2 ms a row; entities per second, and milliseconds an answer. "
        "Beside it two functions under the same engine: a plain one, `json`, `requests` and nothing checked, "
        "and an empty one, which only pauses as long as the service."
    )
    head = (
        *("", "ours/s", "direct/s", "×", "plain function, ×", "empty one, ×"),
        *("p50 ours", "p50 direct", "p95", "p95 direct", "p99", "p99 direct"),
    )
    goal = "at least 0.9 of the direct client, and 1.5 where `parallel = 4` splits what it sends whole."
    return [Table("2. Scoring, the whole road", about, head, rows, goal), hop]


def _running_empty(service: str) -> AbstractContextManager[RunningApp]:
    return running_app(ROOT / "bench" / "empty", settings={"AzureWebJobsStorage": "", "SERVICE": service})


def _beside(
    title: str, parts: Parts, empty: RunningApp, model: str, size: int, callers: int, seconds: float
) -> Sequence[str]:
    body = entities(size)
    ours = drive(parts.score_url(model), callers, seconds, body, size)
    direct = drive(parts.service, callers, seconds, _encoded(body), size)
    plain = drive(f"{empty.base_url}/api/plain", callers, seconds, body, size)
    pause = drive(f"{empty.base_url}/api/pause?rows={size}", callers, seconds, body, size)
    return (
        title,
        f"{ours.rate:,.0f}",
        f"{direct.rate:,.0f}",
        f"**{ours.rate / direct.rate:.2f}**",
        *(f"{other.rate / direct.rate:.2f}" for other in (plain, pause)),
        *(f"{ms:.0f}" for pair in zip(_percentiles(ours), _percentiles(direct), strict=True) for ms in pair),
    )


def _percentiles(driven: Driven) -> tuple[float, float, float]:
    return driven.p50, driven.p95, driven.p99


def _encoded(body: bytes) -> bytes:
    """Give the rows of a body as one request of the service's dialect."""
    wire = AnswersAtOnce(answer_to("score-script"))
    score(body, model_of("score-script", wire), Deadline.after(60))
    ((sent, _),) = wire.exchanges.values()
    return sent


def _hop(empty: RunningApp, callers: Sequence[int], seconds: float) -> Table:
    """Measure the engine alone: an empty function that reads a body and sends it back."""
    url = f"{empty.base_url}/api/echo"
    rows = []
    for size, count in (*((BATCH, count) for count in callers), (LARGE, 1)):
        echoed = drive(url, count, seconds, entities(size), size)
        title = f"{size:,} entities, callers: {count}"
        rows.append((title, f"{echoed.rate:,.0f}", *(f"{ms:.1f}" for ms in _percentiles(echoed))))
    about = "An empty function under the same engine: it reads the body and sends it back. ms an answer."
    return Table("2b. The engine's streaming hop", about, ("", "entities/s", "p50", "p95", "p99"), rows)
