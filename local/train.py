"""Train a churn model from a snapshot in Blob storage, as a data scientist's script would.

    python -m local.train --export customers --label ChurnFlag --model churn --folder … \
        --connection-string … --container training-data --app http://localhost:7071

It follows `latest/{export}.json` to a version, proves the data by the manifest's sha256, reads the cells by
the manifest's types, trains on four rows in five and measures on the fifth, and saves the model where the
web service looks. Then it stores golden rows with the model's own predictions, and as its last step adopts
that version for the model: from then on entities are encoded as this very model was taught (design §5, §6).
"""

import argparse
import csv
import hashlib
import io
import json
import os
import sys
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import requests
from azure.core.exceptions import AzureError
from azure.storage.blob import ContainerClient
from sklearn.compose import ColumnTransformer
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import train_test_split
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

from local.services.model import Cell, ColumnType, Model, UnreadableCellError, matrix, read_cell

type ReadBlob = Callable[[str], bytes]

SEED = 2026
HELD_OUT = 0.2

# A text with more different values than this tells persons apart, not kinds of customers.
MOST_CATEGORIES = 20

# A model needs rows of both kinds in both parts.
FEWEST_OF_A_LABEL = 5

# As many golden rows as the app takes: it replays them before it adopts (docs/contract.md).
GOLDEN_ROWS = 200

# What the web service calls its answers.
LABELS, PROBABILITIES = "Scored Labels", "Scored Probabilities"

SECONDS_TO_ADOPT = 240


class TrainingFailed(Exception):
    """Why there is no new model, and what to do."""


@dataclass(frozen=True)
class TrainingReport:
    """What was trained, on what, and how good it is.

    `accuracy` and `baseline` are of the held-out rows: the share the model labels right, and the share that
    always answering the most common label gets right. `used` columns went into the model; `unused` ones the
    service takes all the same.
    """

    export: str
    version: str
    sha256: str
    rows: int
    held_out: int
    used: tuple[str, ...]
    unused: tuple[str, ...]
    accuracy: float
    baseline: float
    file: Path
    golden: "GoldenRows"


@dataclass(frozen=True)
class GoldenRows:
    """Rows of the version as entities, and what the model itself says of each."""

    entities: Sequence[Mapping[str, str | None]]
    scores: Sequence[Mapping[str, bool | int | float | str]]


@dataclass(frozen=True)
class _Snapshot:
    """A version as read: its columns and their types in order, and its rows, cells typed.

    `records` are the same rows with their cells as they stand in the CSV.
    """

    version: str
    sha256: str
    columns: Mapping[str, ColumnType]
    records: Sequence[Mapping[str, str]]
    rows: Sequence[Mapping[str, Cell]]
    labels: Sequence[str]


def blobs(connection_string: str, container: str) -> ReadBlob:
    """Give what reads a blob of a container by its name. It raises TrainingFailed."""
    try:
        client = ContainerClient.from_connection_string(connection_string, container)
    except ValueError:
        raise TrainingFailed("The connection string cannot be read: check AzureWebJobsStorage.") from None

    def read(name: str) -> bytes:
        try:
            return client.download_blob(name).readall()
        except AzureError as error:
            code = getattr(error, "error_code", None) or type(error).__name__
            raise TrainingFailed(
                f"{container}/{name} cannot be read ({code}). Has the export published a version yet?"
            ) from None

    return read


def train(read: ReadBlob, export: str, *, label: str, folder: Path) -> TrainingReport:
    """Train on the latest version of an export and save the model in a folder.

    Raises:
        TrainingFailed: there is no version, it is not what its manifest says, or it teaches nothing.
    """
    snapshot = _latest(read, export, label)
    _refuse_one_sided(snapshot.labels)
    columns = {name: type_ for name, type_ in snapshot.columns.items() if name not in ("_id", label)}
    used = [
        name for name, type_ in columns.items() if _is_useful([row[name] for row in snapshot.rows], type_)
    ]
    rows, held_out, labels, answers = train_test_split(
        snapshot.rows, snapshot.labels, test_size=HELD_OUT, random_state=SEED, stratify=snapshot.labels
    )
    pipeline = _pipeline([columns[name] for name in used])
    pipeline.fit(matrix(rows, used), labels)
    model = Model(columns, used, label, snapshot.columns[label], export, snapshot.version, pipeline)
    right = [given == answer for (given, _), answer in zip(model.predict(held_out), answers, strict=True)]
    return TrainingReport(
        export=export,
        version=snapshot.version,
        sha256=snapshot.sha256,
        rows=len(snapshot.rows),
        held_out=len(held_out),
        used=tuple(used),
        unused=tuple(name for name in columns if name not in used),
        accuracy=sum(right) / len(right),
        baseline=Counter(answers).most_common(1)[0][1] / len(answers),
        file=model.save(folder),
        golden=_golden(model, snapshot),
    )


def store_golden(base_url: str, key: str, model: str, version: str, rows: GoldenRows) -> None:
    """Give the app rows of the version with the trained model's own predictions.

    Raises:
        TrainingFailed: the app does not answer or refuses, with its own words.
    """
    body = {"version": version, "entities": rows.entities, "scores": rows.scores}
    _put(base_url, key, f"models/{model}/golden", body, "the golden rows")


def adopt(base_url: str, key: str, model: str, version: str) -> None:
    """Have the app encode a model's entities through the version it was trained on.

    Raises:
        TrainingFailed: the app does not answer or refuses, with its own words.
    """
    _put(base_url, key, f"models/{model}/contract", {"version": version}, "the version")


def _put(base_url: str, key: str, route: str, body: Mapping[str, object], what: str) -> None:
    try:
        response = requests.put(
            f"{base_url.rstrip('/')}/api/{route}",
            json=body,
            headers={"x-functions-key": key},
            timeout=SECONDS_TO_ADOPT,
        )
    except requests.RequestException as error:
        raise TrainingFailed(f"The app does not answer ({type(error).__name__}): is it running?") from None
    if not response.ok:
        raise TrainingFailed(f"The app refused {what} ({response.status_code}): {_detail(response)}")


def _detail(response: requests.Response) -> str:
    try:
        return str(response.json()["detail"])
    except (ValueError, KeyError, TypeError):
        return response.text[:200]


def _latest(read: ReadBlob, export: str, label: str) -> _Snapshot:
    version = str(json.loads(read(f"latest/{export}.json"))["version"])
    manifest: dict[str, Any] = json.loads(read(f"manifests/{export}/{version}.json"))
    data = read(f"snapshots/{export}/{version}/data.csv")
    sha256 = hashlib.sha256(data).hexdigest()
    if sha256 != manifest["sha256"]:
        raise TrainingFailed(f"{export} {version} is damaged: its data is not what its manifest says.")
    columns: dict[str, ColumnType] = {column["name"]: column["type"] for column in manifest["columns"]}
    if label not in columns:
        raise TrainingFailed(f"{export} {version} has no column {label}: name the one to learn by --label.")
    records = list(csv.DictReader(io.StringIO(data.decode("utf-8"), newline=""), strict=True))
    if len(records) != manifest["rows"]:
        raise TrainingFailed(f"{export} {version} has {len(records)} rows, its manifest {manifest['rows']}.")
    labelled = [record for record in records if record[label]]
    return _Snapshot(
        version=version,
        sha256=sha256,
        columns=columns,
        records=labelled,
        rows=[_typed(record, columns) for record in labelled],
        labels=[record[label] for record in labelled],
    )


def _typed(record: Mapping[str, str], columns: Mapping[str, ColumnType]) -> dict[str, Cell]:
    cells: dict[str, Cell] = {}
    for name, type_ in columns.items():
        try:
            cells[name] = read_cell(record[name], type_)
        except UnreadableCellError as error:
            raise TrainingFailed(f"The data does not fit its manifest: a cell of {name} {error}.") from None
    return cells


def _refuse_one_sided(labels: Sequence[str]) -> None:
    counts = Counter(labels)
    if len(counts) == 1 or min(counts.values(), default=0) < FEWEST_OF_A_LABEL:
        raise TrainingFailed(
            "The label has but one value, or too few rows of one: there is nothing to learn."
        )


def _is_useful(cells: Sequence[Cell], type_: ColumnType) -> bool:
    """Say whether the model should look at a column: it differs, and text has few different values."""
    values = {cell for cell in cells if cell is not None and cell == cell}  # NaN is not itself
    return len(values) > 1 and (type_ != "string" or len(values) <= MOST_CATEGORIES)


def _golden(model: Model, snapshot: _Snapshot) -> GoldenRows:
    """Take rows evenly over the version, and ask the model itself about them."""
    step = -(-len(snapshot.rows) // GOLDEN_ROWS)
    entities = [
        {name: cell or None for name, cell in record.items() if name != model.label}
        for record in snapshot.records[::step]
    ]
    scores = [
        {LABELS: _scored_label(label, model.label_type), PROBABILITIES: probability}
        for label, probability in model.predict(snapshot.rows[::step])
    ]
    return GoldenRows(entities, scores)


def _scored_label(label: str, type_: ColumnType) -> bool | int | float | str:
    """Give a label as the app returns it: by the type of the column it was learned from."""
    match type_:
        case "boolean":
            return label.lower() == "true"
        case "integer":
            return int(label)
        case "number":
            return float(label)
        case _:
            return label


def _pipeline(types: Sequence[ColumnType]) -> Pipeline:
    """Give the model for columns of these types: categories one-hot, the rest imputed and scaled."""
    categories = [number for number, type_ in enumerate(types) if type_ == "string"]
    numbers = [number for number, type_ in enumerate(types) if type_ != "string"]
    return make_pipeline(
        ColumnTransformer(
            [
                ("categories", OneHotEncoder(handle_unknown="ignore"), categories),
                ("numbers", make_pipeline(SimpleImputer(strategy="median"), StandardScaler()), numbers),
            ]
        ),
        LogisticRegression(max_iter=1000, random_state=SEED),
    )


def main(arguments: Sequence[str] | None = None) -> int:
    """Train and adopt; 0, or 1 after one line that says why not."""
    parser = argparse.ArgumentParser(prog="python -m local.train", description="Train from a snapshot.")
    parser.add_argument("--export", required=True, help="the export whose latest version teaches")
    parser.add_argument("--label", required=True, help="the column to learn")
    parser.add_argument("--model", required=True, help="the model, as bridge.toml names it")
    parser.add_argument(
        "--folder", type=Path, required=True, help="where the web service looks for its model"
    )
    parser.add_argument("--container", default="training-data")
    parser.add_argument("--connection-string", default=os.environ.get("AzureWebJobsStorage", ""))  # noqa: SIM112  # the platform spells it so
    parser.add_argument("--app", required=True, help="the app's address, to adopt the version there")
    parser.add_argument("--key", default=os.environ.get("FUNCTION_KEY", ""), help="or FUNCTION_KEY")
    given = parser.parse_args(arguments)
    try:
        read = blobs(given.connection_string, given.container)
        report = train(read, given.export, label=given.label, folder=given.folder)
        store_golden(given.app, given.key, given.model, report.version, report.golden)
        adopt(given.app, given.key, given.model, report.version)
    except TrainingFailed as failure:
        print(failure, file=sys.stderr)
        return 1
    print(
        f"Trained on {report.rows} rows of {report.export} {report.version} by {', '.join(report.used)}.\n"
        f"Of {report.held_out} held-out rows {report.accuracy:.1%} are labelled right; "
        f"always answering the most common label gets {report.baseline:.1%}.\n"
        f"{given.model} has adopted that version: the web service answers {len(report.golden.entities)} rows "
        "of it as the model itself does."
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
