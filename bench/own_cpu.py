"""1. Scoring, own CPU: bytes in → bytes out, the web service answering at once.

Beside it, of the same bodies: `json.loads` of those that are read and `json.dumps` of those that are written;
a plain loop of the standard library that checks nothing; and the predecessor's way, which takes the first
entity's names and every entity's values in that entity's own order.
"""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from bench.customers import NAMESPACE, entities
from bench.models import DIALECTS, AnswersAtOnce, answer_to, model_of
from bench.tables import Table
from bench.timing import cpu_seconds
from scoring.batch import score
from scoring.deadline import Deadline

SIZES = (100, 1_000, 10_000)


@dataclass(frozen=True)
class OwnCpu:
    """One dialect and size: CPU seconds a call, ours and of what stands beside it."""

    dialect: str
    size: int
    ours: float
    json_all: float
    json_entities: float
    plain: float
    predecessor: float

    @property
    def ratio(self) -> float:
        """Ours to `json` over all bodies of the call."""
        return self.ours / self.json_all


def measure(size: int, dialect: str, repeats: int) -> OwnCpu:
    """Measure one dialect and size; so many repeats that small calls are not lost in the clock's grain."""
    wire = AnswersAtOnce(answer_to(dialect))
    model = model_of(dialect, wire)
    body = entities(size)
    calls = max(1, 2000 // size)

    def ours() -> bytes:
        return score(body, model, Deadline.after(60)).body

    answered = ours()
    sent = [request for request, _ in wire.exchanges.values()]
    received = [answer for _, answer in wire.exchanges.values()]
    works = {
        "ours": ours,
        "json_all": _by_json([body, *received], [*sent, answered]),
        "json_entities": _by_json([body], [answered]),
        "plain": lambda: _plain_loop(body, received),
        "predecessor": lambda: _predecessor(body, received),
    }
    several = {name: _times(calls, work) for name, work in works.items()}
    taken = cpu_seconds(several, repeats)
    model.threads.shutdown()
    return OwnCpu(dialect, size, **{name: seconds / calls for name, seconds in taken.items()})


def _times(count: int, work: Callable[[], object]) -> Callable[[], object]:
    def repeated() -> None:
        for _ in range(count):
            work()

    return repeated


def _by_json(read: Sequence[bytes], written: Sequence[bytes]) -> Callable[[], object]:
    documents = [json.loads(body) for body in written]

    def work() -> None:
        for body in read:
            json.loads(body)
        for document in documents:
            json.dumps(document)

    return work


def _plain_loop(body: bytes, received: Sequence[bytes]) -> bytes:
    """Do what anybody would write first: names looked up in each entity, nothing checked or typed."""
    rows = json.loads(body)
    names = [name for name in rows[0] if name.startswith(NAMESPACE)]
    json.dumps({"data": [[row.get(name) for name in names] for row in rows]})
    scores = [json.loads(answer) for answer in received]
    for row in rows:
        row["churn:scored"] = scores[0] is not None
    return json.dumps(rows).encode()


def _predecessor(body: bytes, received: Sequence[bytes]) -> bytes:
    """Take the first entity's names, and each entity's values as they come."""
    rows = json.loads(body)
    json.dumps({"ColumnNames": list(rows[0]), "Values": [list(row.values()) for row in rows]})
    scores = [json.loads(answer) for answer in received]
    for row in rows:
        row["churn:scored"] = scores[0] is not None
    return json.dumps(rows).encode()


def table(measured: Sequence[OwnCpu]) -> Table:
    """Lay them out."""
    return Table(
        "1. Scoring, own CPU",
        "Bytes in → bytes out, a wire that answers at once, entities of 20 properties, every rule of the "
        "contract on. CPU µs per entity; × is ours ÷ `json` of all four bodies of the call.",
        (
            *("dialect", "entities", "ours", "`json`, all bodies", "×", "`json`, in and out", "×"),
            *("plain loop", "predecessor"),
        ),
        [
            (
                m.dialect,
                f"{m.size:,}",
                *(f"{x / m.size * 1e6:.1f}" for x in (m.ours, m.json_all)),
                f"**{m.ratio:.2f}**",
                f"{m.json_entities / m.size * 1e6:.1f}",
                f"{m.ours / m.json_entities:.2f}",
                *(f"{x / m.size * 1e6:.1f}" for x in (m.plain, m.predecessor)),
            )
            for m in measured
        ],
        "at most 1.5 ×, and 100 entities as good per entity as 10,000.",
    )


def run(sizes: Sequence[int] = SIZES, dialects: Sequence[str] = DIALECTS, repeats: int = 5) -> Table:
    """Measure all."""
    return table([measure(size, dialect, repeats) for dialect in dialects for size in sizes])
