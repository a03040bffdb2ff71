"""A host ends, or a caller goes, in the midst of work: what was answered is right, the rest is retried."""

import json
import os
import signal
import socket
import threading
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import urlsplit
from uuid import uuid4

import pytest
import requests
from azure.storage.blob import BlobLeaseClient, BlobServiceClient
from pydantic import SecretStr

from local.azurite import Azurite
from local.bootstrap import ROOT
from local.host.process import RunningApp, running_app
from sections import StorageSettings
from storage import BlobContainer, open_container, run_blob, turn_blob
from tests.exports import rows, whole_version
from tests.rogue import Rogue, Visit, answer, head
from training_export.versions import Versions

EXPORT, PIPE = "customers", "customers-csv"
CONFIG = """
[exports.customers]
pipe = "customers-csv"
label = "ChurnFlag"

[models.churn]
dialect = "score-script"
auth = "none"
contract = "customers"
provenance = true
batch_rows = 2
parallel = 1
"""
ENTITIES = [{"_id": f"a:{n}", "a:Name": f"Name{n}", "a:Income": 1000 + n} for n in range(6)]


class Gate:
    """A scene that can be held: `reached` says that a request waits in it, `open` lets it go on."""

    def __init__(self) -> None:
        self.reached, self.open = threading.Event(), threading.Event()
        self.open.set()

    def hold(self) -> None:
        self.reached.clear()
        self.open.clear()

    def wait(self, visit: Visit) -> None:
        self.reached.set()
        while not (self.open.wait(0.02) or visit.stopped.is_set()):
            pass


class Service(Gate):
    """Scores each row by its own cells."""

    def __call__(self, visit: Visit) -> None:
        sent = json.loads(visit.received.body)["data"]
        self.wait(visit)
        answer(200, json.dumps([{"label": f"{row[-1]} of {row[0]}"} for row in sent]).encode())(visit)


class Publisher(Gate):
    """Publishes `body`, and can be held in the midst of it."""

    body = rows(10)

    def __call__(self, visit: Visit) -> None:
        if "/publishers/" not in visit.received.target:
            return answer(403)(visit)
        half = len(self.body) // 2
        length = {"Content-Type": "text/csv", "Content-Length": str(len(self.body))}
        visit.send(head(200, length) + self.body[:half])
        self.wait(visit)
        return visit.send(self.body[half:])


class World:
    """A node, a web service and storage, and hosts of the app that come and go."""

    def __init__(self, azurite: Azurite, folder: Path, container: str) -> None:
        self.publisher, self.service = Publisher(), Service()
        self.node, self.scorer = Rogue(self.publisher), Rogue(self.service)
        self.azurite, self.name = azurite, container
        self.config = folder / "bridge.toml"
        self.config.write_text(CONFIG)
        self.caller = ThreadPoolExecutor(4)

    @contextmanager
    def app(self, grace: float = 20.0) -> Iterator[RunningApp]:
        settings = {
            "AzureWebJobsStorage": self.azurite.connection_string,
            "STORAGE__CONTAINER": self.name,
            "BRIDGE_CONFIG": str(self.config),
            "SESAM__URL": f"http://localhost:{self.node.port}",
            "SESAM__JWT": "x",
            "MODELS__CHURN__URL": self.scorer.url,
        }
        with running_app(ROOT, settings=settings, grace=grace, hidden=1) as app:
            yield app

    @property
    def container(self) -> BlobContainer:
        return open_container(
            StorageSettings(container=self.name, connection_string=SecretStr(self.azurite.connection_string))
        )

    def versions(self) -> list[str]:
        return Versions(self.container, EXPORT, lambda: datetime.now(UTC)).ids()

    def latest(self) -> str:
        return max(self.versions(), default="")

    def adopted(self, app: RunningApp) -> str:
        told = requests.get(f"{app.base_url}/api/models/churn", timeout=30).json()
        return str(told["adopted"]["version"])

    def break_leases(self) -> None:
        """End a dead run's leases, which last a minute; nobody here waits for them."""
        service = BlobServiceClient.from_connection_string(self.azurite.connection_string)
        for held in (run_blob(EXPORT), turn_blob(PIPE)):
            BlobLeaseClient(service.get_blob_client(self.name, held)).break_lease(lease_break_period=0)


@pytest.fixture(scope="module")
def world(azurite: Azurite, tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    world = World(azurite, tmp_path_factory.mktemp("config"), f"test-{uuid4().hex}")
    with world.node, world.scorer, world.caller:
        yield world


@pytest.fixture(scope="module")
def app(world: World) -> Iterator[RunningApp]:
    with world.app() as app:
        published(world, app, 10)
        yield app


def score(app: RunningApp) -> requests.Response:
    return requests.post(f"{app.base_url}/api/score/churn", json=ENTITIES, timeout=60)


def start(app: RunningApp) -> str:
    return str(requests.post(f"{app.base_url}/api/exports/{EXPORT}", timeout=30).json()["run"])


def published(world: World, app: RunningApp, count: int) -> str:
    """Export so many rows and give the version."""
    world.publisher.body = rows(count)
    run = start(app)
    app.wait_for(rf"{run}[^\n]*published", 30)
    return world.latest()


def assert_scored(told: requests.Response, version: str) -> None:
    """See that every entity came back with its own score, all of one version."""
    assert told.status_code == 200, told.text
    assert [(e["_id"], e["churn:label"], e["churn:snapshot"]) for e in told.json()] == [
        (e["_id"], f"{e['a:Income']} of {e['a:Name']}", version) for e in ENTITIES
    ]


def both_under_way(world: World, app: RunningApp, count: int) -> Future[requests.Response]:
    """Hold a score and a snapshot in their midst."""
    world.service.hold()
    world.publisher.hold()
    world.publisher.body = rows(count)
    call = world.caller.submit(score, app)
    start(app)
    assert world.service.reached.wait(20)
    assert world.publisher.reached.wait(20)
    return call


@pytest.mark.fault(26)
def test_a_call_keeps_the_contract_that_it_began_with(world: World, app: RunningApp) -> None:
    first = world.adopted(app)
    second = published(world, app, 12)
    world.service.hold()
    call = world.caller.submit(score, app)
    assert world.service.reached.wait(20)
    moved = requests.put(f"{app.base_url}/api/models/churn/contract", json={"version": second}, timeout=30)
    assert moved.status_code == 200
    world.service.open.set()
    assert_scored(call.result(), first)
    assert_scored(score(app), second)


@pytest.mark.fault(27)
def test_a_caller_who_goes_away_harms_no_other_call(world: World, app: RunningApp) -> None:
    adopted = world.adopted(app)
    world.service.hold()
    body = json.dumps(ENTITIES).encode()
    address = urlsplit(app.base_url)
    with socket.create_connection((address.hostname, address.port)) as gone:
        lines = ["POST /api/score/churn HTTP/1.1", "Host: x", f"Content-Length: {len(body)}", "", ""]
        gone.sendall("\r\n".join(lines).encode() + body)
        assert world.service.reached.wait(20)
    others = [world.caller.submit(score, app) for _ in range(3)]
    world.service.open.set()
    for call in others:
        assert_scored(call.result(), adopted)


@pytest.mark.fault(27, 44)
def test_a_host_that_is_told_to_end_finishes_what_it_has_begun(world: World, app: RunningApp) -> None:
    before = world.latest()
    call = both_under_way(world, app, 14)
    adopted = world.adopted(app)
    os.kill(app.pid, signal.SIGTERM)
    app.wait_for("stopping")
    world.service.open.set()
    world.publisher.open.set()
    assert app.wait() == 0
    assert_scored(call.result(), adopted)
    assert world.latest() > before
    assert whole_version(world.container, world.latest()).rows == 14


@pytest.mark.statement("P8")
@pytest.mark.fault(27, 39, 44)
def test_what_a_host_could_not_finish_was_never_answered_and_the_next_host_does_it(world: World) -> None:
    before = world.versions()
    with world.app(grace=0.1) as app:
        adopted = world.adopted(app)
        call = both_under_way(world, app, 16)
        os.kill(app.pid, signal.SIGTERM)
        app.wait_for("the grace was too short")
        app.kill()  # as the platform does that has waited long enough
        with pytest.raises(requests.exceptions.ConnectionError):
            call.result()
    assert world.versions() == before
    world.service.open.set()
    world.publisher.open.set()
    world.break_leases()
    with world.app() as app:
        assert_scored(score(app), adopted)
        app.wait_for(f"{EXPORT}[^\\n]*published", 30)
    assert whole_version(world.container, world.latest()).rows == 16
