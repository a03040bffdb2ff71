"""The wire: data staged as blocks while it passes, invisible until it is committed."""

import base64
import hashlib
from collections.abc import Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED as FIRST
from concurrent.futures import Future, ThreadPoolExecutor, wait
from types import TracebackType
from typing import Self

import telemetry
from storage import BLOCK_BYTES, UPLOADS_AT_ONCE, Container


class Staging:
    """One blob in the making: cut into blocks, hashed and uploaded by threads in passing.

    Memory is bounded, however slow storage is: UPLOADS_AT_ONCE blocks under way and the one being filled.
    What is not committed is never seen by anybody, and storage drops it after a week.
    """

    def __init__(self, container: Container, name: str, token: str) -> None:
        """Prepare the blob `name`; `token` (8 characters) keeps the blocks of two tries apart."""
        self.size = 0
        self._container = container
        self._name = name
        self._token = token
        self._sha256 = hashlib.sha256()
        self._md5 = hashlib.md5(usedforsecurity=False)
        self._filling: list[memoryview] = []
        self._room = BLOCK_BYTES
        self._blocks: list[str] = []
        self._threads = ThreadPoolExecutor(UPLOADS_AT_ONCE, thread_name_prefix="staging")
        self._under_way: set[Future[None]] = set()
        # A thread of its own: hashing leaves the interpreter to whoever reads the data meanwhile.
        self._hasher = ThreadPoolExecutor(1, thread_name_prefix="hashing")
        self._hashing: Future[None] = self._hasher.submit(self._hash, b"")

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
            part = rest[: self._room]
            self._filling.append(part)
            self._room -= len(part)
            rest = rest[len(part) :]
            if not self._room:
                self._upload()

    @telemetry.COMMIT
    def commit(self, content_type: str) -> str | None:
        """Make the staged bytes the blob, where there is none; None where there is one."""
        if self._filling:
            self._upload()
        self._settle(wait(self._under_way).done)
        return self._container.commit(self._name, self._blocks, content_type, self.md5)

    def _upload(self) -> None:
        # First the place, then the copy: a block that waits is not held twice.
        while len(self._under_way) >= UPLOADS_AT_ONCE:
            self._settle(wait(self._under_way, return_when=FIRST).done)
        self._hashing.result()
        block = b"".join(self._filling)
        self._filling.clear()
        self._room = BLOCK_BYTES
        block_id = base64.b64encode(f"{self._token}-{len(self._blocks):06d}".encode()).decode()
        self._blocks.append(block_id)
        self._hashing = self._hasher.submit(self._hash, block)
        self._under_way.add(self._threads.submit(self._container.stage, self._name, block_id, block))

    def _hash(self, block: bytes) -> None:
        self._sha256.update(block)
        self._md5.update(block)

    def _of_all(self, hashed: "hashlib._Hash") -> "hashlib._Hash":
        """Give the hash of the blocks with what is still being filled."""
        self._hashing.result()
        whole = hashed.copy()
        for part in self._filling:
            whole.update(part)
        return whole

    def _settle(self, done: Iterable[Future[None]]) -> None:
        self._under_way -= set(done)
        for upload in done:
            upload.result()
