"""An app that does nothing, waits, or does the least: what engine, extension and JSON cost."""

import asyncio
import json
import os
from typing import Any

import azure.functions as func
import requests
from azurefunctions.extensions.http.fastapi import Request, Response
from requests.adapters import HTTPAdapter

from bench.service import pause_s

app = func.FunctionApp(http_auth_level=func.AuthLevel.ANONYMOUS)

session = requests.Session()
session.mount("http://", HTTPAdapter(pool_maxsize=64))


@app.route("health", methods=["GET"])
async def alive(req: Request) -> Response:
    """Answer at once."""
    del req
    return Response(b"{}", media_type="application/json")


@app.route("echo", methods=["POST"])
async def echo(req: Request) -> Response:
    """Read the body as the app does, and send it back."""
    return Response(await _body(req), media_type="application/json")


@app.route("pause", methods=["POST"])
async def pause(req: Request) -> Response:
    """Do so after the pause that the web service would make for so many rows."""
    body = await _body(req)
    await asyncio.sleep(pause_s(int(req.query_params["rows"])))
    return Response(body, media_type="application/json")


@app.route("plain", methods=["POST"])
async def plain(req: Request) -> Response:
    """Score entities in the fewest lines: nothing is checked, and every row has the names of the first."""
    body = await _body(req)
    return Response(await asyncio.to_thread(_scored, body), media_type="application/json")


async def _body(req: Request) -> bytes:
    return b"".join([part async for part in req.stream()])


def _scored(body: bytes) -> bytes:
    entities: list[dict[str, Any]] = json.loads(body)
    names = [name for name in entities[0] if not name.startswith("_")]
    rows = json.dumps({"data": [[entity.get(name) for name in names] for entity in entities]})
    headers = {"Content-Type": "application/json"}
    scores = session.post(os.environ["SERVICE"], data=rows.encode(), headers=headers, timeout=60).json()
    for entity, score in zip(entities, scores, strict=True):
        entity["churn:prediction"] = score
    return json.dumps(entities).encode()
