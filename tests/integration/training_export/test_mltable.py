"""The MLTable of a version, read by the real mltable 1.7.0: every cell comes back."""

import json
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from contract.documents import Manifest
from contract.values import READERS, moment
from storage import data_blob, mltable_blob
from tests.environments import environment
from tests.exports import Bench, whole_version
from training_export.csv_dialect import csv_dialect
from training_export.csv_scan import Reading

HERE = Path(__file__).parent

COLUMNS: Mapping[str, tuple[str, str, str]] = {
    "_id": ("007", "008", "0009"),
    "Name": ('"one\r\ntwo"', '"say ""hi"", all"', "NULL"),
    '"Åse, x"': ("x", "y", "NA"),
    "a.b": ("0150", " 12", "1_000"),
    "number": ("1.5", "1e3", ""),
    "integer": ("3", "-4", "9007199254740993"),
    "with_empties": ("", "5", "-7"),
    "big": ("9007199254740993", "", "1"),
    "flag": ("true", "false", "false"),
    "gaps": ("true", "", "false"),
    "day": ("2026-01-02", "", "1936-01-12"),
    "early": ("1000-01-01", "9999-12-31", ""),
    "seen": ("2026-01-02T03:04:05Z", "2026-01-02T03:04:05.5Z", ""),
    "zones": (
        "2026-01-02 03:04:05+02:00",
        "2026-01-02T03:04:05.25",
        "2026-01-02T03:04:05.123456789Z",
    ),
    "late": ("2262-05-01T00:00:00Z", "", "1600-01-01T00:00:00Z"),
}
# What neither a data frame's integers nor its times can hold comes as the text it was.
AS_TEXT = ("big", "early", "late")
TABLE = "".join(",".join(row) + "\r\n" for row in (COLUMNS, *zip(*COLUMNS.values(), strict=True)))
FEW = '_id,Name\n1,Å\n2,"b\nc"\n'

VERSIONS: Mapping[str, tuple[str, dict[str, Any]]] = {
    "usual": (TABLE, {}),
    "parquet": (TABLE, {"formats": ("csv", "parquet")}),
    "semicolon": (FEW.replace(",", ";"), {"delimiter": ";", "lineterminator": "\n"}),
    "latin-1": (FEW, {"encoding": "latin-1", "lineterminator": "\n"}),
    "cp1252": (FEW, {"encoding": "cp1252", "lineterminator": "\n"}),
    "utf-16": (FEW, {"encoding": "utf-16", "lineterminator": "\n"}),
    "mark": ("\ufeff" + FEW, {"lineterminator": "\n"}),
    "odd, as parquet": (
        "1|Å\r2|'b''c'\r",
        {
            "formats": ("csv", "parquet"),
            "delimiter": "|",
            "lineterminator": "\r",
            "quotechar": "'",
            "include_header": False,
            "columns": ("_id", "Name"),
        },
    ),
}


def published(text: str, given: dict[str, Any]) -> tuple[Bench, Manifest]:
    bench = Bench()
    bench.set(**given)
    run = bench.run(text.encode(given.get("encoding", "utf-8")))
    assert run.outcome == "published", run.detail
    return bench, bench.versions.manifest(str(run.version))


@pytest.fixture(scope="module")
def loaded(
    tmp_path_factory: pytest.TempPathFactory,
) -> dict[str, tuple[Bench, Manifest, dict[str, list[Any]]]]:
    """Every version, written to a folder as it lies in Blob storage, loaded by one process."""
    made, folders = {}, {}
    for name, (text, given) in VERSIONS.items():
        bench, manifest = made[name] = published(text, given)
        folders[name] = folder = tmp_path_factory.mktemp("version")
        for format_ in manifest.formats:
            data = b"".join(bench.container.download(data_blob("customers", manifest.version, format_)))
            (folder / f"data.{format_}").write_bytes(data)
        table = bench.container.read(mltable_blob("customers", manifest.version))
        assert table is not None
        (folder / "MLTable").write_bytes(table.data)
    python = environment("mltable", HERE / "requirements.txt")
    command = [str(python), str(HERE / "load_mltable.py"), *map(str, folders.values())]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    told = json.loads(done.stdout.splitlines()[-1])
    return {name: (*made[name], told[str(folders[name])]) for name in made}


def value(cell: Any) -> Any:
    """A cell as the engine gave it, in the contract's canonical values."""
    match cell:
        case {"float": digits}:
            return float(digits)
        case {"time": text}:
            return moment(text.replace("+00:00", "Z")) or text
    return cell


@pytest.mark.statement("azureml-44", "azureml-46")
@pytest.mark.parametrize("name", VERSIONS)
def test_every_cell_comes_back(
    name: str, loaded: dict[str, tuple[Bench, Manifest, dict[str, list[Any]]]]
) -> None:
    bench, manifest, told = loaded[name]
    reading = Reading(
        bench.versions.data(manifest.version), csv_dialect(bench.settings, {}), bench.settings.columns
    )
    cells = {
        column: [cell for batch in batches for cell in batch.texts()]
        for column, *batches in zip(reading.names, *reading.batches(), strict=True)
    }
    assert list(told) == list(cells)
    for column in manifest.columns:
        read = READERS[column.type]
        wanted: list[Any] = [read(cell) if cell else None for cell in cells[column.name]]
        if column.type == "date":
            wanted = [day and f"{day}T00:00:00Z" for day in wanted]
        text = column.type == "string" or column.name in AS_TEXT
        given = [value(cell) for cell in told[column.name]]
        assert given == ([cell or None for cell in cells[column.name]] if text else wanted), column.name


@pytest.mark.statement("azureml-46")
def test_types_are_explicit_ids_are_text_and_parquet_keeps_integers(
    loaded: dict[str, tuple[Bench, Manifest, dict[str, list[Any]]]],
) -> None:
    _, _, told = loaded["usual"]
    assert told["_id"] == ["007", "008", "0009"]
    assert told["with_empties"] == [None, {"float": "5.0"}, {"float": "-7.0"}]
    assert told["big"] == ["9007199254740993", None, "1"]
    _, _, told = loaded["parquet"]
    assert told["integer"] == [3, -4, 9007199254740993]


@pytest.mark.parametrize(
    ("text", "given"),
    [
        ("1,a\r\n", {"include_header": False, "columns": ("_id", "Name")}),
        ("_id,Name\r1,a\r", {"lineterminator": "\r"}),
        ("_id,Name\r\n1,a\r\n", {"quotechar": "'"}),
        ("_id,Name\r\n1,a\r\n", {"escapechar": "\\"}),
        ("_id,Name\r\n1,a\r\n", {"encoding": "cp850"}),
        ("_id, Name\r\n1,a\r\n", {}),
    ],
)
def test_what_the_engine_would_misread_gets_no_mltable_and_a_note(text: str, given: dict[str, Any]) -> None:
    bench, manifest = published(text, given)
    assert bench.container.read(mltable_blob("customers", manifest.version)) is None
    last = bench.record.last()
    assert last is not None
    assert "no MLTable" in last.detail


@pytest.mark.statement("azureml-43")
def test_the_mltable_is_there_before_the_version_is() -> None:
    bench, manifest = published(TABLE, {})
    whole_version(bench.container, manifest.version)
