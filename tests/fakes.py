"""Stand-ins with state for the wires; tests/integration/test_container.py proves them like Azurite."""

import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from errors import StorageDown
from storage import JSON, Blob, Container, Lease, Listed


@dataclass
class Clock:
    """A clock that moves when told; sleeping on it takes no time."""

    present: datetime = datetime(2026, 11, 23, 2, tzinfo=UTC)
    slept: list[float] = field(default_factory=list)

    def now(self) -> datetime:
        return self.present

    def monotonic(self) -> float:
        return self.present.timestamp()

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.pass_(seconds)

    def pass_(self, seconds: float) -> None:
        self.present += timedelta(seconds=seconds)


@dataclass
class _Stored:
    data: bytes
    etag: str
    modified: datetime
    content_type: str
    md5: bytes | None = None
    lease: "MemoryLease | None" = None


class MemoryContainer:
    """`storage.Container` in memory: conditions, ETags, uncommitted blocks, leases on the given clock."""

    def __init__(self, clock: Clock | None = None) -> None:
        self.clock = clock or Clock()
        self.blobs: dict[str, _Stored] = {}
        self.blocks: dict[str, dict[str, bytes]] = {}
        self._etags = 0
        self._lock = threading.RLock()

    def ensure(self) -> None:
        pass

    def read(self, name: str, unless: str = "") -> Blob | None:
        with self._lock:
            stored = self.blobs.get(name)
            if stored is None:
                return None
            return Blob(b"" if unless == stored.etag else stored.data, stored.etag)

    def create(self, name: str, data: bytes, content_type: str = JSON) -> str | None:
        with self._lock:
            return None if name in self.blobs else self._store(name, data, content_type)

    def replace(self, name: str, data: bytes, etag: str) -> str | None:
        with self._lock:
            stored = self.blobs.get(name)
            if stored is None or stored.etag != etag or self._leased(stored):
                return None
            return self._store(name, data, JSON)

    def put(self, name: str, data: bytes, content_type: str = JSON, lease: Lease | None = None) -> str:
        with self._lock:
            stored = self.blobs.get(name)
            if stored and self._leased(stored) and stored.lease is not lease:
                raise StorageDown(f"Storage refused to overwrite {name}: it is leased by another.")
            return self._store(name, data, content_type)

    def stage(self, name: str, block_id: str, data: bytes | memoryview) -> None:
        with self._lock:
            self.blocks.setdefault(name, {})[block_id] = bytes(data)

    def commit(self, name: str, block_ids: Sequence[str], content_type: str, md5: bytes) -> str | None:
        with self._lock:
            if name in self.blobs:
                return None
            staged = self.blocks.pop(name, {})
            if not set(block_ids) <= set(staged):
                raise StorageDown(f"Storage failed at {name}: InvalidBlockList.")
            etag = self._store(name, b"".join(staged[block_id] for block_id in block_ids), content_type)
            self.blobs[name].md5 = md5
            return etag

    def list(self, prefix: str) -> Iterator[Listed]:
        with self._lock:
            found = [
                Listed(name, len(stored.data), stored.modified)
                for name, stored in sorted(self.blobs.items())
                if name.startswith(prefix)
            ]
        yield from found

    def download(self, name: str) -> Iterator[bytes]:
        with self._lock:
            stored = self.blobs.get(name)
        if stored:
            for at in range(0, len(stored.data), 1000):
                yield stored.data[at : at + 1000]

    def delete(self, name: str) -> None:
        with self._lock:
            self.blobs.pop(name, None)

    def lease(self, name: str, seconds: int) -> "Lease | None":
        with self._lock:
            stored = self.blobs.get(name)
            if stored is None or self._leased(stored):
                return None
            stored.lease = MemoryLease(stored, self.clock, seconds)
            return stored.lease

    def _leased(self, stored: _Stored) -> bool:
        return stored.lease is not None and stored.lease.until > self.clock.now()

    def _store(self, name: str, data: bytes, content_type: str) -> str:
        self._etags += 1
        before = self.blobs.get(name)
        stored = _Stored(data, f'"{self._etags}"', self.clock.now(), content_type)
        if before and before.lease:
            stored.lease = before.lease
            before.lease.stored = stored
        self.blobs[name] = stored
        return stored.etag


@dataclass(eq=False)
class MemoryLease:
    """A lease on a blob of a MemoryContainer."""

    stored: _Stored
    clock: Clock
    seconds: int
    until: datetime = datetime(1970, 1, 1, tzinfo=UTC)  # a date never changes

    def __post_init__(self) -> None:
        self.renew()

    def renew(self) -> bool:
        if self.stored.lease not in (None, self):
            return False
        self.until = self.clock.now() + timedelta(seconds=self.seconds)
        return True

    def release(self) -> None:
        if self.stored.lease is self:
            self.stored.lease = None


class Crash(BaseException):
    """The process is gone: nothing catches this, nothing cleans up by storage calls."""


class Crashing:
    """A container whose n-th writing call never comes back, as if the process were killed there.

    `after` True: the call is done and only its answer is lost. From then on every call raises `Crash`.
    """

    def __init__(
        self, inner: Container, at: int, *, after: bool = False, die: Callable[[], None] | None = None
    ) -> None:
        self.calls: list[str] = []
        self._inner, self._at, self._after = inner, at, after
        self._die = die or self._raise
        self._lock = threading.Lock()

    def _raise(self) -> None:
        raise Crash

    def __getattr__(self, name: str) -> Any:
        method = getattr(self._inner, name)

        def call(*args: Any, **options: Any) -> Any:
            with self._lock:
                self.calls.append(f"{name} {args[0] if args else ''}")
                count = len(self.calls)
            if count > self._at or (count == self._at and not self._after):
                self._die()
            result = method(*args, **options)
            if count == self._at:
                self._die()
            return result

        return call
