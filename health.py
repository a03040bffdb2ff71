"""What the app tells of itself: is it alive, is it ready to do its work, what are its routes (design §5).

`ready` is a list of checks, each with what to do where it fails; 200 when all hold, else 503. What is looked
at is imported by the first call that looks: cold start counts.
"""

import asyncio
from collections.abc import Iterator, Sized
from functools import partial
from typing import TYPE_CHECKING

import azure.functions as func
from azurefunctions.extensions.http.fastapi import Request, Response

from answers import answered, json_answer
from checks import Check, checked
from errors import SettingsWrong

if TYPE_CHECKING:
    from settings import Settings

blueprint = func.Blueprint()  # type: ignore[no-untyped-call]  # azure-functions leaves it untyped


@blueprint.route("health", methods=["GET"], auth_level=func.AuthLevel.ANONYMOUS)
async def health(req: Request) -> Response:
    """GET /api/health: the app is alive. Nothing is asked, nothing is told (statement 26)."""
    del req
    return json_answer(200, {"status": "alive"})


@blueprint.route("health/ready", methods=["GET"])
async def ready(req: Request) -> Response:
    """GET /api/health/ready: whether settings, storage, every model's contract and service are in order.

    `?deep=1` asks the world too, as the app itself: whether storage and queue can be written, the node with
    its token and pipes, every model's endpoint. `make doctor` makes the same checks as whoever calls it.
    """
    return await answered(req, _ready(deep=req.query_params.get("deep") == "1"))


@blueprint.route("openapi.json", methods=["GET"])
async def openapi(req: Request) -> Response:
    """GET /api/openapi.json: the OpenAPI document of all routes."""
    return await answered(req, _openapi())


async def _openapi() -> Response:
    from openapi import document

    return json_answer(200, document())


async def _ready(*, deep: bool) -> Response:
    found = await asyncio.to_thread(lambda: list(checks(deep=deep)))
    ok = all(check.ok for check in found)
    return json_answer(200 if ok else 503, {"ready": ok, "checks": found})


def checks(*, deep: bool) -> Iterator[Check]:
    """Look at one thing after the other; `deep` at those that cost the world a request."""
    from scoring import description, models
    from scoring import probe as scoring_probe
    from settings import settings
    from training_export import probe as training_probe

    try:
        given, found = settings(), models.all_models()
    except SettingsWrong as wrong:
        yield from (Check("settings", False, problem) for problem in wrong.problems)
        return
    yield Check("settings", True, f"{_counted(given.models, 'model')}, {_counted(given.exports, 'export')}")
    yield from (Check("transport", True, weakness) for weakness in given.weaknesses())
    yield checked("storage", lambda: _storage(given, deep=deep))
    if deep and given.exports:
        yield from training_probe.checks(given)
    for name, model in found.items():
        yield checked(f"model {name}", partial(description.readiness, model))
        yield checked(f"web service of {name}", partial(description.service_readiness, model))
        if deep:
            yield from scoring_probe.checks(model, models.container())


def _storage(given: "Settings", *, deep: bool) -> str:
    from storage import latest_blob, open_container, probe_container

    container = open_container(given.storage, retries=0, timeout_s=5)
    if deep:
        probe_container(container)
        return f"the container {given.storage.container} can be written and read"
    container.read(latest_blob(""))
    return f"the container {given.storage.container} answers"


def _counted(things: Sized, name: str) -> str:
    return f"{len(things)} {name}{'' if len(things) == 1 else 's'}"
