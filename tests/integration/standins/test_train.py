"""The training script: from a version in a real storage server to a model and its adoption."""

import csv
import io
import json
import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from aiohttp import web
from azure.storage.blob import ContainerClient

from local.azurite import Azurite
from local.services.model import Model, read_cell
from local.serving import serving
from local.train import TrainingFailed, adopt, blobs, main, train
from tests.integration.standins.conftest import VERSION

LATEST = "latest/customers.json"
MANIFEST = f"manifests/customers/{VERSION}.json"
DATA = f"snapshots/customers/{VERSION}/data.csv"
KEY = "the-function-key"


@dataclass
class App:
    """As much of the app as adoption needs: it does as it is told and remembers what it was asked."""

    answer: tuple[int, str] = (200, "{}")
    url: str = ""
    asked: list[tuple[str, str, object]] = field(default_factory=list)

    async def adopt(self, request: web.Request) -> web.Response:
        self.asked.append((request.path, request.headers["x-functions-key"], await request.json()))
        status, text = self.answer
        return web.Response(status=status, text=text)


@pytest.fixture
def app() -> Iterator[App]:
    app = App()
    routes = web.Application()
    routes.add_routes([web.put("/api/models/{model}/{what:golden|contract}", app.adopt)])
    with serving(routes) as app.url:
        yield app


@pytest.fixture
def published(azurite: Azurite, container_name: str, version: dict[str, bytes]) -> Iterator[ContainerClient]:
    with ContainerClient.from_connection_string(azurite.connection_string, container_name) as container:
        container.create_container()
        for name, data in version.items():
            container.upload_blob(name, data)
        yield container


def test_a_model_learns_from_the_latest_version_more_than_the_most_common_label(
    published: ContainerClient, azurite: Azurite, tmp_path: Path
) -> None:
    read = blobs(azurite.connection_string, published.container_name)
    report = train(read, "customers", label="ChurnFlag", folder=tmp_path)
    assert (report.export, report.version, report.file) == ("customers", VERSION, tmp_path / "model.joblib")
    assert report.accuracy > report.baseline + 0.05
    assert report.held_out == math.ceil(report.rows / 5)
    assert {"CustStatus", "Tenure", "Complaints", "LastOrder", "Newsletter"} < set(report.used)
    assert set(report.unused) == {"Name", "Address", "LoyaltyId", "Homepage"}


def test_the_service_is_to_be_sent_every_column_but_id_and_label(
    version: dict[str, bytes], tmp_path: Path
) -> None:
    report = train(version.__getitem__, "customers", label="ChurnFlag", folder=tmp_path)
    model = Model.load(tmp_path)
    header = version[DATA].decode().partition("\r\n")[0].split(",")
    assert list(model.columns) == [name for name in header if name not in ("_id", "ChurnFlag")]
    assert (model.version, model.export, model.label, model.label_type) == (
        VERSION,
        "customers",
        "ChurnFlag",
        "boolean",
    )
    assert list(report.used) == model.used


def test_training_twice_gives_the_same_model(version: dict[str, bytes], tmp_path: Path) -> None:
    reports = [
        train(version.__getitem__, "customers", label="ChurnFlag", folder=tmp_path / name) for name in "ab"
    ]
    assert reports[0].accuracy == reports[1].accuracy
    row = {
        name: None if type_ == "string" else 0.0 for name, type_ in Model.load(tmp_path / "a").columns.items()
    }
    assert Model.load(tmp_path / "a").predict([row]) == Model.load(tmp_path / "b").predict([row])


def test_golden_rows_are_the_versions_own_rows_with_the_saved_models_own_predictions(
    version: dict[str, bytes], tmp_path: Path
) -> None:
    report = train(version.__getitem__, "customers", label="ChurnFlag", folder=tmp_path)
    model = Model.load(tmp_path)
    by_id = {row["_id"]: row for row in csv.DictReader(io.StringIO(version[DATA].decode(), newline=""))}
    assert 100 < len(report.golden.entities) <= 200
    for entity, scores in zip(report.golden.entities, report.golden.scores, strict=True):
        cells = by_id[str(entity["_id"])]
        assert entity == {name: cell or None for name, cell in cells.items() if name != "ChurnFlag"}
        row = {name: read_cell(cells[name], type_) for name, type_ in model.columns.items()}
        ((label, probability),) = model.predict([row])
        assert scores == {
            "Scored Labels": label == "true",
            "Scored Probabilities": pytest.approx(probability),
        }


def _changed(version: dict[str, bytes], **change: object) -> dict[str, bytes]:
    return version | {MANIFEST: json.dumps(json.loads(version[MANIFEST]) | change).encode()}


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"sha256": "0" * 64}, "damaged"),
        ({"rows": 1}, "its manifest 1"),
        ({"columns": [{"name": "_id", "type": "string"}]}, "no column ChurnFlag"),
        (
            {"columns": [{"name": "Name", "type": "integer"}, {"name": "ChurnFlag", "type": "boolean"}]},
            "a cell of Name is no integer",
        ),
    ],
)
def test_a_version_that_is_not_what_its_manifest_says_teaches_nothing(
    version: dict[str, bytes], change: dict[str, object], reason: str, tmp_path: Path
) -> None:
    with pytest.raises(TrainingFailed, match=reason):
        train(_changed(version, **change).__getitem__, "customers", label="ChurnFlag", folder=tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_label_with_one_value_teaches_nothing(version: dict[str, bytes], tmp_path: Path) -> None:
    with pytest.raises(TrainingFailed, match="nothing to learn"):
        train(version.__getitem__, "customers", label="Homepage", folder=tmp_path)


def test_rows_without_a_label_are_left_out(version: dict[str, bytes], tmp_path: Path) -> None:
    report = train(version.__getitem__, "customers", label="Location", folder=tmp_path)
    rows = csv.DictReader(io.StringIO(version[DATA].decode(), newline=""))
    assert report.rows == sum(bool(row["Location"]) for row in rows)


def test_before_the_first_version_it_says_what_is_missing(
    published: ContainerClient, azurite: Azurite, tmp_path: Path
) -> None:
    published.delete_blob(LATEST)
    read = blobs(azurite.connection_string, published.container_name)
    with pytest.raises(TrainingFailed, match=r"latest/customers\.json cannot be read \(BlobNotFound\)"):
        train(read, "customers", label="ChurnFlag", folder=tmp_path)


def test_adoption_names_the_version_to_the_app(app: App) -> None:
    adopt(f"{app.url}/", KEY, "churn", VERSION)
    assert app.asked == [("/api/models/churn/contract", KEY, {"version": VERSION})]


@pytest.mark.parametrize(
    ("status", "text", "reason"),
    [
        (409, '{"detail": "the golden rows differ"}', r"refused the version \(409\): the golden rows differ"),
        (401, "", r"\(401\)"),
        (500, "[1]", r"\(500\): \[1\]"),
    ],
)
def test_a_refusal_is_told_in_the_apps_own_words(app: App, status: int, text: str, reason: str) -> None:
    app.answer = (status, text)
    with pytest.raises(TrainingFailed, match=reason):
        adopt(app.url, KEY, "churn", VERSION)


def test_an_app_that_does_not_answer_is_told() -> None:
    with pytest.raises(TrainingFailed, match="is it running"):
        adopt("http://127.0.0.1:1", KEY, "churn", VERSION)


def test_the_command_trains_adopts_and_tells(
    published: ContainerClient, azurite: Azurite, app: App, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = [
        "--export",
        "customers",
        "--label",
        "ChurnFlag",
        "--model",
        "churn",
        "--folder",
        str(tmp_path),
    ]
    arguments += ["--connection-string", azurite.connection_string, "--container", published.container_name]
    arguments += ["--app", app.url, "--key", KEY]
    assert main(arguments) == 0
    golden, adoption = app.asked
    assert golden[0] == "/api/models/churn/golden"
    assert adoption == ("/api/models/churn/contract", KEY, {"version": VERSION})
    assert f"customers {VERSION}" in capsys.readouterr().out
    app.answer = (404, '{"detail": "no such model"}')
    assert main(arguments) == 1
    assert capsys.readouterr().err == "The app refused the golden rows (404): no such model\n"
