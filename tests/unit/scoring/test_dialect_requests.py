"""What each dialect sends: the body, the null, the place of method and parameters."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, get_args

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

import scoring.dialects
import sections
from contract.columns import SLICE
from scoring.dialects import Options, Row, SentColumn, dialect_of, score_script
from scoring.dialects.classic import cells

COLUMNS = (
    SentColumn("Age", "integer"),
    SentColumn("City", "string"),
    SentColumn("Income", "number"),
    SentColumn("Member", "boolean", "True"),
    SentColumn("Since", "datetime"),
)
ROWS: list[Row] = [
    [30, "Bodø", 0.5, True, "2026-01-02T03:04:05Z"],
    [None, None, None, None, None],
]
RECORDS = [
    {"Age": 30, "City": "Bodø", "Income": 0.5, "Member": True, "Since": "2026-01-02T03:04:05Z"},
    {"Age": None, "City": None, "Income": None, "Member": None, "Since": None},
]
STRINGS: list[list[str | None]] = [["30", "Bodø", "0.5", "True", "2026-01-02T03:04:05Z"], [None] * 5]
NAMES = ["Age", "City", "Income", "Member", "Since"]
FRAME = {"columns": NAMES, "index": [0, 1], "data": ROWS}

BODIES = {
    "classic": {"Inputs": {"input1": {"ColumnNames": NAMES, "Values": STRINGS}}, "GlobalParameters": {}},
    "classic-swagger": {
        "Inputs": {"input1": [dict(zip(NAMES, row, strict=True)) for row in STRINGS]},
        "GlobalParameters": {},
    },
    "designer": {"Inputs": {"WebServiceInput0": RECORDS}, "GlobalParameters": {}},
    "automl": {"Inputs": {"data": RECORDS}, "GlobalParameters": {"method": "predict"}},
    "automl-v1": {"data": RECORDS, "method": "predict"},
    "mlflow": {"input_data": FRAME},
    "mlflow-server": {"dataframe_split": FRAME},
    "score-script": {"data": ROWS},
}
DIALECTS = get_args(sections.Dialect)
EVERY_DIALECT = pytest.mark.parametrize("dialect", DIALECTS)


def test_settings_and_dialect_mean_every_column_by_the_same_sign() -> None:
    assert score_script.EVERY_COLUMN == sections.EVERY_COLUMN


def sent(dialect: str, options: Options | None = None) -> dict[str, object]:
    body = json.loads(dialect_of(dialect, options or Options()).request(COLUMNS, ROWS))
    assert isinstance(body, dict)
    return body


@EVERY_DIALECT
@pytest.mark.statement("azureml-1", "azureml-3", "azureml-5")
def test_the_body_holds_the_columns_of_the_model_in_their_order_and_every_null_as_null(dialect: str) -> None:
    assert sent(dialect) == BODIES[dialect]


def test_every_module_with_a_dialect_has_its_name_in_the_settings_and_its_body_here() -> None:
    folder = Path(scoring.dialects.__file__).parent
    modules = {path.stem for path in folder.glob("*.py") if "\nDIALECT" in path.read_text()}
    assert {module.replace("_", "-") for module in modules} == set(DIALECTS) == set(BODIES)


@pytest.mark.statement("azureml-4")
@pytest.mark.parametrize("dialect", ["mlflow", "mlflow-server"])
@pytest.mark.parametrize("count", [0, 1, 3])
def test_an_mlflow_frame_numbers_the_rows_of_this_request_from_zero(dialect: str, count: int) -> None:
    body = json.loads(dialect_of(dialect, Options()).request(COLUMNS[:1], [[7]] * count))
    (frame,) = body.values()
    assert frame["index"] == list(range(count))
    assert len(frame["data"]) == count


@pytest.mark.statement("azureml-5")
@pytest.mark.parametrize(
    ("options", "expected"),
    [
        (Options(), {"method": "predict"}),
        (Options(method="predict_proba"), {"method": "predict_proba"}),
        (Options(parameters={"quantiles": [0.1, 0.9]}), {"quantiles": [0.1, 0.9]}),
        (Options(method="forecast", parameters={"h": 1}), {"method": "forecast", "h": 1}),
        (Options(method="predict_proba", parameters={"method": "predict"}), {"method": "predict"}),
        (Options(method=""), None),
    ],
)
def test_automl_gets_whole_global_parameters_or_none_and_never_an_empty_object(
    options: Options, expected: Mapping[str, object] | None
) -> None:
    assert sent("automl", options).get("GlobalParameters") == expected
    beside = {k: v for k, v in sent("automl-v1", options).items() if k != "data"}
    assert beside == (expected or {})


@pytest.mark.statement("azureml-6")
@pytest.mark.parametrize(
    ("dialect", "path"),
    [
        ("classic", ("Inputs",)),
        ("classic-swagger", ("Inputs",)),
        ("designer", ("Inputs",)),
        ("automl", ("Inputs",)),
        ("automl-v1", ()),
        ("mlflow", ()),
        ("mlflow-server", ()),
        ("score-script", ()),
    ],
)
def test_the_name_of_the_input_is_a_setting(dialect: str, path: tuple[str, ...]) -> None:
    named, default = sent(dialect, Options(input_name="given")), sent(dialect)
    for key in path:
        named, default = named[key], default[key]  # type: ignore[assignment]  # an object, by the body
    assert "given" in named
    assert set(default) - set(named), "the default name is gone"


@pytest.mark.statement("azureml-6")
def test_designer_takes_both_names_that_microsoft_gave_its_input() -> None:
    assert sent("designer")["Inputs"] == {"WebServiceInput0": RECORDS}
    assert sent("designer", Options(input_name="input1"))["Inputs"] == {"input1": RECORDS}


@pytest.mark.statement("azureml-7")
def test_classic_writes_every_value_as_a_string_in_one_form() -> None:
    columns = [
        SentColumn("whole", "integer"),
        SentColumn("real", "number"),
        SentColumn("Bool", "boolean", "True"),
        SentColumn("bool", "boolean", "true"),
        SentColumn("untyped"),
        SentColumn("day", "date"),
        SentColumn("text", "string"),
    ]
    row: Row = [2**63 - 1, 1e22, False, False, True, "2026-11-23", "~: NaN"]
    body = json.loads(dialect_of("classic", Options()).request(columns, [row]))
    assert body["Inputs"]["input1"]["Values"] == [
        ["9223372036854775807", "1e+22", "False", "false", "true", "2026-11-23", "~: NaN"]
    ]


def test_classic_sends_its_parameters_as_texts() -> None:
    options = Options(parameters={"sensitivity": 3, "deep": True, "note": "x", "list": [1]})
    for dialect in ("classic", "classic-swagger"):
        assert sent(dialect, options)["GlobalParameters"] == {
            "sensitivity": "3",
            "deep": "true",
            "note": "x",
            "list": "[1]",
        }


@pytest.mark.parametrize("dialect", ["mlflow", "mlflow-server"])
def test_mlflow_parameters_are_its_params(dialect: str) -> None:
    assert sent(dialect, Options(parameters={"top": 3}))["params"] == {"top": 3}
    assert "params" not in sent(dialect)


def test_a_score_script_takes_rows_under_its_own_name_or_every_column_as_an_input() -> None:
    assert sent("score-script", Options(input_name="iris")) == {"iris": ROWS}
    columns = sent("score-script", Options(input_name="*", parameters={"threshold": 0.5}))
    assert columns == {
        "threshold": 0.5,
        "Age": [30, None],
        "City": ["Bodø", None],
        "Income": [0.5, None],
        "Member": [True, None],
        "Since": ["2026-01-02T03:04:05Z", None],
    }


VALUES = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**63), 2**63 - 1),
    st.floats(),
    st.text(st.characters(exclude_categories=["Cs"])),
)


def refuse(token: str) -> float:
    raise AssertionError(token)


@EVERY_DIALECT
@pytest.mark.statement("azureml-8", "azureml-28")
@given(rows=st.lists(st.lists(VALUES, min_size=2, max_size=2), max_size=4))
def test_any_row_is_strict_json_in_which_no_digit_is_lost(dialect: str, rows: list[Row]) -> None:
    columns = [SentColumn("a"), SentColumn("b", "string")]
    body = dialect_of(dialect, Options()).request(columns, rows)
    text = json.dumps(json.loads(body.decode(), parse_constant=refuse))
    for value in (value for row in rows for value in row):
        if isinstance(value, int) and not isinstance(value, bool):
            assert str(value) in text


WRITTEN = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**70), 2**70),
    st.floats(allow_nan=False, allow_infinity=False),
    st.sampled_from(["", "a,b", "1", "true"]),
)


@given(
    st.lists(WRITTEN, max_size=6)
    | st.lists(st.floats(allow_nan=False, allow_infinity=False) | st.none(), max_size=6)
    | st.lists(st.integers() | st.none(), max_size=6)
    | st.lists(st.booleans() | st.none(), max_size=6),
    st.sampled_from(["", "True"]),
)
@example([1e16, 0.0001], "")
@example([1e-05, None], "")
@example([-0.0, 0.5], "")
def test_a_classic_column_at_once_is_written_as_its_values_one_by_one(
    values: list[Any], spelling: str
) -> None:
    told = cells([SentColumn("x", spelling=spelling)], [[value] for value in values])
    assert told == [(as_text(value, spelling),) for value in values]


def as_text(value: Any, spelling: str) -> str | None:
    if isinstance(value, bool):
        return str(value) if spelling else str(value).lower()
    return value if value is None else str(value)


def test_rows_of_many_slices_keep_their_order() -> None:
    count = 2 * SLICE + 3
    told = cells([SentColumn("x"), SentColumn("y")], [[number, f"of {number}"] for number in range(count)])
    assert told == [(str(number), f"of {number}") for number in range(count)]
    assert cells([], [[]] * count) == [()] * count
    assert cells([SentColumn("x")], []) == []


@pytest.mark.parametrize("dialect", ["designer", "automl", "automl-v1", "classic-swagger"])
@pytest.mark.parametrize("name", ['say "hi"', "back\\slash", "line\nbreak", "Ærlig", "", "f0", "__init__"])
def test_records_have_the_names_of_their_columns_whatever_those_are(dialect: str, name: str) -> None:
    columns = [SentColumn("before"), SentColumn(name), SentColumn("f1")]
    body = json.loads(dialect_of(dialect, Options(input_name="in")).request(columns, [["a", None, "c"]]))
    (record,) = (body.get("Inputs") or body)["in"]
    assert list(record.items()) == [("before", "a"), (name, None), ("f1", "c")]
