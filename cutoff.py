"""Cuts an HTTP exchange of `requests` at a point in time, whatever the server does.

The timeouts of `requests` start again at every read: a server that drips one byte at a time, in headers or
body, holds them off for ever (facts/engineering.md C-M3). Here one thread watches the sockets of all
exchanges under way and shuts each down when its time is up; the reading thread then fails at once.

    session.mount("https://", WatchedAdapter(...))
    with cut_at(monotonic() + 5) as exchange:
        response = session.post(..., stream=True, timeout=5)
        body = response.raw.read()
    # exchange.cut says whether what was read is worth nothing
"""

import heapq
import os
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from http import HTTPStatus
from itertools import count
from time import monotonic
from typing import Any

from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool
from urllib3.response import HTTPResponse

from whole_head import WholeHead, WholeHeadAdapter

# Load balancers forget idle connections without a word after some minutes (Azure's after 4): a connection
# idle for longer than this is not used again.
LONGEST_IDLE_S = 60.0

# Head and body go out in one send up to this size; beyond it, copying them together costs more than a second
# packet and waking the server twice.
MOST_JOINED = 256 * 1024

# Entries of exchanges that ended early stay in the heap until there are this many more than live ones.
MOST_STALE = 256


class NotKept(Exception):
    """There is no connection that is kept, and the exchange may make none."""


class Exchange:
    """One request and its answer, on whatever connection it travels; `kept_only`: on one that is kept.

    Attributes:
        cut: its time was up: what was read is worth nothing.
        on_kept: its last request went out on a connection kept from an earlier one.
    """

    def __init__(self, *, kept_only: bool = False) -> None:
        self.kept_only = kept_only
        self.cut = False
        self.on_kept = False
        self.done = False
        self._lock = threading.Lock()
        self._sockets: list[socket.socket] = []

    def watch(self, fd: int) -> Callable[[], bool]:
        """Hold a duplicate of the exchange's socket, so that cutting never meets a foreign descriptor.

        Returns:
            What lets go of it, so that this exchange cuts it no more; it says whether it could until then.
        """
        own = socket.socket(fileno=os.dup(fd))
        with self._lock:
            self._sockets.append(own)
            if self.cut:
                _shut(own)
        return lambda: self._forget(own)

    def expire(self) -> None:
        """Shut the connection down, below TLS: blocked reads and writes of it return at once."""
        with self._lock:
            if self.done:
                return
            self.cut = True
            for own in self._sockets:
                _shut(own)

    def end(self) -> None:
        """Let go of the sockets; from now on nothing is cut."""
        with self._lock:
            self.done = True
            for own in self._sockets:
                own.close()
            self._sockets.clear()

    def _forget(self, own: socket.socket) -> bool:
        with self._lock:
            if own not in self._sockets:
                return False
            self._sockets.remove(own)
            own.close()
            return True


def _shut(own: socket.socket) -> None:
    with suppress(OSError):  # the peer was faster: the connection is gone already
        own.shutdown(socket.SHUT_RDWR)


class Watchdog:
    """The thread that expires exchanges, started with the first one."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._heap: list[tuple[float, int, Exchange]] = []
        self._order = count()
        self._live = 0
        self._thread: threading.Thread | None = None

    def add(self, at: float, exchange: Exchange) -> None:
        """Expire an exchange at a time of `time.monotonic()`."""
        with self._changed:
            if self._thread is None:
                thread = threading.Thread(target=self._watch, name="watchdog", daemon=True)
                thread.start()  # where none can be had, the next exchange tries again
                self._thread = thread
            self._live += 1
            heapq.heappush(self._heap, (at, next(self._order), exchange))
            if self._heap[0][2] is exchange:
                self._changed.notify()

    def remove(self, exchange: Exchange) -> None:
        """Forget an exchange that has ended."""
        exchange.end()
        with self._changed:
            self._live -= 1
            if len(self._heap) - self._live > MOST_STALE:
                self._heap = [entry for entry in self._heap if not entry[2].done]
                heapq.heapify(self._heap)

    def _watch(self) -> None:
        while True:
            with self._changed:
                while not self._heap or self._heap[0][0] > monotonic():
                    self._changed.wait(self._heap[0][0] - monotonic() if self._heap else None)
                exchange = heapq.heappop(self._heap)[2]
            exchange.expire()


_watchdog = Watchdog()
_current = threading.local()


def _under_way() -> Exchange | None:
    """Give the exchange of this thread."""
    found: Exchange | None = getattr(_current, "exchange", None)
    return found


@contextmanager
def cut_at(at: float, *, kept_only: bool = False) -> Iterator[Exchange]:
    """Cut what this thread sends through a `WatchedAdapter` at a time of `time.monotonic()`.

    With `kept_only` it raises NotKept rather than to make a connection: resolving a name cannot be cut.
    """
    exchange = Exchange(kept_only=kept_only)
    _watchdog.add(at, exchange)
    _current.exchange = exchange
    try:
        yield exchange
    finally:
        _current.exchange = None
        _watchdog.remove(exchange)


class _Answer(WholeHead):
    def begin(self) -> None:
        super().begin()
        # None of what we ask is answered so; a body that comes all the same would be the next call's answer.
        if self.status in (HTTPStatus.NO_CONTENT, HTTPStatus.NOT_MODIFIED):
            self.will_close = True


class _Watched(HTTPConnection):
    """A connection that shows its socket to the exchange of the thread that uses it."""

    response_class = _Answer
    _used = 0.0
    _let_go: Callable[[], bool] | None = None
    _head_waits = False
    _head = b""

    def _new_conn(self) -> socket.socket:
        exchange = _under_way()
        if exchange is not None and exchange.kept_only:
            raise NotKept
        # Before TLS wraps the socket: a server may also drip its handshake.
        sock = super()._new_conn()
        self._be_watched(sock)
        return sock

    def _be_watched(self, sock: socket.socket) -> bool:
        """Be cut by the exchange of this thread alone; say whether until now by another."""
        taken_over = self._let_go is not None and self._let_go()
        exchange = _under_way()
        self._let_go = exchange.watch(sock.fileno()) if exchange else None
        return taken_over

    def request(self, *args: Any, **options: Any) -> None:
        if self.sock is not None and self._used:  # kept from an earlier exchange
            taken_over = self._be_watched(self.sock)
            if taken_over and not self.is_connected:  # its time was up in the meantime
                self.close()
        if exchange := _under_way():
            exchange.on_kept = self.sock is not None and bool(self._used)
        self._used = monotonic()
        body = options.get("body")
        self._head_waits, self._head = isinstance(body, bytes) and bool(body), b""
        super().request(*args, **options)

    def send(self, data: Any) -> None:
        if self._head_waits:
            self._head_waits, self._head = False, data
            return
        head, self._head = self._head, b""
        if head and len(head) + len(data) > MOST_JOINED:
            super().send(head)
            head = b""
        super().send(head + data if head else data)

    def getresponse(self) -> HTTPResponse:  # type: ignore[override]  # urllib3 gives its own too
        response = super().getresponse()
        self._used = monotonic()
        return response

    @property
    def looks_alive(self) -> bool:
        """Say, to any thread, whether it is not idle for too long, and the server has not closed it."""
        try:
            return monotonic() - self._used < LONGEST_IDLE_S and super().is_connected
        except (OSError, TypeError, ValueError):  # the thread that uses it has just closed it
            return False

    @property
    def is_connected(self) -> bool:
        # What TLS has decrypted already is not in the socket: it belongs to no request of ours.
        left_over = self.sock.pending() if isinstance(self.sock, ssl.SSLSocket) else 0
        return not left_over and self.looks_alive


class _WatchedTLS(_Watched, HTTPSConnection):
    pass


class _Pool(HTTPConnectionPool):
    ConnectionCls = _Watched


class _TLSPool(HTTPSConnectionPool):
    ConnectionCls = _WatchedTLS


class WatchedAdapter(WholeHeadAdapter):
    """The transport, with or without a `requests.Session`, whose exchanges `cut_at` can cut."""

    pools = {"http": _Pool, "https": _TLSPool}  # noqa: RUF012  # the mapping that it is there
