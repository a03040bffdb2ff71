"""A model against a server that misbehaves: the real wire, over real sockets."""

import json
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from scoring.breaker import Breaker
from scoring.deadline import Deadline
from scoring.dialects import Options, Row, SentColumn, dialect_of
from scoring.endpoint import Endpoint
from scoring.identity import Identity, identity_of
from scoring.retries import Sender
from scoring.rows import Payload, RowRefused, RowScorer, Scores
from scoring.verdicts import Outcome
from sections import ModelSettings
from tests.rogue import Rogue, Scene, Visit, answer

KEY = "planted-secret-key-4c1d"

# Waits between attempts are this much shorter than the app's own: they are real here.
HASTE = 100

type Post = Callable[..., Outcome]
type Score = Callable[..., list[Scores | RowRefused]]


def model_settings(server: Rogue, **given: Any) -> ModelSettings:
    """Settings of a model whose web service is the rogue server."""
    chosen: dict[str, Any] = {
        "url": server.url,
        "dialect": "score-script",
        "key": KEY,
        "features": ("x",),
        "timeout_s": 5.0,
        "deadline_s": 10.0,
    }
    return ModelSettings.model_validate(chosen | given)


@pytest.fixture
def post() -> Iterator[Post]:
    """Post `[]` to a server, once: through an endpoint of the settings given."""
    made: list[Endpoint] = []

    def go(server: Rogue, *, seconds: float = 10.0, answer_bytes: int = 10_000, **given: Any) -> Outcome:
        settings = model_settings(server, **given)
        endpoint = Endpoint("churn", settings, identity_of(settings), answer_bytes=answer_bytes)
        made.append(endpoint)
        return endpoint.post(b"[]", Deadline.after(seconds), "request-1")

    yield go
    for endpoint in made:
        endpoint.close()


def rows(count: int) -> list[Row]:
    return [[number] for number in range(count)]


def right(number: int) -> Scores:
    return {"prediction": f"score of {number}"}


def model_service(visit: Visit) -> None:
    """Score each row by its own cell, so that a result on a wrong row is seen."""
    sent = json.loads(visit.received.body)["data"]
    answer(200, json.dumps([f"score of {row[0]}" for row in sent]).encode())(visit)


def failing_on(bad: set[int], scene: Scene) -> Scene:
    """Play the scene when any of the rows is bad, as every scoring server does; else score."""

    def service(visit: Visit) -> None:
        sent = json.loads(visit.received.body)["data"]
        (scene if any(row[0] in bad for row in sent) else model_service)(visit)

    return service


def _rest_in_haste(seconds: float, over: threading.Event) -> None:
    over.wait(seconds / HASTE)


def scorer_of(server: Rogue, identity: Identity | None = None, **given: Any) -> RowScorer:
    """Make the whole wire of a model, as scoring/models.py does, but for the length of the waits."""
    settings = model_settings(server, **given)
    endpoint = Endpoint("churn", settings, identity or identity_of(settings), answer_bytes=1_000_000)
    sender = Sender(
        endpoint,
        Breaker(time.monotonic),
        attempts=settings.attempts,
        enough_s=min(settings.timeout_s, settings.deadline_s) / 2,
        rest=_rest_in_haste,
    )
    return RowScorer(sender, settings)


def ask(scorer: RowScorer, sent: list[Row], seconds: float = 10.0) -> list[Scores | RowRefused]:
    payload = Payload.of(dialect_of("score-script", Options()), (SentColumn("x"),))
    return scorer.score(sent, payload, Deadline.after(seconds))


@pytest.fixture
def score() -> Iterator[Score]:
    """Score so many rows at a server, through a wire of its own."""
    made: list[RowScorer] = []

    def go(server: Rogue, count: int, *, seconds: float = 10.0, **given: Any) -> list[Scores | RowRefused]:
        made.append(scorer_of(server, **given))
        return ask(made[-1], rows(count), seconds)

    before = set(threading.enumerate())
    yield go
    for scorer in made:
        scorer.close()
    lanes = [t for t in threading.enumerate() if t not in before and t.name.startswith("lane")]
    for lane in lanes:
        lane.join(5)
    assert not any(lane.is_alive() for lane in lanes), "a lane was left hanging"
