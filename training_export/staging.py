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
    """One blob in the making: hashed, cut into blocks and uploaded by threads in passing.

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
        self._filling = bytearray()
        self._blocks: list[str] = []
        self._threads = ThreadPoolExecutor(UPLOADS_AT_ONCE, thread_name_prefix="staging")
        self._under_way: set[Future[None]] = set()

    @property
    def sha256(self) -> str:
        """The hash of all bytes so far, in hex."""
        return self._sha256.hexdigest()

    @property
    def md5(self) -> bytes:
        """The MD5 of all bytes so far, which storage keeps as the blob's Content-MD5."""
        return self._md5.digest()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._threads.shutdown(wait=True, cancel_futures=True)

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
        self._sha256.update(data)
        self._md5.update(data)
        self.size += len(data)
        rest = memoryview(data)
        while rest:
            room = BLOCK_BYTES - len(self._filling)
            self._filling += rest[:room]
            rest = rest[room:]
            if len(self._filling) == BLOCK_BYTES:
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
        block = bytes(self._filling)
        self._filling.clear()
        block_id = base64.b64encode(f"{self._token}-{len(self._blocks):06d}".encode()).decode()
        self._blocks.append(block_id)
        self._under_way.add(self._threads.submit(self._container.stage, self._name, block_id, block))

    def _settle(self, done: Iterable[Future[None]]) -> None:
        self._under_way -= set(done)
        for upload in done:
            upload.result()
