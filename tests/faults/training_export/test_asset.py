"""Registering a data asset: what is sent, twice is no error, and a failure is only a note."""

import json
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from contract.documents import Manifest
from sections import AzureMLSettings
from tests.exports import Bench, rows
from tests.rogue import Rogue, Scene, answer, drip, head, reset, short, silent
from training_export import asset
from training_export.asset import DataAssets

WORKSPACE = AzureMLSettings(
    subscription="1-2-3", resource_group="rg one", workspace="churn", datastore="training"
)
TOKEN = "planted-token"
ASSET = b'{"id": "/subscriptions/1-2-3/x", "properties": {"dataUri": "azureml://x", "dataType": "mltable"}}'
PAGE = b"<html>planted: sign in</html>"


@pytest.fixture
def manifest() -> Manifest:
    bench = Bench()
    return bench.versions.manifest(str(bench.run(rows(10)).version))


def register(
    manifest: Manifest, *script: Scene, token: Callable[[], str] = lambda: TOKEN
) -> tuple[Rogue, str]:
    with Rogue(*script) as server:
        base = f"http://localhost:{server.port}"
        note = DataAssets(WORKSPACE, token, time.monotonic, base).register(manifest)
    return server, note


@pytest.mark.statement("azureml-45", "azureml-47")
def test_a_version_is_registered_under_its_own_id_with_its_contract(manifest: Manifest) -> None:
    server, note = register(manifest, answer(201, ASSET))
    assert note == ""
    (request,) = server.received
    assert request.method == "PUT"
    assert request.target == (
        "/subscriptions/1-2-3/resourceGroups/rg%20one/providers/Microsoft.MachineLearningServices"
        f"/workspaces/churn/data/customers/versions/{manifest.version}?api-version=2025-12-01"
    )
    assert request.headers["authorization"] == f"Bearer {TOKEN}"
    told = json.loads(request.body)["properties"]
    uri = (
        "azureml://subscriptions/1-2-3/resourcegroups/rg one/workspaces/churn/datastores/training"
        f"/paths/snapshots/customers/{manifest.version}/"
    )
    assert (told["dataType"], told["dataUri"], told["referencedUris"]) == ("mltable", uri, [uri])
    assert told["tags"]["contract_id"] == manifest.contract_id
    assert told["tags"]["sha256"] == manifest.sha256
    assert all(isinstance(tag, str) for tag in told["tags"].values())


@pytest.mark.statement("azureml-47")
@pytest.mark.parametrize("status", [400, 409])
def test_registering_twice_is_no_error(manifest: Manifest, status: int) -> None:
    server, note = register(manifest, answer(status), answer(200, ASSET))
    assert note == ""
    assert [request.method for request in server.received] == ["PUT", "GET"]


@pytest.mark.parametrize(
    ("script", "told"),
    [
        ([answer(400), answer(404)], "answered 400"),
        ([answer(400), answer(200, PAGE)], "answered 400"),
        ([answer(200, PAGE, {"Content-Type": "text/html"})], "no data asset"),
        ([answer(201, b"{}")], "no data asset"),
        ([answer(201, b'{"properties": []}')], "no data asset"),
        ([answer(200)], "no data asset"),
        ([short(ASSET)], "broke off"),
        ([answer(200, b"x" * 3_000_000)], "no data asset"),
        ([answer(401)], "AzureML Data Scientist"),
        ([answer(403)], "AzureML Data Scientist"),
        ([answer(404)], "answered 404"),
        ([answer(500)], "answered 500"),
        ([answer(302, headers={"Location": "http://elsewhere.example"})], "answered 302"),
        ([reset()], "no connection"),
        ([silent], "no answer in time"),
        ([drip(b"HTTP/1.1 200 OK\r\nX: a")], "no answer in time"),
        ([drip(head(200, {"Content-Length": "1000"}) + b"{")], "no answer in time"),
    ],
    ids=range(17),
)
def test_a_failure_is_a_note(
    manifest: Manifest, script: list[Scene], told: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(asset, "DEADLINE_S", 0.3)
    _, note = register(manifest, *script)
    assert note.startswith(f"data asset customers:{manifest.version} not registered: ")
    assert told in note
    assert "planted" not in note


def test_without_a_token_there_is_a_note_and_nothing_is_sent(manifest: Manifest) -> None:
    def refused() -> str:
        raise RuntimeError("planted")

    server, note = register(manifest, answer(201), token=refused)
    assert "no token (RuntimeError)" in note
    assert "planted" not in note
    assert server.received == []


def test_what_nobody_foresaw_is_a_note_too_and_no_missing_token(manifest: Manifest) -> None:
    server, note = register(manifest, answer(201), token=lambda: "planted\r\ntoken")
    assert "an error nobody foresaw (ValueError)" in note
    assert "planted" not in note
    assert server.received == []


def test_a_version_without_mltable_is_a_folder() -> None:
    bench = Bench()
    bench.set(lineterminator="\r")
    run = bench.run(b"_id\r1\r")
    server, _ = register(bench.versions.manifest(str(run.version)), answer(201, ASSET))
    told = json.loads(server.received[0].body)["properties"]
    assert told["dataType"] == "uri_folder"
    assert "referencedUris" not in told


@pytest.mark.statement("azureml-17")
def test_no_password_of_the_machine_takes_the_place_of_the_token(
    manifest: Manifest, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "netrc").write_text("machine localhost login someone password else")
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    server, note = register(manifest, answer(201, ASSET))
    assert note == ""
    assert server.received[0].headers["authorization"] == f"Bearer {TOKEN}"


@pytest.mark.fault(15)
@pytest.mark.parametrize(
    "told", [b'{"properties": "\xff"}', b'{"x": ' + b"[" * 100_000], ids=["not UTF-8", "deep"]
)
def test_an_answer_that_cannot_be_read_is_no_data_asset(manifest: Manifest, told: bytes) -> None:
    _, note = register(manifest, answer(200, told))
    assert "200 came with something that is no data asset" in note
