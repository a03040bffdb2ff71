"""The admin endpoint: what is served, and runs on demand (facts/functions.md §3.4)."""

import logging
from collections.abc import Callable, Coroutine, Mapping, Sequence

import msgspec
from aiohttp import web

from local.host.engine import Outcome
from local.host.functions import Function
from local.host.http import key_of
from local.host.keys import Keys
from local.host.running import Running

# Runs a function on the `input` of the request.
Fire = Callable[[str], Coroutine[object, object, Outcome]]

log = logging.getLogger("host")


class _Order(msgspec.Struct):
    input: str = ""


class Admin:
    """The routes under /admin; with keys checked they want the master key, the ping none."""

    def __init__(
        self, functions: Sequence[Function], fires: Mapping[str, Fire], running: Running, keys: Keys | None
    ) -> None:
        self._functions = {function.name.lower(): function for function in functions}
        self._fires = fires
        self._running = running
        self._keys = keys

    def routes(self) -> list[web.RouteDef]:
        """Give the routes for an aiohttp application."""
        return [
            web.get("/admin/host/ping", self._ping),
            web.get("/admin/host/status", self._status),
            web.get("/admin/functions", self._list),
            web.get("/admin/functions/{name}", self._one),
            web.post("/admin/functions/{name}", self._fire),
        ]

    async def _ping(self, _request: web.Request) -> web.Response:
        return web.Response()

    async def _status(self, request: web.Request) -> web.Response:
        self._check(request)
        return web.json_response({"state": "Running"})

    async def _list(self, request: web.Request) -> web.Response:
        self._check(request)
        return web.json_response([_described(function) for function in self._functions.values()])

    async def _one(self, request: web.Request) -> web.Response:
        self._check(request)
        return web.json_response(_described(self._named(request)))

    async def _fire(self, request: web.Request) -> web.Response:
        self._check(request)
        function = self._named(request)
        fire = self._fires.get(function.name)
        if fire is None:
            raise web.HTTPBadRequest(text="an HTTP function is called by its own route")
        try:
            order = msgspec.json.decode(await request.read() or b"{}", type=_Order)
        except msgspec.DecodeError:
            raise web.HTTPBadRequest(text='the body is {"input": "text"}') from None
        self._running.start(fire(order.input))
        return web.Response(status=202)

    def _check(self, request: web.Request) -> None:
        if self._keys is not None and not self._keys.open("admin", key_of(request)):
            raise web.HTTPUnauthorized(text="")

    def _named(self, request: web.Request) -> Function:
        function = self._functions.get(request.match_info["name"].lower())
        if function is None:
            raise web.HTTPNotFound(text="")
        return function


def _described(function: Function) -> dict[str, object]:
    return {"name": function.name, "config": {"bindings": [dict(binding) for binding in function.bindings]}}
