"""What the HTTP triggers of the training export do: HTTP ↔ use cases. No logic.

Every call hands its work to a thread: the engine's loop waits for nothing.
"""

import asyncio
from collections.abc import Callable
from typing import Any

from azurefunctions.extensions.http.fastapi import Request, Response

from answers import json_answer, read_body
from settings import settings
from training_export import exports


async def list_exports() -> Response:
    """Describe every export."""
    return await _in_thread(exports.describe_all)


async def show_export(req: Request) -> Response:
    """Describe one export."""
    return await _in_thread(lambda: exports.describe(req.path_params["export"]))


async def start_export(req: Request) -> Response:
    """Queue a run."""
    message = await asyncio.to_thread(exports.request_run, req.path_params["export"])
    return json_answer(202, {"run": message.run}, {"Location": f"/api/exports/{message.export}"})


async def show_version(req: Request) -> Response:
    """Give a manifest, or the differences of two."""
    name, version = req.path_params["export"], req.path_params["version"]
    other = req.query_params.get("against")
    if other:
        return await _in_thread(lambda: exports.compare(name, version, other))
    return await _in_thread(lambda: exports.manifest(name, version))


async def move_latest(req: Request) -> Response:
    """Move `latest` as the body says."""
    body = await read_body(req, settings().limits)
    return await _in_thread(lambda: exports.move_latest(req.path_params["export"], body))


async def _in_thread(work: Callable[[], Any]) -> Response:
    return json_answer(200, await asyncio.to_thread(work))
