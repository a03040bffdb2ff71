"""Wires and clocks that tests script: what a web service answers, without a socket, in no time."""

import json
import threading
from collections.abc import Callable, Sequence

from cutoff import NotKept
from scoring.cases import MODEL_STATUS
from scoring.deadline import Deadline
from scoring.dialects import Options, Row, SentColumn, dialect_of
from scoring.rows import Payload
from scoring.verdicts import Outcome, Reply

X = (SentColumn("x"),)

type Answer = Outcome | Callable[[list[list[object]]], Outcome]


class Clock:
    """A clock that stands still; waiting moves it."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.waited: list[float] = []

    def __call__(self) -> float:
        return self.now

    def rest(self, seconds: float, over: threading.Event) -> None:
        self.waited.append(seconds)
        self.now += seconds

    def deadline(self, seconds: float) -> Deadline:
        return Deadline(self.now + seconds, self)


class ScriptedWire:
    """Answers with its script in turn, the last answer staying; keeps what was sent."""

    kept = False

    def __init__(self, *script: Answer, renewable: bool = False) -> None:
        self.model = "churn"
        self.whom = "The web service of churn (ml.example)"
        self.renewable = renewable
        self.bodies: list[list[list[object]]] = []
        self.ids: list[str] = []
        self.fresh: list[bool] = []
        self._script = list(script)
        self._lock = threading.Lock()

    def post(
        self, body: bytes, deadline: Deadline, request_id: str, *, fresh: bool = False, kept: bool = False
    ) -> Outcome:
        if kept and not self.kept:
            raise NotKept
        rows: list[list[object]] = json.loads(body)["data"]
        with self._lock:
            self.bodies.append(rows)
            self.ids.append(request_id)
            self.fresh.append(fresh)
            answer = self._script.pop(0) if len(self._script) > 1 else self._script[0]
        return answer(rows) if callable(answer) else answer

    def close(self) -> None:
        """Nothing is kept."""


def scores(rows: Sequence[Sequence[object]]) -> Reply:
    """Score each row by its own first cell, so that a result on a wrong row is seen."""
    return Reply(200, {}, json.dumps([f"score of {row[0]}" for row in rows]).encode())


def refusing(bad: set[int], outcome: Outcome) -> Callable[[list[list[object]]], Outcome]:
    """Answer so when any of the rows is bad, as every scoring server does; else score."""
    return lambda rows: outcome if any(row[0] in bad for row in rows) else scores(rows)


def behind(status: int) -> Reply:
    """What Azure's front makes of a model's answer."""
    return Reply(424, {MODEL_STATUS: str(status)})


def payload() -> Payload:
    """Rows as `{"data": [[…]]}`, bare results."""
    return Payload.of(dialect_of("score-script", Options()), X)


def rows(count: int) -> list[Row]:
    return [[number] for number in range(count)]
