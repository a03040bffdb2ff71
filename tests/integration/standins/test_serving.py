import gc
import socket

import pytest
import requests
from aiohttp import web

from local.serving import serving


async def _hello(_request: web.Request) -> web.Response:
    return web.Response(text="hello")


def _app() -> web.Application:
    app = web.Application()
    app.add_routes([web.get("/", _hello)])
    return app


def test_an_application_answers_on_loopback_alone_until_the_block_ends() -> None:
    with serving(_app()) as url:
        assert requests.get(url, timeout=5).text == "hello"
        assert url.startswith("http://127.0.0.1:")
        port = int(url.rpartition(":")[2])
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(("127.0.0.2", port), timeout=5)
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", port), timeout=5)


def test_a_port_that_is_taken_is_an_error() -> None:
    with serving(_app()) as url, pytest.raises(OSError, match="in use"), serving(_app(), _port(url)):
        pass


def test_a_connection_of_the_last_moment_is_closed_too() -> None:
    for _ in range(20):  # an unclosed one is warned of, and warnings fail a test
        with serving(_app()) as url:
            socket.create_connection(("127.0.0.1", _port(url)), timeout=5).close()
        gc.collect()


def _port(url: str) -> int:
    return int(url.rpartition(":")[2])
