"""`make doctor` against a real storage server and stand-ins: each line right, and each line wrong."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
from azure.storage.blob import ContainerClient
from azure.storage.queue import QueueClient

from local import customers, train
from local.azurite import Azurite
from local.bootstrap import ROOT
from local.doctor import told
from local.node import Node, running_node
from local.services.classic import ClassicService, running_classic
from local.services.model import Model
from storage import EXPORT_QUEUE

KEY = "planted-key-6f0d"
LINES = [
    "settings", "storage", "queue", "node", "token", "pipe of customers",
    "model churn", "web service of churn", "endpoint of churn", "dialect of churn", "golden rows of churn",
]  # fmt: skip


@dataclass
class World:
    """All that a configuration touches, and the settings that are right for it."""

    node: Node
    service: ClassicService
    azurite: Azurite
    settings: dict[str, str]
    version: str
    models: Path

    def doctor(self, **changed: str) -> "Told":
        """Run it as `make doctor` does, with some settings changed; an empty one is left out."""
        settings = {name: value for name, value in (self.settings | changed).items() if value}
        done = subprocess.run(
            [sys.executable, "-m", "local.doctor"],
            cwd=ROOT,
            env={"PATH": os.environ["PATH"], "COLUMNS": "400"} | settings,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        assert done.stderr == ""
        for secret in (KEY, self.node.jwt, self.service.key):
            assert secret not in done.stdout
        return Told(done.returncode, done.stdout)


@dataclass
class Told:
    """What it said."""

    status: int
    text: str

    @property
    def lines(self) -> dict[str, tuple[str, str]]:
        """Right or wrong and why, by what was looked at."""
        found = {}
        for line in self.text.splitlines():
            mark, _, rest = line.strip().partition(" ")
            if mark in ("right", "WRONG"):
                name, _, detail = rest.strip().partition("  ")
                found[name] = (mark, detail.strip())
        return found

    def wrong(self) -> dict[str, str]:
        assert self.status == 2
        return {name: detail for name, (mark, detail) in self.lines.items() if mark == "WRONG"}


@pytest.fixture(scope="module")
def world(azurite: Azurite, tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """A published version, a model trained from it, adopted, with golden rows: everything is right."""
    folder = tmp_path_factory.mktemp("models")
    variables = {"azure-ml-system": "azure-ml-churn"}
    with (
        running_node(customers.datasets(300), environment=variables) as node,
        running_classic(folder, key=KEY) as service,
    ):
        settings = {
            "AzureWebJobsStorage": azurite.connection_string,
            "STORAGE__CONTAINER": "doctor",
            "SESAM__URL": node.url,
            "SESAM__JWT": node.token(90 * 86_400 + 60),
            "MODELS__CHURN__URL": service.url,
            "MODELS__CHURN__KEY": KEY,
        }
        done = subprocess.run(
            [sys.executable, "-c", EXPORT],
            cwd=ROOT,
            env={"PATH": os.environ["PATH"]} | settings,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        report = train.train(
            train.blobs(azurite.connection_string, "doctor"), "customers", label="ChurnFlag", folder=folder
        )
        golden = {
            "version": report.version,
            "entities": report.golden.entities,
            "scores": report.golden.scores,
        }
        with ContainerClient.from_connection_string(azurite.connection_string, "doctor") as container:
            container.upload_blob(f"golden/churn/{report.version}.json", json.dumps(golden))
        yield World(node, service, azurite, settings, report.version, folder)


# The run that a message on the queue would start.
EXPORT = """
from training_export.exports import run_message
run = run_message(b'{"export": "customers", "run": "r"}', 1)
assert run.outcome == "published", run
"""


def test_where_all_is_right_every_line_says_so_and_nothing_is_left_behind(world: World) -> None:
    before = blobs(world)
    said = world.doctor()
    assert said.status == 0
    assert list(said.lines) == LINES
    assert {mark for mark, _ in said.lines.values()} == {"right"}
    assert said.text.endswith("\nAll 11 are right.\n")
    detail = {name: detail for name, (_, detail) in said.lines.items()}
    assert detail["storage"] == "the container doctor can be written and read"
    assert detail["token"].endswith("UTC, 90 days")
    assert detail["pipe of customers"] == (
        f"customers-training-csv publishes 21 columns, those of {world.version}"
    )
    assert detail["golden rows of churn"].endswith(f"golden rows of {world.version} are answered as trained")
    assert blobs(world) == before
    with QueueClient.from_connection_string(world.azurite.connection_string, EXPORT_QUEUE) as queue:
        assert queue.get_queue_properties().approximate_message_count == 0


def blobs(world: World) -> list[str]:
    with ContainerClient.from_connection_string(world.azurite.connection_string, "doctor") as container:
        return sorted(container.list_blob_names())


def test_wrong_settings_are_listed_and_nothing_is_asked(world: World) -> None:
    asked = len(world.node.log)
    wrong = world.doctor(SESAM__JWT="", MODELS__CHURN__KYE="x").text
    assert "models.churn.kye: unknown key" in wrong
    assert "sesam.jwt is missing" in wrong
    assert len(world.node.log) == asked


def test_a_node_that_is_not_there_a_dead_token_and_a_refused_key_are_all_told_at_once(world: World) -> None:
    said = world.doctor(
        SESAM__URL="http://127.0.0.1:9", SESAM__JWT=world.node.token(-3600), MODELS__CHURN__KEY="another"
    )
    wrong = said.wrong()
    assert wrong.keys() == {"node", "token", "pipe of customers", "endpoint of churn"}
    assert "no connection" in wrong["node"]
    assert "sesam.url" in wrong["node"]
    assert "It ended on" in wrong["token"]
    assert "SESAM__JWT" in wrong["token"]
    assert "first see to the node" in wrong["pipe of customers"]
    assert "MODELS__<NAME>__KEY" in wrong["endpoint of churn"]
    assert "dialect of churn" not in said.lines
    assert said.text.endswith("4 of 9 are wrong.\n")


def test_a_pipe_that_is_not_there_and_another_dialect_are_told(world: World) -> None:
    wrong = world.doctor(EXPORTS__CUSTOMERS__PIPE="no-such-pipe", MODELS__CHURN__DIALECT="mlflow").wrong()
    assert wrong.keys() == {"pipe of customers", "dialect of churn"}
    assert "there is no pipe no-such-pipe" in wrong["pipe of customers"]
    assert "dialect" in wrong["dialect of churn"]


def test_columns_that_have_changed_and_a_model_that_was_swapped_are_told(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    sink = world.node.configuration.pipes["customers-training-csv"]["sink"]
    monkeypatch.setitem(sink, "columns", [name for name in sink["columns"] if name != "Income"])
    right = Model.load(world.models)
    swap = {"Tenure": "Complaints", "Complaints": "Tenure"}
    replace(right, used=[swap.get(name, name) for name in right.used]).save(world.models)
    try:
        wrong = world.doctor().wrong()
    finally:
        right.save(world.models)
    assert wrong.keys() == {"pipe of customers", "golden rows of churn"}
    assert "'Income' missing" in wrong["pipe of customers"]
    assert "held" in wrong["pipe of customers"]
    assert "Scored-Probabilities differs by 0." in wrong["golden rows of churn"]


def test_a_token_without_permission_and_a_service_that_is_down_are_told(world: World) -> None:
    blind = world.node.token(permissions=["read_config"])
    down = {"MODELS__CHURN__URL": "http://127.0.0.1:9/execute", "MODELS__CHURN__ATTEMPTS": "1"}
    wrong = world.doctor(SESAM__JWT=blind, **down).wrong()
    assert wrong.keys() == {"pipe of customers", "endpoint of churn"}
    assert "read_data" in wrong["pipe of customers"]


def test_storage_that_refuses_and_a_label_that_is_not_published_are_told(world: World) -> None:
    text = world.azurite.connection_string
    key = text.partition("AccountKey=")[2].partition(";")[0]
    wrong = world.doctor(
        AzureWebJobsStorage=text.replace(key, "A" * len(key[:-2]) + "=="),
        SESAM__JWT=world.node.token(permissions=["read_data"]),
        EXPORTS__CUSTOMERS__LABEL="Left",
    ).wrong()
    assert wrong.keys() == {"storage", "queue", "pipe of customers", "model churn", "endpoint of churn"}
    assert "Storage Blob Data Owner" in wrong["storage"]
    assert "Storage Queue Data Contributor" in wrong["queue"]
    assert "exports.customers.label" in wrong["pipe of customers"]


def test_a_long_text_goes_on_below_itself() -> None:
    lines = told("WRONG", "node", "It does not answer. " * 10, 100).splitlines()
    assert len(lines) > 2
    assert max(map(len, lines)) <= 100
    assert {line[:33].strip() for line in lines[1:]} == {""}
    assert lines[0].startswith("  WRONG  node   ")
