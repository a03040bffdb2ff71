"""Storage's answers, cut or garbled, in front of Azurite: each is an outcome that storage told, or a fault.

What is tried is every call to storage that the app makes.
"""

import base64
import hashlib
import ssl
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import pytest
import requests
from azure.storage.blob._shared.constants import DATA_BLOCK_SIZE
from azure.storage.queue import QueueClient
from pydantic import SecretStr

import storage
from errors import StorageDown
from local.azurite import Azurite
from sections import HostStorage, StorageSettings
from storage import EXPORT_QUEUE, BlobContainer, open_container, probe_export_queue
from tests.faults.training_export.test_storage import forward
from tests.rogue import Rogue, Scene, Visit, answer, head, raw, silent
from whole_head import WholeHeadAdapter

EVERY = 29  # bytes from one cut to the next
BLOCK_ID = base64.b64encode(b"block-1").decode()

type Call = Callable[[BlobContainer], object]

CALLS: Mapping[str, Call] = {
    "ensure": lambda container: container.ensure(),
    "read": lambda container: container.read("there"),
    "read what is absent": lambda container: container.read("absent"),
    "create": lambda container: container.create("new", b"{}"),
    "create what is there": lambda container: container.create("there", b"{}"),
    "replace": lambda container: container.replace("there", b"{}", '"0x1"'),
    "put": lambda container: container.put("record", b"{}"),
    "stage": lambda container: container.stage("data", BLOCK_ID, b"cells"),
    "commit": lambda container: container.commit("data", [BLOCK_ID], "text/csv", hashlib.md5(b"").digest()),
    "list": lambda container: list(container.list("")),
    "download": lambda container: list(container.download("there")),
    "delete": lambda container: container.delete("record"),
    "lease": lambda container: container.lease("there", 15),
}


def first_bytes(count: int, port: int, heads: list[int]) -> Scene:
    """Let Azurite answer, pass on only so many bytes, and close in order; note how long the head was."""

    def scene(visit: Visit) -> None:
        whole: list[bytes] = []
        sent, visit.send = visit.send, whole.append  # type: ignore[method-assign,assignment]  # only this answer
        forward(visit, port)
        heads.append(b"".join(whole).index(b"\r\n\r\n") + len(b"\r\n\r\n"))
        sent(b"".join(whole)[:count])
        visit.close()

    return scene


@contextmanager
def storage_at(server: Rogue, azurite: Azurite, name: str) -> Iterator[HostStorage]:
    """Give the settings of storage whose answers are the rogue's; the container and one blob are there."""
    direct = SecretStr(azurite.connection_string)
    container = open_container(StorageSettings(container=name, connection_string=direct))
    container.ensure()
    container.put("there", b'{"a": 1}')
    through = azurite.connection_string
    for port in (azurite.blob_port, azurite.queue_port):
        through = through.replace(f":{port}/", f":{server.port}/")
    yield HostStorage(container=name, connection_string=SecretStr(through))


@pytest.mark.fault(42)
@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS)
def test_an_answer_that_broke_off_in_its_head_is_none(
    azurite: Azurite, container_name: str, call: Call
) -> None:
    count, heads = 1, [EVERY]
    with Rogue() as server, storage_at(server, azurite, container_name) as settings:
        while count < max(heads):
            server.play(first_bytes(count, azurite.blob_port, heads))
            with pytest.raises(StorageDown, match="broke off"):
                call(open_container(settings, retries=0))
            count += EVERY


@pytest.mark.fault(42)
def test_the_queues_answer_that_broke_off_in_its_head_is_none(azurite: Azurite, container_name: str) -> None:
    direct = HostStorage(connection_string=SecretStr(azurite.connection_string))
    probe_export_queue(direct)  # now it is there
    count, heads = 1, [EVERY]
    with Rogue() as server, storage_at(server, azurite, container_name) as settings:
        while count < max(heads):
            server.play(first_bytes(count, azurite.queue_port, heads))
            with pytest.raises(StorageDown, match="broke off"):
                probe_export_queue(settings)
            count += EVERY
    # The probes were put there though their answers broke off; other tests count what the queue holds.
    with QueueClient.from_connection_string(azurite.connection_string, EXPORT_QUEUE) as queue:
        queue.clear_messages()


PAGE = b"<!doctype html><p>Sign in<br>to the proxy</p>"
XML = b'<?xml version="1.0"?><Something><Else/></Something>'
FOREIGN: Mapping[str, Scene] = {
    "a login page": answer(200, PAGE, {"Content-Type": "text/html"}),
    "nothing at all": answer(200),
    "another service's XML": answer(200, XML, {"Content-Type": "application/xml"}),
    "a proxy's own 404": answer(404, PAGE, {"Content-Type": "text/html"}),
    "a proxy's own 409": answer(409, PAGE, {"Content-Type": "text/html"}),
    "headers of another kind": answer(200, b"1", {"Content-Range": "all", "Last-Modified": "yesterday"}),
    "half an XML": answer(400, XML[:-9], {"Content-Type": "application/xml"}),
}


# What it cannot read the SDK leaves open, for the garbage collector.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.fault(42)
@pytest.mark.parametrize("scene", FOREIGN.values(), ids=FOREIGN)
def test_what_is_not_storages_answer_is_no_outcome(
    azurite: Azurite, container_name: str, scene: Scene
) -> None:
    with Rogue(scene) as server, storage_at(server, azurite, container_name) as settings:
        for name, call in CALLS.items():
            if name != "ensure":  # it only asks whether anything is there
                with pytest.raises(StorageDown):
                    call(open_container(settings, retries=0))
        with pytest.raises(StorageDown):
            probe_export_queue(settings)


WRITES = ("create", "replace", "put", "commit")


@pytest.mark.fault(42)
@pytest.mark.parametrize("name", WRITES)
def test_a_write_without_an_etag_is_none(azurite: Azurite, container_name: str, name: str) -> None:
    bare = raw(head(201, {"Content-Length": "0"}))
    with Rogue(bare) as server, storage_at(server, azurite, container_name) as settings:
        container = open_container(settings, retries=0)
        with pytest.raises(StorageDown, match="no ETag"):
            CALLS[name](container)


@pytest.mark.fault(42)
def test_storage_that_is_silent_is_told_in_its_time(
    azurite: Azurite, container_name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(storage, "PROBE_S", 0.2)
    with Rogue(silent) as server, storage_at(server, azurite, container_name) as settings:
        began = time.monotonic()
        for call in CALLS.values():
            with pytest.raises(StorageDown, match="no answer in time"):
                call(open_container(settings, retries=0, timeout_s=0.2))
        with pytest.raises(StorageDown, match="no answer in time"):
            probe_export_queue(settings)
        assert time.monotonic() - began < 20


def test_all_tries_at_silent_storage_end_before_azure_cuts_the_call() -> None:
    pauses = sum(
        storage._BACKOFF["initial_backoff"]
        + storage._BACKOFF["increment_base"] ** number
        + storage._BACKOFF["random_jitter_range"]
        for number in range(storage.RETRIES)
    )
    assert (storage.RETRIES + 1) * storage.TIMEOUT_S + pauses < 230


def test_the_transport_has_what_the_sdk_gives_its_own() -> None:
    given = storage._transport(5.0).connection_config
    assert (given.timeout, given.read_timeout, given.data_block_size) == (5.0, 5.0, DATA_BLOCK_SIZE)
    assert storage._transport(60.0).connection_config.timeout == storage.LONGEST_CONNECT_S


def test_over_tls_too_no_answer_is_taken_that_broke_off_in_its_head(
    tls: ssl.SSLContext, tmp_path: Path
) -> None:
    with Rogue(raw(b"HTTP/1.1 200 OK\r\nETag: 1\r\n"), tls=tls) as server, requests.Session() as session:
        session.mount("https://", WholeHeadAdapter())
        with pytest.raises(requests.ConnectionError, match="broke off"):
            session.get(
                f"https://localhost:{server.port}/", verify=str(tmp_path / "localhost.pem"), timeout=5
            )
