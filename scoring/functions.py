"""The triggers of scoring. What they do is in routes.py, imported by the first call: cold start counts."""

import sys

import azure.functions as func
from azurefunctions.extensions.http.fastapi import Request, Response

from answers import answered
from scoring.ending import at_the_end

blueprint = func.Blueprint()  # type: ignore[no-untyped-call]  # azure-functions leaves it untyped


def _finish() -> None:
    # Where no call has come, there is nothing to finish, and the end is no time to import it.
    if models := sys.modules.get("scoring.models"):
        models.finish()


# At import: only the main thread may set a signal's handler, and the engine imports on it.
at_the_end(_finish)


@blueprint.route("score/{model}", methods=["POST"])
async def score_entities(req: Request) -> Response:
    """POST /api/score/{model}: an array of entities → the same entities with their scores."""
    from scoring import routes

    return await answered(req, routes.score_entities(req))


@blueprint.route("models", methods=["GET"])
async def list_models(req: Request) -> Response:
    """GET /api/models: every model, what it speaks and what it has adopted."""
    from scoring import routes

    return await answered(req, routes.list_models())


@blueprint.route("models/{model}", methods=["GET"])
async def show_model(req: Request) -> Response:
    """GET /api/models/{model}: one model, and how `latest` differs from what it has adopted."""
    from scoring import routes

    return await answered(req, routes.show_model(req))


@blueprint.route("models/{model}/drift", methods=["GET"])
async def show_drift(req: Request) -> Response:
    """GET /api/models/{model}/drift: how what was lately scored differs from the adopted version; ?days=7."""
    from scoring import routes

    return await answered(req, routes.show_drift(req))


@blueprint.route("models/{model}/contract", methods=["PUT"])
async def adopt_version(req: Request) -> Response:
    """PUT /api/models/{model}/contract: adopt a version."""
    from scoring import routes

    return await answered(req, routes.adopt_version(req))


@blueprint.route("models/{model}/golden", methods=["PUT"])
async def keep_golden_rows(req: Request) -> Response:
    """PUT /api/models/{model}/golden: store rows with the trained model's own predictions."""
    from scoring import routes

    return await answered(req, routes.keep_golden_rows(req))
