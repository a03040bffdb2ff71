"""6. Growth: what an entity and a megabyte cost at ×1, ×10 and ×100 of the work. CPU time."""

from collections.abc import Callable, Iterable, Iterator, Sequence

from bench.customers import entities
from bench.models import AnswersAtOnce, answer_to, model_of
from bench.tables import Table
from bench.timing import in_turn
from local.proof.snapshot import table
from scoring.batch import score
from scoring.deadline import Deadline
from training_export.csv_dialect import Dialect
from training_export.csv_scan import scan

TIMES = (1, 10, 100)
# ×100 of so many MB are a gigabyte.
ENTITIES, CALLS, MEGABYTES = 100, 10, 10
SECONDS = 6.0
CHUNK = 256 * 1024

# What is to be done, and how much it is: of entities and MB, so that seconds become what the table tells.
type Work = tuple[Callable[[], object], float]


def run(times: Sequence[int] = TIMES, seconds: float = SECONDS) -> Table:
    """Measure each at ×1, ×10, ×100, in turn, as the machine's speed changes from second to second."""
    works: Sequence[tuple[str, Callable[[int], Work]]] = (
        (f"a call of {ENTITIES} entities × …, µs an entity", _larger_calls),
        (f"{CALLS} calls of {ENTITIES} entities × …, µs an entity", _more_calls),
        (f"a scan of {MEGABYTES} MB × …, ms a MB", _larger_scans),
    )
    rows = []
    for title, work in works:
        made = {str(time): work(time) for time in times}
        rounds = in_turn({time: do for time, (do, _) in made.items()}, seconds)
        costs = [rounds.median(time) / units for time, (_, units) in made.items()]
        first, *_, last = made
        grown = rounds.ratio(last, first) * made[first][1] / made[last][1] - 1
        rows.append((title, *(f"{cost:.1f}" for cost in costs), f"**{grown:+.0%}**"))
    return Table(
        "6. Growth",
        "CPU time for so many times the work; dialect `designer`.",
        ("", *(f"×{time}" for time in times), "last ÷ first"),
        rows,
        "within 15 %.",
    )


def _larger_calls(times: int) -> Work:
    return _calls(ENTITIES * times, max(1, 4 * CALLS // times))


def _more_calls(times: int) -> Work:
    return _calls(ENTITIES, CALLS * times)


def _calls(size: int, count: int) -> Work:
    model, body = model_of("designer", AnswersAtOnce(answer_to("designer"))), entities(size)

    def work() -> None:
        for _ in range(count):
            score(body, model, Deadline.after(60))

    work()  # warm
    return work, count * size / 1e6


def _larger_scans(times: int) -> Work:
    header, *blocks = table(MEGABYTES * 1_000_000 * min(times, 10))
    # The rows of each round are those of the last: a table without end needs no memory of its own.
    blocks = [header, *blocks * max(1, times // 10)]
    return lambda: scan(_chunks(blocks), Dialect()), sum(map(len, blocks)) / 1e9


def _chunks(blocks: Iterable[bytes]) -> Iterator[bytes]:
    for block in blocks:
        for at in range(0, len(block), CHUNK):
            yield block[at : at + CHUNK]
