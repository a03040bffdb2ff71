"""What the app tells, heard: the real use cases over sockets, OpenTelemetry's SDK listening in memory."""

import asyncio
import gzip
import json
import logging
import os
import re
import subprocess
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import requests
from azurefunctions.extensions.http.fastapi import Request, Response
from opentelemetry import metrics, trace
from opentelemetry.sdk.metrics import Counter, Histogram, MeterProvider
from opentelemetry.sdk.metrics.export import AggregationTemporality, InMemoryMetricReader
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from pydantic import SecretStr

import scoring.functions
import telemetry
from errors import NodeRefused, NodeUnavailable
from local.bootstrap import ROOT
from local.host.process import running_app
from scoring import models
from sections import AzureMLSettings, SesamSettings
from settings import load_settings
from tests.exports import Bench, rows
from tests.rogue import Rogue, Scene, Visit, answer, chunked
from training_export import measured
from training_export.asset import DataAssets
from training_export.publisher import SesamNode
from training_export.runs import Run
from training_export.snapshot import run_export

# Planted where they must not come out again.
KEY, QUERY, CITY, NAME = "planted-key", "planted-query", "planted-city", "planted-customer-name"

CONFIG = """
[models.churn]
url = "{url}?code=planted-query"
dialect = "score-script"
features = ["City"]
batch_rows = 2
parallel = 1
on_bad_entity = "mark"
"""


@dataclass
class Heard:
    """What was told since it was last asked."""

    exporter: InMemorySpanExporter = field(default_factory=InMemorySpanExporter)
    reader: InMemoryMetricReader = field(
        default_factory=lambda: InMemoryMetricReader(
            preferred_temporality=dict.fromkeys((Counter, Histogram), AggregationTemporality.DELTA)
        )
    )

    def spans(self) -> list[ReadableSpan]:
        """The spans that have ended, in the order of their beginning."""
        found = sorted(self.exporter.get_finished_spans(), key=lambda span: span.start_time or 0)
        self.exporter.clear()
        return found

    def numbers(self) -> dict[tuple[str, ...], float]:
        """Each metric's value, by its name and its attributes' values in the order of its declaration."""
        data = self.reader.get_metrics_data()
        found: dict[tuple[str, ...], float] = {}
        for metric in data.resource_metrics[0].scope_metrics[0].metrics if data else ():
            declared = next(each for each in telemetry.METRICS if each.name == metric.name)
            assert (metric.unit, type(metric.data).__name__) == (declared.unit, SHAPES[declared.kind])
            for point in metric.data.data_points:
                assert sorted(point.attributes or {}) == sorted(declared.attributes)
                of = [str((point.attributes or {})[name]) for name in declared.attributes]
                found[metric.name, *of] = float(getattr(point, "value", getattr(point, "count", 0)))
        return found


SHAPES = {"counter": "Sum", "gauge": "Gauge", "histogram": "Histogram"}


@pytest.fixture(scope="session")
def listening() -> Heard:
    """Listen, once for the process: OpenTelemetry lets nobody take a listener's place."""
    heard = Heard()
    traces = TracerProvider(shutdown_on_exit=False)
    traces.add_span_processor(SimpleSpanProcessor(heard.exporter))
    trace.set_tracer_provider(traces)
    metrics.set_meter_provider(MeterProvider([heard.reader], shutdown_on_exit=False))
    return heard


@pytest.fixture
def heard(listening: Heard, caplog: pytest.LogCaptureFixture) -> Heard:
    caplog.set_level(logging.DEBUG, telemetry.NAME)
    listening.spans()
    listening.numbers()
    return listening


@pytest.fixture
def service(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Rogue]:
    """A web service that is told what to answer, and the app's settings for it."""
    with Rogue() as server:
        (tmp_path / "bridge.toml").write_text(CONFIG.format(url=server.url))
        monkeypatch.setenv("BRIDGE_CONFIG", str(tmp_path / "bridge.toml"))
        monkeypatch.setenv("MODELS__CHURN__KEY", KEY)
        monkeypatch.setattr("scoring.verdicts.FIRST_WAIT_S", 0.001)
        given = load_settings()
        found = {"churn": models.model_of("churn", given.models["churn"], given)}
        monkeypatch.setattr(models, "all_models", lambda: found)
        yield server


def scored(*results: str, id_: str) -> Scene:
    return answer(200, json.dumps(results).encode(), {"x-request-id": id_})


def call(entities: object, request_id: str = "sesam-call-7") -> Response:
    """Call the function as the engine does."""
    body = json.dumps(entities).encode()

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": body, "more_body": False}

    scope = {
        "type": "http",
        "method": "POST",
        "path": "/api/score/churn",
        "path_params": {"model": "churn"},
        "query_string": b"",
        "headers": [(b"x-ms-client-request-id", request_id.encode())],
    }
    function: Any = scoring.functions.score_entities
    answered: Response = asyncio.run(function.build().get_user_function()(Request(scope, receive)))
    return answered


def lines(caplog: pytest.LogCaptureFixture, event: str) -> list[dict[str, Any]]:
    """The fields of each line of an event, which are those that are declared."""
    said = [record.getMessage().partition(" ") for record in caplog.records if record.name == telemetry.NAME]
    found = [json.loads(fields) for word, _, fields in said if word == event]
    assert all(sorted(each) == sorted(telemetry.LINES[event]) for each in found)
    return found


def outline(spans: Iterable[ReadableSpan]) -> list[str]:
    """The spans as a tree, indented; every attribute is a declared one."""
    known = {span.context.span_id: span for span in spans if span.context}
    declared = {span.name: set(span.attributes) for span in telemetry.SPANS}

    def depth(span: ReadableSpan) -> int:
        parent = known.get(span.parent.span_id) if span.parent else None
        return 1 + depth(parent) if parent else 0

    for span in known.values():
        assert set(span.attributes or {}) <= declared[span.name]
    return ["  " * depth(span) + span.name for span in known.values()]


ENTITIES = [{"_id": f"{NAME}-{n}", "City": CITY} for n in range(4)]


@pytest.mark.statement("azureml-14")
def test_a_batch_is_one_line_that_joins_the_ids_of_the_caller_of_ours_and_of_the_service(
    heard: Heard, service: Rogue, caplog: pytest.LogCaptureFixture
) -> None:
    service.play(
        answer(429, b"", {"x-request-id": "azure-1"}),
        scored("a", "b", id_="azure-2"),
        scored("c", "d", id_="azure-3"),
    )
    assert call(ENTITIES).status_code == 200
    (line,) = lines(caplog, "batch")
    assert line.pop("ms") >= 0
    assert line == {
        "request_id": "sesam-call-7",
        "model": "churn",
        "outcome": "scored",
        "status": 200,
        **{"entities": 4, "passed": 0, "scored": 4, "marked": 0, "outside": 0},
        **{"requests": 3, "retries": 1, "throttled": 1, "x_request_ids": ["azure-1", "azure-2", "azure-3"]},
    }
    sent = [received.headers["x-ms-client-request-id"] for received in service.received]
    assert len(set(sent)) == 3
    assert all(re.fullmatch(r"sesam-call-7-\d+", id_) for id_ in sent)


def test_a_retry_is_counted_on_whatever_thread_the_first_attempt_was(
    heard: Heard, service: Rogue, caplog: pytest.LogCaptureFixture
) -> None:
    # The second part goes by the connection of the first, and so at once.
    service.play(scored("a", "b", id_="azure-1"), answer(503), scored("c", "d", id_="azure-3"))
    assert call(ENTITIES).status_code == 200
    (line,) = lines(caplog, "batch")
    assert (line["requests"], line["retries"]) == (3, 1)


def test_a_batch_is_a_tree_of_spans_across_its_threads(heard: Heard, service: Rogue) -> None:
    service.play(
        answer(503, b"", {"x-request-id": "azure-1"}),
        scored("a", "b", id_="azure-2"),
        scored("c", "d", id_="azure-3"),
    )
    call(ENTITIES)
    sent = [received.headers["x-ms-client-request-id"] for received in service.received]
    spans = heard.spans()
    assert outline(spans) == [
        "batch",
        "  sub-batch",
        "    attempt",
        "    attempt",
        "  sub-batch",
        "    attempt",
    ]
    assert len({span.context.trace_id for span in spans if span.context}) == 1
    assert dict(spans[0].attributes or {}) == {"model": "churn", "request_id": "sesam-call-7", "entities": 4}
    assert [dict(span.attributes or {}) for span in spans if span.name == "attempt"][:2] == [
        {
            "model": "churn",
            "request_id": sent[number - 1],
            "retry": number > 1,
            "status": status,
            "x_request_id": f"azure-{number}",
        }
        for number, status in ((1, "503"), (2, "200"))
    ]


def test_a_batch_adds_to_the_metrics_of_its_model(heard: Heard, service: Rogue) -> None:
    service.play(answer(429), scored("a", "b", id_="x"), scored("c", id_="y"))
    call([*ENTITIES[:3], {"_id": "two cities", "City": ["a", "b"]}])
    numbers = heard.numbers()
    assert numbers.pop(("bridge.entities.outside_contract", "churn")) == 0
    assert numbers == {
        ("bridge.batches", "churn", "scored"): 1,
        ("bridge.entities.scored", "churn"): 3,
        ("bridge.entities.marked", "churn"): 1,
        ("bridge.requests", "churn", "429"): 1,
        ("bridge.requests", "churn", "200"): 2,
        ("bridge.retries", "churn"): 1,
        ("bridge.throttled", "churn"): 1,
        ("bridge.latency", "churn"): 3,
    }


@pytest.mark.parametrize(
    ("scene", "outcome", "status", "seen"),
    [
        (answer(401), "credentials-refused", 502, "401"),
        (answer(200, b"{no json}"), "bad-answer", 502, "200"),
        (Visit.reset, "service-down", 503, "broken"),
    ],
    ids=["refused", "nonsense", "no answer"],
)
def test_a_batch_that_fails_tells_its_kind(
    heard: Heard,
    service: Rogue,
    caplog: pytest.LogCaptureFixture,
    scene: Scene,
    outcome: str,
    status: int,
    seen: str,
) -> None:
    service.play(scene)
    assert call(ENTITIES).status_code == status
    (line,) = lines(caplog, "batch")
    assert (line["outcome"], line["status"], line["scored"]) == (outcome, status, 0)
    numbers = heard.numbers()
    assert numbers["bridge.batches", "churn", outcome] == 1
    assert numbers["bridge.requests", "churn", seen] >= 1
    batch = heard.spans()[0]
    assert (batch.status.is_ok, batch.status.description) == (False, outcome)
    assert batch.events == ()


def test_a_call_that_is_refused_before_it_is_read_is_a_batch_too(
    heard: Heard, service: Rogue, caplog: pytest.LogCaptureFixture
) -> None:
    assert call("no array").status_code == 400
    assert [line["outcome"] for line in lines(caplog, "batch")] == ["invalid-request"]


@pytest.mark.statement("azureml-17")
def test_nothing_told_holds_a_key_a_query_or_anything_of_an_entity(
    heard: Heard, service: Rogue, caplog: pytest.LogCaptureFixture
) -> None:
    service.play(answer(500, CITY.encode(), {"x-request-id": f"{CITY} {NAME}"}), scored("a", "b", id_="x"))
    call(ENTITIES)
    call([{"_id": NAME, "City": [CITY, CITY]}])
    told = "".join(span.to_json() for span in heard.spans()) + repr(heard.numbers())
    told += "".join(
        record.getMessage() for record in caplog.records if record.name.startswith(telemetry.NAME)
    )
    for planted in (KEY, QUERY, CITY, NAME):
        assert planted not in told


# ---- runs


@pytest.fixture
def bench() -> Iterator[Bench]:
    """An export from a node, registered in a workspace, both over sockets."""
    with Rogue(node) as server, Rogue(answer(201, b"{}")) as azure:
        bench = Bench()
        sesam = SesamSettings(url=f"http://127.0.0.1:{server.port}", jwt=SecretStr(KEY))
        bench.node = SesamNode(sesam, bench.clock.monotonic)
        place = AzureMLSettings(subscription="s", resource_group="g", workspace="w", datastore="d")
        bench.register = DataAssets(place, lambda: KEY, bench.clock.monotonic, azure.url).register
        bench.set(formats=("csv", "parquet"))
        yield bench


def node(visit: Visit) -> None:
    pipe = visit.received.target.startswith("/api/pipes/")
    scene = answer(403) if pipe else chunked(rows(10), headers={"Content-Type": "text/csv"})
    scene(visit)


def ran(bench: Bench, run: str = "run-1", tries: int = 1) -> Run:
    with measured.run(bench.export, run, tries) as told:
        told.ended = run_export(bench.export, run, last_try=False)
    return told.ended


def test_a_run_is_one_line_a_span_for_each_step_and_the_numbers_of_its_version(
    heard: Heard, bench: Bench, caplog: pytest.LogCaptureFixture
) -> None:
    done = ran(bench)
    (line,) = lines(caplog, "run")
    assert line.pop("ms") >= 0
    assert line == {
        **{"export": "customers", "id": "run-1", "tries": 1, "outcome": "published"},
        **{"started": done.started, "finished": done.finished, "version": done.version},
        "detail": done.detail,
    }
    spans = heard.spans()
    assert outline(spans) == [
        "run",
        *("  run.pipe", "  run.download", "  run.commit", "  run.parquet", "  run.commit", "  run.write"),
        *("  run.advance", "  run.register", "  run.retire"),
    ]
    assert dict(spans[0].attributes or {}) == {"export": "customers", "run": "run-1", "tries": 1}
    assert heard.numbers() == {
        ("bridge.runs", "customers", "published"): 1,
        ("bridge.snapshot.rows", "customers"): 10,
        ("bridge.snapshot.bytes", "customers"): len(rows(10)),
        ("bridge.latest.age", "customers"): 0,
    }
    assert KEY not in caplog.text


def test_the_age_of_latest_grows_while_nothing_new_is_published(heard: Heard, bench: Bench) -> None:
    ran(bench)
    heard.numbers()
    bench.clock.pass_(86_400)
    assert ran(bench, "run-2").outcome == "unchanged"
    numbers = heard.numbers()
    assert numbers["bridge.runs", "customers", "unchanged"] == 1
    assert numbers["bridge.latest.age", "customers"] == 86_400


@pytest.mark.parametrize(
    ("failure", "outcome", "kind"),
    [
        (NodeUnavailable("The node is away."), "queued", "node-unavailable"),
        (KeyError(NAME), "failed", "KeyError"),
    ],
)
def test_a_try_that_raises_is_told_too(
    heard: Heard, bench: Bench, caplog: pytest.LogCaptureFixture, failure: Exception, outcome: str, kind: str
) -> None:
    with pytest.raises(type(failure)), measured.run(bench.export, "run-1", 2):
        raise failure
    (line,) = lines(caplog, "run")
    assert (line["outcome"], line["tries"]) == (outcome, 2)
    assert heard.numbers()["bridge.runs", "customers", outcome] == 1
    assert heard.spans()[0].status.description == kind
    assert NAME not in caplog.text


def test_a_run_that_ends_as_failed_is_no_exception_and_told_as_failed(
    heard: Heard, caplog: pytest.LogCaptureFixture
) -> None:
    bench = Bench()
    bench.fake.failures = [NodeRefused("The node refuses the token.")]
    assert ran(bench).outcome == "failed"
    assert [line["detail"] for line in lines(caplog, "run")] == ["The node refuses the token."]


# ---- Azure Monitor

ALONE = {"PATH": os.environ["PATH"]}


def python(code: str, **environment: str) -> str:
    """Run code in a process of its own: modules and listeners are a process's."""
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=ROOT,
        env=ALONE | environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


LOADED = """
import sys
def loaded(): return sorted({"azure_monitor", "opentelemetry.sdk", "azure.monitor"} & set(sys.modules))
import function_app, telemetry
print(loaded())
telemetry.start()
print(loaded())
"""


def test_without_a_connection_string_the_sdk_is_never_imported() -> None:
    assert python(LOADED) == "[]\n[]\n"


# What the exporter would tell of itself; infra/ switches it off with the same settings.
NOTHING_OF_ITS_OWN = {
    "APPLICATIONINSIGHTS_STATSBEAT_DISABLED_ALL": "true",
    "APPLICATIONINSIGHTS_SDKSTATS_DISABLED": "true",
    "APPLICATIONINSIGHTS_OPENTELEMETRY_RESOURCE_METRIC_DISABLED": "true",
}

TELLING = """
import telemetry
with telemetry.request("call-1"), telemetry.RUN.open(export="customers", run="run-1", tries=1):
    telemetry.tell("not-queued", export="customers", reason="why")
    telemetry.log.error("text alone", exc_info=KeyError("planted-value"))
    telemetry.RUNS.tell(1, export="customers", outcome="published")
    telemetry.LATENCY.tell(0.25, model="churn")
"""


def test_with_one_all_three_kinds_reach_azure_monitor_and_not_before_they_are_told(
    tmp_path: Path,
) -> None:
    accepted = answer(200, b'{"itemsReceived": 1, "itemsAccepted": 1, "errors": []}')
    with Rogue(accepted) as azure:
        connection = f"InstrumentationKey={'0' * 8}-0000-0000-0000-{'0' * 12};IngestionEndpoint={azure.url}"
        given = {
            telemetry.CONNECTION: connection,
            "WEBSITE_SITE_NAME": "func-bridge",
            "TMPDIR": str(tmp_path),
        }
        before, after = python(LOADED + TELLING, **given, **NOTHING_OF_ITS_OWN).splitlines()
        sent = [json.loads(line) for received in azure.received for line in _items(received.body)]
    assert (before, after) == ("[]", "['azure.monitor', 'azure_monitor', 'opentelemetry.sdk']")
    told = {item["data"]["baseType"]: item for item in sent}
    assert told["RemoteDependencyData"]["data"]["baseData"]["name"] == "run"
    assert {item["tags"]["ai.cloud.role"] for item in told.values()} == {"func-bridge"}
    metrics = [item["data"]["baseData"]["metrics"][0] for item in sent if item["name"].endswith("Metric")]
    assert {metric["name"]: metric["value"] for metric in metrics} == {
        "bridge.runs": 1,
        "bridge.latency": 0.25,
    }
    messages = [item for item in sent if item["data"]["baseType"] == "MessageData"]
    assert [item["data"]["baseData"]["message"] for item in messages] == [
        'not-queued {"export":"customers","reason":"why"}',
        "text alone",
    ]
    # The lines of a run are found by its trace.
    operations = {item["tags"]["ai.operation.id"] for item in [*messages, told["RemoteDependencyData"]]}
    assert len(operations) == 1
    assert "planted-value" not in json.dumps(sent)


def test_under_the_engine_a_batch_belongs_to_the_callers_trace(tmp_path: Path) -> None:
    """As infra/ sets it: PYTHON_ENABLE_OPENTELEMETRY has the engine hand the host's trace to the function."""
    trace_id, parent = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
    accepted = answer(200, b'{"itemsReceived": 1, "itemsAccepted": 1, "errors": []}')
    with Rogue(accepted) as azure, Rogue(scored("a", id_="azure-1")) as service:
        (tmp_path / "bridge.toml").write_text(CONFIG.format(url=service.url))
        connection = f"InstrumentationKey={'0' * 8}-0000-0000-0000-{'0' * 12};IngestionEndpoint={azure.url}"
        given = {
            "BRIDGE_CONFIG": str(tmp_path / "bridge.toml"),
            "MODELS__CHURN__KEY": KEY,
            "PYTHON_ENABLE_OPENTELEMETRY": "true",
            telemetry.CONNECTION: connection,
            "TMPDIR": str(tmp_path),
        }
        with running_app(ROOT, settings=given | NOTHING_OF_ITS_OWN) as app:
            headers = {"traceparent": f"00-{trace_id}-{parent}-01"}
            url = f"{app.base_url}/api/score/churn"
            assert requests.post(url, json=ENTITIES[:1], headers=headers, timeout=30).status_code == 200
        sent = [json.loads(line) for received in azure.received for line in _items(received.body)]
    spans = {
        item["data"]["baseData"]["name"]: item["tags"]
        for item in sent
        if item["data"]["baseType"] == "RemoteDependencyData"
    }
    assert spans.keys() == {"batch", "sub-batch", "attempt"}
    assert {tags["ai.operation.id"] for tags in spans.values()} == {trace_id}
    assert spans["batch"]["ai.operation.parentId"] == parent
    lines = [item for item in sent if item["data"]["baseType"] == "MessageData"]
    assert trace_id in {item["tags"]["ai.operation.id"] for item in lines}
    told = [item["data"]["baseData"]["message"].partition(" ")[0] for item in lines]
    assert told.count("batch") == 1


def _items(body: bytes) -> list[str]:
    text = gzip.decompress(body) if body[:2] == b"\x1f\x8b" else body
    lines: list[str] = []
    for line in text.decode().splitlines():
        items = json.loads(line)
        lines += [json.dumps(item) for item in (items if isinstance(items, list) else [items])]
    return lines
