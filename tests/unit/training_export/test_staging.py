"""Data is staged in passing: in blocks, a few at once, in bounded memory, unseen before the commit."""

import hashlib
import threading
import tracemalloc
from collections.abc import Iterator, Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from errors import StorageDown
from storage import UPLOADS_AT_ONCE
from tests.fakes import MemoryContainer
from training_export import staging
from training_export.staging import Staging

BLOCK = 100_000


@pytest.fixture(autouse=True, scope="module")
def small_blocks() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(staging, "BLOCK_BYTES", BLOCK)
        yield


@given(st.lists(st.integers(0, 3 * BLOCK), max_size=6))
def test_what_is_written_is_what_is_committed_block_by_block(sizes: list[int]) -> None:
    container = MemoryContainer()
    parts = [bytes([number % 251]) * size for number, size in enumerate(sizes)]
    with Staging(container, "a", "token123") as stage:
        assert list(stage.passing(parts)) == parts
        assert list(container.list("")) == []
        staged = container.blocks.get("a", {})
        assert all(len(block) == BLOCK for block in staged.values())
        assert stage.commit("text/csv")
    whole = b"".join(parts)
    blob = container.read("a")
    assert blob is not None
    assert blob.data == whole
    assert (stage.size, stage.sha256) == (len(whole), hashlib.sha256(whole).hexdigest())
    assert container.blobs["a"].md5 == hashlib.md5(whole, usedforsecurity=False).digest()


class Slow(MemoryContainer):
    """Storage that answers only once as many uploads as are allowed wait for it."""

    def __init__(self) -> None:
        super().__init__()
        self.full = threading.Barrier(UPLOADS_AT_ONCE, timeout=30)
        self.at_once = self.most_at_once = 0
        self.counting = threading.Lock()

    def stage(self, name: str, block_id: str, data: bytes | memoryview) -> None:
        with self.counting:
            self.at_once += 1
            self.most_at_once = max(self.most_at_once, self.at_once)
        self.full.wait()
        with self.counting:
            self.at_once -= 1


@pytest.mark.statement("sesam-29", "P13")
@pytest.mark.fault(47)
def test_memory_is_bounded_when_storage_is_slower_than_the_node() -> None:
    container, part = Slow(), bytes(BLOCK // 4)
    tracemalloc.start()
    with Staging(container, "a", "token123") as stage:
        for _ in range(4 * 10 * UPLOADS_AT_ONCE):
            stage.write(part)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert container.most_at_once == UPLOADS_AT_ONCE
    assert peak < (UPLOADS_AT_ONCE + 2) * BLOCK


def test_memory_is_given_back_with_the_commit() -> None:
    container, part = Taking(), bytes(BLOCK)
    tracemalloc.start()
    with Staging(container, "a", "token123") as stage:
        for _ in range(2 * UPLOADS_AT_ONCE):
            stage.write(part)
        stage.commit("text/csv")
        left, peak = tracemalloc.get_traced_memory()
        assert (stage.size, len(stage.sha256)) == (2 * UPLOADS_AT_ONCE * BLOCK, 64)
    tracemalloc.stop()
    assert left < BLOCK
    assert peak > UPLOADS_AT_ONCE * BLOCK


class Taking(MemoryContainer):
    """Storage that keeps nothing."""

    def stage(self, name: str, block_id: str, data: bytes | memoryview) -> None:
        pass

    def commit(self, name: str, block_ids: Sequence[str], content_type: str, md5: bytes) -> str | None:
        return "etag"


@pytest.mark.fault(47)
def test_a_block_is_not_filled_anew_before_storage_has_it() -> None:
    class Late(MemoryContainer):
        def stage(self, name: str, block_id: str, data: bytes | memoryview) -> None:
            assert written.wait(timeout=30)
            super().stage(name, block_id, data)

    container, written = Late(), threading.Event()
    parts = [bytes([number]) * BLOCK for number in range(3 * UPLOADS_AT_ONCE)]
    with Staging(container, "a", "token123") as stage:
        for part in parts[: UPLOADS_AT_ONCE + 1]:
            stage.write(part)
        written.set()
        for part in parts[UPLOADS_AT_ONCE + 1 :]:
            stage.write(part)
        assert stage.commit("text/csv")
    blob = container.read("a")
    assert blob is not None
    assert blob.data == b"".join(parts)


@pytest.mark.fault(42)
def test_an_upload_that_fails_ends_the_writing() -> None:
    class Failing(MemoryContainer):
        def stage(self, name: str, block_id: str, data: bytes | memoryview) -> None:
            raise StorageDown("503")

    with Staging(Failing(), "a", "token123") as stage, pytest.raises(StorageDown):
        # At the latest where its memory is needed for another block.
        for _ in range(4 * (UPLOADS_AT_ONCE + 1) + 1):
            stage.write(bytes(BLOCK // 4))
