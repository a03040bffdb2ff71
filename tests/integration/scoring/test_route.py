"""Scoring through the whole app: Microsoft's engine over a socket, a web service that does as it is told."""

import json
import socket
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from typing import Any
from urllib.parse import urlsplit

import pytest
import requests
from hypothesis import HealthCheck, given
from hypothesis import settings as trying
from hypothesis import strategies as st

from contract.contract import Column, Contract
from contract.documents import Adoption, encode
from local.azurite import Azurite
from local.host.process import RunningApp
from scoring.breaker import STRIKES
from sections import StorageSettings
from storage import adoption_blob, contract_blob, open_container
from tests.packaged import Package
from tests.rogue import Rogue, Scene, Visit, answer, silent

SECRET = "planted-secret-key-77aa"
VERSION = "20261123T020000Z-00000001"
TAUGHT = Contract(
    schema_version=1,
    label="Churn",
    columns=(Column(name="x", type="integer"), Column(name="City", type="string", nullable=True)),
)

# Each model's web service is a path of its own at one server.
MODELS = """
[sesam]
url = "https://node.example"

[exports.customers]
pipe = "customers-csv"

[models.busy]
url = "{url}/busy"
in_flight = 4

[models.held]
url = "{url}/held"
batch_rows = 10

[models.alone]
url = "{url}/good"
return = "scores"

[models.marking]
url = "{url}/picky"
on_bad_entity = "mark"

[models.slow]
url = "{url}/silent"
deadline_s = 1.0

[models.down]
url = "{url}/down"
attempts = 1

[models.taught]
url = "{url}/good"
contract = "customers"

[models.unsuited]
url = "{url}/good"
contract = "customers"
map = {{ Shoe = "crm:Shoe" }}

[models.untaught]
url = "{url}/good"
contract = "customers"
"""


class Service:
    """A web service of several models, by path; scores a row by its own first cell."""

    def __init__(self) -> None:
        self.gate = threading.Event()
        self.paths: Mapping[str, Scene] = {
            "/busy": self._busy, "/held": self._held, "/good": good, "/picky": self._picky,
            "/silent": silent, "/down": answer(503),
        }  # fmt: skip
        self._lock = threading.Lock()
        self._under_way = 0
        self.most = 0
        self.asked: dict[str, int] = {}
        self.ids: list[str] = []

    def __call__(self, visit: Visit) -> None:
        path = visit.received.target.partition("?")[0]
        with self._lock:
            self.asked[path] = self.asked.get(path, 0) + 1
            self.ids.append(visit.received.headers["x-ms-client-request-id"])
        self.paths[path](visit)

    def was_asked(self, path: str, times: int) -> bool:
        return self.asked[path] == times

    def _busy(self, visit: Visit) -> None:
        """Takes 100 ms, and no more than four at once."""
        with self._lock:
            self._under_way += 1
            self.most = max(self.most, self._under_way)
            allowed = self._under_way <= 4
        visit.stopped.wait(0.1)
        with self._lock:
            self._under_way -= 1
        (good if allowed else answer(429))(visit)

    def _held(self, visit: Visit) -> None:
        """The batch that begins with 20 waits; what begins with -20 is never taken."""
        first = rows(visit)[0][0]
        if first == 20:
            self.gate.wait(20)
        (answer(403) if first == -20 else good)(visit)

    def _picky(self, visit: Visit) -> None:
        """Refuses a batch with 617 or 7 in it, as every scoring server does."""
        bad = any(row[0] in (617, 7) for row in rows(visit))
        (answer(400, b'{"message": "row 617 of Kari"}') if bad else good)(visit)


def rows(visit: Visit) -> list[list[Any]]:
    sent: list[list[Any]] = json.loads(visit.received.body)["data"]
    return sent


def good(visit: Visit) -> None:
    answer(200, json.dumps([{"label": f"of {row[0]}", "p": 0.5} for row in rows(visit)]).encode())(visit)


@pytest.fixture(scope="module")
def service() -> Iterator[Service]:
    yield Service()


@pytest.fixture(scope="module")
def app(
    service: Service, azurite: Azurite, tmp_path_factory: pytest.TempPathFactory, package: Package
) -> Iterator[RunningApp]:
    container = open_container(
        StorageSettings.model_validate(
            {"container": "scoring-route", "connection_string": azurite.connection_string}
        )
    )
    container.ensure()
    container.put(contract_blob(TAUGHT.id), TAUGHT.to_json())
    for model in ("taught", "unsuited"):
        adoption = Adoption(version=VERSION, contract_id=TAUGHT.id, adopted="2026-11-23T03:00:00Z")
        container.put(adoption_blob(model), encode(adoption))
    with Rogue(service) as server:
        config = tmp_path_factory.mktemp("config") / "bridge.toml"
        config.write_text(MODELS.format(url=server.url.removesuffix("/score")))
        names = [line[8:-1] for line in MODELS.splitlines() if line.startswith("[models.")]
        settings = {
            "AzureWebJobsStorage": azurite.connection_string,
            "STORAGE__CONTAINER": "scoring-route",
            "BRIDGE_CONFIG": str(config),
            "SESAM__JWT": SECRET,
        }
        for name in names:
            settings |= {
                f"MODELS__{name.upper()}__KEY": SECRET,
                f"MODELS__{name.upper()}__DIALECT": "score-script",
            }
            if name not in ("taught", "unsuited", "untaught"):
                settings |= {f"MODELS__{name.upper()}__FEATURES": '["x"]'}
        with package.serve(settings) as running:
            yield running


def entities(start: int, count: int) -> list[dict[str, Any]]:
    return [
        {"_id": f"c:{number}", "crm:x": number, "price": "~f7.70"} for number in range(start, start + count)
    ]


def post(app: RunningApp, model: str, body: object) -> requests.Response:
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    return requests.post(f"{app.base_url}/api/score/{model}", data=data, timeout=60)


def get(app: RunningApp, path: str) -> requests.Response:
    return requests.get(f"{app.base_url}/api/{path}", timeout=60)


# ---- many at once


@pytest.mark.statement("azureml-39", "sesam-1")
@pytest.mark.fault(28)
def test_64_requests_of_100_entities_at_a_service_of_100_ms_that_allows_4_in_flight(
    app: RunningApp, service: Service
) -> None:
    with ThreadPoolExecutor(64) as pool:
        answers = list(pool.map(lambda call: post(app, "busy", entities(1000 * call, 100)), range(64)))
    assert {each.status_code for each in answers} == {200}
    for call, each in enumerate(answers):
        sent = entities(1000 * call, 100)
        assert each.json() == [e | {"busy:label": f"of {e['crm:x']}", "busy:p": 0.5} for e in sent]
    assert service.most == 4
    assert service.asked["/busy"] == 64


# ---- all or nothing


@contextmanager
def sending(app: RunningApp, model: str, body: Sequence[object]) -> Iterator[socket.socket]:
    """Post on a bare socket, to see when the first byte comes back."""
    where = urlsplit(app.base_url)
    with socket.create_connection((where.hostname, where.port or 80), timeout=20) as sock:
        data = json.dumps(body).encode()
        head = f"POST /api/score/{model} HTTP/1.1\r\nHost: app\r\nConnection: close\r\n"
        sock.sendall(f"{head}Content-Length: {len(data)}\r\n\r\n".encode() + data)
        yield sock


def received(sock: socket.socket) -> tuple[int, Any]:
    data = b""
    while part := sock.recv(65536):
        data += part
    head, _, body = data.partition(b"\r\n\r\n")
    assert b"chunked" not in head.lower()
    return int(head.split()[1]), json.loads(body)


def until(seen: Callable[[], bool]) -> None:
    end = time.monotonic() + 20
    while not seen():
        assert time.monotonic() < end
        time.sleep(0.005)


@pytest.mark.statement("azureml-41", "sesam-16")
def test_no_byte_of_an_answer_is_sent_before_the_last_batch_has_scored(
    app: RunningApp, service: Service
) -> None:
    service.asked["/held"] = 0
    with sending(app, "held", entities(0, 50)) as sock:
        until(partial(service.was_asked, "/held", 5))
        sock.settimeout(0.2)
        with pytest.raises(TimeoutError):
            sock.recv(1)
        service.gate.set()
        sock.settimeout(20)
        status, body = received(sock)
    assert status == 200
    assert [entity["_id"] for entity in body] == [f"c:{number}" for number in range(50)]
    assert all("held:label" in entity for entity in body)


@pytest.mark.statement("azureml-41", "sesam-15")
@pytest.mark.fault(24)
def test_a_batch_that_fails_among_others_that_scored_fails_the_whole_answer(
    app: RunningApp, service: Service
) -> None:
    service.gate.set()
    answer = post(app, "held", [{"_id": f"c:{x}", "x": x} for x in range(-40, 10)])
    assert answer.status_code == 502
    assert answer.headers["content-type"] == "application/problem+json"
    assert "held:label" not in answer.text
    assert "c:" not in answer.text
    assert SECRET not in answer.text


# ---- shapes


def test_return_scores_gives_the_predecessors_shape(app: RunningApp) -> None:
    sent = [{"_id": "c:1", "_deleted": False, "x": 1, "_ts": 7}, {"_id": "c:2", "_deleted": True, "x": 2}]
    assert post(app, "alone", sent).json() == [
        {"_id": "c:1", "_deleted": False, "alone:label": "of 1", "alone:p": 0.5},
        {"_id": "c:2", "_deleted": True},
    ]


@pytest.mark.statement("sesam-18")
def test_entities_sent_again_one_by_one_score_as_they_did_together(app: RunningApp) -> None:
    sent = entities(0, 20)
    together = post(app, "taught", sent).json()
    assert [post(app, "taught", [entity]).json() for entity in sent] == [[entity] for entity in together]
    assert post(app, "taught", together).json() == together


@pytest.mark.statement("sesam-24")
def test_a_rest_transforms_object_comes_back_as_one_object_with_plain_numbers(app: RunningApp) -> None:
    answer = post(app, "taught", {"x": 42, "City": "Oslo"})
    assert answer.json() == {"x": 42, "City": "Oslo", "taught:label": "of 42", "taught:p": 0.5}


@pytest.mark.statement("azureml-34", "azureml-35", "sesam-25")
@pytest.mark.fault(10)
def test_one_bad_row_of_a_thousand_is_marked_and_999_are_scored_in_21_requests(
    app: RunningApp, service: Service
) -> None:
    service.asked["/picky"] = 0
    answer = post(app, "marking", entities(100, 1000))
    assert answer.status_code == 200
    marked = [entity for entity in answer.json() if "marking:error" in entity]
    assert [entity["_id"] for entity in marked] == ["c:617"]
    assert marked[0]["marking:error"] == {
        "transform_succeeded": False,
        "status_code": 400,
        "message": "the model refuses the rows (status 400)",
    }
    assert sum("marking:label" in entity for entity in answer.json()) == 999
    assert service.asked["/picky"] <= 21


@pytest.mark.fault(7)
@pytest.mark.parametrize(
    ("value", "status"),
    [
        (None, 200), ([5], 200), ("~f5", 200), ("~f5.0", 200), ("5", 200), ("~:crm:5", 200),
        ([1, 2], 422), ({"a": 1}, 422), ([], 422), ("~t2020-01-01", 422), ("~rhttp://x", 422), (True, 422),
        (5.5, 422), ("~f5.5", 422), ("abc", 422),
    ],
    ids=repr,
)  # fmt: skip
def test_odd_values_in_an_integer_feature_are_read_by_rule_or_refused_naming_the_feature(
    app: RunningApp, value: object, status: int
) -> None:
    answer = post(app, "taught", [{"_id": "c:1", "x": value}])
    assert answer.status_code == status
    if status == 200:
        wanted = "None" if value is None else "5"
        assert answer.json()[0]["taught:label"] == f"of {wanted}"
    else:
        assert answer.json()["features"] == ["x"]


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text()
    | st.sampled_from(["~t", "~f1", "~:a"]),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text() | st.just("x"), inner, max_size=4),
    max_leaves=20,
)
ENTITY = st.dictionaries(st.sampled_from(["x", "crm:x", "taught:label", "City", "_deleted"]), JSON).map(
    lambda properties: properties | {"_id": "c:1"}
)


@pytest.mark.fault(1, 2, 3, 6, 8, 29)
@trying(
    max_examples=150,
    deadline=None,
    database=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(body=st.binary(max_size=40) | JSON.map(json.dumps) | st.lists(ENTITY, max_size=4).map(json.dumps))
def test_whatever_is_posted_is_scored_or_refused_in_words_and_never_a_5xx(
    app: RunningApp, body: bytes | str
) -> None:
    answer = post(app, "taught", body.encode() if isinstance(body, str) else body)
    assert answer.status_code in (200, 400, 413, 422), answer.text
    if answer.status_code == 200:
        sent = json.loads(body, parse_constant=lambda _: None)
        got = answer.json()
        assert isinstance(got, type(sent))
        if isinstance(sent, list):
            assert [e["_id"] for e in got] == [e["_id"] for e in sent]
    else:
        problem = answer.json()
        assert answer.headers["content-type"] == "application/problem+json"
        assert problem["status"] == answer.status_code
        assert problem["detail"]
        assert problem["request_id"]


@pytest.mark.fault(5)
def test_ten_thousand_wide_entities_go_in_batches_and_one_too_large_for_any_is_that_entitys_error(
    app: RunningApp, service: Service
) -> None:
    wide = {f"crm:other{n}": f"value {n}" for n in range(18)}
    sent = [{"_id": f"c:{number}", "x": number, **wide} for number in range(10_000)]
    service.asked["/good"] = 0
    answer = post(app, "taught", sent)
    assert [entity["taught:label"] for entity in answer.json()] == [f"of {n}" for n in range(10_000)]
    assert service.asked["/good"] == 10
    refused = post(app, "taught", [{"_id": "c:1", "x": 1, "City": "x" * 30_000_000}])
    assert refused.status_code == 422
    assert "batch_bytes" in refused.json()["detail"]
    assert service.asked["/good"] == 10


# ---- by which id a call is found


@pytest.mark.statement("azureml-14")
def test_a_failure_is_found_by_one_id_in_the_answer_our_log_and_the_web_services_log(
    app: RunningApp, service: Service
) -> None:
    service.gate.set()
    sent = [{"_id": "c:1", "x": -20}]
    service.ids.clear()
    ours = post(app, "held", sent).json()["request_id"]
    url = f"{app.base_url}/api/score/held"
    theirs = requests.post(url, json=sent, headers={"x-ms-client-request-id": "hub-run_7"}, timeout=60)
    assert theirs.json()["request_id"] == "hub-run_7"
    assert [id_.rpartition("-")[0] for id_ in service.ids] == [ours, "hub-run_7"]
    for id_ in (ours, "hub-run_7"):
        app.wait_for(f"{id_} 502: credentials-refused")


# ---- time


@pytest.mark.statement("sesam-23")
@pytest.mark.fault(20)
def test_a_service_that_never_answers_is_504_at_the_deadline(app: RunningApp) -> None:
    began = time.monotonic()
    answer = post(app, "slow", entities(0, 100))
    assert time.monotonic() - began < 3
    assert answer.status_code == 504
    assert answer.json()["type"] == "urn:sesam-azureml:silence"
    assert answer.headers["Retry-After"]


@pytest.mark.fault(27)
def test_a_client_that_goes_away_amid_its_call_harms_nobody(app: RunningApp, service: Service) -> None:
    service.gate.clear()
    service.asked["/held"] = 0
    for number in range(1, 11):
        with sending(app, "held", entities(20, 10)):
            until(partial(service.was_asked, "/held", number))
    service.gate.set()
    assert post(app, "held", entities(0, 100)).status_code == 200


@pytest.mark.fault(1, 27)
def test_a_body_that_breaks_off_is_no_error_of_ours(app: RunningApp) -> None:
    where = urlsplit(app.base_url)
    with socket.create_connection((where.hostname, where.port or 80), timeout=20) as sock:
        sock.sendall(b"POST /api/score/taught HTTP/1.1\r\nHost: app\r\nContent-Length: 1000\r\n\r\n[{")
    app.wait_for("400: invalid-request .*cannot be read")


# ---- what a model is, and whether it can work


def test_every_model_is_described_though_some_cannot_be_bound_or_have_adopted_nothing(
    app: RunningApp,
) -> None:
    answer = get(app, "models")
    assert answer.status_code == 200
    told = {model["name"]: model for model in answer.json()}
    assert len(told) == 9
    assert told["taught"]["adopted"]["version"] == VERSION
    assert told["taught"]["columns"] == ["x", "City"]
    assert told["alone"]["columns"] == ["x"]
    assert told["untaught"]["adopted"] is None
    assert "has adopted no version of customers yet" in told["untaught"]["detail"]
    assert "map names Shoe, which is no feature" in told["unsuited"]["detail"]
    assert told["unsuited"]["adopted"]["version"] == VERSION
    assert get(app, "models/unsuited").json() == told["unsuited"]
    assert SECRET not in answer.text


def test_a_model_that_cannot_be_bound_or_is_left_alone_makes_readiness_503_and_says_why(
    app: RunningApp, service: Service
) -> None:
    for _ in range(STRIKES):
        assert post(app, "down", entities(0, 1)).status_code == 503
    asked = service.asked["/down"]
    refused = post(app, "down", entities(0, 1))
    assert (refused.status_code, service.asked["/down"]) == (503, asked)
    assert 0 < int(refused.headers["Retry-After"]) <= 5
    ready = get(app, "health/ready")
    assert ready.status_code == 503
    checks = {check["check"]: check for check in ready.json()["checks"]}
    failed = {name for name, check in checks.items() if not check["ok"]}
    assert failed == {"model unsuited", "model untaught", "web service of down"}
    assert "left alone for" in checks["web service of down"]["detail"]
    assert "map names Shoe" in checks["model unsuited"]["detail"]
    assert "PUT /api/models/untaught/contract" in checks["model untaught"]["detail"]
    assert checks["model taught"]["detail"] == f"version {VERSION}"


# ---- last, as it ends the app


@pytest.mark.statement("azureml-17")
@pytest.mark.fault(27)
def test_a_call_under_way_when_the_host_is_told_to_stop_is_answered_whole_and_no_key_was_printed(
    app: RunningApp, service: Service
) -> None:
    service.gate.clear()
    service.asked["/held"] = 0
    with sending(app, "held", entities(0, 50)) as sock, ThreadPoolExecutor(1) as pool:
        until(partial(service.was_asked, "/held", 5))
        ended = pool.submit(app.terminate, 20)
        app.wait_for("(?i)shutting down|stopping")
        service.gate.set()
        status, body = received(sock)
        assert ended.result() == 0
    assert status == 200
    assert [entity["held:label"] for entity in body] == [f"of {number}" for number in range(50)]
    assert SECRET not in app.output()
    assert " 500: " not in app.output()
