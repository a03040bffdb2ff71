"""The head of an answer, whole and final.

`http.client` reads headers up to a blank line or the end of the connection, and tells nobody which it was: an
answer that broke off in its head passes for one with fewer headers and no body. And of the interim answers
that any proxy may send before the final one (RFC 9110 §15.2) it knows 100 alone: behind any other, the final
answer would be read as that to the next request.
"""

import io
from collections.abc import Mapping
from http import HTTPStatus
from http.client import HTTPResponse, RemoteDisconnected
from typing import Any, ClassVar

from requests.adapters import HTTPAdapter
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool


class WholeHead(HTTPResponse):
    """An answer, for the `response_class` of a connection; RemoteDisconnected where its head broke off."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.fp: _Lines = _Lines(self.fp.detach())

    def begin(self) -> None:
        """Read the head."""
        super().begin()
        if self.fp.last not in (b"\r\n", b"\n"):
            raise RemoteDisconnected("The answer broke off in its head.")

    def _read_status(self) -> tuple[str, int, str]:
        version, status, reason = super()._read_status()  # type: ignore[misc]  # typeshed leaves it out
        # `begin` goes on to the next head behind this one.
        return version, HTTPStatus.CONTINUE if 100 <= status < 200 else status, reason


class _Lines(io.BufferedReader):
    """What is read, and the last line of it."""

    last = b""

    def readline(self, size: int | None = -1, /) -> bytes:
        self.last = super().readline(size)
        return self.last


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
