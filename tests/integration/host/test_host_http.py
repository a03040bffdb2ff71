"""What a caller of an HTTP function can rely on, through the real engine and over sockets."""

import asyncio
import contextlib
import hashlib
import http.client
import os
import re
import socket
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from urllib.parse import urlsplit

import pytest
import requests
from aiohttp.test_utils import make_mocked_request

from local.host.configuration import HostSettings, QueueSettings
from local.host.engine import Call, Engine, Outcome
from local.host.functions import Function
from local.host.http import HttpFunctions
from local.host.process import RunningApp
from local.host.running import Running
from tests.integration.host.conftest import Serve

SOURCE = """
import hashlib, signal
from azure_functions_runtime.http_v2 import http_coordinator

@app.route(route="digest/{name?}", methods=["POST"])
async def digest(req: Request) -> Response:
    digest, length = hashlib.sha256(), 0
    async for chunk in req.stream():
        digest.update(chunk)
        length += len(chunk)
    return JSONResponse({
        "length": length, "sha256": digest.hexdigest(), "parameters": dict(req.path_params),
        "query": req.query_params.multi_items(), "headers": dict(req.headers),
    })

@app.route(route="pooled")
def pooled(req: Request) -> Response:
    time.sleep(0.01)
    return Response(req.query_params["n"])

@app.route(route="early", methods=["POST"])
async def early(req: Request) -> Response:
    return Response("no more", status_code=413, headers={"Retry-After": "7"})

@app.route(route="raises")
async def raises(req: Request) -> Response:
    raise ValueError("a defect of the function")

@app.route(route="answers-nothing")
async def answers_nothing(req: Request) -> Response:
    return None

@app.route(route="empty")
async def empty(req: Request) -> Response:
    return Response(status_code=204)

@app.route(route="cookies")
async def cookies(req: Request) -> Response:
    response = Response("x")
    response.set_cookie("a", "1")
    response.set_cookie("b", "2")
    return response

@app.route(route="breaks-off")
async def breaks_off(req: Request) -> StreamingResponse:
    async def parts():
        yield b"the beginning"
        raise ValueError("midway")
    return StreamingResponse(parts())

@app.route(route="large")
async def large(req: Request) -> StreamingResponse:
    async def parts():
        for _ in range(320):
            yield b"x" * 65536
    return StreamingResponse(parts())

@app.route(route="trace")
async def trace(req: Request, context: func.Context) -> Response:
    return JSONResponse([context.trace_context.trace_parent, context.invocation_id])

@app.route(route="hold/{name}", methods=["POST"])
async def hold(req: Request) -> Response:
    name = req.path_params["name"]
    print("reading", name, flush=True)
    await req.body()
    print("holding", name, flush=True)
    while not pathlib.Path(os.environ["RELEASE"], name).exists():
        await asyncio.sleep(0.01)
    print("released", name, flush=True)
    return Response("held")

@app.route(route="kept")
async def kept(req: Request) -> Response:
    return Response(str(len(http_coordinator._context_references)))

@app.route(route="signals")
async def signals(req: Request) -> Response:
    return Response(signal.getsignal(signal.SIGTERM).__module__)

@app.route(route="switched-off")
async def switched_off(req: Request) -> Response:
    return Response("on")
"""

LIMIT = 24 * 1024 * 1024


@pytest.fixture(scope="module")
def release(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory: a call of `hold/NAME` is answered once there is a file NAME in it."""
    return tmp_path_factory.mktemp("release")


@pytest.fixture(scope="module")
def app(serve: Serve, release: Path) -> Iterator[RunningApp]:
    settings = {
        "RELEASE": str(release),
        "FUNCTIONS_REQUEST_BODY_SIZE_LIMIT": str(LIMIT),
        "AzureWebJobs.switched_off.Disabled": "true",
    }
    with serve(SOURCE, settings=settings) as app:
        yield app


def in_chunks(body: bytes) -> Iterator[bytes]:
    for start in range(0, len(body), 50_000):
        yield body[start : start + 50_000]


def raw_connection(app: RunningApp) -> socket.socket:
    address = urlsplit(app.base_url)
    return socket.create_connection((str(address.hostname), int(address.port or 0)), timeout=30)


@pytest.mark.parametrize("body", [b"", b"[]", b"\x00" * 1_000_003])
def test_a_chunked_body_and_one_of_known_length_give_the_same_answer(app: RunningApp, body: bytes) -> None:
    def answer(data: bytes | Iterator[bytes]) -> dict[str, object]:
        response = requests.post(f"{app.base_url}/api/digest", data=data, timeout=30)
        assert response.status_code == 200
        read: dict[str, object] = response.json()
        del read["headers"]
        return read

    chunked, whole = answer(in_chunks(body)), answer(body)
    assert chunked == whole
    assert whole["length"] == len(body)


def test_twenty_megabytes_arrive_whole_both_ways(app: RunningApp) -> None:
    body = os.urandom(20 * 1024 * 1024)
    up = requests.post(f"{app.base_url}/api/digest", data=in_chunks(body), timeout=60).json()
    down = requests.get(f"{app.base_url}/api/large", timeout=60).content
    assert (up["length"], up["sha256"]) == (len(body), hashlib.sha256(body).hexdigest())
    assert down == b"x" * (320 * 65536)


def test_sixty_four_calls_at_once_each_get_their_own_answer(app: RunningApp) -> None:
    def call(number: int) -> bool:
        body = str(number).encode() * 1000
        if number % 2:
            return requests.get(f"{app.base_url}/api/pooled?n={number}", timeout=30).text == str(number)
        answer = requests.post(f"{app.base_url}/api/digest", data=in_chunks(body), timeout=30).json()
        return bool(answer["sha256"] == hashlib.sha256(body).hexdigest())

    with ThreadPoolExecutor(64) as callers:
        assert all(callers.map(call, range(64)))


def test_the_function_sees_the_path_the_query_and_the_headers_of_the_caller(app: RunningApp) -> None:
    seen = requests.post(
        f"{app.base_url}/api/digest/f%C3%B8rste?a=&b=1&b=2",
        headers={"X-Own": "mine", "x-ms-invocation-id": "chosen-by-the-caller"},
        timeout=30,
    ).json()
    assert seen["parameters"] == {"name": "første"}
    assert seen["query"] == [["a", ""], ["b", "1"], ["b", "2"]]
    assert seen["headers"]["x-own"] == "mine"
    assert seen["headers"]["x-ms-invocation-id"] != "chosen-by-the-caller"


def test_the_host_adds_no_content_type_of_its_own_to_a_body_without_one(app: RunningApp) -> None:
    seen = requests.post(f"{app.base_url}/api/digest", data=in_chunks(b"[]"), timeout=30).json()
    assert "content-type" not in seen["headers"]


def test_each_call_has_an_id_of_its_own_and_the_callers_trace(app: RunningApp) -> None:
    parent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    answers = [
        requests.get(f"{app.base_url}/api/trace", headers={"traceparent": parent}, timeout=30).json()
        for _ in range(2)
    ]
    assert [trace for trace, _ in answers] == [parent, parent]
    assert answers[0][1] != answers[1][1]
    without = requests.get(f"{app.base_url}/api/trace", timeout=30).json()[0]
    assert re.fullmatch("00-[0-9a-f]{32}-[0-9a-f]{16}-00", without)


@pytest.mark.parametrize("function", ["raises", "answers-nothing"])
def test_a_function_that_fails_is_a_500_and_the_host_lives_on(app: RunningApp, function: str) -> None:
    failed = requests.get(f"{app.base_url}/api/{function}", timeout=30)
    assert (failed.status_code, failed.text) == (500, "Internal Server Error")
    assert requests.get(f"{app.base_url}/api/empty", timeout=30).status_code == 204


def test_what_a_function_raised_is_in_the_log_once(app: RunningApp) -> None:
    said = app.output().count("ValueError: a defect of the function\n")
    requests.get(f"{app.base_url}/api/raises", timeout=30)
    app.wait_for(r"raises: ValueError: a defect of the function\nTraceback")
    requests.get(f"{app.base_url}/api/empty", timeout=30)
    # Its message and the last line of its trace.
    assert app.output().count("ValueError: a defect of the function\n") == said + 2


def test_a_function_may_answer_before_it_has_read_the_body(app: RunningApp) -> None:
    for data in (bytes(20_000_000), in_chunks(bytes(20_000_000))):
        answer = requests.post(f"{app.base_url}/api/early", data=data, timeout=30)
        assert (answer.status_code, answer.text, answer.headers["Retry-After"]) == (413, "no more", "7")


def test_an_answer_that_breaks_off_reaches_the_caller_as_a_broken_answer(app: RunningApp) -> None:
    with pytest.raises(requests.exceptions.ChunkedEncodingError):
        requests.get(f"{app.base_url}/api/breaks-off", timeout=30)
    with raw_connection(app) as connection, connection.makefile("rb") as received:
        connection.sendall(b"GET /api/breaks-off HTTP/1.1\r\nHost: x\r\n\r\n")
        lines: list[bytes] = []
        with contextlib.suppress(ConnectionResetError):
            lines.extend(received)
        assert lines[-1] == b"the beginning\r\n"
    assert requests.get(f"{app.base_url}/api/empty", timeout=30).status_code == 204


def test_an_answers_headers_come_back_each_once(app: RunningApp) -> None:
    answer = requests.get(f"{app.base_url}/api/cookies", timeout=30)
    assert answer.raw.headers.getlist("Content-Length") == ["1"]
    assert len(answer.raw.headers.getlist("Set-Cookie")) == 2


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/api/nobody", 404),
        ("GET", "/api/digest", 404),
        ("GET", "/empty", 404),
        ("GET", "/api/switched-off", 404),
        ("GET", "/API/Empty", 204),
        ("DELETE", "/api/empty", 204),
        ("GET", "/", 204),
    ],
)
def test_path_and_method_decide_who_answers(app: RunningApp, method: str, path: str, status: int) -> None:
    answer = requests.request(method, app.base_url + path, timeout=30)
    assert (answer.status_code, answer.content) == (status, b"")


def test_a_body_over_the_limit_is_a_413_whichever_way_it_is_sent(app: RunningApp) -> None:
    too_large = LIMIT + 1
    url = f"{app.base_url}/api/digest"
    with raw_connection(app) as connection:
        connection.sendall(
            f"POST /api/digest HTTP/1.1\r\nHost: x\r\nContent-Length: {too_large}\r\n\r\n".encode()
        )
        assert connection.recv(100).startswith(b"HTTP/1.1 413 ")
    assert requests.post(url, data=in_chunks(bytes(too_large)), timeout=60).status_code == 413
    assert requests.post(url, data=in_chunks(bytes(LIMIT)), timeout=60).json()["length"] == LIMIT


def test_a_caller_who_goes_away_while_waiting_does_not_end_the_function(
    app: RunningApp, release: Path
) -> None:
    with raw_connection(app) as connection:
        connection.sendall(b"POST /api/hold/gone HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\n[]")
        app.wait_for("holding gone")
    (release / "gone").touch()
    app.wait_for("released gone")
    assert requests.get(f"{app.base_url}/api/empty", timeout=30).status_code == 204


def test_a_caller_who_goes_away_in_mid_body_fails_that_call_alone(app: RunningApp) -> None:
    with raw_connection(app) as connection:
        connection.sendall(b"POST /api/hold/cut HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\n[")
        app.wait_for("reading cut")
    app.wait_for("hold: ClientDisconnect")
    assert "holding cut" not in app.output()
    assert requests.get(f"{app.base_url}/api/empty", timeout=30).status_code == 204


class RunThatWaits(Engine):
    """An engine whose own server cannot be reached: the run waits for a request that never comes."""

    def __init__(self) -> None:
        super().__init__(timeout=None)
        self.http_address = "http://127.0.0.1:1"
        self.cancelled = False

    async def run(self, call: Call) -> Outcome:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            self.cancelled = True
            raise
        return Outcome(succeeded=True)


def test_when_the_request_cannot_reach_the_engine_the_waiting_run_is_cancelled() -> None:
    engine, running = RunThatWaits(), Running()
    function = Function("f", "id", "http", {"name": "req", "authLevel": "ANONYMOUS"}, ())
    settings = HostSettings("api", None, None, None, QueueSettings(1, 0, 1, 0, 1, base64=True))

    async def answer() -> int:
        async with HttpFunctions(
            [(function, function.route("api"))], engine, running, settings, None
        ) as http:
            response = await http.handle(make_mocked_request("GET", "/api/f"))
            assert await running.finish(10) == 0
            return response.status

    assert asyncio.run(answer()) == 502
    assert engine.cancelled


def test_a_connection_serves_many_calls(app: RunningApp) -> None:
    connection = http.client.HTTPConnection(urlsplit(app.base_url).netloc, timeout=30)
    try:
        for number in range(20):
            connection.request("GET", f"/api/pooled?n={number}")
            assert connection.getresponse().read() == str(number).encode()
    finally:
        connection.close()


def test_nothing_is_kept_of_calls_that_are_over(app: RunningApp) -> None:
    for path in ("raises", "empty", "kept"):
        requests.get(f"{app.base_url}/api/{path}", timeout=30)
    assert requests.get(f"{app.base_url}/api/kept", timeout=30).text == "1"


def test_without_key_checking_functions_and_admin_endpoint_are_open(app: RunningApp) -> None:
    assert requests.get(f"{app.base_url}/api/empty", timeout=30).status_code == 204
    assert requests.get(f"{app.base_url}/admin/functions", timeout=30).status_code == 200


def test_the_engines_own_server_does_not_have_the_signals(app: RunningApp) -> None:
    handler = requests.get(f"{app.base_url}/api/signals", timeout=30).text
    assert handler == "asyncio.unix_events"


def test_the_log_holds_no_line_of_the_engines_own_server(app: RunningApp) -> None:
    requests.get(f"{app.base_url}/api/empty?code=secret", timeout=30)
    app.wait_for(r"Executed 'Functions.empty' \(Succeeded")
    assert "Uvicorn" not in app.output()
    assert "HTTP/1.1" not in app.output()
    assert "secret" not in app.output()
