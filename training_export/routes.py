"""What the HTTP triggers of the training export do: HTTP ↔ use cases. No logic.

Every call hands its work to a thread: the engine's loop waits for nothing.
"""

import asyncio

import msgspec
from azurefunctions.extensions.http.fastapi import Request, Response

from answers import answer_from_thread, decode_body, json_answer, read_body
from settings import settings
from training_export import exports


class Move(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The body of `PUT /api/exports/{export}/latest`."""

    version: str | None
    pin: bool | None = None


async def list_exports() -> Response:
    """Describe every export."""
    return await answer_from_thread(exports.describe_all)


async def show_export(req: Request) -> Response:
    """Describe one export."""
    return await answer_from_thread(lambda: exports.describe(req.path_params["export"]))


async def start_export(req: Request) -> Response:
    """Queue a run."""
    message = await asyncio.to_thread(exports.request_run, req.path_params["export"])
    return json_answer(202, {"run": message.run}, {"Location": f"/api/exports/{message.export}"})


async def show_version(req: Request) -> Response:
    """Give a manifest, or the differences of two."""
    name, version = req.path_params["export"], req.path_params["version"]
    other = req.query_params.get("against")
    if other:
        return await answer_from_thread(lambda: exports.compare(name, version, other))
    return await answer_from_thread(lambda: exports.manifest(name, version))


async def move_latest(req: Request) -> Response:
    """Move `latest` as the body says."""
    limits = settings().limits
    shape = '{"version": "…", "pin": true} or {"version": null}'
    wanted = decode_body(await read_body(req, limits), Move, shape, limits)
    return await answer_from_thread(
        lambda: exports.move_latest(req.path_params["export"], wanted.version, wanted.pin)
    )
