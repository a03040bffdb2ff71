"""The triggers of the training export: timer, queue and HTTP.

What they do is in routes.py and exports.py, imported by the first call: cold start counts.
"""

import azure.functions as func
from azurefunctions.extensions.http.fastapi import Request, Response

from answers import answered
from schedule import export_schedule
from storage import EXPORT_QUEUE

blueprint = func.Blueprint()  # type: ignore[no-untyped-call]  # azure-functions leaves it untyped


@blueprint.timer_trigger(arg_name="timer", schedule=export_schedule(), run_on_startup=False)
def export_on_schedule(timer: func.TimerRequest) -> None:
    """Queue a run of every export."""
    from training_export import exports

    del timer
    exports.request_all()


@blueprint.queue_trigger(arg_name="message", queue_name=EXPORT_QUEUE, connection="AzureWebJobsStorage")
def run_export(message: func.QueueMessage) -> None:
    """Run what one message asks for; raised failures are retried by the platform, then poisoned."""
    from training_export import exports

    exports.run_message(message.get_body(), message.dequeue_count or 1)


@blueprint.route("exports", methods=["GET"])
async def list_exports(req: Request) -> Response:
    """GET /api/exports: every export."""
    from training_export import routes

    return await answered(req, routes.list_exports())


@blueprint.route("exports/{export}", methods=["POST"])
async def start_export(req: Request) -> Response:
    """POST /api/exports/{export}: queue a run."""
    from training_export import routes

    return await answered(req, routes.start_export(req))


@blueprint.route("exports/{export}", methods=["GET"])
async def show_export(req: Request) -> Response:
    """GET /api/exports/{export}: latest, last run, versions."""
    from training_export import routes

    return await answered(req, routes.show_export(req))


@blueprint.route("exports/{export}/versions/{version}", methods=["GET"])
async def show_version(req: Request) -> Response:
    """GET /api/exports/{export}/versions/{version}: the manifest; ?against={other}: the differences."""
    from training_export import routes

    return await answered(req, routes.show_version(req))


@blueprint.route("exports/{export}/latest", methods=["PUT"])
async def move_latest(req: Request) -> Response:
    """PUT /api/exports/{export}/latest: roll back, roll forward, pin."""
    from training_export import routes

    return await answered(req, routes.move_latest(req))
