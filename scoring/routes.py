"""What the triggers of scoring do: HTTP ↔ use case. No logic.

What asks a web service runs on the model's own threads: a slow model starves neither the event loop nor
another model. What asks storage alone runs on asyncio's.
"""

import asyncio
import re
from collections.abc import Callable
from datetime import UTC, datetime

import msgspec
from azurefunctions.extensions.http.fastapi import Request, Response

from answers import answer_from_thread, decode_body, json_answer, read_body
from contract.documents import Golden
from errors import InvalidRequest, Silence, UnsupportedMediaType
from scoring import adoption, description, golden, measured, models
from scoring.batch import Model, score
from scoring.deadline import Deadline
from scoring.drift import MOST_DAYS, drift
from telemetry import carried

# A call ends at its deadline by itself, and tells best why; so much later it is given up.
GRACE_S = 2.0

DRIFT_OF_DAYS = 7


class Adopt(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The body of `PUT /api/models/{model}/contract`."""

    version: str


async def score_entities(req: Request) -> Response:
    """Score what the body holds."""
    model = models.model(req.path_params["model"])
    with measured.batch(model.name) as told:
        deadline = _deadline(model)
        _accept(req)
        body = await read_body(req, model.limits)
        answer = await _on_a_thread_of(model, deadline, lambda: score(body, model, deadline))
        told.report = answer.report
    return Response(answer.body, media_type="application/json")


async def show_drift(req: Request) -> Response:
    """Tell how what was lately scored differs from the adopted version."""
    model = models.model(req.path_params["model"])
    days = req.query_params.get("days", str(DRIFT_OF_DAYS))
    if not re.fullmatch("[1-9][0-9]?", days) or int(days) > MOST_DAYS:
        raise InvalidRequest(f"days is a whole number from 1 to {MOST_DAYS}.")
    now, deadline = datetime.now(UTC), _deadline(model)
    return await answer_from_thread(
        lambda: drift(model, int(days), models.contracts(), models.container(), now, deadline)
    )


async def list_models() -> Response:
    """Describe every model."""
    return await answer_from_thread(description.describe_all)


async def show_model(req: Request) -> Response:
    """Describe one model."""
    return await answer_from_thread(lambda: description.describe(models.model(req.path_params["model"])))


async def adopt_version(req: Request) -> Response:
    """Adopt the version that the body names."""
    model = models.model(req.path_params["model"])
    deadline = _deadline(model)
    wanted = decode_body(await read_body(req, model.limits), Adopt, '{"version": "…"}', model.limits)
    adopted = await _on_a_thread_of(
        model,
        deadline,
        lambda: adoption.adopt(model, wanted.version, models.contracts(), models.container(), deadline),
    )
    return json_answer(200, adopted)


async def keep_golden_rows(req: Request) -> Response:
    """Store the golden rows that the body holds."""
    model = models.model(req.path_params["model"])
    shape = '{"version": "…", "entities": [{…}, …], "scores": [{…}, …]}'
    rows = decode_body(await read_body(req, model.limits), Golden, shape, model.limits)
    return await answer_from_thread(lambda: golden.keep(model, rows, models.contracts(), models.container()))


def _deadline(model: Model) -> Deadline:
    return Deadline.after(model.settings.deadline_s)


def _accept(req: Request) -> None:
    """Take what Sesam and people send: no content type, a stream of bytes, or any JSON (design §5)."""
    kind = req.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind not in ("", "application/octet-stream") and not kind.endswith(("/json", "+json")):
        raise UnsupportedMediaType(f"Content-Type {kind!r} is not supported: send application/json.")
    coding = req.headers.get("content-encoding", "identity").strip().lower()
    if coding != "identity":
        raise UnsupportedMediaType(f"Content-Encoding {coding!r} is not supported: send the body as it is.")


async def _on_a_thread_of[T](model: Model, deadline: Deadline, work: Callable[[], T]) -> T:
    future = asyncio.get_running_loop().run_in_executor(model.threads, carried(work))
    try:
        await asyncio.wait([future], timeout=deadline.left() + GRACE_S)
        if future.done():
            return future.result()
    finally:
        future.cancel()  # one that waits for a thread is not begun any more
    # What holds it is none of the model's doing: storage, or that all threads are at work.
    raise Silence(f"The call to {model.name} did not end by its deadline: send fewer calls at a time.")
