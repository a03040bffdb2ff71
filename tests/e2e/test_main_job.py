"""The whole road through the real engine over a socket: node → Azurite → trained model → scores → node.

The app is the deployment package with what requirements.txt brings: a file or a requirement that is missing
there is missed here.
"""

import csv
import hashlib
import io
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import pytest
import requests
from azure.storage.blob import ContainerClient
from pydantic import SecretStr

import function_app
from contract.contract import Contract
from contract.features import Encoder
from local import demo
from local.demo import EXPORT, MODEL, Parts, call, export, learn, operate
from local.services.model import Model
from local.train import TrainingFailed, adopt
from scoring.contracts import Contracts
from scoring.deadline import Deadline
from scoring.drift import drift
from sections import StorageSettings
from storage import open_container
from tests.cells import encode_cells
from tests.packaged import Package
from tests.unit.test_repository import OPTIONAL, imports

CUSTOMERS = 600


@pytest.fixture(scope="module")
def parts(package: Package) -> Iterator[Parts]:
    with demo.running_parts(CUSTOMERS, 0, directory=package.directory, runtime=package.runtime) as running:
        yield running


@pytest.fixture(scope="module")
def manifest(parts: Parts) -> Any:
    return export(parts)


@pytest.fixture(scope="module")
def trained(parts: Parts, manifest: Any) -> Any:
    return learn(parts)


@pytest.fixture(scope="module")
def entities(parts: Parts, trained: Any) -> list[Any]:
    return [e for e in parts.node.entities("customers-global") if not e.get("_deleted")][:50]


def post(parts: Parts, body: Any, **headers: str) -> requests.Response:
    return requests.post(
        f"{parts.app.base_url}/api/score/{MODEL}",
        data=body,
        headers={"x-functions-key": parts.app.key} | headers,
        timeout=60,
    )


def blob(parts: Parts, name: str) -> bytes:
    client = ContainerClient.from_connection_string(parts.azurite.connection_string, "training-data")
    with client:
        return client.download_blob(name).readall()


def published_bytes(parts: Parts) -> bytes:
    answer = requests.get(
        f"{parts.node.url}/api/publishers/{demo.PIPE}/csv",
        headers={"Authorization": f"Bearer {parts.node.jwt}"},
        timeout=60,
    )
    return answer.content


@pytest.mark.statement("sesam-30", "sesam-36")
def test_the_blob_is_what_the_node_sent_byte_for_byte_and_its_rows_are_counted_strictly(
    parts: Parts, manifest: Any
) -> None:
    data = blob(parts, f"snapshots/{EXPORT}/{manifest['version']}/data.csv")
    assert hashlib.sha256(data).hexdigest() == manifest["sha256"]
    assert data == published_bytes(parts)
    rows = list(csv.reader(io.StringIO(data.decode(), newline=""), strict=True))
    assert manifest["rows"] == len(rows) - 1
    assert data.count(b"\n") > len(rows)
    assert {len(row) for row in rows} == {len(manifest["columns"])}


# Imports a module, or what a module holds, of every line of the standard input.
IMPORT = """
import importlib, sys
for name in sys.stdin.read().split():
    try:
        importlib.import_module(name)
    except ModuleNotFoundError:
        module, _, held = name.rpartition(".")
        getattr(importlib.import_module(module), held)
"""


def test_whatever_a_line_of_the_package_imports_is_there(package: Package) -> None:
    sources = [path.read_text() for path in package.directory.rglob("*.py")]
    names = {name for source in sources for name, _ in imports(source)}
    wanted = sorted(name for name in names if name.partition(".")[0] not in OPTIONAL)
    assert "cronsim.CronSim" in wanted
    done = subprocess.run(
        [package.runtime.python, "-W", "ignore", "-c", IMPORT],
        cwd=package.directory,
        input="\n".join(wanted),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr


def test_every_function_of_the_source_is_in_the_package(parts: Parts) -> None:
    listed = requests.get(
        f"{parts.app.base_url}/admin/functions", headers={"x-functions-key": parts.app.master_key}, timeout=30
    ).json()
    assert {each["name"] for each in listed} == {
        function.get_function_name() for function in function_app.app.get_functions()
    }


def test_the_model_is_better_than_always_answering_the_most_common_label(trained: Any) -> None:
    assert trained.accuracy > trained.baseline


@pytest.mark.statement("sesam-43")
def test_every_cell_of_the_snapshot_equals_the_feature_of_its_entity(
    parts: Parts, manifest: Any, trained: Any
) -> None:
    contract_id = manifest["contract_id"]
    contract = Contract.from_json(blob(parts, f"contracts/{contract_id}.json"), contract_id)
    data = blob(parts, f"snapshots/{EXPORT}/{manifest['version']}/data.csv").decode()
    rows = csv.reader(io.StringIO(data, newline=""), strict=True)
    next(rows)
    taught = {cells[0]: encode_cells(contract, cells) for cells in rows}
    encoder = Encoder(contract, features=contract.features)
    compared = 0
    for entity in parts.node.entities("customers-global"):
        if entity.get("_deleted"):
            continue
        row = taught[entity["_id"].partition(":")[2]]
        assert encoder.encode(entity).row == [row[name] for name in contract.features]
        compared += len(contract.features)
    assert compared == len(taught) * len(contract.features)


@pytest.mark.statement("sesam-3", "sesam-16")
def test_a_chunked_body_and_one_with_a_length_give_the_same_answer(parts: Parts, entities: list[Any]) -> None:
    body = json.dumps(entities).encode()
    whole = post(parts, body, **{"Content-Type": "application/json; charset=utf-8"})
    chunked = post(parts, (body[i : i + 1000] for i in range(0, len(body), 1000)))
    assert whole.status_code == chunked.status_code == 200
    assert whole.content == chunked.content
    assert whole.headers["content-type"] == "application/json"
    assert [e["_id"] for e in whole.json()] == [e["_id"] for e in entities]
    assert all("churn:Scored-Probabilities" in e for e in whole.json())


@pytest.mark.statement("sesam-17")
@pytest.mark.parametrize(
    ("body", "headers", "status"),
    [
        (b"{", {}, 400),
        (b"[]", {"Content-Type": "text/csv"}, 415),
        (b"[]", {"Content-Encoding": "gzip"}, 415),
        (b'[{"_id":"a"}]', {}, 422),
        (b"[]", {}, 200),
    ],
    ids=["no JSON", "content type", "content encoding", "no features", "empty"],
)
def test_every_refusal_has_its_status_and_says_why(
    parts: Parts, entities: list[Any], body: bytes, headers: dict[str, str], status: int
) -> None:
    before = parts.service.requests
    answer = post(parts, body, **headers)
    assert answer.status_code == status
    assert parts.service.requests == before
    if status != 200:
        assert answer.headers["content-type"] == "application/problem+json"
        assert answer.json()["detail"]


@pytest.mark.statement("sesam-15")
def test_a_service_that_refuses_us_fails_the_whole_batch(parts: Parts, entities: list[Any]) -> None:
    right, parts.service.key = parts.service.key, "another key"
    try:
        answer = post(parts, json.dumps(entities).encode())
    finally:
        parts.service.key = right
    assert answer.status_code == 502
    assert answer.json()["type"] == "urn:sesam-azureml:credentials-refused"
    assert "MODELS__<NAME>__KEY" in answer.json()["detail"]
    assert entities[0]["_id"] not in answer.text


def test_an_unknown_model_is_404_and_a_wrong_key_401(parts: Parts) -> None:
    url = f"{parts.app.base_url}/api/score/nobody"
    assert (
        requests.post(url, headers={"x-functions-key": parts.app.key}, data=b"[]", timeout=30).status_code
        == 404
    )
    assert requests.post(url, headers={"x-functions-key": "wrong"}, data=b"[]", timeout=30).status_code == 401


@pytest.mark.statement("sesam-26")
def test_health_is_anonymous_and_readiness_lists_its_checks(parts: Parts, trained: Any) -> None:
    assert requests.get(f"{parts.app.base_url}/api/health", timeout=30).json() == {"status": "alive"}
    ready = call(parts.app, "GET", "health/ready")
    assert ready["ready"]
    checks = ["settings", "storage", "model churn", "web service of churn"]
    assert [check["check"] for check in ready["checks"]] == checks


def test_a_model_shows_what_it_has_adopted_and_no_secret(parts: Parts, trained: Any) -> None:
    shown = call(parts.app, "GET", f"models/{MODEL}")
    assert shown["adopted"]["version"] == trained.version
    assert shown["latest"] == {"version": trained.version, "differences": [], "drift": []}
    assert parts.service.key not in json.dumps(shown)


def test_adopting_a_version_that_is_not_there_is_404(parts: Parts, trained: Any) -> None:
    with pytest.raises(demo.DemoFailed, match="404"):
        call(parts.app, "PUT", f"models/{MODEL}/contract", {"version": "20200101T000000Z-00000000"})


def test_deep_readiness_replays_the_golden_rows_at_the_live_endpoint(parts: Parts, trained: Any) -> None:
    before = parts.service.rows
    ready = call(parts.app, "GET", "health/ready?deep=1")
    (golden,) = [check for check in ready["checks"] if check["check"] == f"golden rows of {MODEL}"]
    rows = len(trained.golden.entities)
    assert golden["ok"]
    assert golden["detail"] == f"{rows} golden rows of {trained.version} are answered as trained"
    assert parts.service.rows == before + rows


def test_a_model_redeployed_with_two_features_swapped_is_not_adopted(parts: Parts, trained: Any) -> None:
    right = Model.load(parts.models)
    used = list(right.used)
    tenure, complaints = used.index("Tenure"), used.index("Complaints")
    used[tenure], used[complaints] = used[complaints], used[tenure]
    adopted = blob(parts, f"models/{MODEL}.json")
    replace(right, used=used).save(parts.models)
    try:
        with pytest.raises(TrainingFailed, match=r"\(409\).*Scored-Probabilities differs by 0\.") as refused:
            adopt(parts.app.base_url, parts.app.key, MODEL, trained.version)
    finally:
        right.save(parts.models)
    assert "row 0" in str(refused.value)
    assert "Tenure and Complaints swapped" in str(refused.value)
    assert blob(parts, f"models/{MODEL}.json") == adopted
    adopt(parts.app.base_url, parts.app.key, MODEL, trained.version)


def test_the_pipe_brings_every_customer_home_with_a_score_and_again(parts: Parts, trained: Any) -> None:
    first = operate(parts)
    scores = {e["_id"]: e["churn:Scored-Probabilities"] for e in parts.node.entities(demo.SCORING_PIPE)}
    again = operate(parts)
    assert (first.failed, first.deleted, again.failed, again.deleted) == ([], [], [], [])
    assert again.changed == 0
    assert scores == {
        e["_id"]: e["churn:Scored-Probabilities"] for e in parts.node.entities(demo.SCORING_PIPE)
    }


@pytest.mark.fault(1)
@pytest.mark.parametrize("body", [b'{"version": "\xff"}', b"\xff", b"", b"[1]", b'{"vers'], ids=repr)
@pytest.mark.parametrize(
    "route", [f"models/{MODEL}/contract", f"models/{MODEL}/golden", f"exports/{EXPORT}/latest"]
)
def test_a_body_that_cannot_be_read_is_400_on_every_route_that_takes_one(
    parts: Parts, trained: Any, route: str, body: bytes
) -> None:
    answer = requests.put(
        f"{parts.app.base_url}/api/{route}",
        data=body,
        headers={"x-functions-key": parts.app.key},
        timeout=30,
    )
    assert answer.status_code == 400
    assert answer.json()["detail"].startswith("Send {")


def test_drift_says_when_there_will_be_something_to_tell(parts: Parts, trained: Any) -> None:
    told = call(parts.app, "GET", f"models/{MODEL}/drift")
    assert (told["version"], told["entities"]) == (trained.version, 0)
    assert "Nothing was seen through" in told["told"][0]
    with pytest.raises(demo.DemoFailed, match=r"400.*from 1 to 90"):
        call(parts.app, "GET", f"models/{MODEL}/drift?days=0")


@pytest.mark.statement("P12")
def test_nothing_the_app_printed_holds_a_secret(parts: Parts, trained: Any) -> None:
    printed = parts.app.output()
    for secret in (parts.service.key, parts.node.jwt, parts.app.key):
        assert secret not in printed


def test_what_was_seen_is_written_when_the_process_ends_and_looks_like_the_training_data(
    parts: Parts, trained: Any
) -> None:
    operate(parts)
    assert parts.app.terminate() == 0
    container = open_container(StorageSettings(connection_string=SecretStr(parts.azurite.connection_string)))
    blobs = [each.name for each in container.list(f"observed/{MODEL}/")]
    assert len(blobs) == 1
    written = container.read(blobs[0])
    assert written
    assert b"Oslo" not in written.data
    contracts = Contracts(container, clock=time.monotonic, now=lambda: "")
    model = Mock(adopted=partial(contracts.adopted, MODEL, EXPORT), settings=Mock(contract=EXPORT))
    model.name = MODEL
    report = drift(model, 1, contracts, container, datetime.now(UTC), Deadline.after(10))
    assert report.entities >= trained.rows
    assert [feature.moved for feature in report.features] == ["little"] * len(report.features)
    assert report.told[-1].startswith("No feature has moved")


def test_make_run_ends_by_itself_and_prints_scored_customers(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "local.demo", "--customers", "400"],
        cwd=demo.ROOT,
        env={"PATH": os.environ["PATH"], "HOME": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "every customer came back with a score" in done.stdout
    assert "churn:Scored-Probabilities" in done.stdout
