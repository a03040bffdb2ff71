"""What comes back is read in every known shape, or refused in plain words: never guessed, never a crash."""

import json
from collections.abc import Callable
from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

import sections
from scoring.dialects import (
    AnswerUnusable,
    ErrorInside,
    Options,
    Results,
    dialect_of,
)
from scoring.dialects.answers import ENVELOPES, decode_answer, results_of, shown

DIALECTS = get_args(sections.Dialect)
PROBABILITIES = [[0.03, 0.97], [0.6, 0.4]]


def table(**parts: object) -> dict[str, object]:
    return {"Results": {"output1": {"type": "table", "value": parts}}}


def read(body: bytes | str, count: int = 2, dialect: str = "score-script") -> Results:
    data = body if isinstance(body, bytes) else body.encode()
    return dialect_of(dialect, Options()).results(decode_answer(data), count)


def in_words(answer: object, count: int = 2, dialect: str = "score-script") -> str:
    """Say why an answer is refused."""
    with pytest.raises(AnswerUnusable) as refused:
        dialect_of(dialect, Options()).results(answer, count)
    return str(refused.value)


BARE = Results(("prediction",), [("yes",), ("no",)], unnamed=True)
LISTS = Results(("prediction",), [([0.03, 0.97],), ([0.6, 0.4],)], unnamed=True)
SHAPES: list[tuple[object, Results]] = [
    (["yes", "no"], BARE),
    ({"predictions": ["yes", "no"]}, BARE),
    ({"Results": ["yes", "no"]}, BARE),
    ({"result": ["yes", "no"]}, BARE),
    ({"result": ["yes", "no"], "error": None}, BARE),
    ({"result": ["yes", "no"], "model_version": "3"}, BARE),
    (PROBABILITIES, LISTS),
    ({"Results": PROBABILITIES}, LISTS),
    (
        [{"label": "yes", "p": 0.9}, {"p": 0.1, "label": "no"}],
        Results(("label", "p"), [("yes", 0.9), ("no", 0.1)]),
    ),
    ([{"p": 0.9}, {"p": None}], Results(("p",), [(0.9,), (None,)])),
    ({"prediction": ["yes", "no"]}, Results(("prediction",), [("yes",), ("no",)])),
    ([{"prediction": "yes"}, {"prediction": "no"}], Results(("prediction",), [("yes",), ("no",)])),
    ({"Category": ["Virginica", "Setosa"]}, Results(("Category",), [("Virginica",), ("Setosa",)])),
    (
        {"predictions": [1, 0], "probabilities": PROBABILITIES},
        Results(("predictions", "probabilities"), [(1, [0.03, 0.97]), (0, [0.6, 0.4])]),
    ),
    (
        {"model": "3", "errors": [], "error": None, "predictions": [1, 0], "probabilities": PROBABILITIES},
        Results(("predictions", "probabilities"), [(1, [0.03, 0.97]), (0, [0.6, 0.4])]),
    ),
    ({"label": ["yes", "no"], "errors": []}, Results(("label",), [("yes",), ("no",)])),
    (
        {"Results": {"WebServiceOutput0": [{"Scored Labels": "yes"}, {"Scored Labels": "no"}]}},
        Results(("Scored Labels",), [("yes",), ("no",)]),
    ),
    (
        table(
            Values=[["30", "yes", "0.967"], ["41", "no", "NaN"]],
            ColumnNames=["age", "Scored Labels", "Scored Probabilities"],
            ColumnTypes=["Int32", "String", "Double"],
        ),
        Results(("age", "Scored Labels", "Scored Probabilities"), [(30, "yes", 0.967), (41, "no", None)]),
    ),
    (
        {
            "Results": {
                "forecast": [1.5, 2.5],
                "prediction_interval": ["[1, 2]", "[2, 3]"],
                "index": [{"date": 1514764800000, "store": "A"}, {"date": 1514851200000, "store": "A"}],
            }
        },
        Results(
            ("forecast", "prediction_interval", "date", "store"),
            [(1.5, "[1, 2]", 1514764800000, "A"), (2.5, "[2, 3]", 1514851200000, "A")],
        ),
    ),
]


@pytest.mark.statement("azureml-19")
@pytest.mark.parametrize(("answer", "expected"), SHAPES, ids=lambda case: str(case)[:40])
@pytest.mark.parametrize("dialect", DIALECTS)
def test_every_known_shape_is_read_by_every_dialect(dialect: str, answer: object, expected: Results) -> None:
    assert dialect_of(dialect, Options()).results(answer, 2) == expected


@pytest.mark.statement("azureml-20")
@pytest.mark.parametrize(("answer", "expected"), SHAPES, ids=lambda case: str(case)[:40])
def test_an_answer_that_was_encoded_twice_is_decoded_once_more(answer: object, expected: Results) -> None:
    assert read(json.dumps(json.dumps(answer))) == expected


@pytest.mark.statement("azureml-20")
def test_a_forecast_of_automl_v1_is_a_text_that_holds_it() -> None:
    answer = {"forecast": [1.5], "index": [{"date": 1514764800000}]}
    results = read(json.dumps(json.dumps(answer)), 1, "automl-v1")
    assert results == Results(("forecast", "date"), [(1.5, 1514764800000)])


@pytest.mark.statement("azureml-20")
@pytest.mark.parametrize("text", ["yes", "", "[1, 2", "{broken", json.dumps(json.dumps([1])), "7"])
def test_a_plain_text_is_no_answer(text: str) -> None:
    with pytest.raises(AnswerUnusable):
        decode_answer(json.dumps(text).encode())


@pytest.mark.statement("azureml-21")
@pytest.mark.parametrize(
    "answer",
    [
        {"error": "could not convert"},
        {"error": {"code": "X", "message": "could not convert"}},
        {"error": ["could not convert", "x", "y"]},
        {"errors": ["could not convert"]},
        {"errors": [{"message": "could not convert"}, 2]},
        {"Results": {"error": "could not convert"}},
        {"result": [1, 2], "error": "could not convert"},
    ],
)
def test_an_error_inside_a_200_is_a_failure_with_its_text(answer: object) -> None:
    for body in (json.dumps(answer), json.dumps(json.dumps(answer))):
        with pytest.raises(ErrorInside) as refused:
            read(body)
        assert refused.value.text == "could not convert"
        assert "could not convert" not in str(refused.value), "the text may hold data"


@pytest.mark.statement("azureml-21")
def test_a_column_of_results_may_be_called_error() -> None:
    assert results_of({"prediction": [1, 2], "error": [0.1, 0.2]}, 2).names == ("prediction", "error")


@pytest.mark.statement("azureml-22")
@pytest.mark.fault(16)
@pytest.mark.parametrize(("answer", "expected"), SHAPES, ids=lambda case: str(case)[:40])
@pytest.mark.parametrize("count", [1, 3])
def test_more_or_fewer_results_than_rows_are_refused(answer: object, expected: Results, count: int) -> None:
    assert in_words(answer, count)


@pytest.mark.statement("azureml-22")
def test_the_refusal_of_a_wrong_count_names_both_counts() -> None:
    assert in_words(["a"]).startswith("2 rows were sent and 1 results came back")


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (7, "no list of results"),
        (True, "no list of results"),
        ({"label": "yes"}, "not columns of lists"),
        ({"0": ["a", "b"], "note": "x"}, "not columns of lists"),
        ([{"a": 1}, 2], "some results are objects"),
        ([{}, {}], "empty objects"),
        # What a row gets must not depend on the rows beside it.
        ([{"a": 1}, {"b": 2}], "not all have the same keys"),
        ([{"a": 1, "b": 2}, {"a": 1, "c": 2}], "not all have the same keys"),
        ([{"label": "yes"}, {"label": "no", "p": 0.1}], "not all have the same keys"),
        ([{"label": "yes"}, {}], "not all have the same keys"),
        ({"forecast": [1, 2], "index": [{"date": 1}, {"store": 2}]}, "not all have the same keys"),
        # No column is dropped.
        ({"predictions": ["a", "b"], "probabilities": [0.1]}, "not that long: predictions, probabilities"),
        ({"result": ["a", "b"], "p": [0.1, 0.2, 0.3], "model": "3"}, "not that long: result, p"),
        ({"predictions": ["a", "b"], "warnings": []}, "not that long: predictions, warnings"),
        ({"predictions": ["a", "b"], "probabilities": []}, "not that long: predictions, probabilities"),
        (
            {"Results": {"one": [1, 2], "two": [3, 4]}},
            "2 outputs: choose one by output_name; it has: one, two",
        ),
        ({"Results": {}}, "0 outputs: choose one by output_name; it has: none"),
        ({"Results": "yes"}, "no list of results"),
    ],
)
def test_what_is_no_known_shape_is_refused_in_words(answer: object, words: str) -> None:
    assert words in in_words(answer)


def test_names_are_shown_bounded_and_in_harmless_characters() -> None:
    names = [f"c{number}" for number in range(11)]
    assert shown(names[:10]) == ", ".join(names[:10])
    assert shown(names) == ", ".join(names[:10]) + ", …"
    assert shown(["a\n\u202eb", "Ålder", "x" * 100]) == f"a??b, Ålder, {'x' * 60}"


@pytest.mark.statement("azureml-6")
def test_an_output_is_chosen_by_name() -> None:
    answer = {"Results": {"one": [1, 2], "two": [3, 4]}}
    assert dialect_of("designer", Options(output_name="two")).results(answer, 2).rows == [(3,), (4,)]
    with pytest.raises(AnswerUnusable, match="no output three"):
        dialect_of("designer", Options(output_name="three")).results(answer, 2)
    forecast = {"Results": {"forecast": [1, 2]}}
    for without in ([1, 2], {"a": [1, 2]}, {"Results": [1, 2]}, {"result": {"a": [1, 2]}}, forecast):
        with pytest.raises(AnswerUnusable, match=r"the answer has no outputs, .* three \(output_name\)"):
            dialect_of("score-script", Options(output_name="three")).results(without, 2)


class TestClassic:
    """Statement 23: cells are strings, and what they are stands in ColumnTypes."""

    @pytest.mark.statement("azureml-23", "azureml-28")
    @pytest.mark.parametrize(
        ("kind", "cell", "value"),
        [
            ("Double", "0.967", 0.967),
            ("Double", "1E-05", 1e-05),
            ("Numeric", "5", 5.0),
            ("Double", "NaN", None),
            ("Double", "-Infinity", None),
            ("Double", "1e999", None),
            ("Double", "", None),
            ("Double", None, None),
            ("Double", 0.5, 0.5),
            ("Int32", "-7", -7),
            ("Int64", "9007199254740993", 9007199254740993),
            ("UInt64", "18446744073709551615", 18446744073709551615),
            ("Boolean", "True", True),
            ("Boolean", "false", False),
            ("Boolean", "", None),
            ("DateTime", "5/30/2010 6:07:00 PM", "5/30/2010 6:07:00 PM"),
            ("String", "0150", "0150"),
            ("String", "NaN", "NaN"),
            ("Guid", "x", "x"),
        ],
    )
    def test_a_cell_is_typed_by_its_column(self, kind: str, cell: object, value: object) -> None:
        answer = table(ColumnNames=["c"], ColumnTypes=[kind], Values=[[cell]])
        ((read_back,),) = results_of(answer, 1).rows
        assert read_back == value
        assert type(read_back) is type(value)

    @pytest.mark.statement("azureml-23")
    @pytest.mark.parametrize(
        ("kind", "cell"), [("Double", "abc"), ("Double", "1_0"), ("Int32", "1.5"), ("Boolean", "maybe")]
    )
    def test_a_cell_that_is_not_of_its_type_is_reported_and_not_quoted(self, kind: str, cell: str) -> None:
        words = in_words(table(ColumnNames=["c"], ColumnTypes=[kind], Values=[[cell]]), 1, "classic")
        assert words == f"column c of the table is declared {kind} and holds other cells"

    @pytest.mark.statement("azureml-23")
    @pytest.mark.parametrize("dialect", ["classic", "classic-swagger"])
    def test_missing_types_leave_texts_and_missing_names_leave_rows(self, dialect: str) -> None:
        named = table(ColumnNames=["age", "p"], Values=[["30", "0.9"]])
        typed = table(ColumnTypes=["Int32", "Double"], Values=[["30", "0.9"]])
        bare = table(Values=[["30", "0.9"]])
        read = dialect_of(dialect, Options()).results
        assert read(named, 1) == Results(("age", "p"), [("30", "0.9")])
        assert read(typed, 1) == Results(("prediction",), [([30, 0.9],)], unnamed=True)
        assert read(bare, 1) == Results(("prediction",), [(["30", "0.9"],)], unnamed=True)

    @pytest.mark.statement("azureml-23")
    @pytest.mark.parametrize(
        "parts",
        [
            {"Values": [["1"], ["1", "2"]]},
            {"Values": [["1"], ["2"]], "ColumnNames": ["a", "b"]},
            {"Values": [["1"], ["2"]], "ColumnNames": ["a"], "ColumnTypes": ["Double", "Double"]},
            {"Values": [["1", "2"], ["1", "2"]], "ColumnNames": ["a", "a"]},
            {"Values": "x"},
            {"Values": ["x", "y"]},
            {"Values": [["1"], ["2"]], "ColumnNames": "a"},
            {"Values": [["1"], ["2"]], "ColumnTypes": {"a": 1}},
            {"Values": [[], []]},
            {"Values": [], "ColumnNames": ["a"], "ColumnTypes": ["Double"]},
        ],
    )
    def test_a_ragged_or_strange_table_is_reported(self, parts: dict[str, object]) -> None:
        assert in_words(table(**parts), 2, "classic")

    def test_swagger_answers_are_texts_but_for_what_studio_itself_calls_numbers(self) -> None:
        row = {
            "Scored Labels": "7",
            "Scored Probabilities": "0.967",
            'Scored Probabilities for Class "a"': "",
            "Scored Label Mean": "NaN",
        }
        answer = {"Results": {"output1": [row]}}
        results = dialect_of("classic-swagger", Options()).results(answer, 1)
        assert results.rows == [("7", 0.967, None, None)]
        row["Scored Probabilities"] = "abc"
        assert in_words(answer, 1, "classic-swagger") == (
            "a column of scored numbers holds what is no number"
        )


def repr_of(case: bytes | str) -> str:
    return f"{len(case)}-{str(case)[:20]}" if isinstance(case, bytes) else ""


class TestDecoding:
    """Statements 24–26 and 28: strict JSON, and what real services write instead of it."""

    @pytest.mark.statement("azureml-24")
    @pytest.mark.fault(17)
    def test_bare_nan_and_infinity_are_null(self) -> None:
        assert decode_answer(b'[NaN, Infinity, -Infinity, 1e400, 0.5, "NaN"]') == [None] * 4 + [0.5, "NaN"]

    @pytest.mark.statement("azureml-28")
    @pytest.mark.parametrize("beside", ["", ", NaN"], ids=["fast", "slow"])
    def test_no_digit_is_lost(self, beside: str) -> None:
        numbers = (
            "9007199254740993, 18446744073709551617, -9223372036854775809, 0.1, 1e-300, 0.30000000000000004"
        )
        answer = decode_answer(f"[{numbers}{beside}]".encode())
        assert isinstance(answer, list)
        assert ", ".join(map(repr, answer[:6])) == numbers

    @pytest.mark.statement("azureml-25")
    @pytest.mark.fault(15)
    @pytest.mark.parametrize(
        ("body", "words"),
        [
            (b"", "it is empty"),
            (b" \r\n", "it is empty"),
            (b"\xef\xbb\xbf[1]", "byte order mark"),
            ("[1]".encode("utf-16"), "byte order mark"),
            (b"\xfe\xff" + "[1]".encode("utf-16-be"), "byte order mark"),
            (b"<html><body>Ola Nordmann</body></html>", "an HTML page of 38 bytes"),
            (b"Request processing time exceeded limit", "a text of 38 bytes"),
            (b'[{"name": "Ola Nordmann"', "24 bytes of damaged or truncated JSON"),
            (b"[1] Ola Nordmann", "damaged or truncated JSON"),
            (b'["\xff"]', "damaged or truncated JSON"),
            (b"[" * 100_000, "deep"),
            (b"[" * 100_000 + b"]" * 100_000, "deep"),
            (b"[" + b"1" * 5000 + b"]", "damaged or truncated JSON"),
        ],
        ids=repr_of,
    )
    def test_what_is_no_json_is_named_by_kind_and_never_quoted(self, body: bytes, words: str) -> None:
        with pytest.raises(AnswerUnusable, match=words) as refused:
            decode_answer(body)
        assert "Ola" not in str(refused.value)

    @pytest.mark.statement("azureml-26")
    @pytest.mark.parametrize("body", [b"{}", b"null", b'"{}"'])
    def test_a_script_that_returned_nothing_is_reported(self, body: bytes) -> None:
        with pytest.raises(AnswerUnusable, match="returned nothing"):
            read(body)


TABLE_PARTS = ("Values", "ColumnNames", "ColumnTypes")
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(
            st.sampled_from([*ENVELOPES, "error", "value", *TABLE_PARTS, "forecast", "index", "a"]),
            inner,
            max_size=4,
        )
    ),
    max_leaves=20,
)


@pytest.mark.fault(16)
@pytest.mark.parametrize("dialect", DIALECTS)
@given(answer=JSON, count=st.integers(1, 4), twice=st.booleans())
def test_any_answer_gives_one_result_per_row_or_is_refused(
    dialect: str, answer: object, count: int, twice: bool
) -> None:
    encode: Callable[[object], str] = json.dumps
    body = encode(encode(answer) if twice else answer).encode()
    try:
        results = dialect_of(dialect, Options()).results(decode_answer(body), count)
    except AnswerUnusable:
        return
    assert len(results.rows) == count
    assert {len(row) for row in results.rows} == {len(results.names)}


@given(body=st.binary(max_size=40))
def test_any_bytes_decode_or_are_refused(body: bytes) -> None:
    try:
        decode_answer(body)
    except AnswerUnusable as refused:
        assert str(refused)
