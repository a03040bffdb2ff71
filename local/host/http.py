"""HTTP functions: a client's call, streamed to the engine's own server and back (facts/functions.md §2.7).

Each call has two halves under one fresh id: the request forwarded to the engine's server, and the bare run.
They start together, and a half that dies ends the other. When the client goes away the function still runs to
its end, as it does in Azure.
"""

import asyncio
import logging
import os
from collections.abc import AsyncIterator, Sequence

import aiohttp
from aiohttp import hdrs, web
from multidict import CIMultiDict
from yarl import URL

from local.host import messages, routes
from local.host.configuration import CannotStart, HostSettings
from local.host.engine import Call, Engine
from local.host.functions import Function
from local.host.keys import Keys
from local.host.running import Running

KEY_HEADER, KEY_QUERY = "x-functions-key", "code"
INVOCATION_ID = "x-ms-invocation-id"
BODY_LIMIT_VARIABLE = "FUNCTIONS_REQUEST_BODY_SIZE_LIMIT"
DEFAULT_BODY_LIMIT = 104_857_600

# They belong to one connection (RFC 9110 §7.6.1); Host and Expect are each hop's own as well.
_HOP_BY_HOP = frozenset(
    {
        "connection",
        "keep-alive",
        "proxy-authenticate",
        "proxy-authorization",
        "proxy-connection",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
    }
)
_NOT_FORWARDED = _HOP_BY_HOP | {"host", "expect"}
# What the forwarding client must not add of its own.
_NOT_ADDED = ("Accept", "Accept-Encoding", "Content-Type", "User-Agent")
# The engine's server closes idle connections after 5 s: reuse one only well before.
_REUSE_SECONDS = 2
_LATE_SECONDS = 10

log = logging.getLogger("host")


class BodyTooLarge(Exception):
    """The request's body passed the limit while it was streamed."""


class HttpFunctions:
    """The app's HTTP functions behind one handler; enter it to open the forwarding client."""

    def __init__(
        self,
        functions: Sequence[tuple[Function, routes.Route]],
        engine: Engine,
        running: Running,
        settings: HostSettings,
        keys: Keys | None,
    ) -> None:
        self._functions = {function.name: function for function, _ in functions}
        self._routes = [route for _, route in functions]
        self._engine = engine
        self._running = running
        self._keys = keys
        self._most_outstanding = settings.max_outstanding_requests
        most = settings.max_concurrent_requests
        self._slots = None if most is None else asyncio.Semaphore(most)
        self._outstanding = 0
        self._body_limit = _body_limit()
        self._stopping = False

    async def __aenter__(self) -> "HttpFunctions":
        self._client = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=0, keepalive_timeout=_REUSE_SECONDS),
            timeout=aiohttp.ClientTimeout(total=None),
            cookie_jar=aiohttp.DummyCookieJar(),
            auto_decompress=False,
            skip_auto_headers=_NOT_ADDED,
        )
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._client.close()

    def stop(self) -> None:
        """Take no more calls, not on connections that are open either."""
        self._stopping = True

    async def handle(self, request: web.Request) -> web.StreamResponse:
        """Answer one call."""
        if self._stopping:
            return _refusal(503)
        if request.path == "/":
            return web.Response(status=204)
        found = routes.find(self._routes, request.method, request.rel_url.raw_path)
        if found is None:
            return _refusal(404)
        route, parameters = found
        function = self._functions[route.function]
        if self._keys is not None and not self._keys.open(function.level, key_of(request)):
            return _refusal(401)
        if (request.content_length or 0) > self._body_limit:
            return _refusal(413)
        if self._most_outstanding is not None and self._outstanding >= self._most_outstanding:
            return _refusal(429)
        self._outstanding += 1
        try:
            # A task of its own, so that shutdown waits for it.
            return await self._running.start(self._in_turn(request, function, parameters))
        finally:
            self._outstanding -= 1

    async def _in_turn(
        self, request: web.Request, function: Function, parameters: dict[str, str]
    ) -> web.StreamResponse:
        call = _call(request, function, parameters)
        if self._slots is None:
            return await self._both_halves(request, call)
        async with self._slots:
            return await self._both_halves(request, call)

    async def _both_halves(self, request: web.Request, call: Call) -> web.StreamResponse:
        run = self._running.start(self._engine.run(call))
        try:
            return await self._forward(request, call.id)
        except BodyTooLarge:
            return _refusal(413)
        except (aiohttp.ClientError, ConnectionError) as error:
            log.warning("%s: the connection broke off (%s)", call.function.name, type(error).__name__)
            return _refusal(502)
        finally:
            if self._engine.has_request(call.id):
                run.add_done_callback(lambda _: self._engine.forget(call.id))
            else:
                # Nobody is waiting any more. Should the request still arrive, it finds an answer for a while.
                run.cancel()
                asyncio.get_running_loop().call_later(_LATE_SECONDS, self._engine.forget, call.id)

    async def _forward(self, request: web.Request, call_id: str) -> web.StreamResponse:
        body = _Body(request, self._body_limit) if request.can_read_body else None
        try:
            async with self._client.request(
                request.method,
                URL(self._engine.http_address + request.raw_path, encoded=True),
                headers=_forwarded_headers(request, call_id),
                data=None if body is None else body.chunks(),
                allow_redirects=False,
            ) as answer:
                return await _relay(request, answer)
        except (aiohttp.ClientError, ConnectionError):
            if body is not None and body.too_large:
                raise BodyTooLarge from None
            raise


class _Body:
    """A request's body as it comes, up to the limit."""

    def __init__(self, request: web.Request, limit: int) -> None:
        self._content = request.content
        self._limit = limit
        self.too_large = False

    async def chunks(self) -> AsyncIterator[bytes]:
        passed = 0
        async for chunk in self._content.iter_any():
            passed += len(chunk)
            if passed > self._limit:
                self.too_large = True
                raise BodyTooLarge
            yield chunk


def key_of(request: web.Request) -> str | None:
    """Give the key that a call brings, in its header or its query."""
    return request.headers.get(KEY_HEADER) or request.query.get(KEY_QUERY)


async def _relay(request: web.Request, answer: aiohttp.ClientResponse) -> web.StreamResponse:
    response = web.StreamResponse(
        status=answer.status,
        reason=answer.reason,
        headers=CIMultiDict(
            (name, value) for name, value in answer.headers.items() if name.lower() not in _HOP_BY_HOP
        ),
    )
    await response.prepare(request)
    try:
        async for chunk in answer.content.iter_any():
            await response.write(chunk)
    except aiohttp.ClientPayloadError:
        # The answer's head is out already: only a broken connection tells the client that it is not whole.
        if request.transport is not None:
            request.transport.abort()
        raise ConnectionResetError("the function's answer broke off") from None
    await response.write_eof()
    return response


def _call(request: web.Request, function: Function, parameters: dict[str, str]) -> Call:
    return Call(
        function=function,
        data=messages.http_input(request.method, str(request.url), parameters),
        trace_parent=request.headers.get("traceparent", ""),
        trace_state=request.headers.get("tracestate", ""),
    )


def _forwarded_headers(request: web.Request, call_id: str) -> CIMultiDict[str]:
    headers = CIMultiDict(
        (name, value) for name, value in request.headers.items() if name.lower() not in _NOT_FORWARDED
    )
    headers[INVOCATION_ID] = call_id  # in place of one that the client may have sent
    if hdrs.CONTENT_LENGTH in headers and not request.can_read_body:
        del headers[hdrs.CONTENT_LENGTH]
    return headers


def _body_limit() -> int:
    limit = os.environ.get(BODY_LIMIT_VARIABLE, str(DEFAULT_BODY_LIMIT))
    if not limit.isdecimal():
        raise CannotStart(f"the setting {BODY_LIMIT_VARIABLE} is a number of bytes")
    return int(limit)


def _refusal(status: int) -> web.Response:
    """Answer in the host's own name: a status with an empty body, as the real host does."""
    return web.Response(status=status)
