"""The watchdog: what is cut, when, and that nothing stays behind. Over real sockets."""

import socket
import threading
import time
from collections.abc import Iterator

import pytest
import requests

from cutoff import MOST_JOINED, MOST_STALE, Exchange, Watchdog, WatchedAdapter, _Watched, cut_at
from tests.rogue import Rogue, Visit, answer, head, raw, silent
from whole_head import WholeHeadAdapter


@pytest.fixture
def pair() -> Iterator[tuple[socket.socket, socket.socket]]:
    ours, theirs = socket.socketpair()
    ours.settimeout(5)
    yield ours, theirs
    ours.close()
    theirs.close()


def test_a_blocked_read_returns_when_its_exchange_is_cut(pair: tuple[socket.socket, socket.socket]) -> None:
    began = time.monotonic()
    with cut_at(began + 0.05) as exchange:
        exchange.watch(pair[0].fileno())
        assert pair[0].recv(1) == b""
    assert exchange.cut
    assert 0.04 < time.monotonic() - began < 1


def test_a_second_request_of_one_exchange_is_cut_too() -> None:
    def second_silent(visit: Visit) -> None:
        (silent if visit.received.target == "/second" else answer(200, b"[]"))(visit)

    with Rogue(second_silent) as server, requests.Session() as session:
        session.mount("http://", WatchedAdapter())
        began = time.monotonic()
        with cut_at(began + 0.2) as exchange:
            session.get(f"http://localhost:{server.port}/first", timeout=5)
            with pytest.raises(requests.ConnectionError):
                session.get(f"http://localhost:{server.port}/second", timeout=5)
        assert exchange.cut
        assert server.connections == 1
        assert time.monotonic() - began < 2


def test_a_second_request_is_cut_though_another_has_taken_over_the_connection_of_the_first() -> None:
    def second_silent(visit: Visit) -> None:
        (silent if visit.received.target == "/second" else answer(200, b"[]"))(visit)

    def other() -> None:
        with cut_at(time.monotonic() + 60):
            session.get(f"http://localhost:{server.port}/other", timeout=5)

    with Rogue(second_silent) as server, requests.Session() as session:
        session.mount("http://", WatchedAdapter())
        began = time.monotonic()
        with cut_at(began + 0.3) as exchange:
            session.get(f"http://localhost:{server.port}/first", timeout=5)
            taking_over = threading.Thread(target=other)
            taking_over.start()
            taking_over.join()
            with pytest.raises(requests.ConnectionError):
                session.get(f"http://localhost:{server.port}/second", timeout=5)
        assert exchange.cut
        assert server.connections == 1
        assert time.monotonic() - began < 2


def test_an_exchange_whose_connection_another_has_taken_over_cuts_it_no_more() -> None:
    def second_expires_first(visit: Visit) -> None:
        if visit.received.target == "/second":
            first.expire()
        answer(200, b"[]")(visit)

    def second() -> None:
        with cut_at(time.monotonic() + 60):
            told.append(session.get(f"http://localhost:{server.port}/second", timeout=5).content)

    told: list[bytes] = []
    with Rogue(second_expires_first) as server, requests.Session() as session:
        session.mount("http://", WatchedAdapter())
        with cut_at(time.monotonic() + 60) as first:
            session.get(f"http://localhost:{server.port}/first", timeout=5)
            taking_over = threading.Thread(target=second)
            taking_over.start()
            taking_over.join()
        assert first.cut
        assert (told, server.connections) == ([b"[]"], 1)


@pytest.mark.parametrize(("headers", "kept"), [({}, True), ({"Connection": "close"}, False)])
def test_an_exchange_tells_whether_it_went_out_on_a_kept_connection(
    headers: dict[str, str], kept: bool
) -> None:
    with Rogue(answer(200, b"[]", headers)) as server, requests.Session() as session:
        session.mount("http://", WatchedAdapter())
        for on_kept in (False, kept):
            with cut_at(time.monotonic() + 60) as exchange:
                session.get(f"http://localhost:{server.port}/", timeout=5)
            assert exchange.on_kept is on_kept


def test_a_connection_that_was_cut_just_before_it_was_taken_over_is_made_anew(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    be_watched = _Watched._be_watched

    def cut_before(connection: _Watched, sock: socket.socket) -> bool:
        if server.received:
            first.expire()
        return be_watched(connection, sock)

    monkeypatch.setattr(_Watched, "_be_watched", cut_before)
    with Rogue(answer(200, b"[]")) as server, requests.Session() as session:
        session.mount("http://", WatchedAdapter())
        url = f"http://localhost:{server.port}/"
        cutting = cut_at(time.monotonic() + 60)
        first = cutting.__enter__()
        session.get(url, timeout=5)
        try:
            with cut_at(time.monotonic() + 60):
                assert session.get(url, timeout=5).content == b"[]"
        finally:
            cutting.__exit__(None, None, None)
        assert (server.connections, len(server.received)) == (2, 2)


@pytest.mark.parametrize("adapter", [WatchedAdapter, WholeHeadAdapter])
def test_by_a_proxy_too_no_answer_is_taken_that_broke_off_in_its_head(
    adapter: type[WholeHeadAdapter],
) -> None:
    with Rogue(raw(b"HTTP/1.1 200 OK\r\nETag: 1\r\n")) as proxy, requests.Session() as session:
        session.mount("http://", adapter())
        with pytest.raises(requests.ConnectionError):
            session.get("http://node.example/", proxies={"http": f"http://localhost:{proxy.port}"}, timeout=5)


@pytest.mark.parametrize("adapter", [WatchedAdapter, WholeHeadAdapter])
@pytest.mark.parametrize(
    "before",
    [b"", head(100), head(103, {"Link": "</x>"}), head(199), head(102) + head(103)],
    ids=["none", "100", "103", "199", "two"],
)
@pytest.mark.parametrize("end", [b"\r\n", b"\n"], ids=["CRLF", "LF"])
def test_an_answer_is_the_final_one_however_its_lines_end(
    adapter: type[WholeHeadAdapter], before: bytes, end: bytes
) -> None:
    told = before + head(200, {"Content-Length": "2"}) + b"[]"
    with Rogue(raw(told.replace(b"\r\n", end))) as server, requests.Session() as session:
        session.mount("http://", adapter())
        response = session.get(f"http://localhost:{server.port}/", timeout=5)
    assert (response.status_code, response.content) == (200, b"[]")


@pytest.mark.parametrize("adapter", [WatchedAdapter, WholeHeadAdapter])
def test_an_answer_without_a_body_is_read_at_once(adapter: type[WholeHeadAdapter]) -> None:
    with Rogue(answer(200, b"")) as server, requests.Session() as session:
        session.mount("http://", adapter())
        with session.get(f"http://localhost:{server.port}/", timeout=5, stream=True) as response:
            assert response.raw.read() == b""


def test_by_a_proxy_too_an_exchange_is_cut() -> None:
    with Rogue(silent) as proxy, requests.Session() as session:
        session.mount("http://", WatchedAdapter())
        began = time.monotonic()
        with cut_at(began + 0.1) as exchange, pytest.raises(requests.RequestException):
            session.get("http://node.example/", proxies={"http": f"http://localhost:{proxy.port}"}, timeout=5)
        assert exchange.cut
        assert time.monotonic() - began < 2


def test_where_no_thread_can_be_had_the_next_exchange_starts_one(
    pair: tuple[socket.socket, socket.socket], monkeypatch: pytest.MonkeyPatch
) -> None:
    def none_left(_: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    dog, exchange = Watchdog(), Exchange()
    with monkeypatch.context() as starved:
        starved.setattr(threading.Thread, "start", none_left)
        with pytest.raises(RuntimeError):
            dog.add(time.monotonic(), exchange)
    exchange.watch(pair[0].fileno())
    dog.add(time.monotonic(), exchange)
    assert pair[0].recv(1) == b""
    dog.remove(exchange)


def test_a_socket_that_comes_after_the_cut_is_cut_too(pair: tuple[socket.socket, socket.socket]) -> None:
    exchange = Exchange()
    exchange.expire()
    exchange.watch(pair[0].fileno())
    assert pair[0].recv(1) == b""
    exchange.end()


def test_an_exchange_that_ended_in_time_is_never_cut(pair: tuple[socket.socket, socket.socket]) -> None:
    with cut_at(time.monotonic() + 60) as exchange:
        exchange.watch(pair[0].fileno())
    exchange.expire()
    assert not exchange.cut
    pair[1].send(b"x")
    assert pair[0].recv(1) == b"x"


def test_an_earlier_end_is_kept_though_a_later_one_was_set_before_it(
    pair: tuple[socket.socket, socket.socket],
) -> None:
    began = time.monotonic()
    with cut_at(began + 60), cut_at(began + 0.05) as soon:
        soon.watch(pair[0].fileno())
        assert pair[0].recv(1) == b""
    assert time.monotonic() - began < 1


def test_a_descriptor_that_was_closed_and_given_out_anew_is_not_touched() -> None:
    first, peer = socket.socketpair()
    exchange = Exchange()
    exchange.watch(first.fileno())
    number = first.fileno()
    first.close()
    other, its_peer = socket.socketpair()
    assert number in (other.fileno(), its_peer.fileno())
    exchange.expire()
    its_peer.send(b"x")
    assert other.recv(1) == b"x"
    exchange.end()
    for sock in (peer, other, its_peer):
        sock.close()


def test_ended_exchanges_do_not_pile_up() -> None:
    watchdog = Watchdog()
    for _ in range(10 * MOST_STALE):
        exchange = Exchange()
        watchdog.add(time.monotonic() + 3600, exchange)
        watchdog.remove(exchange)
    assert len(watchdog._heap) <= MOST_STALE + 1


def test_ended_exchanges_make_no_other_late(pair: tuple[socket.socket, socket.socket]) -> None:
    dog, began = Watchdog(), time.monotonic()
    ended, soon, late = Exchange(), Exchange(), Exchange()
    soon.watch(pair[0].fileno())
    for at, exchange in ((0.3, ended), (60, late), (0.4, soon)):
        dog.add(began + at, exchange)
    dog.remove(ended)
    for _ in range(MOST_STALE + 1):
        exchange = Exchange()
        dog.add(began + 60, exchange)
        dog.remove(exchange)
    assert len(dog._heap) < MOST_STALE, "what ended was taken out"
    assert pair[0].recv(1) == b""
    for exchange in (soon, late):
        dog.remove(exchange)


def test_a_connection_that_its_own_thread_has_just_closed_looks_alive_to_no_other(
    pair: tuple[socket.socket, socket.socket],
) -> None:
    connection = _Watched("ml.example")
    connection.sock, connection._used = pair[0], time.monotonic()
    assert connection.looks_alive
    pair[0].close()
    assert not connection.looks_alive


def test_one_thread_watches_all() -> None:
    with cut_at(time.monotonic() + 60):
        before = [t for t in threading.enumerate() if t.name == "watchdog"]
    for _ in range(50):
        with cut_at(time.monotonic() + 60):
            pass
    assert [t for t in threading.enumerate() if t.name == "watchdog"] == before
    assert all(thread.daemon for thread in before), "it keeps no process from ending"


@pytest.mark.parametrize(("size", "packets"), [(0, 1), (100, 1), (MOST_JOINED, 2)])
def test_a_small_body_goes_out_with_its_head_and_every_body_whole(
    size: int, packets: int, pair: tuple[socket.socket, socket.socket]
) -> None:
    class Listening(socket.socket):
        """Keeps what is sent."""

        sent: list[bytes]

        def sendall(self, data: bytes, flags: int = 0) -> None:  # type: ignore[override]  # bytes alone are sent
            self.sent.append(data)

    connection, listening = _Watched("ml.example"), Listening(fileno=pair[0].detach())
    listening.sent = []
    connection.sock = listening
    for _ in range(2):
        body = b"x" * size
        connection.request("POST", "/score", body=body, headers={"Content-Length": str(size)})
        head, _, sent = b"".join(listening.sent).partition(b"\r\n\r\n")
        assert head.startswith(b"POST /score HTTP/1.1\r\n")
        assert (sent, len(listening.sent)) == (body, packets)
        listening.sent.clear()
        connection._HTTPConnection__state = "Idle"  # type: ignore[attr-defined]  # answered
    listening.close()
