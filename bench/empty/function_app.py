"""An app that does nothing: what the engine and its HTTP extension cost by themselves."""

import azure.functions as func
from azurefunctions.extensions.http.fastapi import Request, Response

app = func.FunctionApp(http_auth_level=func.AuthLevel.ANONYMOUS)


@app.route("health", methods=["GET"])
async def alive(req: Request) -> Response:
    """Answer at once."""
    del req
    return Response(b"{}", media_type="application/json")


@app.route("echo", methods=["POST"])
async def echo(req: Request) -> Response:
    """Read the body as the app does, and send it back."""
    return Response(b"".join([part async for part in req.stream()]), media_type="application/json")
