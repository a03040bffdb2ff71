"""`examples/sesam` as a consultant's CI runs it: test profile, mock and `expected/` (facts/sesam.md §4)."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import requests

from local.node import Node, running_node
from local.node.configuration import SAMPLES, load, sink

EXPECTED = SAMPLES / "expected"
SPECS = sorted(EXPECTED.glob("*.test.json"))


@pytest.fixture(scope="module")
def mock() -> Iterator[str]:
    """The mock as its image would run it, on loopback."""
    with subprocess.Popen(
        [sys.executable, str(SAMPLES / "mock" / "service.py")],
        env={"PATH": os.environ["PATH"], "HOST": "127.0.0.1", "PORT": "0"},
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout
        yield f"http://127.0.0.1:{process.stdout.readline().split()[1]}"
        process.terminate()


@pytest.fixture(scope="module")
def node(mock: str) -> Iterator[Node]:
    profile = json.loads((SAMPLES / "test-env.json").read_text("utf-8-sig"))
    with running_node({}, environment=profile, microservices={"azure-ml-churn-mock": mock}) as node:
        node.run_all_pipes()
        yield node


def read(path: Path) -> Any:
    return json.loads(path.read_text("utf-8-sig"))


def test_the_pipes_come_to_rest_though_the_scores_flow_back_into_their_own_source(node: Node) -> None:
    assert node.run_all_pipes() == 0
    assert len(node.entities("customer-churn")) == 2


def test_the_ci_node_needs_no_secret_and_calls_no_system_of_production(node: Node) -> None:
    assert node.secrets == {}


@pytest.mark.parametrize("file", SPECS, ids=lambda file: file.name)
def test_what_a_pipe_gives_is_what_is_expected(node: Node, file: Path) -> None:
    spec = read(file)
    headers = {"Authorization": f"Bearer {node.jwt}"}
    expected = EXPECTED / spec["file"]
    if spec["endpoint"] == "csv":
        answer = requests.get(f"{node.url}/api/publishers/{spec['pipe']}/csv", headers=headers, timeout=10)
        assert answer.content == expected.read_bytes()
        return
    assert spec["endpoint"] == "json"
    answer = requests.get(f"{node.url}/api/pipes/{spec['pipe']}/entities", headers=headers, timeout=10)
    entities = [
        {name: value for name, value in entity.items() if name == "_id" or not name.startswith("_")}
        for entity in answer.json()
    ]
    assert sorted(entities, key=lambda entity: str(entity["_id"])) == read(expected)


def test_every_pipe_that_gives_something_out_has_its_test_and_no_test_is_for_another() -> None:
    endpoints = {pipe["_id"] for pipe in load().pipes.values() if sink(pipe)["type"].endswith("_endpoint")}
    assert endpoints
    assert {read(file)["pipe"] for file in SPECS} == endpoints


def test_every_variable_has_a_value_in_every_profile() -> None:
    assert read(SAMPLES / "test-env.json").keys() == read(SAMPLES / "prod-env.json").keys()


def test_the_mock_refuses_what_the_app_refuses(mock: str) -> None:
    assert requests.get(mock, timeout=10).status_code == 200
    assert requests.post(f"{mock}/score/churn", data=b"{", timeout=10).status_code == 400
    assert requests.post(f"{mock}/score/churn", data=b'["x"]', timeout=10).status_code == 400
    assert requests.post(f"{mock}/score/another", data=b"[]", timeout=10).status_code == 404


def test_the_mock_leaves_deleted_and_filtered_entities_as_they_are_and_replaces_earlier_scores(
    mock: str,
) -> None:
    entities = [
        {"_id": "a", "_deleted": True},
        {"_id": "b", "_filtered": True},
        {"_id": "c", "crm:Complaints": 1, "churn:error": "old"},
    ]
    answer = requests.post(f"{mock}/score/churn", json=entities, timeout=10)
    scores = {"churn:Scored-Labels": True, "churn:Scored-Probabilities": 0.75}
    assert answer.json() == [*entities[:2], {"_id": "c", "crm:Complaints": 1} | scores]
