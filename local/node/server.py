"""The node's HTTP interface, as far as the app, `make doctor` and a consultant ask it (facts/sesam.md §3).

What a consultant types to have every entity scored anew is `POST /api/pipes/{pipe}/pump`, a form with
`operation=update-last-seen` and an empty `last-seen`, then `operation=start` (swagger_public.yaml).
"""

import asyncio
from collections.abc import Awaitable, Callable

import jwt
from aiohttp import web

from local.node.configuration import Config, ConfigurationError, sink
from local.node.node import MANAGE_PIPES, READ_CONFIG, READ_DATA, Node
from local.node.pump import TransformFailed
from local.node.transit import encode

type Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


def application(node: Node) -> web.Application:
    """Give the node's routes, all under `/api`."""
    api = _Api(node)
    app = web.Application(middlewares=[api.watch])
    app.add_routes(
        [
            web.get("/api/health", api.health),
            web.get("/api/ping", api.health),
            web.get("/api/pipes/{pipe}", api.pipe),
            web.get("/api/pipes/{pipe}/entities", api.entities),
            web.get("/api/pipes/{pipe}/pump", api.pump),
            web.post("/api/pipes/{pipe}/pump", api.operate),
            web.get("/api/datasets/{dataset}", api.dataset),
            web.get("/api/publishers/{pipe}/csv", api.csv),
            web.get("/api/publishers/{pipe}/csv/{filename}", api.csv),
        ]
    )
    return app


class _Api:
    def __init__(self, node: Node) -> None:
        self._node = node

    @web.middleware
    async def watch(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """Log every request, never its query; answer 503 while the node is unavailable."""
        try:
            if self._node.unavailable:
                raise web.HTTPServiceUnavailable(text="The node isn't feeling well")
            response = await handler(request)
        except web.HTTPException as refused:
            self._node.log.append(f"{request.method} {request.path} {refused.status}")
            raise
        self._node.log.append(f"{request.method} {request.path} {response.status}")
        return response

    async def health(self, _request: web.Request) -> web.Response:
        return web.json_response({"status": "ok"})

    async def pipe(self, request: web.Request) -> web.Response:
        """Answer a pipe's configuration and state (§3.5)."""
        self._require(request, READ_CONFIG)
        pipe = self._pipe(request)
        return web.json_response(
            {
                "_id": pipe["_id"],
                "config": {
                    "original": self._node.configuration.pipes[pipe["_id"]],
                    "effective": pipe | {"sink": sink(pipe)},
                },
                "runtime": {"is-valid-config": True, "is-disabled": False, "config-errors": []},
            }
        )

    async def entities(self, request: web.Request) -> web.Response:
        """Answer what a pipe's transforms make of its source now (stage `sink`)."""
        self._require(request, READ_DATA)
        pipe = self._pipe(request)
        try:
            made = await asyncio.to_thread(lambda: [encode(e) for e in self._node.transformed(pipe)])
        except (TransformFailed, ConfigurationError) as error:
            raise web.HTTPInternalServerError(text=str(error)) from None
        return web.json_response(made)

    async def pump(self, request: web.Request) -> web.Response:
        """Answer how far a pipe has read. The shape is ours: the API's description leaves it open."""
        self._require(request, READ_CONFIG)
        pipe_id = self._pipe(request)["_id"]
        seen = self._node.pumps[pipe_id].last_seen
        return web.json_response({"_id": pipe_id, "runtime": {"last-seen": "" if seen is None else seen}})

    async def operate(self, request: web.Request) -> web.Response:
        """Do an operation on a pipe's pump; `start` answers when the run is over, a real node at once."""
        self._require(request, MANAGE_PIPES)
        pipe_id = self._pipe(request)["_id"]
        form = await request.post()
        try:
            match form.get("operation"), form.get("last-seen"):
                case "update-last-seen", "":
                    self._node.reset(pipe_id)
                case "start", _:
                    await asyncio.to_thread(self._node.run_pipe, pipe_id)
                case _:
                    raise web.HTTPBadRequest(text="the stand-in knows start, and update-last-seen to nothing")
        except ConfigurationError as error:
            raise web.HTTPBadRequest(text=str(error)) from None
        return await self.pump(request)

    async def dataset(self, request: web.Request) -> web.Response:
        """Answer whether a dataset is populated and how many entities it has (§3.5)."""
        self._require(request, READ_DATA)
        name = request.match_info["dataset"]
        if name not in self._node.datasets:
            raise web.HTTPNotFound(text=f"There is no dataset {name}")
        dataset = self._node.datasets[name]
        return web.json_response(
            {
                "_id": name,
                "runtime": {
                    "populated": True,
                    "count-index-exists": len(dataset),
                    "count-index-deleted": sum(entity["_deleted"] is True for entity in dataset),
                },
            }
        )

    async def csv(self, request: web.Request) -> web.StreamResponse:
        """Stream a publisher's CSV, chunked; an error after the first byte breaks the body off."""
        self._require(request, READ_DATA)
        pipe = self._pipe(request)
        target = sink(pipe)
        if target["type"] != "csv_endpoint":
            raise web.HTTPNotFound(text=f"The pipe {pipe['_id']} publishes no CSV")
        chunks = self._node.publish(pipe, _limit(request))
        try:
            first = next(chunks, b"")
        except (TransformFailed, ConfigurationError) as error:
            raise web.HTTPInternalServerError(text=str(error)) from None
        filename = request.match_info.get("filename") or target.get("filename") or f"{pipe['_id']}.csv"
        disposition = f'{target["content_disposition"]}; filename="{filename}"'
        response = web.StreamResponse(
            headers={"Content-Type": "text/csv", "Content-Disposition": disposition}
        )
        response.enable_chunked_encoding()
        await response.prepare(request)
        await response.write(first)
        for chunk in chunks:
            await response.write(chunk)
        await response.write_eof()
        return response

    def _require(self, request: web.Request, permission: str) -> None:
        scheme, _, token = request.headers.get("Authorization", "").partition(" ")
        if scheme.lower() != "bearer":
            raise web.HTTPUnauthorized(text="A JSON Web Token is missing")
        try:
            permissions = self._node.permissions(token)
        except jwt.InvalidTokenError as error:
            raise web.HTTPUnauthorized(text=f"The JSON Web Token is not accepted: {error}") from None
        if permission not in permissions:
            raise web.HTTPForbidden(text=f"The JSON Web Token lacks the permission {permission}")

    def _pipe(self, request: web.Request) -> Config:
        try:
            return self._node.pipe(request.match_info["pipe"])
        except ConfigurationError as error:
            raise web.HTTPNotFound(text=str(error)) from None


def _limit(request: web.Request) -> int | None:
    given = request.query.get("limit", "")
    return int(given) if given.isdecimal() else None
