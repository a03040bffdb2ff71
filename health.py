"""Health: is the app alive, and is it ready to do its work (design §5).

`ready` is a list of checks, each with what to do where it fails; 200 when all hold, else 503.
"""

import asyncio
from collections.abc import Callable, Iterator
from functools import partial

import azure.functions as func
import msgspec
from azurefunctions.extensions.http.fastapi import Request, Response

from answers import answered, json_answer
from errors import Failure, SettingsWrong
from scoring import golden, models
from settings import Settings, settings
from storage import open_container

blueprint = func.Blueprint()  # type: ignore[no-untyped-call]  # azure-functions leaves it untyped


class Check(msgspec.Struct, frozen=True):
    """One thing that was looked at; `detail` says what is, or what to do."""

    check: str
    ok: bool
    detail: str


@blueprint.route("health", methods=["GET"], auth_level=func.AuthLevel.ANONYMOUS)
async def health(req: Request) -> Response:
    """GET /api/health: the app is alive. Nothing is asked, nothing is told (statement 26)."""
    del req
    return json_answer(200, {"status": "alive"})


@blueprint.route("health/ready", methods=["GET"])
async def ready(req: Request) -> Response:
    """GET /api/health/ready: whether settings, storage, every model's contract and service are in order.

    `?deep=1` also replays every model's golden rows at its endpoint.
    """
    return await answered(req, _ready(deep=req.query_params.get("deep") == "1"))


async def _ready(*, deep: bool) -> Response:
    checks = await asyncio.to_thread(lambda: list(_checks(deep=deep)))
    ok = all(check.ok for check in checks)
    return json_answer(200 if ok else 503, {"ready": ok, "checks": checks})


def _checks(*, deep: bool) -> Iterator[Check]:
    try:
        given, found = settings(), models.all_models()
    except SettingsWrong as wrong:
        yield from (Check("settings", False, problem) for problem in wrong.problems)
        return
    yield Check("settings", True, f"{len(given.models)} models, {len(given.exports)} exports")
    yield _checked("storage", lambda: _storage(given))
    for name, model in found.items():
        yield _checked(f"model {name}", partial(models.readiness, model))
        yield _checked(f"web service of {name}", partial(models.service_readiness, model))
        if deep:
            yield _checked(f"golden rows of {name}", partial(golden.readiness, model, models.container()))


def _storage(given: Settings) -> str:
    open_container(given.storage, retries=0, timeout_s=5).read("latest/none.json")
    return f"the container {given.storage.container} answers"


def _checked(name: str, look: Callable[[], str]) -> Check:
    try:
        return Check(name, True, look())
    except Failure as failure:
        return Check(name, False, failure.detail)
