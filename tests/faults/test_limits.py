"""What one caller may cost: each limit is a setting, and named where it is passed; silence blocks nobody."""

import os
import re
import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import pytest
import requests

from local.azurite import Azurite
from local.host.process import RunningApp
from tests.packaged import Package
from tests.rogue import Rogue, answer

SILENT = 200

CONFIG = """
[limits]
body_bytes = 2000
entities = 3
depth = 4
answer_bytes = 500
header_bytes = 4096

[storage]
container = "limits"

[exports.customers]
pipe = "customers-csv"

[models.churn]
url = "{url}"
dialect = "score-script"
auth = "none"
features = ["x"]

[models.insecure]
url = "https://localhost:1/score"
verify_tls = false
auth = "none"
features = ["x"]
"""

ENTITY = '{"_id": "a", "x": 1}'


@dataclass(frozen=True)
class Limited:
    """An app with low limits, and the web service behind it."""

    app: RunningApp
    service: Rogue

    def post(self, body: bytes | Iterator[bytes], **headers: str) -> requests.Response:
        url = f"{self.app.base_url}/api/score/churn"
        return requests.post(url, data=body, headers=headers, timeout=30)

    def told(self, body: bytes | Iterator[bytes], **headers: str) -> tuple[int, str]:
        """The status, and the setting that the failure names."""
        answered = self.post(body, **headers)
        assert answered.headers["Content-Type"] == "application/problem+json"
        return answered.status_code, "".join(re.findall(r"\((limits\.\w+)\)", answered.json()["detail"]))


@pytest.fixture(scope="module")
def limited(
    azurite: Azurite, tmp_path_factory: pytest.TempPathFactory, package: Package
) -> Iterator[Limited]:
    config = tmp_path_factory.mktemp("config") / "bridge.toml"
    with Rogue(answer(200, b"[0.5]")) as service:
        config.write_text(CONFIG.format(url=service.url))
        settings = {
            "AzureWebJobsStorage": azurite.connection_string,
            "BRIDGE_CONFIG": str(config),
            "SESAM__URL": "http://localhost:1",
            "SESAM__JWT": "a-token",
        }
        with package.serve(settings) as app:
            yield Limited(app, service)


def score_of(limited: Limited) -> object:
    limited.service.play(answer(200, b"[0.5]"))
    return limited.post(f"[{ENTITY}]".encode()).json()[0]["churn:prediction"]


def test_within_its_limits_a_call_is_answered(limited: Limited) -> None:
    assert score_of(limited) == 0.5


@pytest.mark.fault(5)
def test_a_body_is_counted_while_it_streams(limited: Limited) -> None:
    def endless() -> Iterator[bytes]:
        yield b"["
        for _ in range(1000):
            yield b" " * 1000

    assert limited.told(b" " * 2001) == (413, "limits.body_bytes")
    assert limited.told(endless()) == (413, "limits.body_bytes")


@pytest.mark.fault(5)
def test_entities_and_their_depth_are_counted(limited: Limited) -> None:
    assert limited.told(f"[{','.join([ENTITY] * 4)}]".encode()) == (413, "limits.entities")
    deep = '[{"_id": "a", "x": 1, "y": [[[[]]]]}]'
    assert limited.told(deep.encode()) == (413, "limits.depth")


def test_headers_are_counted_at_every_route(limited: Limited) -> None:
    large = {f"x-{number}": "a" * 1000 for number in range(5)}
    assert limited.told(b"[]", **large) == (413, "limits.header_bytes")
    for path in ("models", "exports/customers", "openapi.json", "health/ready"):
        answered = requests.get(f"{limited.app.base_url}/api/{path}", headers=large, timeout=30)
        assert answered.status_code == 413
        assert "limits.header_bytes" in answered.json()["detail"]


@pytest.mark.fault(15)
def test_an_answer_of_the_service_is_counted_its_headers_too(limited: Limited) -> None:
    body = f"[{ENTITY}]".encode()
    limited.service.play(answer(200, b"[" + b" " * 500 + b"0.5]"))
    assert limited.told(body) == (502, "limits.answer_bytes")
    limited.service.play(answer(200, b"[0.5]", {f"x-{n}": "a" * 1000 for n in range(5)}))
    assert limited.told(body) == (502, "limits.header_bytes")
    limited.service.play(answer(200, b"[0.5]", {f"x-{n}": "a" for n in range(150)}))
    assert limited.told(body) == (502, "limits.header_bytes")


@pytest.mark.fault(20, 28)
@pytest.mark.parametrize(
    "half", [b"", b"POST /api/score/churn HTTP/1.1\r\nHost: x\r\n"], ids=["nothing", "a head"]
)
@pytest.mark.parametrize("door", ["host", "engine"])
def test_connections_that_send_nothing_stop_nobody(limited: Limited, door: str, half: bytes) -> None:
    port = urlsplit(limited.app.base_url).port if door == "host" else engine_port(limited.app)
    with ExitStack() as silent:
        for _ in range(SILENT):
            silent.enter_context(socket.create_connection(("127.0.0.1", port))).sendall(half)
        began = time.monotonic()
        assert score_of(limited) == 0.5
        assert time.monotonic() - began < 5


@pytest.mark.fault(20, 28)
def test_bodies_that_never_end_stop_nobody(limited: Limited) -> None:
    head = b"POST /api/score/churn HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n["
    port = urlsplit(limited.app.base_url).port
    with ExitStack() as silent:
        for _ in range(SILENT):
            silent.enter_context(socket.create_connection(("127.0.0.1", port))).sendall(head)
        began = time.monotonic()
        assert score_of(limited) == 0.5
        assert time.monotonic() - began < 5


def engine_port(app: RunningApp) -> int:
    """The port of the engine's own server: what the app's process listens on beside the host's."""
    sockets = {os.path.realpath(fd).rpartition("/")[2] for fd in Path(f"/proc/{app.pid}/fd").iterdir()}
    lines = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    listening = {
        int(at.rpartition(":")[2], 16)
        for _, at, _, state, *rest in lines
        if state == "0A" and f"socket:[{rest[5]}]" in sockets
    }
    (port,) = listening - {urlsplit(app.base_url).port}
    return port


@pytest.mark.statement("azureml-16")
def test_transport_that_is_not_verified_is_said_by_the_log_and_by_ready(limited: Limited) -> None:
    checks = requests.get(f"{limited.app.base_url}/api/health/ready", timeout=30).json()["checks"]
    (told,) = [check for check in checks if check["check"] == "transport"]
    assert told["detail"].startswith(
        "models.insecure.verify_tls is false: anyone on the network path to localhost"
    )
    limited.app.wait_for("models.insecure.verify_tls is false")
