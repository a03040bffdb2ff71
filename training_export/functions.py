"""The triggers of the training export: timer, queue and HTTP ↔ use cases. No logic.

Every HTTP function is async and hands its work to a thread: the engine's loop waits for nothing.
"""

import asyncio
from collections.abc import Callable
from typing import Any

import azure.functions as func
from azurefunctions.extensions.http.fastapi import Request, Response

from answers import answered, json_answer, read_body
from settings import export_schedule, settings
from storage import EXPORT_QUEUE
from training_export import exports

blueprint = func.Blueprint()  # type: ignore[no-untyped-call]  # azure-functions leaves it untyped


@blueprint.timer_trigger(arg_name="timer", schedule=export_schedule(), run_on_startup=False)
def export_on_schedule(timer: func.TimerRequest) -> None:
    """Queue a run of every export."""
    del timer
    exports.request_all()


@blueprint.queue_trigger(arg_name="message", queue_name=EXPORT_QUEUE, connection="AzureWebJobsStorage")
def run_export(message: func.QueueMessage) -> None:
    """Run what one message asks for; raised failures are retried by the platform, then poisoned."""
    exports.run_message(message.get_body(), message.dequeue_count or 1)


@blueprint.route("exports", methods=["GET"])
async def list_exports(req: Request) -> Response:
    """GET /api/exports: every export."""
    return await answered(req, _in_thread(exports.describe_all))


@blueprint.route("exports/{name}", methods=["POST"])
async def start_export(req: Request) -> Response:
    """POST /api/exports/{name}: queue a run."""
    return await answered(req, _start(req))


@blueprint.route("exports/{name}", methods=["GET"])
async def show_export(req: Request) -> Response:
    """GET /api/exports/{name}: latest, last run, versions."""
    return await answered(req, _in_thread(lambda: exports.describe(req.path_params["name"])))


@blueprint.route("exports/{name}/versions/{version}", methods=["GET"])
async def show_version(req: Request) -> Response:
    """GET /api/exports/{name}/versions/{version}: the manifest; ?against={other}: the differences."""
    return await answered(req, _show(req))


@blueprint.route("exports/{name}/latest", methods=["PUT"])
async def move_latest(req: Request) -> Response:
    """PUT /api/exports/{name}/latest: roll back, roll forward, pin."""
    return await answered(req, _move(req))


async def _start(req: Request) -> Response:
    message = await asyncio.to_thread(exports.request_run, req.path_params["name"])
    return json_answer(202, {"run": message.run}, {"Location": f"/api/exports/{message.export}"})


async def _show(req: Request) -> Response:
    name, version = req.path_params["name"], req.path_params["version"]
    other = req.query_params.get("against")
    if other:
        return await _in_thread(lambda: exports.compare(name, version, other))
    return await _in_thread(lambda: exports.manifest(name, version))


async def _move(req: Request) -> Response:
    body = await read_body(req, settings().limits)
    return await _in_thread(lambda: exports.move_latest(req.path_params["name"], body))


async def _in_thread(work: Callable[[], Any]) -> Response:
    return json_answer(200, await asyncio.to_thread(work))
