"""The Sesam node misbehaves on a real socket: nothing half is ever published, and the reason is told."""

import base64
import gzip
import json
import logging
import socket
import ssl
import time
from collections.abc import Iterator
from datetime import UTC, datetime

import pytest
from pydantic import SecretStr

from errors import NodeRefused, NodeUnavailable
from sections import ExportSettings, SesamSettings
from tests.exports import Bench, rows, whole_version
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
from training_export import publisher
from training_export.publisher import PipeFacts, SesamNode
from training_export.runs import Run

PIPE = "customers-csv"
CSV = {"Content-Type": "text/csv; charset=utf-8"}
BODY = rows(10)
GOOD = chunked(BODY, headers=CSV)
IN_CHUNKS = head(200, CSV | {"Transfer-Encoding": "chunked"})


def token(**claims: object) -> str:
    payload = base64.urlsafe_b64encode(json.dumps(claims).encode()).decode().rstrip("=")
    return f"planted-header.{payload}.planted-signature"


JWT = token(exp=1764547200)


def node_of(server: Rogue, jwt: str = JWT, **given: object) -> SesamNode:
    base = f"{'https' if server.url.startswith('https') else 'http'}://localhost:{server.port}"
    settings = SesamSettings.model_validate({"url": base, "jwt": SecretStr(jwt)} | given)
    return SesamNode(settings, time.monotonic)


def publisher_scene(*csv: Scene, pipe: Scene | None = None) -> Scene:
    """Play the scenes in turn for the publisher, and `pipe` (403) for what is asked about the pipe."""
    script = list(csv)

    def scene(visit: Visit) -> None:
        if "/publishers/" not in visit.received.target:
            return (pipe or answer(403))(visit)
        return (script.pop(0) if len(script) > 1 else script[0])(visit)

    return scene


@pytest.fixture
def bench() -> Bench:
    """An export that has published a first version already."""
    bench = Bench()
    bench.settings = ExportSettings(pipe=PIPE)
    bench.run(rows(9))
    return bench


def run_on(bench: Bench, *csv: Scene, pipe: Scene | None = None, jwt: str = JWT) -> Run:
    with Rogue(publisher_scene(*csv, pipe=pipe)) as server:
        bench.node = node_of(server, jwt)
        return bench.run()


def nothing_published(bench: Bench, *csv: Scene) -> str:
    before, names = bench.latest(), bench.names()
    run = run_on(bench, *csv)
    assert run.outcome == "failed"
    assert (bench.latest(), bench.names()) == (before, names)
    assert bench.record.last() == run
    assert "planted" not in run.detail
    whole_version(bench.container, before.version)
    return run.detail


def csv_answer(body: bytes = BODY, status: int = 200, **headers: str) -> Scene:
    return answer(status, body, CSV | {name.replace("_", "-"): value for name, value in headers.items()})


# ---- what is sent


@pytest.mark.statement("sesam-28", "sesam-41")
@pytest.mark.parametrize("suffix", ["", "/", "/api", "/api/"])
def test_one_get_is_sent_with_the_token_and_nothing_else(suffix: str) -> None:
    with Rogue(csv_answer()) as server:
        settings = SesamSettings.model_validate(
            {"url": f"http://localhost:{server.port}{suffix}", "jwt": JWT}
        )
        node = SesamNode(settings, time.monotonic)
        with node.published("customers:Åse?x=1") as published:
            assert b"".join(published.chunks) == BODY
    (request,) = server.received
    assert request.method == "GET"
    assert request.target == "/api/publishers/customers%3A%C3%85se%3Fx%3D1/csv"
    assert request.headers["authorization"] == f"Bearer {JWT}"
    assert request.headers["accept-encoding"] == "identity"


@pytest.mark.statement("sesam-39")
def test_the_dataset_headers_are_kept_and_no_others(bench: Bench) -> None:
    run = run_on(bench, csv_answer(X_Dataset_Generation="7", X_Other="8"))
    assert whole_version(bench.container, str(run.version)).headers == {"X-Dataset-Generation": "7"}


# ---- framing


@pytest.mark.statement("sesam-30", "sesam-41")
@pytest.mark.parametrize(
    "scene",
    [
        csv_answer(),
        GOOD,
        zipped(BODY, headers=CSV),
        answer(200, gzip.compress(BODY[:50]) + gzip.compress(BODY[50:]), CSV | {"Content-Encoding": "gzip"}),
    ],
    ids=["length", "chunks", "gzip", "gzip of two members"],
)
def test_a_whole_answer_is_stored_as_it_was_meant(bench: Bench, scene: Scene) -> None:
    run = run_on(bench, scene)
    assert run.outcome == "published"
    version = whole_version(bench.container, str(run.version)).version
    assert b"".join(bench.versions.data(version)) == BODY


@pytest.mark.statement("sesam-32", "sesam-41")
@pytest.mark.fault(31)
@pytest.mark.parametrize(
    "scene",
    [
        short(BODY, headers=CSV),
        chunked(BODY, whole=False, headers=CSV),
        raw(IN_CHUNKS + b"%x\r\n%b\r\n000" % (len(BODY), BODY)),
        raw(IN_CHUNKS + b"%x\r\n%b\r\n-1\r\n" % (len(BODY), BODY)),
        zipped(BODY, cut=9, headers=CSV),
        zipped(BODY, spoiled=True, headers=CSV),
        zipped(b"", cut=30, headers=CSV),
        reset(head(200, CSV | {"Content-Length": str(len(BODY))}) + BODY[:60]),
    ],
    ids=[
        *("short", "last chunk missing", "the last chunk's size cut", "a chunk of less than nothing"),
        *("gzip cut", "gzip spoiled", "gzip absent", "reset"),
    ],
)
def test_an_answer_that_ends_early_is_never_taken_for_whole(bench: Bench, scene: Scene) -> None:
    assert "nothing was published" in nothing_published(bench, scene)


@pytest.mark.statement("sesam-32")
@pytest.mark.fault(31)
def test_an_answer_without_an_end_is_refused_unless_the_export_allows_it(bench: Bench) -> None:
    assert "allow_unframed = true" in nothing_published(bench, unframed(BODY, CSV))
    for framing in ({"Content-Length": "-1"}, {"Content-Length": "all"}, {"Transfer-Encoding": "xchunked"}):
        assert "allow_unframed = true" in nothing_published(bench, unframed(BODY, CSV | framing))
    bench.set(allow_unframed=True)
    assert run_on(bench, unframed(BODY, CSV)).outcome == "published"
    assert "broke off" in nothing_published(bench, unframed(BODY[:-3], CSV)), "the scan still sees a cut row"


@pytest.mark.statement("sesam-41")
def test_an_encoding_nobody_asked_for_is_refused(bench: Bench) -> None:
    assert "encoded as 'br'" in nothing_published(bench, csv_answer(Content_Encoding="br"))


def test_a_small_answer_that_inflates_without_end_stays_in_bounds() -> None:
    bomb = gzip.compress(b"x" * 50_000_000)
    scene = answer(200, bomb, CSV | {"Content-Encoding": "gzip"})
    with Rogue(scene) as server, node_of(server).published(PIPE) as published:
        assert max(map(len, published.chunks)) <= publisher.CHUNK_BYTES


# ---- not a CSV


@pytest.mark.statement("sesam-31")
@pytest.mark.fault(32)
@pytest.mark.parametrize(
    "headers",
    [
        {"Content-Type": "text/html"},
        {"Content-Type": "application/json"},
        {"Content-Type": ""},
        {"Content-Type": "x" * 500},
    ],
)
def test_an_answer_that_is_no_csv_is_refused(bench: Bench, headers: dict[str, str]) -> None:
    assert "not text/csv" in nothing_published(bench, answer(200, b"<html>planted", headers))


@pytest.mark.statement("sesam-31")
@pytest.mark.fault(32)
@pytest.mark.parametrize("body", [b"<html>planted</html>\r\n", b'{"error": "planted"}\r\n'])
def test_a_page_that_calls_itself_csv_is_refused(bench: Bench, body: bytes) -> None:
    assert "looks like HTML or JSON" in nothing_published(bench, csv_answer(body))


@pytest.mark.statement("sesam-33")
@pytest.mark.fault(33)
def test_an_empty_body_is_refused(bench: Bench) -> None:
    assert "empty" in nothing_published(bench, csv_answer(b""))


# ---- statuses


@pytest.mark.statement("sesam-31", "sesam-38")
@pytest.mark.fault(30)
@pytest.mark.parametrize(
    ("status", "told"),
    [
        (401, "its expiry (exp) is 2025-12-01T00:00:00Z"),
        (403, "read_data"),
        (404, "no pipe customers-csv, or its sink is no csv_endpoint"),
        (204, "expected 200"),
        (206, "expected 200"),
        (400, "expected 200"),
        (302, "a redirect"),
    ],
)
def test_a_refusal_is_told_at_once_with_what_to_do(bench: Bench, status: int, told: str) -> None:
    scene = answer(status, b"planted", {"Location": "http://elsewhere.example/?planted"})
    with Rogue(publisher_scene(scene)) as server:
        bench.node = node_of(server)
        run = bench.run(last_try=False)
    assert run.outcome == "failed"
    assert told.lower() in run.detail.lower()
    assert "planted" not in run.detail
    assert len([r for r in server.received if "/publishers/" in r.target]) == 1
    assert bench.clock.slept == []


@pytest.mark.parametrize(
    "jwt", ["planted", "planted.e30.planted", "planted.!!.x", token(exp="soon"), token(exp=1e300)]
)
def test_a_token_that_tells_no_expiry_is_no_further_trouble(bench: Bench, jwt: str) -> None:
    assert "cannot be read" in run_on(bench, answer(401), jwt=jwt).detail


@pytest.mark.statement("sesam-38")
@pytest.mark.fault(30)
@pytest.mark.parametrize(
    "scene",
    [
        answer(429, headers={"Retry-After": "3"}),
        answer(500),
        answer(502),
        answer(503),
        reset(),
        short(BODY, headers=CSV),
        raw(b"HTTP/1.1 200 OK\r\nX-Giant: " + b"x" * 100_000 + b"\r\n\r\n"),
        raw(b"nonsense\r\n\r\n"),
    ],
    ids=["429", "500", "502", "503", "reset", "cut", "giant header", "nonsense"],
)
def test_what_passes_is_tried_again_and_published_whole(bench: Bench, scene: Scene) -> None:
    run = run_on(bench, scene, scene, GOOD)
    assert run.outcome == "published"
    assert whole_version(bench.container, str(run.version)).rows == 10
    assert len(bench.clock.slept) == 2


@pytest.mark.fault(30)
@pytest.mark.parametrize("retry_after", ["-1", "tomorrow", "1e9", "٣"])
def test_a_retry_after_that_makes_no_sense_is_not_followed(bench: Bench, retry_after: str) -> None:
    scene = raw(head(503, {"Retry-After": retry_after.encode().decode("latin-1"), "Content-Length": "0"}))
    assert run_on(bench, scene, GOOD).outcome == "published"


def test_a_node_that_is_not_there_is_unavailable(bench: Bench) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    settings = SesamSettings.model_validate({"url": f"http://localhost:{port}", "jwt": JWT})
    bench.node = SesamNode(settings, time.monotonic)
    with pytest.raises(NodeUnavailable, match=f"localhost:{port}"):
        bench.run(last_try=False)
    last = bench.record.last()
    assert last is not None
    assert last.outcome == "queued"


# ---- time


def stops_in_the_body(visit: Visit) -> None:
    visit.send(head(200, CSV | {"Content-Length": "100000"}) + BODY)
    silent(visit)


@pytest.fixture
def haste(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The deadlines of the wire, shortened: they are real time."""
    monkeypatch.setattr(publisher, "DEADLINE_S", 0.3)
    monkeypatch.setattr(publisher, "PIPE_DEADLINE_S", 0.2)
    monkeypatch.setattr("training_export.snapshot.RETRY_S", 0.0)
    yield


@pytest.mark.statement("sesam-32")
@pytest.mark.fault(30, 44)
@pytest.mark.parametrize(
    "scene",
    [
        silent,
        drip(head(200, CSV)),
        drip(head(200, CSV | {"Content-Length": "100000"}) + BODY),
        stops_in_the_body,
    ],
    ids=["never answers", "drips headers", "drips a body", "stops in the body"],
)
def test_one_deadline_holds_whatever_the_node_does(bench: Bench, haste: None, scene: Scene) -> None:
    begun = time.monotonic()
    nothing_published(bench, scene)
    assert time.monotonic() - begun < 5
    assert run_on(bench, GOOD).outcome == "published", "the next run is clean"


def test_a_deadline_that_cuts_an_unframed_body_is_seen(bench: Bench, haste: None) -> None:
    bench.set(allow_unframed=True)
    scene = drip(head(200, CSV | {"Connection": "close"}) + rows(1000), every=0.001)
    assert "not whole after" in nothing_published(bench, scene)


# ---- what is asked about the pipe


def pipe_answer(sink: object, **runtime: object) -> Scene:
    config = {"original": {"sink": {}}, "effective": {"sink": sink}}
    return answer(200, json.dumps({"_id": PIPE, "config": config, "runtime": runtime}).encode())


@pytest.mark.statement("sesam-34", "sesam-40")
def test_the_pipe_is_asked_for_its_sink_and_its_state() -> None:
    sink = {"type": "csv_endpoint", "delimiter": ";"}
    scene = pipe_answer(sink, **{"is-disabled": True, "is-valid-config": False})
    with Rogue(scene) as server:
        facts = node_of(server).pipe(PIPE)
    assert facts.sink == sink
    assert facts.trouble == ("the pipe is disabled", "the pipe's configuration is invalid")
    assert server.received[0].target == f"/api/pipes/{PIPE}"


@pytest.mark.statement("sesam-40")
@pytest.mark.parametrize(
    "scene",
    [
        answer(403),
        answer(404),
        answer(500),
        answer(302),
        answer(200, b"planted"),
        answer(200, b"[]"),
        answer(200, b"{}"),
        answer(200, b"[" * 200_000),
        answer(200, b'{"config": null}'),
        answer(200, b'{"config": {"original": {"sink": 7}}}'),
        pipe_answer({"type": "json"}),
        short(b'{"config'),
        reset(),
        silent,
    ],
    ids=map(str, range(14)),
)
def test_what_the_pipe_says_is_never_needed(haste: None, scene: Scene) -> None:
    with Rogue(scene) as server:
        facts = node_of(server).pipe(PIPE)
    assert facts.note
    assert facts == PipeFacts(note=facts.note, missing=facts.missing)
    assert "planted" not in facts.note


@pytest.mark.statement("sesam-38")
@pytest.mark.fault(30)
@pytest.mark.parametrize(
    ("pipe", "told"),
    [
        (answer(404), "there is no pipe customers-csv."),
        (pipe_answer({"type": "json"}), "customers-csv has no CSV publisher (its sink is a 'json'"),
        (pipe_answer({"type": "csv_endpoint"}), "the pipe is there, with its csv_endpoint, but nothing"),
        (pipe_answer({"type": "csv_endpoint"}, **{"is-disabled": True}), "the pipe is disabled, but nothing"),
        (answer(403), "there is no pipe customers-csv, or its sink is no csv_endpoint."),
    ],
    ids=range(5),
)
def test_404_says_whether_the_pipe_or_its_publisher_is_missing(bench: Bench, pipe: Scene, told: str) -> None:
    run = run_on(bench, answer(404), pipe=pipe)
    assert run.outcome == "failed"
    assert told in run.detail


# ---- TLS


@pytest.mark.statement("sesam-42")
@pytest.mark.fault(30)
def test_a_certificate_that_nobody_has_signed_is_not_trusted(tls: ssl.SSLContext) -> None:
    with (
        Rogue(csv_answer(), tls=tls) as server,
        pytest.raises(NodeRefused, match="certificate"),
        node_of(server).published(PIPE),
    ):
        pass
    assert server.received == []


@pytest.mark.statement("sesam-42")
def test_verify_tls_false_takes_any_certificate(tls: ssl.SSLContext) -> None:
    with (
        Rogue(csv_answer(), tls=tls) as server,
        node_of(server, verify_tls=False).published(PIPE) as published,
    ):
        assert b"".join(published.chunks) == BODY


# ---- secrets


@pytest.mark.statement("sesam-39", "P12")
def test_the_token_stands_in_no_log_record_document_or_failure(
    bench: Bench, caplog: pytest.LogCaptureFixture
) -> None:
    planted = token(exp=datetime(2027, 1, 1, tzinfo=UTC).timestamp())
    with caplog.at_level(logging.DEBUG):
        for scene in (answer(401), answer(403), answer(302), reset(), GOOD):
            run_on(bench, scene, GOOD, jwt=planted)
    stored = b"".join(part for name in bench.names() for part in bench.container.download(name))
    for part in planted.split("."):
        assert part.encode() not in stored
        assert part not in caplog.text
