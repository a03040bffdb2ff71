"""Exports through the whole app: timer, queue and routes under the real engine, on Azurite, over sockets."""

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import requests
from azure.storage.queue import QueueClient

from local.azurite import Azurite
from local.bootstrap import ROOT
from local.host.process import RunningApp
from storage import EXPORT_QUEUE
from tests.exports import rows
from tests.packaged import Package
from tests.rogue import Rogue, Visit, answer, chunked
from training_export import asset, publisher
from training_export.exports import MOST_TRIES
from training_export.snapshot import RETRY_S, TURN_S

CONFIG = """
[exports.customers]
pipe = "customers-csv"
label = "ChurnFlag"

[exports.orders]
pipe = "orders-csv"

[exports.idle]
pipe = "idle-csv"

[exports.small]
pipe = "small-csv"
min_rows = 5

[models.small]
url = "http://localhost:9/score"
auth = "none"
contract = "small"

[storage]
container = "exports-app"
"""


class Pipes:
    """What the node publishes, by pipe."""

    def __init__(self) -> None:
        self.bodies: dict[str, bytes] = {}

    def __call__(self, visit: Visit) -> None:
        _, _, kind, pipe, *_ = visit.received.target.split("/")
        if kind != "publishers":
            return answer(403)(visit)
        if pipe not in self.bodies:
            return answer(404)(visit)
        return chunked(self.bodies[pipe], headers={"Content-Type": "text/csv"})(visit)


@pytest.fixture(scope="module")
def pipes() -> Pipes:
    return Pipes()


@pytest.fixture(scope="module")
def app(
    azurite: Azurite, pipes: Pipes, tmp_path_factory: pytest.TempPathFactory, package: Package
) -> Iterator[RunningApp]:
    config = tmp_path_factory.mktemp("config") / "bridge.toml"
    config.write_text(CONFIG)
    with Rogue(pipes) as node:
        settings = {
            "AzureWebJobsStorage": azurite.connection_string,
            "BRIDGE_CONFIG": str(config),
            "SESAM__URL": f"http://localhost:{node.port}",
            "SESAM__JWT": "planted-token",
        }
        with package.serve(settings) as app:
            yield app


def get(app: RunningApp, path: str) -> requests.Response:
    return requests.get(f"{app.base_url}/api/exports{path}", timeout=30)


def run(app: RunningApp, name: str) -> Any:
    """Start an export and wait for its end."""
    started = requests.post(f"{app.base_url}/api/exports/{name}", timeout=30)
    assert started.status_code == 202
    assert started.headers["Location"] == f"/api/exports/{name}"
    return ended(app, name, started.json()["run"])


def ended(app: RunningApp, name: str, run_id: str = "") -> Any:
    give_up = time.monotonic() + 30
    while time.monotonic() < give_up:
        told = get(app, f"/{name}").json()
        last = told["run"]
        if last and last["finished"] and last["id"] == (run_id or last["id"]):
            return told
        time.sleep(0.05)  # between two looks: the run is another process's
    raise AssertionError(f"{name} did not end: {told}")


def put(app: RunningApp, name: str, body: object) -> requests.Response:
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    return requests.put(f"{app.base_url}/api/exports/{name}/latest", data=data, timeout=30)


def test_before_the_first_run_there_is_nothing_and_no_error(app: RunningApp) -> None:
    answer = get(app, "/idle")
    assert answer.status_code == 200
    assert answer.json() == {"name": "idle", "latest": None, "pinned": False, "run": None, "versions": []}
    assert [export["name"] for export in get(app, "").json()] == ["customers", "orders", "idle", "small"]


def test_an_export_is_started_followed_moved_and_compared_by_its_routes(
    app: RunningApp, pipes: Pipes
) -> None:
    pipes.bodies["customers-csv"] = rows(10)
    first = run(app, "customers")
    assert first["run"]["outcome"] == "published"
    assert first["latest"] == first["run"]["version"]
    assert first["versions"] == [
        {"version": first["latest"], "state": "published", "rows": 10, "bytes": len(rows(10))}
    ]
    assert run(app, "customers")["run"]["outcome"] == "unchanged"

    pipes.bodies["customers-csv"] = rows(12)
    second = run(app, "customers")
    versions = [version["version"] for version in second["versions"]]
    assert versions == [second["latest"], first["latest"]], "newest first"

    manifest = get(app, f"/customers/versions/{second['latest']}").json()
    assert (manifest["rows"], manifest["label"], manifest["previous"]) == (12, "ChurnFlag", first["latest"])
    compared = get(app, f"/customers/versions/{second['latest']}?against={first['latest']}").json()
    assert compared["differences"] == manifest["differences"]
    assert "rows 10 → 12 (+20.0%)" in compared["differences"]
    assert compared["drift"] == manifest["drift"]
    assert {"column", "population_stability_index", "jensen_shannon_distance"} == set(compared["drift"][0])
    backwards = get(app, f"/customers/versions/{first['latest']}?against={second['latest']}").json()
    assert "rows 12 → 10 (-16.7%)" in backwards["differences"]

    assert put(app, "customers", {"version": first["latest"]}).json() == {
        "version": first["latest"],
        "pinned": True,
    }
    assert get(app, "/customers").json()["pinned"] is True
    assert put(app, "customers", {"version": None}).json() == {
        "version": second["latest"],
        "pinned": False,
    }

    pipes.bodies["customers-csv"] = rows(2)
    held = run(app, "customers")
    assert held["run"]["outcome"] == "held"
    assert held["latest"] == second["latest"]
    assert held["versions"][0]["state"] == "held"
    assert put(app, "customers", {"version": held["run"]["version"]}).json()["pinned"] is False
    assert get(app, "/customers").json()["versions"][0]["state"] == "published"


def test_a_first_version_that_was_held_is_adopted_when_a_person_publishes_it(
    app: RunningApp, pipes: Pipes
) -> None:
    pipes.bodies["small-csv"] = rows(4)
    held = run(app, "small")
    version = held["run"]["version"]
    assert (held["run"]["outcome"], held["latest"]) == ("held", None)
    assert f'PUT /api/exports/small/latest {{"version": "{version}"}}' in held["run"]["detail"]
    model = f"{app.base_url}/api/models/small"
    assert requests.get(model, timeout=30).json()["adopted"] is None
    assert put(app, "small", {"version": version}).json() == {"version": version, "pinned": False}
    assert requests.get(model, timeout=30).json()["adopted"]["version"] == version
    assert requests.put(f"{model}/contract", json={"version": version}, timeout=30).status_code == 200


@pytest.mark.statement("sesam-31", "sesam-38")
def test_a_run_that_failed_says_why_at_the_route(app: RunningApp, pipes: Pipes) -> None:
    pipes.bodies["orders-csv"] = rows(10)[:-1]
    told = run(app, "orders")
    assert told["run"]["outcome"] == "failed"
    assert "the data broke off" in told["run"]["detail"]
    assert (told["latest"], told["versions"]) == (None, [])
    del pipes.bodies["orders-csv"]
    assert "no pipe orders-csv" in run(app, "orders")["run"]["detail"]
    assert "planted" not in app.output()


def test_the_timer_queues_every_export(app: RunningApp, pipes: Pipes) -> None:
    before = {name: (get(app, f"/{name}").json()["run"] or {"id": ""})["id"] for name in ("orders", "idle")}
    pipes.bodies |= {"orders-csv": rows(7), "idle-csv": rows(8)}
    fired = requests.post(
        f"{app.base_url}/admin/functions/export_on_schedule", json={"input": ""}, timeout=30
    )
    assert fired.status_code == 202
    for name, old in before.items():
        give_up = time.monotonic() + 30
        while (told := ended(app, name))["run"]["id"] == old and time.monotonic() < give_up:
            time.sleep(0.05)  # between two looks
        assert told["run"]["outcome"] == "published"


@pytest.mark.parametrize(
    "path",
    [
        "/nope",
        "/nope/versions/x",
        "/customers/versions/20200101T000000Z-00000000",
        "/customers/versions/%2E%2E%2Flatest",
    ],
)
def test_what_is_not_there_is_404(app: RunningApp, path: str) -> None:
    assert get(app, path).status_code == 404


def test_an_export_that_is_not_configured_cannot_be_started_or_moved(app: RunningApp) -> None:
    answer = requests.post(f"{app.base_url}/api/exports/nope", timeout=30)
    assert answer.status_code == 404
    assert answer.headers["Content-Type"] == "application/problem+json"
    assert put(app, "nope", {"version": None}).status_code == 404


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b"", 400),
        (b"{", 400),
        ([], 400),
        ({}, 400),
        ({"version": 7}, 400),
        ({"version": None, "pinned": True}, 400),
        ({"version": None, "pin": "yes"}, 400),
        ({"version": "20200101T000000Z-00000000"}, 404),
        ({"version": "../../latest/customers"}, 404),
    ],
    ids=range(9),
)
def test_a_body_that_moves_nothing_is_told_so(app: RunningApp, body: object, status: int) -> None:
    answer = put(app, "customers", body)
    assert (answer.status_code, answer.json()["status"]) == (status, status)


def test_a_message_that_is_not_ours_ends_on_the_poison_queue_and_stops_nothing(
    app: RunningApp, azurite: Azurite, pipes: Pipes
) -> None:
    fired = requests.post(
        f"{app.base_url}/admin/functions/run_export", json={"input": "not ours"}, timeout=30
    )
    assert fired.status_code == 202
    app.wait_for("it was not ours|InvalidRequest")
    pipes.bodies["orders-csv"] = rows(9)
    assert run(app, "orders")["run"]["outcome"] in ("published", "unchanged")
    with QueueClient.from_connection_string(azurite.connection_string, EXPORT_QUEUE) as queue:
        assert not queue.peek_messages()


def test_settings_that_are_wrong_are_told_at_every_route(
    azurite: Azurite, tmp_path: Path, package: Package
) -> None:
    config = tmp_path / "bridge.toml"
    config.write_text('[exports.customers]\npipe = "x"\nkeep = 3\n')
    settings = {"AzureWebJobsStorage": azurite.connection_string, "BRIDGE_CONFIG": str(config)}
    with package.serve(settings) as app:
        for answer in (get(app, ""), get(app, "/customers"), put(app, "customers", {"version": None})):
            assert answer.status_code == 503
            assert "exports.customers.keep: unknown key" in answer.json()["detail"]


def test_host_json_gives_a_message_as_many_tries_as_the_code_expects() -> None:
    host = json.loads((ROOT / "host.json").read_text())
    queues = host["extensions"]["queues"]
    assert queues["maxDequeueCount"] == MOST_TRIES
    assert (queues["batchSize"], queues["newBatchThreshold"]) == (1, 0), "one export at a time an instance"


@pytest.mark.statement("sesam-38")
@pytest.mark.fault(44)
def test_a_run_with_all_its_waiting_ends_before_the_platform_ends_it() -> None:
    host = json.loads((ROOT / "host.json").read_text())
    hours, minutes, seconds = map(int, host["functionTimeout"].split(":"))
    longest = TURN_S + RETRY_S + publisher.PIPE_DEADLINE_S + publisher.DEADLINE_S + asset.DEADLINE_S
    assert longest < 3600 * hours + 60 * minutes + seconds - 30
