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
from bench.timing import Rounds, in_turn
from scoring.batch import score
from scoring.deadline import Deadline

SIZES = (100, 1_000, 10_000)


@dataclass(frozen=True)
class OwnCpu:
    """One dialect and size: so many calls of ours a round, and of what stands beside it."""

    dialect: str
    size: int
    calls: int
    rounds: Rounds

    def each_us(self, work: str) -> float:
        """Give the CPU µs an entity of one work."""
        return self.rounds.median(work) / (self.calls * self.size) * 1e6


def measure(size: int, dialect: str, seconds: float) -> OwnCpu:
    """Measure one dialect and size; a round is many calls, far longer than the clock's resolution."""
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
    rounds = in_turn(several, seconds)
    model.threads.shutdown()
    return OwnCpu(dialect, size, calls, rounds)


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
        [_row(m) for m in measured],
        "at most 1.5 ×, and 100 entities as good per entity as 10,000.",
    )


def _row(m: OwnCpu) -> Sequence[str]:
    return (
        m.dialect,
        f"{m.size:,}",
        *(f"{m.each_us(work):.1f}" for work in ("ours", "json_all")),
        f"**{m.rounds.ratio('ours', 'json_all'):.2f}**",
        f"{m.each_us('json_entities'):.1f}",
        f"{m.rounds.ratio('ours', 'json_entities'):.2f}",
        *(f"{m.each_us(work):.1f}" for work in ("plain", "predecessor")),
    )


def run(sizes: Sequence[int] = SIZES, dialects: Sequence[str] = DIALECTS, seconds: float = 2.5) -> Table:
    """Measure all, each for so many seconds."""
    return table([measure(size, dialect, seconds) for dialect in dialects for size in sizes])
