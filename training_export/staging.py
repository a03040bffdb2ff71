"""The wire: data staged as blocks while it passes, invisible until it is committed."""

import base64
import hashlib
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from functools import cached_property
from types import TracebackType
from typing import Self

import telemetry
from storage import BLOCK_BYTES, UPLOADS_AT_ONCE, Container


class Staging:
    """One blob in the making: cut into blocks, hashed and uploaded by threads in passing.

    Memory is that of UPLOADS_AT_ONCE blocks under way and the one being filled, however large the blob is and
    however slow storage. What is not committed is never seen by anybody, and storage drops it after a week.
    """

    def __init__(self, container: Container, name: str, token: str) -> None:
        """Prepare the blob `name`; `token` (8 characters) keeps the blocks of two tries apart."""
        self.size = 0
        self._container = container
        self._name = name
        self._token = token
        self._sha256 = hashlib.sha256()
        self._md5 = hashlib.md5(usedforsecurity=False)
        # Filled in turn, each again once it is hashed and uploaded.
        self._buffers = _buffers()
        self._blocks: list[str] = []
        self._filled = 0
        self._threads = ThreadPoolExecutor(UPLOADS_AT_ONCE, thread_name_prefix="staging")
        # A thread of its own: hashing leaves the interpreter to whoever reads the data meanwhile.
        self._hasher = ThreadPoolExecutor(1, thread_name_prefix="hashing")
        self._hashing: Future[None] = self._hasher.submit(self._hash, memoryview(b""))

    @property
    def sha256(self) -> str:
        """The hash of all bytes so far, in hex."""
        return self._of_all(self._sha256).hexdigest()

    @property
    def md5(self) -> bytes:
        """The MD5 of all bytes so far, which storage keeps as the blob's Content-MD5."""
        return self._of_all(self._md5).digest()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._threads.shutdown(wait=True, cancel_futures=True)
        self._hasher.shutdown(wait=True, cancel_futures=True)

    def passing(self, chunks: Iterable[bytes]) -> Iterator[bytes]:
        """Give the chunks on while they are staged."""
        for chunk in chunks:
            self.write(chunk)
            yield chunk

    def write(self, data: bytes) -> None:
        """Take the next bytes.

        Raises:
            StorageDown, StorageRefused: an upload failed, this one's or an earlier one's.
        """
        self.size += len(data)
        rest = memoryview(data)
        while rest:
            room = self._room()
            part = rest[: len(room)]
            room[: len(part)] = part
            self._filled += len(part)
            rest = rest[len(part) :]
            if len(part) == len(room):
                self._upload()

    @telemetry.COMMIT
    def commit(self, content_type: str) -> str | None:
        """Make the staged bytes the blob, where there is none; None where there is one."""
        if self._filled:
            self._upload()
        for buffer in self._buffers:
            buffer.settle()
        self._buffers = _buffers()  # another blob may be staged before this one is let go
        return self._container.commit(self._name, self._blocks, content_type, self.md5)

    @property
    def _buffer(self) -> "_Buffer":
        return self._buffers[len(self._blocks) % len(self._buffers)]

    def _room(self) -> memoryview:
        """Give what is left of the block that is being filled, once its buffer is free."""
        if not self._filled:
            self._buffer.settle()
        return self._buffer.data[self._filled :]

    def _upload(self) -> None:
        buffer, block = self._buffer, self._buffer.data[: self._filled]
        block_id = base64.b64encode(f"{self._token}-{len(self._blocks):06d}".encode()).decode()
        self._hashing = self._hasher.submit(self._hash, block)
        upload = self._threads.submit(self._container.stage, self._name, block_id, block)
        buffer.used_by = [self._hashing, upload]
        self._blocks.append(block_id)
        self._filled = 0

    def _hash(self, block: memoryview) -> None:
        self._sha256.update(block)
        self._md5.update(block)

    def _of_all(self, hashed: "hashlib._Hash") -> "hashlib._Hash":
        """Give the hash of the blocks with what is still being filled."""
        self._hashing.result()  # the last one: it takes one after the other
        whole = hashed.copy()
        if self._filled:
            whole.update(self._buffer.data[: self._filled])
        return whole


class _Buffer:
    """Memory for one block, and what is still reading it."""

    def __init__(self) -> None:
        self.used_by: list[Future[None]] = []

    @cached_property
    def data(self) -> memoryview:
        """The memory, taken when it is first needed."""
        return memoryview(bytearray(BLOCK_BYTES))

    def settle(self) -> None:
        """Wait until it is free. Raises what its upload did, once."""
        # Taken out first: an error kept here would hold the blob's memory in a ring with its traceback.
        while self.used_by:
            self.used_by.pop().result()


def _buffers() -> list[_Buffer]:
    return [_Buffer() for _ in range(UPLOADS_AT_ONCE + 1)]
