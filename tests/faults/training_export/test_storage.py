"""Storage misbehaves on a real socket, in front of Azurite: no half version; what passes is tried again."""

import http.client
import random
from collections.abc import Callable
from contextlib import closing

import pytest
from azure.core.pipeline.transport import HttpTransport
from pydantic import SecretStr

from errors import StorageDown
from local.azurite import Azurite
from sections import StorageSettings
from storage import BLOCK_BYTES, open_container
from tests.exports import Bench, rows, whole_version
from tests.rogue import Rogue, Scene, Visit, answer, head
from training_export.staging import Staging

BLOCK, COMMIT = "comp=block&", "comp=blocklist"


def refusing(status: int, code: str) -> Scene:
    return answer(status, headers={"x-ms-error-code": code})


def forward(visit: Visit, port: int) -> None:
    """Let Azurite answer."""
    received = visit.received
    with closing(http.client.HTTPConnection("127.0.0.1", port, timeout=30)) as there:
        there.request(received.method, received.target, received.body, dict(received.headers))
        given = there.getresponse()
        body = given.read()
    framing = ("transfer-encoding", "content-length", "connection")
    headers = {name: value for name, value in given.getheaders() if name.lower() not in framing}
    headers["Content-Length"] = str(len(body))
    visit.send(head(given.status, headers) + body)


def lost(port: int) -> Scene:
    """Do what is asked and break the connection off before the answer."""

    def scene(visit: Visit) -> None:
        kept, visit.send = visit.send, lambda data: None  # type: ignore[method-assign]  # only this answer
        forward(visit, port)
        visit.send = kept  # type: ignore[method-assign]  # as it was
        visit.reset()

    return scene


def in_front_of(azurite: Azurite, to: str, *script: Scene) -> Scene:
    """Play the scenes for requests whose target holds `to`; let Azurite answer the others, and after."""
    left = list(script)

    def scene(visit: Visit) -> None:
        if left and to in visit.received.target + "&":
            return left.pop(0)(visit)
        return forward(visit, azurite.blob_port)

    return scene


@pytest.fixture
def on(azurite: Azurite, container_name: str) -> Callable[[Rogue], Bench]:
    """An export that has published a first version, and whose storage is now the rogue."""

    def bench_on(server: Rogue) -> Bench:
        direct = azurite.connection_string
        container = open_container(
            StorageSettings(container=container_name, connection_string=SecretStr(direct))
        )
        container.ensure()
        bench = Bench(container=container)
        bench.run(rows(9))
        through = direct.replace(f":{azurite.blob_port}/", f":{server.port}/")
        settings = StorageSettings(container=container_name, connection_string=SecretStr(through))
        bench.container = open_container(settings, retries=0)  # the run's own are to be seen
        return bench

    return bench_on


@pytest.mark.fault(42)
@pytest.mark.parametrize(
    ("to", "code", "status"),
    [
        (BLOCK, "ServerBusy", 503),
        (BLOCK, "OperationTimedOut", 500),
        (COMMIT, "ServerBusy", 503),
        (COMMIT, "LeaseIdMissing", 412),
        ("latest/", "ServerBusy", 503),
        ("manifests/", "InternalError", 500),
    ],
)
def test_storage_that_asks_for_patience_is_asked_again(
    azurite: Azurite, on: Callable[[Rogue], Bench], to: str, code: str, status: int
) -> None:
    busy = refusing(status, code)
    with Rogue(in_front_of(azurite, to, busy, busy)) as server:
        bench = on(server)
        run = bench.run(rows(11), last_try=False)
        assert run.outcome == "published"
        assert len(bench.clock.slept) == 2
        assert whole_version(bench.container, bench.latest().version).rows == 11


@pytest.mark.fault(42)
def test_a_block_that_the_sdk_sends_again_is_sent_whole(
    azurite: Azurite, container_name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    slept: list[float] = []
    monkeypatch.setattr(HttpTransport, "sleep", lambda _, seconds: slept.append(seconds))
    data = random.Random(1).randbytes(BLOCK_BYTES + 1000)
    scenes = refusing(503, "ServerBusy"), lost(azurite.blob_port)
    with Rogue(in_front_of(azurite, BLOCK, *scenes)) as server:
        through = azurite.connection_string.replace(f":{azurite.blob_port}/", f":{server.port}/")
        container = open_container(
            StorageSettings(container=container_name, connection_string=SecretStr(through)), retries=2
        )
        container.ensure()
        with Staging(container, "data", "token123") as staging:
            staging.write(data)
            assert staging.commit("text/csv")
        assert b"".join(container.download("data")) == data
    assert len(slept) == 2


@pytest.mark.fault(42)
@pytest.mark.parametrize("to", [BLOCK, COMMIT, "manifests/"])
def test_a_connection_that_breaks_after_the_work_was_done_leaves_whole_versions(
    azurite: Azurite, on: Callable[[Rogue], Bench], to: str
) -> None:
    with Rogue(in_front_of(azurite, to, lost(azurite.blob_port))) as server:
        bench = on(server)
        assert bench.run(rows(11), last_try=False).outcome in ("published", "unchanged")
        for version in bench.versions.ids():
            whole_version(bench.container, version)
        assert bench.versions.manifest(bench.latest().version).rows == 11


@pytest.mark.fault(42)
@pytest.mark.parametrize("to", [BLOCK, COMMIT])
def test_a_role_that_is_missing_is_told_at_once(
    azurite: Azurite, on: Callable[[Rogue], Bench], to: str
) -> None:
    forbidden = refusing(403, "AuthorizationPermissionMismatch")
    with Rogue(in_front_of(azurite, to, *[forbidden] * 9)) as server:
        bench = on(server)
        before = bench.latest()
        run = bench.run(rows(11), last_try=False)
        assert run.outcome == "failed"
        assert "Storage Blob Data Owner" in run.detail
        assert (bench.clock.slept, bench.latest()) == ([], before)


@pytest.mark.fault(42)
def test_a_container_that_is_gone_leaves_the_run_to_the_queue_which_makes_it_anew(
    azurite: Azurite, on: Callable[[Rogue], Bench]
) -> None:
    gone = refusing(404, "ContainerNotFound")
    with Rogue(in_front_of(azurite, BLOCK, *[gone] * 99)) as server:
        bench = on(server)
        before = bench.latest()
        with pytest.raises(StorageDown, match="ContainerNotFound"):
            bench.run(rows(11), last_try=False)
        assert bench.latest() == before
