"""A server that misbehaves on a real socket, as its script says.

    with Rogue(answer(503), drip(head(200) + b"[")) as server:
        ...                                     # the first request is answered 503, all others drip
        assert server.received[0].headers["authorization"] == "Bearer key"

A scene is a function of one `Visit`: it sees the request and writes what it likes. Requests take the scenes
in turn; the last one stays. The server counts what is in flight and what connections are open.
"""

import gzip
import socket
import ssl
import struct
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass, field
from io import BufferedReader
from typing import Self

type Scene = Callable[["Visit"], None]

REASONS = {200: "OK", 302: "Found"}


@dataclass(frozen=True)
class Received:
    """A request as it came; header names in lower case."""

    method: str
    target: str
    headers: Mapping[str, str]
    body: bytes
    connection: int


@dataclass
class Visit:
    """One request and the socket it came on."""

    received: Received
    sock: socket.socket
    stopped: threading.Event
    closed: bool = field(default=False)

    def send(self, data: bytes) -> None:
        self.sock.sendall(data)

    def close(self) -> None:
        """End the connection in order, after what was sent."""
        self.closed = True

    def reset(self) -> None:
        """Break the connection off: the client sees a reset."""
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.closed = True

    def drip(self, data: bytes, every: float = 0.02) -> None:
        """Send one byte at a time, then the last one again and again, until the client goes."""
        at = 0
        while not self.stopped.wait(every):
            self.send(data[at : at + 1])
            at = min(at + 1, len(data) - 1)


def head(status: int, headers: Mapping[str, str] | None = None) -> bytes:
    """Write a status line and headers."""
    lines = [f"HTTP/1.1 {status} {REASONS.get(status, 'Something')}"]
    lines += [f"{name}: {value}" for name, value in (headers or {}).items()]
    return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")


def answer(status: int = 200, body: bytes = b"", headers: Mapping[str, str] | None = None) -> Scene:
    """Answer as one should, with a Content-Length."""
    own = {"Content-Type": "application/json", "Content-Length": str(len(body))}
    return lambda visit: visit.send(head(status, own | dict(headers or {})) + body)


def raw(data: bytes) -> Scene:
    """Send these bytes and close."""

    def scene(visit: Visit) -> None:
        visit.send(data)
        visit.close()

    return scene


def unframed(body: bytes, headers: Mapping[str, str] | None = None) -> Scene:
    """Answer 200 without a length: only closing tells the end."""
    return raw(head(200, {"Connection": "close"} | dict(headers or {})) + body)


def short(body: bytes, missing: int = 1, headers: Mapping[str, str] | None = None) -> Scene:
    """Promise more bytes than come."""
    return raw(head(200, {"Content-Length": str(len(body) + missing)} | dict(headers or {})) + body)


def chunked(body: bytes, *, whole: bool = True, headers: Mapping[str, str] | None = None) -> Scene:
    """Answer in chunks of 7 bytes; not whole: the last chunk never comes."""
    parts = [body[at : at + 7] for at in range(0, len(body), 7)]
    chunks = b"".join(b"%x\r\n%b\r\n" % (len(part), part) for part in parts)
    start = head(200, {"Transfer-Encoding": "chunked"} | dict(headers or {}))
    return raw(start + chunks + (b"0\r\n\r\n" if whole else b""))


def zipped(
    body: bytes, *, cut: int = 0, spoiled: bool = False, headers: Mapping[str, str] | None = None
) -> Scene:
    """Answer in gzip, asked for or not, inside a whole HTTP answer; cut: that many bytes are missing."""
    data = bytearray(gzip.compress(body))
    if spoiled:
        data[-5] ^= 0xFF  # in the checksum
    own = {"Content-Encoding": "gzip"} | dict(headers or {})
    return chunked(bytes(data[: len(data) - cut]), headers=own)


def drip(data: bytes, every: float = 0.02) -> Scene:
    """Send one byte at a time, for ever."""
    return lambda visit: visit.drip(data, every)


def silent(visit: Visit) -> None:
    """Take the request and never answer."""
    visit.stopped.wait()


def reset(after: bytes = b"") -> Scene:
    """Break off after these bytes."""

    def scene(visit: Visit) -> None:
        visit.send(after)
        visit.reset()

    return scene


def then_reset(scene: Scene) -> Scene:
    """Play a scene, then break the connection off, before a second request can use it."""

    def both(visit: Visit) -> None:
        scene(visit)
        visit.reset()

    return both


class Rogue:
    """The server, on loopback, on a free port.

    Args:
        script: the scenes in order; the last one stays.
        tls: the server's side of TLS, where it speaks TLS.
    """

    def __init__(self, *script: Scene, tls: ssl.SSLContext | None = None) -> None:
        self.received: list[Received] = []
        self.connections = 0
        self.open = 0
        self.most_in_flight = 0
        self._in_flight = 0
        self._script = list(script)
        self._tls = tls
        self._stopped = threading.Event()
        self._lock = threading.Lock()
        self._socks: set[socket.socket] = set()
        self._threads: list[threading.Thread] = []
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=256)
        self.port: int = self._listener.getsockname()[1]

    @property
    def url(self) -> str:
        return f"{'https' if self._tls else 'http'}://localhost:{self.port}/score"

    def play(self, *script: Scene) -> None:
        """Go on with another script."""
        with self._lock:
            self._script = list(script)

    def __enter__(self) -> Self:
        self._start(self._accept)
        return self

    def _start(self, work: Callable[..., None], *args: object) -> None:
        thread = threading.Thread(target=work, args=args, daemon=True)
        with self._lock:
            self._threads.append(thread)
        thread.start()

    def __exit__(self, *_: object) -> None:
        self._stopped.set()
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)  # wakes accept
        self._listener.close()
        with self._lock:
            for sock in self._socks:
                with suppress(OSError):
                    sock.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join(5)

    def _accept(self) -> None:
        while not self._stopped.is_set():
            try:
                sock, _ = self._listener.accept()
            except OSError:
                return
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self._start(self._serve, sock)

    def _serve(self, sock: socket.socket) -> None:
        with self._lock:
            self.connections += 1
            self.open += 1
            number = self.connections
        # What goes wrong on a connection is the client's doing, or the script's: it simply ends.
        with suppress(OSError):
            sock = self._tls.wrap_socket(sock, server_side=True) if self._tls else sock
            with self._lock:
                self._socks.add(sock)
                if self._stopped.is_set():
                    sock.shutdown(socket.SHUT_RDWR)
            with closing(sock.makefile("rb")) as file:
                self._converse(sock, file, number)
        with self._lock:
            self._socks.discard(sock)
            self.open -= 1
        sock.close()

    def _converse(self, sock: socket.socket, file: BufferedReader, number: int) -> None:
        while (received := _read(file, number)) is not None:
            visit = Visit(received, sock, self._stopped)
            with self._counted(received) as scene:
                scene(visit)
            if visit.closed:
                return

    @contextmanager
    def _counted(self, received: Received) -> Iterator[Scene]:
        with self._lock:
            self.received.append(received)
            self._in_flight += 1
            self.most_in_flight = max(self.most_in_flight, self._in_flight)
            scene = self._script.pop(0) if len(self._script) > 1 else self._script[0]
        try:
            yield scene
        finally:
            with self._lock:
                self._in_flight -= 1


def _read(file: BufferedReader, number: int) -> Received | None:
    """Read one request; None at the end of the connection."""
    readline = file.readline
    first = readline().decode("latin-1").split()
    if len(first) != 3:
        return None
    headers: dict[str, str] = {}
    while (line := readline().decode("latin-1").rstrip("\r\n")) != "":
        name, _, value = line.partition(":")
        headers[name.lower()] = value.strip()
    body = file.read(int(headers.get("content-length", "0")))
    return Received(first[0], first[1], headers, body, number)
