"""What a caller can rely on of one POST, whatever the server does on the socket."""

import http.client
import logging
import re
import socket
import ssl
import threading
import time
from collections.abc import Mapping
from pathlib import Path

import pytest

import cutoff
from errors import BadAnswer, Fault, SettingsWrong
from scoring.deadline import Deadline
from scoring.endpoint import Endpoint
from scoring.identity import identity_of
from scoring.verdicts import Reply, Trouble
from tests.faults.scoring.conftest import KEY, Post, model_settings
from tests.rogue import (
    Rogue,
    Scene,
    Visit,
    answer,
    chunked,
    drip,
    head,
    raw,
    reset,
    short,
    silent,
    unframed,
    zipped,
)

BODY = b'[{"score": 0.25}, {"score": 0.75}]'


@pytest.mark.statement("azureml-14", "azureml-15")
def test_a_request_is_json_of_known_length_with_the_key_and_an_id_and_nothing_of_the_environment(
    post: Post, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    netrc = tmp_path / "netrc"
    netrc.write_text("machine localhost login someone password else")
    monkeypatch.setenv("NETRC", str(netrc))
    monkeypatch.setenv("http_proxy", "http://localhost:9")
    monkeypatch.setenv("all_proxy", "http://localhost:9")
    with Rogue(answer(200, BODY)) as server:
        assert post(server) == Reply(200, post_headers(len(BODY)), BODY)
    (received,) = server.received
    assert received.method == "POST"
    assert received.body == b"[]"
    assert received.headers == {
        "host": f"localhost:{server.port}",
        "accept": "application/json",
        "accept-encoding": "identity",
        "authorization": f"Bearer {KEY}",
        "content-length": "2",
        "content-type": "application/json",
        "user-agent": "sesam-azure-ml",
        "x-ms-client-request-id": "request-1",
    }


def post_headers(length: int) -> dict[str, str]:
    return {"content-type": "application/json", "content-length": str(length)}


@pytest.mark.statement("azureml-18")
def test_the_deployment_is_named_only_by_the_model_that_sets_it(post: Post) -> None:
    with Rogue(answer()) as server:
        post(server, deployment="green")
        post(server)
        post(server, deployment="blue")
    assert [r.headers.get("azureml-model-deployment") for r in server.received] == ["green", None, "blue"]


@pytest.mark.statement("azureml-15")
def test_without_an_identity_no_authorization_is_sent(post: Post) -> None:
    with Rogue(answer()) as server:
        post(server, auth="none", key="")
    assert "authorization" not in server.received[0].headers


@pytest.mark.statement("azureml-14", "azureml-17")
def test_the_log_holds_both_request_ids_and_neither_key_nor_query_nor_content(
    post: Post, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    headers = {"x-request-id": "0f6a2c1e-service", "x-evil": "planted-content"}
    with Rogue(answer(424, b"planted-content", headers)) as server:
        post(server, url=server.url + "?code=planted-query")
    assert "x-ms-client-request-id request-1, x-request-id 0f6a2c1e-service" in caplog.text
    assert "424" in caplog.text
    own = "\n".join(r.getMessage() for r in caplog.records if not r.name.startswith("urllib3"))
    for secret in (KEY, "planted-query", "planted-content"):
        assert secret not in own
    assert KEY not in caplog.text


def test_a_request_id_of_the_service_that_is_none_is_not_logged(
    post: Post, caplog: pytest.LogCaptureFixture
) -> None:
    with Rogue(answer(400, b"", {"x-request-id": "Kari Nordmann, Oslo"})) as server:
        post(server)
    assert "x-request-id -" in caplog.text


def test_a_good_answer_has_no_line_beside_its_batchs(post: Post, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    with Rogue(answer(200, b"[]"), answer(500)) as server:
        post(server)
        assert caplog.text == ""
        post(server)
    assert "500 after" in caplog.text


@pytest.mark.fault(22)
@pytest.mark.statement("azureml-17")
@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_redirect_is_not_followed_and_the_key_stays_here(post: Post, status: int) -> None:
    with Rogue(answer(200, b"[]")) as elsewhere, Rogue() as server:
        server.play(answer(status, b"moved", {"Location": elsewhere.url}))
        reply = post(server)
    assert isinstance(reply, Reply)
    assert reply.status == status
    assert len(server.received) == 1
    assert elsewhere.received == []


@pytest.mark.fault(22)
@pytest.mark.parametrize("location", ["http://[", "", "//", "http://localhost:99999/", "\xe6\xf8"])
def test_a_redirect_to_nonsense_is_a_redirect(post: Post, location: str) -> None:
    with Rogue(answer(302, b"", {"Location": location})) as server:
        reply = post(server)
    assert isinstance(reply, Reply)
    assert reply.status == 302


@pytest.mark.statement("azureml-17")
def test_cookies_are_not_kept(post: Post) -> None:
    with Rogue(answer(200, b"", {"Set-Cookie": "ARRAffinity=abc; Path=/"})) as server:
        settings = model_settings(server)
        endpoint = Endpoint("churn", settings, identity_of(settings), answer_bytes=100)
        for number in range(2):
            endpoint.post(b"[]", Deadline.after(5), f"request-{number}")
        endpoint.close()
    assert "cookie" not in server.received[1].headers


WHOLE: dict[str, Scene] = {
    "with a length": answer(200, BODY),
    "in chunks": chunked(BODY),
    "unframed": unframed(BODY),
    "in gzip, though not asked for": zipped(BODY),
    "dripping, but in time": drip(head(200, {"Content-Length": str(len(BODY))}) + BODY, 0.001),
}


@pytest.mark.parametrize("scene", WHOLE.values(), ids=WHOLE)
def test_a_whole_answer_is_read_however_it_comes(post: Post, scene: Scene) -> None:
    with Rogue(scene) as server:
        reply = post(server)
    assert isinstance(reply, Reply)
    assert (reply.status, reply.body) == (200, BODY)


def test_only_an_unframed_answer_is_marked_as_such(post: Post) -> None:
    framed = {}
    for how, scene in WHOLE.items():
        with Rogue(scene) as server:
            reply = post(server)
        assert isinstance(reply, Reply)
        framed[how] = reply.framed
    assert [how for how, known in framed.items() if not known] == ["unframed"]


BROKEN: dict[str, Scene] = {
    "shorter than its length": short(BODY),
    "without its last chunk": chunked(BODY, whole=False),
    "amid a chunk": raw(head(200, {"Transfer-Encoding": "chunked"}) + b"ff\r\n[1,2"),
    "amid a chunk's size": raw(head(200, {"Transfer-Encoding": "chunked"}) + b"2\r\n[]\r\n000"),
    "with a chunk of less than nothing": raw(head(200, {"Transfer-Encoding": "chunked"}) + b"-5\r\n[]\r\n"),
    "gzip cut inside a whole answer": zipped(BODY, cut=9),
    "gzip without its checksum": zipped(BODY, cut=8),
    "gzip cut and unframed": unframed(b"\x1f\x8b\x08", {"Content-Encoding": "gzip"}),
    "reset amid the body": reset(head(200, {"Content-Length": "100"}) + b"[1,2"),
}


@pytest.mark.fault(18)
@pytest.mark.parametrize("scene", BROKEN.values(), ids=BROKEN)
def test_an_answer_that_breaks_off_is_no_answer(post: Post, scene: Scene) -> None:
    with Rogue(scene) as server:
        assert post(server) == Trouble(Fault.BROKEN)


GARBLED: dict[str, Scene] = {
    "no HTTP": raw(b"SSH-2.0-OpenSSH_9.6\r\n"),
    "gzip with a wrong checksum": zipped(BODY, spoiled=True),
    "a compression never heard of": chunked(BODY, headers={"Content-Encoding": "zstd-ultra"}),
}


@pytest.mark.fault(15)
@pytest.mark.parametrize("scene", GARBLED.values(), ids=GARBLED)
def test_what_is_no_http_answer_is_told_from_a_broken_connection(post: Post, scene: Scene) -> None:
    with Rogue(scene) as server:
        assert post(server) == Trouble(Fault.GARBLED)


GIANT_HEADS: dict[str, Scene] = {
    "an endless header line": raw(b"HTTP/1.1 200 OK\r\nx-giant: " + b"a" * 70_000),
    "a thousand headers": raw(head(200, {f"x-{n}": "a" for n in range(1000)})),
    "one header over the limit": answer(200, b"[]", {"x-giant": "a" * 40_000}),
    "many headers over the limit": answer(200, b"[]", {f"x-{n}": "a" * 4000 for n in range(9)}),
    "an error with giant headers": answer(503, b"", {"x-giant": "a" * 40_000}),
}


@pytest.mark.fault(15)
@pytest.mark.parametrize("scene", GIANT_HEADS.values(), ids=GIANT_HEADS)
def test_headers_over_the_limit_are_a_bad_answer_that_names_it(post: Post, scene: Scene) -> None:
    with Rogue(scene) as server, pytest.raises(BadAnswer, match=r"over 32768 bytes \(limits.header_bytes\)"):
        post(server)


def test_headers_under_the_limit_are_taken(post: Post) -> None:
    with Rogue(answer(200, b"[]", {"x-large": "a" * 30_000})) as server:
        assert isinstance(post(server), Reply)


@pytest.mark.statement("azureml-17")
def test_a_service_that_echoes_the_key_does_not_spread_it(post: Post) -> None:
    echo = f'{{"error": "invalid token {KEY} at ?code=planted-in-the-url"}}'.encode()
    with Rogue(answer(424, echo, {"x-request-id": KEY, "x-ms-reason": f"Bearer {KEY}"})) as server:
        reply = post(server, url=f"{server.url}?api-version=2.0&code=planted-in-the-url")
    assert isinstance(reply, Reply)
    assert KEY not in f"{reply.body!r} {reply.headers} {reply.request_id}"
    assert reply.body.decode() == '{"error": "invalid token … at ?code=…"}'


@pytest.mark.fault(19)
def test_a_refused_connection_is_no_connection(post: Post) -> None:
    with Rogue(answer()) as server:
        pass
    assert post(server) == Trouble(Fault.UNREACHABLE)


@pytest.mark.fault(19)
def test_a_host_that_has_no_address_is_no_connection(post: Post, monkeypatch: pytest.MonkeyPatch) -> None:
    def no_address(*_: object) -> None:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    # The one place where the network is not real: a test must not ask a name server.
    monkeypatch.setattr(socket, "getaddrinfo", no_address)
    with Rogue(answer()) as server:
        assert post(server) == Trouble(Fault.UNREACHABLE)


@pytest.mark.fault(19)
@pytest.mark.parametrize("sent", [b"", b"HTTP/1.1 200 OK\r\nContent-Le"], ids=["nothing", "half a head"])
def test_a_reset_before_the_answer_is_no_answer(post: Post, sent: bytes) -> None:
    with Rogue(reset(sent)) as server:
        assert post(server) == Trouble(Fault.BROKEN)


@pytest.mark.fault(19)
@pytest.mark.parametrize("sent", [b"HTTP/1.1 200 OK", b"HTTP/1.1 200 OK\r\nServer: AML\r\n", head(200)[:-2]])
def test_an_answer_that_ends_in_its_head_is_none(post: Post, sent: bytes) -> None:
    with Rogue(raw(sent)) as server:
        assert post(server) == Trouble(Fault.BROKEN)


@pytest.mark.fault(19)
def test_a_reset_after_a_whole_answer_does_no_harm(post: Post) -> None:
    with Rogue(reset(head(200, {"Content-Length": "2"}) + b"[]")) as server:
        settings = model_settings(server)
        endpoint = Endpoint("churn", settings, identity_of(settings), answer_bytes=100)
        replies = [endpoint.post(b"[]", Deadline.after(5), f"request-{n}") for n in range(3)]
        endpoint.close()
    # The reset may overtake the answer, which then broke off; nothing else may come of it.
    whole = Reply(200, {"content-length": "2"}, b"[]")
    assert all(reply in (whole, Trouble(Fault.BROKEN), Trouble(Fault.UNREACHABLE)) for reply in replies)


def test_a_connection_is_used_again(post: Post) -> None:
    with Rogue(answer(200, b"[]")) as server:
        settings = model_settings(server)
        endpoint = Endpoint("churn", settings, identity_of(settings), answer_bytes=100)
        for number in range(5):
            endpoint.post(b"[]", Deadline.after(5), f"request-{number}")
        assert server.connections == 1
        endpoint.close()


def test_a_closed_endpoint_that_is_asked_again_connects_anew() -> None:
    with Rogue(answer(200, b"[]")) as server:
        settings = model_settings(server)
        endpoint = Endpoint("churn", settings, identity_of(settings), answer_bytes=100)
        for number in range(2):
            reply = endpoint.post(b"[]", Deadline.after(5), f"request-{number}")
            assert reply == Reply(200, post_headers(2), b"[]")
            endpoint.close()
        assert server.connections == 2


def test_a_header_that_comes_twice_is_one_of_both_values(post: Post) -> None:
    with Rogue(raw(b"HTTP/1.1 200 OK\r\nx-two: a\r\nContent-Length: 2\r\nX-Two: b\r\n\r\n[]")) as server:
        assert post(server) == Reply(200, {"x-two": "a, b", "content-length": "2"}, b"[]")


def test_a_connection_that_was_idle_for_long_is_not_used_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cutoff, "LONGEST_IDLE_S", 0.0)
    with Rogue(answer(200, b"[]")) as server:
        settings = model_settings(server)
        endpoint = Endpoint("churn", settings, identity_of(settings), answer_bytes=100)
        for number in range(3):
            endpoint.post(b"[]", Deadline.after(5), f"request-{number}")
        assert server.connections == 3
        endpoint.close()


SLOW: dict[str, Scene] = {
    "never answers": silent,
    "drips its headers": drip(head(200, {"x-long": "a" * 1000})),
    "drips its body": drip(head(200, {"Content-Length": "1000000"}) + b"[" + b" " * 1000),
    "drips its chunks": drip(head(200, {"Transfer-Encoding": "chunked"}) + b"1\r\n[\r\n" * 1000),
    "drips without end or length": drip(head(200, {"Connection": "close"}) + b"[" + b" " * 1000),
}


@pytest.mark.fault(20)
@pytest.mark.statement("azureml-29", "azureml-40", "P4")
@pytest.mark.parametrize("limit", ["the deadline", "timeout_s"])
@pytest.mark.parametrize("scene", SLOW.values(), ids=SLOW)
def test_an_answer_that_does_not_end_is_cut_off_in_time(post: Post, scene: Scene, limit: str) -> None:
    with Rogue(scene) as server:
        began = time.monotonic()
        given = {"timeout_s" if limit == "timeout_s" else "seconds": 0.3}
        outcome = post(server, **given)
        took = time.monotonic() - began
    assert outcome == Trouble(Fault.SILENT)
    assert 0.25 < took < 0.8


@pytest.mark.fault(20)
def test_a_kept_connection_is_cut_off_too(post: Post) -> None:
    with Rogue(answer(200, b"[]"), drip(head(200, {"x-long": "a" * 1000}))) as server:
        settings = model_settings(server, timeout_s=0.3)
        endpoint = Endpoint("churn", settings, identity_of(settings), answer_bytes=100)
        assert endpoint.post(b"[]", Deadline.after(5), "request-1") == Reply(200, post_headers(2), b"[]")
        began = time.monotonic()
        assert endpoint.post(b"[]", Deadline.after(5), "request-2") == Trouble(Fault.SILENT)
        assert time.monotonic() - began < 0.8
        assert server.connections == 1
        endpoint.close()


@pytest.mark.fault(20)
def test_a_server_that_takes_no_connection_is_silent(post: Post) -> None:
    # A full backlog: further SYNs are dropped, as by a firewall.
    with socket.create_server(("127.0.0.1", 0), backlog=0) as listener:
        filled = []
        for _ in range(4):
            client = socket.socket()
            client.setblocking(False)
            client.connect_ex(listener.getsockname())
            filled.append(client)
        began = time.monotonic()
        with Rogue(answer()) as server:
            outcome = post(server, url=f"http://127.0.0.1:{listener.getsockname()[1]}/", timeout_s=0.3)
        assert outcome == Trouble(Fault.SILENT)
        assert time.monotonic() - began < 1.0
        for client in filled:
            client.close()


@pytest.mark.fault(21)
def test_a_large_answer_over_a_slow_line_is_read_whole(post: Post) -> None:
    body = b"[" + b"1, " * 30_000 + b"2]"

    def slowly(visit: Visit) -> None:
        visit.send(head(200, {"Content-Length": str(len(body))}))
        for at in range(0, len(body), 9_000):
            visit.stopped.wait(0.02)
            visit.send(body[at : at + 9_000])

    with Rogue(slowly) as server:
        reply = post(server, answer_bytes=200_000)
    assert isinstance(reply, Reply)
    assert reply.body == body


@pytest.mark.parametrize(
    "scene",
    [answer(200, b"[" + b" " * 20_000 + b"]"), chunked(b" " * 20_000), zipped(b" " * 200_000)],
    ids=["with a length", "in chunks", "a gzip bomb"],
)
def test_an_answer_over_the_limit_is_refused_by_the_limits_name(post: Post, scene: Scene) -> None:
    with Rogue(scene) as server, pytest.raises(BadAnswer, match=r"over 10000 bytes \(limits.answer_bytes\)"):
        post(server)


def test_an_answer_without_end_is_refused_as_soon_as_it_is_over_the_limit(post: Post) -> None:
    def endless(visit: Visit) -> None:
        visit.send(head(200, {"Transfer-Encoding": "chunked"}))
        while True:
            visit.send(b"400\r\n" + b" " * 1024 + b"\r\n")

    with Rogue(endless) as server, pytest.raises(BadAnswer, match=r"limits\.answer_bytes"):
        post(server, seconds=5)


def test_an_endless_error_page_is_not_read_to_its_end(post: Post) -> None:
    with Rogue(answer(503, b"<p>" * 1_000_000)) as server:
        reply = post(server)
    assert isinstance(reply, Reply)
    assert (reply.status, reply.body) == (503, b"")


def test_an_answer_that_comes_before_the_whole_request_was_taken_is_read(post: Post) -> None:
    with Rogue(answer(413, b"", {"Connection": "close"})) as server:
        reply = post(server)
    assert isinstance(reply, Reply)
    assert reply.status == 413


@pytest.mark.parametrize("url", ["https://*.planted.example/", "https://.planted.example/"])
def test_a_url_that_no_request_can_be_sent_to_is_a_wrong_setting(post: Post, url: str) -> None:
    with Rogue(answer()) as server, pytest.raises(SettingsWrong, match=r"models\.churn\.url") as error:
        post(server, url=url)
    assert "planted" not in str(error.value)


@pytest.mark.statement("azureml-17")
def test_no_repr_shows_the_key(post: Post) -> None:
    with Rogue(answer(200, b"planted-content")) as server:
        settings = model_settings(server, url=server.url + "?code=planted-query")
        identity = identity_of(settings)
        endpoint = Endpoint("churn", settings, identity, answer_bytes=100)
        reply = endpoint.post(b"[]", Deadline.after(5), "request-1")
        endpoint.close()
    told = f"{endpoint!r} {endpoint} {identity!r} {reply!r} {endpoint.whom}"
    assert not re.search("planted", told)


# ---- TLS


@pytest.mark.fault(19)
def test_a_certificate_that_nobody_has_signed_is_not_trusted_and_nothing_is_sent(
    post: Post, tls: ssl.SSLContext
) -> None:
    with Rogue(answer(200, b"[]"), tls=tls) as server:
        assert post(server) == Trouble(Fault.UNTRUSTED)
    assert server.received == []


@pytest.mark.statement("azureml-17")
def test_a_private_authority_is_trusted_where_its_certificates_are_named(
    post: Post, tls: ssl.SSLContext, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(tmp_path / "localhost.pem"))
    with Rogue(answer(200, b"[]"), tls=tls) as server:
        assert post(server) == Reply(200, post_headers(2), b"[]")


def test_verify_tls_false_takes_any_certificate(post: Post, tls: ssl.SSLContext) -> None:
    with Rogue(answer(200, b"[]"), tls=tls) as server:
        assert post(server, verify_tls=False) == Reply(200, post_headers(2), b"[]")


@pytest.mark.fault(20)
@pytest.mark.parametrize("scene", SLOW.values(), ids=SLOW)
def test_an_answer_over_tls_is_cut_off_in_time_too(post: Post, tls: ssl.SSLContext, scene: Scene) -> None:
    with Rogue(scene, tls=tls) as server:
        began = time.monotonic()
        assert post(server, verify_tls=False, seconds=0.3) == Trouble(Fault.SILENT)
        assert time.monotonic() - began < 0.8


@pytest.mark.fault(20)
def test_a_handshake_that_does_not_end_is_cut_off_in_time(post: Post) -> None:
    def dripping_handshake(listener: socket.socket) -> None:
        client, _ = listener.accept()
        client.recv(10_000)
        with client:
            # A TLS record of 16 kB that comes byte by byte.
            for byte in b"\x16\x03\x03\x40\x00" + bytes(1000):
                try:
                    client.send(bytes([byte]))
                except OSError:
                    return
                if stopped.wait(0.02):
                    return

    stopped = threading.Event()
    with socket.create_server(("127.0.0.1", 0)) as listener, Rogue(answer()) as server:
        thread = threading.Thread(target=dripping_handshake, args=(listener,))
        thread.start()
        began = time.monotonic()
        outcome = post(server, url=f"https://127.0.0.1:{listener.getsockname()[1]}/", seconds=0.3)
        assert time.monotonic() - began < 0.8
        stopped.set()
        thread.join()
    assert outcome == Trouble(Fault.SILENT)


@pytest.mark.fault(19)
def test_a_tls_handshake_that_is_broken_off_says_nothing_about_trust(post: Post) -> None:
    def hang_up(listener: socket.socket) -> None:
        listener.accept()[0].close()

    with Rogue(answer()) as server, socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=hang_up, args=(listener,))
        thread.start()
        outcome = post(server, url=f"https://127.0.0.1:{listener.getsockname()[1]}/")
        thread.join()
    assert outcome in (Trouble(Fault.BROKEN), Trouble(Fault.UNREACHABLE))


def test_the_limits_that_guard_against_endless_headers_are_pythons_own() -> None:
    assert http.client._MAXLINE == 65536  # type: ignore[attr-defined]  # the bound is a private name
    assert http.client._MAXHEADERS == 100  # type: ignore[attr-defined]  # likewise


@pytest.mark.fault(19)
def test_what_a_service_sends_beyond_its_answer_meets_no_later_call(tls: ssl.SSLContext) -> None:
    own = head(200, {"Content-Length": "8000"})
    body = b"[" + b" " * 7998 + b"]"
    with Rogue(lambda visit: visit.send(own + body + b"[0]" * 1000), tls=tls) as server:
        settings = model_settings(server, verify_tls=False)
        endpoint = Endpoint("churn", settings, identity_of(settings), answer_bytes=100_000)
        replies = [endpoint.post(b"[]", Deadline.after(5), f"request-{n}") for n in range(3)]
        endpoint.close()
    assert [reply.body for reply in replies if isinstance(reply, Reply)] == [body] * 3


def scored(number: int, headers: Mapping[str, str] | None = None) -> bytes:
    """Write an answer of its own for each request."""
    body = b"[%d]" % number
    return head(200, {"Content-Length": str(len(body))} | dict(headers or {})) + body


def four_posted(server: Rogue) -> list[object]:
    """Post four requests by one endpoint, and give the bodies that came back, or why there is none."""
    settings = model_settings(server)
    endpoint = Endpoint("churn", settings, identity_of(settings), answer_bytes=100_000)
    replies = [endpoint.post(b"[]", Deadline.after(5), f"request-{n}") for n in range(4)]
    endpoint.close()
    return [reply.body if isinstance(reply, Reply) else reply for reply in replies]


@pytest.mark.fault(19)
@pytest.mark.parametrize("swallowed", [1, 25])
def test_what_came_with_an_answer_and_only_in_part_meets_no_later_call(swallowed: int) -> None:
    def service(visit: Visit) -> None:
        number, theirs = len(server.received) - 1, visit.received.connection
        before = [each for each in server.received if each.connection == theirs]
        rest = scored(99)[swallowed:] if len(before) > 1 else b""
        visit.send(rest + scored(number) + scored(99)[:swallowed])

    with Rogue(service) as server:
        assert four_posted(server) == [b"[0]", b"[1]", b"[2]", b"[3]"]
        assert server.connections == 4


@pytest.mark.fault(19)
def test_an_answer_that_comes_twice_and_late_is_no_later_calls_answer() -> None:
    def echoed(visit: Visit, number: int, id_: str) -> None:
        visit.send(scored(number, {"x-ms-client-request-id": id_}))

    def service(visit: Visit) -> None:
        number = len(server.received) - 1
        if visit.received.connection == 1 and number == 1:
            echoed(visit, 0, "request-0")
        echoed(visit, number, visit.received.headers["x-ms-client-request-id"])

    with Rogue(service) as server:
        assert four_posted(server) == [b"[0]", Trouble(Fault.BROKEN), b"[2]", b"[3]"]


@pytest.mark.parametrize("id_", ["their-own", "request-3"])
def test_an_id_that_is_no_earlier_requests_is_no_fault(id_: str) -> None:
    with Rogue(answer(200, b"[]", {"x-ms-client-request-id": id_})) as server:
        assert four_posted(server) == [b"[]"] * 4


def test_an_id_that_goes_out_twice_comes_back_twice() -> None:
    with Rogue(answer(200, b"[]", {"x-ms-client-request-id": "request-1"})) as server:
        settings = model_settings(server)
        endpoint = Endpoint("churn", settings, identity_of(settings), answer_bytes=100)
        replies = [endpoint.post(b"[]", Deadline.after(5), "request-1") for _ in range(2)]
        endpoint.close()
    assert all(isinstance(reply, Reply) for reply in replies)


@pytest.mark.fault(18)
def test_a_chunk_without_end_is_not_waited_for(post: Post) -> None:
    def endless(visit: Visit) -> None:
        visit.send(head(200, {"Transfer-Encoding": "chunked"}) + b"-1\r\n" + b"[]" * 10_000)
        visit.stopped.wait()

    with Rogue(endless) as server:
        assert post(server) == Trouble(Fault.BROKEN)


@pytest.mark.fault(19)
@pytest.mark.parametrize("status", [204, 304])
def test_what_comes_behind_an_answer_that_has_no_body_meets_no_later_call(status: int) -> None:
    def service(visit: Visit) -> None:
        number = len(server.received) - 1
        if number == 0:
            visit.send(head(status))
        elif visit.received.connection == 1:
            visit.send(scored(0) + scored(number))
        else:
            visit.send(scored(number))

    with Rogue(service) as server:
        assert four_posted(server) == [b"", b"[1]", b"[2]", b"[3]"]


@pytest.mark.fault(19)
def test_a_stray_line_break_behind_an_answer_is_the_connections_fault() -> None:
    def service(visit: Visit) -> None:
        stray = b"\n" if visit.received.connection == 1 and len(server.received) > 1 else b""
        visit.send(stray + scored(len(server.received) - 1))

    with Rogue(service) as server:
        assert four_posted(server) == [b"[0]", Trouble(Fault.BROKEN), b"[2]", b"[3]"]


@pytest.mark.parametrize(
    "headers",
    [{"Content-Length": "-1"}, {"Content-Length": "some"}, {"Transfer-Encoding": "xchunked"}],
    ids=["a negative length", "a length in words", "an unknown encoding"],
)
def test_headers_that_frame_nothing_mark_an_answer_as_unframed(
    post: Post, headers: Mapping[str, str]
) -> None:
    with Rogue(unframed(BODY, headers)) as server:
        reply = post(server)
    assert isinstance(reply, Reply)
    assert not reply.framed
