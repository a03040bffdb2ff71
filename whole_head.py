"""An answer whole, final, and alone on its connection.

`http.client` reads lines up to a line break or the end of the connection, and tells nobody which it was: an
answer that broke off in its head passes for one with fewer headers and no body, and a chunk's size that broke
off for the last chunk. Of the interim answers that any proxy may send before the final one (RFC 9110 §15.2)
it knows 100 alone: behind any other, the final answer would be read as that to the next request. So would
whatever else a server sends behind an answer.
"""

import io
import socket
from collections.abc import Mapping
from contextlib import suppress
from http import HTTPStatus
from http.client import HTTPResponse, IncompleteRead, RemoteDisconnected
from typing import Any, ClassVar

from requests.adapters import HTTPAdapter
from urllib3 import PoolManager
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool
from urllib3.response import BaseHTTPResponse


def is_framed(answer: BaseHTTPResponse) -> bool:
    """Say, before its body is read, whether an answer tells where that ends: what is cut is then an error.

    Any other ends with its connection, and looks whole wherever that is. It is urllib3 that holds the body to
    its length or its chunks, so it is asked what it made of the headers.
    """
    return answer.chunked or answer.length_remaining is not None


class WholeHead(HTTPResponse):
    """An answer, for the `response_class` of a connection.

    Reading raises RemoteDisconnected where a line of its head or of its chunks broke off. A connection on
    which more than the answer came is shut down with the answer's end.
    """

    def __init__(self, sock: socket.socket, *args: Any, **options: Any) -> None:
        super().__init__(sock, *args, **options)
        self.fp: _Lines = _Lines(self.fp.detach())
        self._sock = sock

    def begin(self) -> None:
        """Read the head."""
        super().begin()
        if self.fp.last not in (b"\r\n", b"\n"):
            raise RemoteDisconnected("The answer broke off in its head.")

    def _read_status(self) -> tuple[str, int, str]:
        version, status, reason = super()._read_status()  # type: ignore[misc]  # typeshed leaves it out
        # `begin` goes on to the next head behind this one.
        return version, HTTPStatus.CONTINUE if 100 <= status < 200 else status, reason

    def _safe_read(self, amt: int) -> bytes:
        if amt < 0:  # a chunk's size that is negative: it would be read to the end of all
            raise IncompleteRead(b"")
        read: bytes = super()._safe_read(amt)  # type: ignore[misc]  # typeshed leaves it out
        return read

    def _close_conn(self) -> None:
        if not self.will_close and self.fp.holds_more(self._sock):
            with suppress(OSError):
                self._sock.shutdown(socket.SHUT_RDWR)  # nobody uses it any more: it counts as closed
        super()._close_conn()  # type: ignore[misc]  # typeshed leaves it out


class _Lines(io.BufferedReader):
    """What is read, and the last line of it."""

    last = b""

    def readline(self, size: int | None = -1, /) -> bytes:
        self.last = line = super().readline(size)
        cut_short = size is None or size < 0 or len(line) < size
        if line and cut_short and not line.endswith(b"\n"):
            raise RemoteDisconnected("The answer broke off in a line.")
        return line

    def holds_more(self, sock: socket.socket) -> bool:
        """Say, without waiting, whether there is more to be read."""
        timeout = sock.gettimeout()
        try:
            sock.settimeout(0)
            return bool(self.peek(1))
        except (OSError, ValueError):  # TLS has nothing either, or it is closed
            return False
        finally:
            with suppress(OSError):
                sock.settimeout(timeout)


class _Connection(HTTPConnection):
    response_class = WholeHead


class _TLSConnection(HTTPSConnection):
    response_class = WholeHead


class _Pool(HTTPConnectionPool):
    ConnectionCls = _Connection


class _TLSPool(HTTPSConnectionPool):
    ConnectionCls = _TLSConnection


class WholeHeadAdapter(HTTPAdapter):
    """The transport of `requests` that takes no answer whose head broke off; `pools` by scheme."""

    pools: ClassVar[Mapping[str, type[HTTPConnectionPool]]] = {"http": _Pool, "https": _TLSPool}

    def init_poolmanager(self, *args: Any, **options: Any) -> None:
        """Make the pools of its connections."""
        super().init_poolmanager(*args, **options)
        self.poolmanager.pool_classes_by_scheme = dict(self.pools)

    def proxy_manager_for(self, *args: Any, **options: Any) -> PoolManager:
        """Make the pools of its connections by a proxy."""
        manager: PoolManager = super().proxy_manager_for(*args, **options)
        manager.pool_classes_by_scheme = dict(self.pools)
        return manager
