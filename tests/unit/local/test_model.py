import math
from pathlib import Path

import pytest

from local.services.model import Cell, ColumnType, Model, UnreadableCellError, read_cell


@pytest.mark.parametrize(
    ("value", "type_", "cell"),
    [
        ("42", "integer", 42.0),
        (43, "integer", 43.0),
        ("-0.50", "number", -0.5),
        (1234.5, "number", 1234.5),
        ("True", "boolean", 1.0),
        ("false", "boolean", 0.0),
        (False, "boolean", 0.0),
        ("1970-01-02", "date", 86_400.0),
        ("1970-01-01T00:00:01Z", "datetime", 1.0),
        ("1970-01-01T00:00:01.500000001Z", "datetime", 1.5),
        ("1970-01-01T00:00:01", "datetime", 1.0),
        ("1970-01-01T01:00:01+01:00", "datetime", 1.0),
        ("0150", "string", "0150"),
        ("", "string", None),
        (None, "string", None),
    ],
)
def test_a_cell_is_read_by_its_columns_type(value: object, type_: ColumnType, cell: Cell) -> None:
    assert read_cell(value, type_) == cell


@pytest.mark.parametrize("type_", ["integer", "number", "boolean", "date", "datetime"])
@pytest.mark.parametrize("nothing", [None, ""])
def test_nothing_is_not_a_number(type_: ColumnType, nothing: object) -> None:
    cell = read_cell(nothing, type_)
    assert isinstance(cell, float)
    assert math.isnan(cell)


@pytest.mark.parametrize(
    ("value", "type_"),
    [
        ("30.5", "integer"),
        ("1_000", "integer"),
        ("abc", "number"),
        ("nan", "number"),
        ("1_0.0", "number"),
        ("yes", "boolean"),
        ("2026-02-30", "date"),
        ("yesterday", "datetime"),
    ],
)
def test_a_cell_of_another_type_is_refused_without_being_told(value: object, type_: ColumnType) -> None:
    with pytest.raises(UnreadableCellError) as refused:
        read_cell(value, type_)
    assert str(refused.value) == f"is no {type_}"


def test_a_saved_model_replaces_the_one_before_at_one_stroke(tmp_path: Path) -> None:
    for version in ("first", "second"):
        Model({}, [], "ChurnFlag", "boolean", "customers", version, None).save(tmp_path / "new")
    assert Model.load(tmp_path / "new").version == "second"
    assert [file.name for file in (tmp_path / "new").iterdir()] == ["model.joblib"]
