"""The toxic proxy does what each toxic's name says, so that what is proven behind it is proven."""

import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from tests.rogue import Rogue, raw
from tests.toxics import (
    Bandwidth,
    Down,
    Latency,
    LimitData,
    ResetPeer,
    Slicer,
    SlowClose,
    Timeout,
    Toxic,
    ToxicProxy,
    toxic_proxy,
)

BODY = b"x" * 1000


@pytest.fixture
def proxy() -> Iterator[ToxicProxy]:
    with Rogue(raw(BODY)) as server, toxic_proxy(server.port) as proxy:
        yield proxy


@contextmanager
def connected(proxy: ToxicProxy) -> Iterator[socket.socket]:
    with socket.create_connection(("127.0.0.1", proxy.port), timeout=5) as sock:
        yield sock


def fetched(sock: socket.socket) -> list[bytes]:
    """Ask, and give the pieces of the answer as they come, until its end."""
    sock.sendall(b"GET / HTTP/1.1\r\n\r\n")
    pieces = []
    while piece := sock.recv(65536):
        pieces.append(piece)
    return pieces


def timed(proxy: ToxicProxy, toxic: Toxic) -> tuple[bytes, float]:
    with proxy.poisoned(toxic), connected(proxy) as sock:
        began = time.monotonic()
        return b"".join(fetched(sock)), time.monotonic() - began


def test_without_a_toxic_bytes_pass_as_they_are(proxy: ToxicProxy) -> None:
    with connected(proxy) as sock:
        assert b"".join(fetched(sock)) == BODY
    assert proxy.struck == 0


def test_latency_delays_each_way(proxy: ToxicProxy) -> None:
    body, seconds = timed(proxy, Latency(0.1))
    assert body == BODY
    assert seconds >= 0.2
    assert proxy.struck >= 2


def test_bandwidth_carries_so_much_in_a_second(proxy: ToxicProxy) -> None:
    body, seconds = timed(proxy, Bandwidth(5000))
    assert body == BODY
    assert seconds >= 0.2


def test_slow_close_delays_the_end_alone(proxy: ToxicProxy) -> None:
    with proxy.poisoned(SlowClose(0.2)), connected(proxy) as sock:
        sock.sendall(b"GET / HTTP/1.1\r\n\r\n")
        began = time.monotonic()
        got = 0
        while got < len(BODY):
            got += len(sock.recv(65536))
        early = time.monotonic() - began
        assert sock.recv(1) == b""
        assert early < 0.2 <= time.monotonic() - began


def test_timeout_lets_nothing_pass_and_then_closes(proxy: ToxicProxy) -> None:
    body, seconds = timed(proxy, Timeout(0.1))
    assert body == b""
    assert seconds >= 0.1


def test_reset_peer_is_seen_as_a_reset(proxy: ToxicProxy) -> None:
    with proxy.poisoned(ResetPeer()), connected(proxy) as sock, pytest.raises(ConnectionResetError):
        fetched(sock)


def test_slices_are_small(proxy: ToxicProxy) -> None:
    with proxy.poisoned(Slicer(100, 0.005), ("downstream",)), connected(proxy) as sock:
        pieces = fetched(sock)
    assert b"".join(pieces) == BODY
    assert len(pieces) > 3


def test_limited_data_ends_at_the_limit(proxy: ToxicProxy) -> None:
    with proxy.poisoned(LimitData(300), ("downstream",)), connected(proxy) as sock:
        assert b"".join(fetched(sock)) == BODY[:300]


def test_down_refuses_new_connections_and_breaks_off_open_ones(proxy: ToxicProxy) -> None:
    with connected(proxy) as sock:
        with proxy.poisoned(Down()):
            with pytest.raises(ConnectionResetError):
                fetched(sock)
            with pytest.raises(ConnectionRefusedError):
                socket.create_connection(("127.0.0.1", proxy.port))
        with connected(proxy) as again:
            assert b"".join(fetched(again)) == BODY


def test_a_toxic_meets_connections_that_are_open_and_leaves_them(proxy: ToxicProxy) -> None:
    with connected(proxy) as sock:
        proxy.poison(Latency(5))
        sock.sendall(b"GET / HTTP/1.1\r\n")
        proxy.heal()
        assert b"".join(fetched(sock)) == BODY
