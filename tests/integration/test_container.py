"""The container's promises, kept alike by Azurite and by the fake that unit tests rest on."""

import base64
import hashlib
from collections.abc import Iterator

import pytest
from pydantic import SecretStr

from errors import StorageDown
from local.azurite import Azurite
from sections import StorageSettings
from storage import BLOCK_BYTES, Container, open_container
from tests.fakes import MemoryContainer


@pytest.fixture(params=["azurite", "memory"])
def container(request: pytest.FixtureRequest, azurite: Azurite, container_name: str) -> Iterator[Container]:
    if request.param == "memory":
        yield MemoryContainer()
        return
    settings = StorageSettings(
        container=container_name, connection_string=SecretStr(azurite.connection_string)
    )
    blobs = open_container(settings)
    blobs.ensure()
    blobs.ensure()
    yield blobs


def test_before_the_first_export_there_is_nothing_to_read(azurite: Azurite, container_name: str) -> None:
    settings = StorageSettings(
        container=container_name, connection_string=SecretStr(azurite.connection_string)
    )
    container = open_container(settings)
    assert container.read("latest/a.json") is None
    assert list(container.list("manifests/")) == []
    assert list(container.download("a")) == []
    assert container.lease("runs/a.json", 60) is None


def block_id(number: int) -> str:
    return base64.b64encode(f"{number:06d}".encode()).decode()


def md5(data: bytes) -> bytes:
    return hashlib.md5(data, usedforsecurity=False).digest()


def test_a_blob_is_created_once(container: Container) -> None:
    assert container.read("a/b.json") is None
    etag = container.create("a/b.json", b"1")
    assert etag
    assert container.create("a/b.json", b"2") is None
    blob = container.read("a/b.json")
    assert blob is not None
    assert (blob.data, blob.etag) == (b"1", etag)


def test_an_unchanged_blob_comes_without_its_data(container: Container) -> None:
    etag = container.create("a", b"1")
    assert etag
    blob = container.read("a", unless=etag)
    assert blob is not None
    assert (blob.data, blob.etag) == (b"", etag)
    other = container.replace("a", b"2", etag)
    blob = container.read("a", unless=etag)
    assert blob is not None
    assert (blob.data, blob.etag) == (b"2", other)
    assert container.read("none", unless=etag) is None


@pytest.mark.fault(41)
def test_a_blob_is_replaced_only_where_its_etag_still_holds(container: Container) -> None:
    first = container.create("a", b"1")
    assert first
    second = container.replace("a", b"2", first)
    assert second
    assert second != first
    assert container.replace("a", b"3", first) is None
    blob = container.read("a")
    assert blob is not None
    assert blob.data == b"2"
    assert container.replace("none", b"1", first) is None


def test_put_writes_whatever_was_there(container: Container) -> None:
    container.put("a", b"1")
    container.put("a", b"2")
    blob = container.read("a")
    assert blob is not None
    assert blob.data == b"2"


@pytest.mark.statement("sesam-32")
def test_staged_blocks_are_nothing_until_they_are_committed(container: Container) -> None:
    container.stage("data", block_id(0), b"one ")
    container.stage("data", block_id(1), b"two")
    assert container.read("data") is None
    assert list(container.list("")) == []
    assert list(container.download("data")) == []
    assert container.commit("data", [block_id(0), block_id(1)], "text/csv", md5(b"one two"))
    assert b"".join(container.download("data")) == b"one two"
    assert [(blob.name, blob.size) for blob in container.list("da")] == [("data", 7)]


def test_a_commit_never_replaces_a_blob(container: Container) -> None:
    container.create("data", b"first")
    container.stage("data", block_id(0), b"second")
    assert container.commit("data", [block_id(0)], "text/csv", md5(b"second")) is None
    assert b"".join(container.download("data")) == b"first"


def test_an_empty_blob_can_be_committed(container: Container) -> None:
    assert container.commit("data", [], "text/csv", md5(b""))
    blob = container.read("data")
    assert blob is not None
    assert blob.data == b""


@pytest.mark.fault(44)
def test_blocks_that_a_dead_writer_left_do_not_stand_in_the_way(container: Container) -> None:
    container.stage("data", base64.b64encode(b"dead-000000").decode(), b"x" * 100)
    own = base64.b64encode(b"live-000000").decode()
    container.stage("data", own, b"mine")
    assert container.commit("data", [own], "text/csv", md5(b"mine"))
    assert b"".join(container.download("data")) == b"mine"


def test_a_list_is_by_prefix_and_in_order(container: Container) -> None:
    for name in ("m/b/2.json", "m/a/1.json", "n/1.json", "m/a/0.json"):
        container.create(name, b"{}")
    assert [blob.name for blob in container.list("m/a/")] == ["m/a/0.json", "m/a/1.json"]
    assert [blob.name for blob in container.list("m/")] == ["m/a/0.json", "m/a/1.json", "m/b/2.json"]


def test_deleting_a_blob_that_is_not_there_is_no_error(container: Container) -> None:
    container.create("a", b"1")
    container.delete("a")
    container.delete("a")
    assert container.read("a") is None


@pytest.mark.statement("sesam-42")
def test_a_lease_is_one_holders_alone(container: Container) -> None:
    assert container.lease("runs/a.json", 60) is None, "there is no such blob"
    container.create("runs/a.json", b"1")
    lease = container.lease("runs/a.json", 60)
    assert lease is not None
    assert container.lease("runs/a.json", 60) is None
    assert lease.renew()
    lease.release()
    again = container.lease("runs/a.json", 60)
    assert again is not None
    again.release()


def test_a_leased_blob_is_written_under_its_lease_alone(container: Container) -> None:
    etag = container.create("runs/a.json", b"1")
    assert etag
    lease = container.lease("runs/a.json", 60)
    assert lease is not None
    container.put("runs/a.json", b"2", lease=lease)
    blob = container.read("runs/a.json")
    assert blob is not None
    assert blob.data == b"2", "anybody reads it"
    assert container.replace("runs/a.json", b"3", blob.etag) is None
    with pytest.raises(StorageDown, match="leased"):
        container.put("runs/a.json", b"4")
    lease.release()
    assert container.replace("runs/a.json", b"5", blob.etag)


def test_a_whole_block_passes(container: Container) -> None:
    block = bytes(range(256)) * (BLOCK_BYTES // 256)
    container.stage("data", block_id(0), block)
    container.stage("data", block_id(1), b"tail")
    assert container.commit("data", [block_id(0), block_id(1)], "text/csv", md5(block + b"tail"))
    assert b"".join(container.download("data")) == block + b"tail"
