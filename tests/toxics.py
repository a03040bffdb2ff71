"""A proxy that spoils a connection on purpose, by toxiproxy's names, in front of any server on loopback.

    with toxic_proxy(azurite.blob_port) as proxy:
        ...                                        # clients use proxy.port; nothing is spoiled yet
        with proxy.poisoned(Latency(0.2)):         # both ways; `streams` chooses one
            ...
        with proxy.poisoned(Down()):
            ...                                    # connections are refused, those open are broken off

One toxic at a time. It meets open connections at their next bytes, and new ones from their beginning.
`proxy.struck` counts the pieces of data, or the connections, that it has had its way with. `proxy.upstream`
may change, for a server that comes back elsewhere.
"""

import asyncio
import socket
import struct
import threading
from collections.abc import Iterator
from concurrent.futures import Future
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import Literal

type Stream = Literal["upstream", "downstream"]

BOTH: tuple[Stream, ...] = ("upstream", "downstream")
LOOPBACK = "127.0.0.1"
PIECE = 64 * 1024
RESET_ON_CLOSE = struct.pack("ii", 1, 0)


@dataclass
class Link:
    """One direction of one connection, as a toxic sees it."""

    writer: asyncio.StreamWriter
    other: asyncio.StreamWriter
    healed: asyncio.Event
    passed: int = 0

    async def send(self, data: bytes) -> None:
        """Pass bytes on."""
        self.writer.write(data)
        self.passed += len(data)
        await self.writer.drain()

    async def pause(self, seconds: float) -> bool:
        """Wait so long, or until the toxic is taken away; say whether it was."""
        with suppress(TimeoutError):
            await asyncio.wait_for(self.healed.wait(), seconds)
        return self.healed.is_set()

    def cut(self) -> None:
        """End the connection both ways, in order."""
        self.writer.close()
        self.other.close()

    def reset(self) -> None:
        """Break the connection off both ways: the ends see a reset."""
        for writer in (self.writer, self.other):
            break_off(writer)


def break_off(writer: asyncio.StreamWriter) -> None:
    """Close a connection by a reset."""
    with suppress(OSError):
        writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET_ON_CLOSE)
    writer.transport.abort()


def sliced(data: bytes, size: int) -> Iterator[bytes]:
    """Cut data into pieces of this size and a rest."""
    return (data[at : at + size] for at in range(0, len(data), size))


@dataclass(frozen=True)
class Toxic:
    """Does no harm; each kind says what it does. Times are seconds."""

    async def passes(self, data: bytes, link: Link) -> None:
        """Pass a piece on, or do not."""
        await link.send(data)

    async def ends(self, link: Link) -> None:
        """See the end of one direction before it is passed on."""


@dataclass(frozen=True)
class Latency(Toxic):
    """Every piece comes later."""

    seconds: float

    async def passes(self, data: bytes, link: Link) -> None:
        """Wait, then pass on."""
        await link.pause(self.seconds)
        await link.send(data)


@dataclass(frozen=True)
class Bandwidth(Toxic):
    """The line carries so many bytes in a second."""

    rate: int

    async def passes(self, data: bytes, link: Link) -> None:
        """Pass on in twentieths of a second."""
        for part in sliced(data, max(1, self.rate // 20)):
            await link.pause(len(part) / self.rate)
            await link.send(part)


@dataclass(frozen=True)
class SlowClose(Toxic):
    """The end of the connection comes later."""

    seconds: float

    async def ends(self, link: Link) -> None:
        """Wait."""
        await link.pause(self.seconds)


@dataclass(frozen=True)
class Timeout(Toxic):
    """Nothing passes any more; after so long the connection is closed."""

    seconds: float

    async def passes(self, data: bytes, link: Link) -> None:
        """Drop it, wait, close."""
        await link.pause(self.seconds)
        link.cut()  # healed or not: bytes are missing


@dataclass(frozen=True)
class ResetPeer(Toxic):
    """The connection is reset, so long after its next bytes."""

    seconds: float = 0.0

    async def passes(self, data: bytes, link: Link) -> None:
        """Drop it and reset."""
        await link.pause(self.seconds)
        link.reset()


@dataclass(frozen=True)
class Slicer(Toxic):
    """Bytes come in slices of this size, each a little later."""

    size: int
    seconds: float = 0.0

    async def passes(self, data: bytes, link: Link) -> None:
        """Cut up and pass on."""
        for part in sliced(data, self.size):
            if self.seconds:
                await link.pause(self.seconds)
            await link.send(part)


@dataclass(frozen=True)
class LimitData(Toxic):
    """A connection carries so many bytes, then it is closed."""

    limit: int

    async def passes(self, data: bytes, link: Link) -> None:
        """Pass on what is left of the limit."""
        await link.send(data[: max(0, self.limit - link.passed)])
        if link.passed >= self.limit:
            link.cut()


@dataclass(frozen=True)
class Down(Toxic):
    """Nobody listens, and open connections are reset."""

    async def passes(self, data: bytes, link: Link) -> None:
        """Reset what was being opened just then."""
        link.reset()


@dataclass
class ToxicProxy:
    """A running proxy: its port, and what it is to do to the data."""

    port: int
    struck: int = 0
    upstream: int = 0
    _loop: asyncio.AbstractEventLoop = field(default_factory=asyncio.new_event_loop, repr=False)
    _toxic: Toxic = field(default_factory=Toxic)
    _streams: tuple[Stream, ...] = BOTH
    _healed: asyncio.Event = field(default_factory=asyncio.Event, repr=False)
    _listener: socket.socket | None = None
    _tasks: set[asyncio.Task[None]] = field(default_factory=set, repr=False)
    _open: set[asyncio.StreamWriter] = field(default_factory=set, repr=False)

    @contextmanager
    def poisoned(self, toxic: Toxic, streams: tuple[Stream, ...] = BOTH) -> Iterator[None]:
        """Have a toxic at work until the block ends."""
        self.poison(toxic, streams)
        try:
            yield
        finally:
            self.heal()

    def poison(self, toxic: Toxic, streams: tuple[Stream, ...] = BOTH) -> None:
        """Set a toxic to work, in place of the last one."""
        self._do(toxic, streams)

    def heal(self) -> None:
        """Take the toxic away."""
        self._do(Toxic(), BOTH)

    def _do(self, toxic: Toxic, streams: tuple[Stream, ...]) -> None:
        asyncio.run_coroutine_threadsafe(self._change(toxic, streams), self._loop).result()

    async def _change(self, toxic: Toxic, streams: tuple[Stream, ...]) -> None:
        self._healed.set()
        self._toxic, self._streams, self._healed = toxic, streams, asyncio.Event()
        if not isinstance(toxic, Down):
            self.open()
            return
        self.struck += 1
        self.close()

    def open(self) -> None:
        """Listen, unless that is so already."""
        if self._listener is None:
            self._listener = _bound(self.port)
            self._listener.listen(256)
            self._listener.setblocking(False)
            self._loop.add_reader(self._listener, self._accept, self._listener)

    def close(self) -> None:
        """Listen no more, and break off what is open."""
        if self._listener is not None:
            self._loop.remove_reader(self._listener)
            self._listener.close()
            self._listener = None
        for writer in list(self._open):
            break_off(writer)

    def _accept(self, listener: socket.socket) -> None:
        # Not by asyncio's own server: closing that forgets a connection accepted just then.
        with suppress(OSError):
            sock, _ = listener.accept()
            task = self._loop.create_task(self._carry(sock))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _carry(self, sock: socket.socket) -> None:
        reader, writer = await asyncio.open_connection(sock=sock)
        self._open.add(writer)
        far: asyncio.StreamWriter | None = None
        try:
            far_reader, far = await asyncio.open_connection(LOOPBACK, self.upstream)
            self._open.add(far)
            async with asyncio.TaskGroup() as both:
                both.create_task(self._relay("upstream", reader, far, writer))
                both.create_task(self._relay("downstream", far_reader, writer, far))
        except OSError:
            break_off(writer)  # there is no server: the client is to see that, too
        finally:
            for each in filter(None, (writer, far)):
                self._open.discard(each)
                each.close()

    async def _relay(
        self,
        stream: Stream,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        other: asyncio.StreamWriter,
    ) -> None:
        passed = 0
        with suppress(OSError):
            while data := await reader.read(PIECE):
                toxic, link = self._at_work(stream, writer, other, passed)
                await toxic.passes(data, link)
                passed = link.passed
            toxic, link = self._at_work(stream, writer, other, passed)
            await toxic.ends(link)
            if not writer.is_closing():
                writer.write_eof()
                return
        writer.close()
        other.close()

    def _at_work(
        self, stream: Stream, writer: asyncio.StreamWriter, other: asyncio.StreamWriter, passed: int
    ) -> tuple[Toxic, Link]:
        link = Link(writer, other, self._healed, passed)
        if stream not in self._streams or type(self._toxic) is Toxic:
            return Toxic(), link
        self.struck += 1
        return self._toxic, link


@contextmanager
def toxic_proxy(upstream: int) -> Iterator[ToxicProxy]:
    """Carry connections to a port of loopback until the block ends."""
    with _bound(0) as holder:  # keeps the port while nobody listens, for ports of loopback are everybody's
        started: Future[ToxicProxy] = Future()
        stop = asyncio.Event()

        async def serve() -> None:
            port: int = holder.getsockname()[1]
            proxy = ToxicProxy(port, upstream=upstream, _loop=asyncio.get_running_loop())
            proxy.open()
            started.set_result(proxy)
            await stop.wait()
            proxy.close()
            for task in proxy._tasks:
                task.cancel()
            await asyncio.gather(*proxy._tasks, return_exceptions=True)

        thread = threading.Thread(target=asyncio.run, args=(serve(),), daemon=True)
        thread.start()
        proxy = started.result()
        try:
            yield proxy
        finally:
            proxy._loop.call_soon_threadsafe(stop.set)
            thread.join()


def _bound(port: int) -> socket.socket:
    sock = socket.socket()
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    sock.bind((LOOPBACK, port))
    return sock
