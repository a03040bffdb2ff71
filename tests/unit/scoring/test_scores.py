"""Which properties an entity gets from an answer: names, echoes, and nothing that a node would misread."""

import json
from collections.abc import Sequence
from typing import get_args

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from contract.facts import ColumnType
from contract.values import Value
from local.node.reader import read
from scoring.dialects import AnswerUnusable, Results, Row, SentColumn
from scoring.dialects.answers import PREDICTION
from scoring.scores import scores_of

COLUMNS = (SentColumn("Age", "integer"), SentColumn("City", "string"), SentColumn("Since", "datetime"))
ROWS: list[Row] = [[30, "Oslo", "2018-01-01T00:00:00Z"], [41, "Bodø", "2018-01-02T00:00:00Z"]]


def scored(
    names: tuple[str, ...],
    *rows: tuple[object, ...],
    columns: tuple[SentColumn, ...] = COLUMNS,
    sent: list[Row] = ROWS,
    unnamed: bool = False,
    **rules: object,
) -> list[dict[str, object]]:
    given = {"prefix": "churn:"} | rules
    results = scores_of(Results(names, list(rows), unnamed), columns, sent, **given)  # type: ignore[arg-type]  # by name
    return [dict(zip(results.names, row, strict=True)) for row in results.rows]


def bare(*values: object, **rules: object) -> list[dict[str, object]]:
    return scored((PREDICTION,), *((value,) for value in values), unnamed=True, **rules)  # type: ignore[arg-type]  # by name


def column(kind: ColumnType | None, sent: Sequence[Value | None], echoed: Sequence[object]) -> str | None:
    """Say why an echoed column is refused; None where it is not."""
    columns = (SentColumn("x", kind),)
    try:
        scored(("x", "p"), *((e, 1) for e in echoed), columns=columns, sent=[[s] for s in sent])
    except AnswerUnusable as refused:
        return str(refused)
    return None


class TestNames:
    @pytest.mark.statement("azureml-27", "sesam-21")
    def test_columns_get_the_prefix_and_a_dash_for_every_blank(self) -> None:
        assert scored(("Scored Labels", "Scored Probabilities"), ("yes", 0.9), ("no", 0.2)) == [
            {"churn:Scored-Labels": "yes", "churn:Scored-Probabilities": 0.9},
            {"churn:Scored-Labels": "no", "churn:Scored-Probabilities": 0.2},
        ]

    def test_a_bare_value_or_a_list_of_numbers_is_the_prediction(self) -> None:
        assert bare("yes", "no") == [{"churn:prediction": "yes"}, {"churn:prediction": "no"}]
        assert bare([0.1, 0.9], [0.7, 0.3])[0] == {"churn:prediction": [0.1, 0.9]}

    def test_outputs_name_the_positions_of_lists_and_a_bare_value(self) -> None:
        named = bare([0.1, 0.9], [0.7, 0.3], outputs=("stays", "goes away"))
        assert named == [
            {"churn:stays": 0.1, "churn:goes-away": 0.9},
            {"churn:stays": 0.7, "churn:goes-away": 0.3},
        ]
        assert bare("yes", "no", outputs=("label",))[1] == {"churn:label": "no"}
        assert bare([0.1], [0.7], outputs=(PREDICTION,))[1] == {"churn:prediction": [0.7]}

    def test_lists_of_another_length_than_outputs_are_refused(self) -> None:
        with pytest.raises(AnswerUnusable, match="outputs names 2 positions"):
            bare([0.1, 0.9], [0.7], outputs=("a", "b"))

    def test_outputs_give_no_other_name_to_a_column_that_has_one(self) -> None:
        with pytest.raises(
            AnswerUnusable, match="outputs names probability, and the answer has only: predict"
        ):
            scored((PREDICTION,), ("yes",), ("no",), outputs=("probability",))
        assert scored((PREDICTION,), ("yes",), ("no",), outputs=(PREDICTION,))[0] == {
            "churn:prediction": "yes"
        }

    def test_outputs_choose_and_order_columns(self) -> None:
        rows = ((1, 2, 3), (4, 5, 6))
        assert scored(("a", "b", "c"), *rows, outputs=("c", "a")) == [
            {"churn:c": 3, "churn:a": 1},
            {"churn:c": 6, "churn:a": 4},
        ]
        with pytest.raises(AnswerUnusable, match="outputs names d, and the answer has only: a, b, c"):
            scored(("a", "b", "c"), *rows, outputs=("d",))

    @pytest.mark.statement("sesam-6", "azureml-27")
    @pytest.mark.parametrize("name", ["_id", "_deleted", "$retract", "rdf:type", "$children", "", "~:x"])
    def test_whatever_a_column_is_called_its_property_has_the_prefix(self, name: str) -> None:
        (first, _) = scored((name, "p"), (1, 2), (3, 4))
        assert all(key.startswith("churn:") for key in first)

    @pytest.mark.statement("sesam-6")
    @pytest.mark.parametrize(("prefix", "name"), [("_", "x"), ("$", "x"), ("rdf:", "type"), ("", "_id")])
    def test_no_name_of_sesam_s_own_is_ever_invented(self, prefix: str, name: str) -> None:
        with pytest.raises(AnswerUnusable, match="Sesam's own"):
            scored((name, "p"), (1, 2), (3, 4), prefix=prefix)

    @pytest.mark.statement("sesam-21")
    @pytest.mark.parametrize("names", [("a b", "a-b"), ("a", "a")])
    def test_two_columns_on_one_property_are_refused(self, names: tuple[str, str]) -> None:
        with pytest.raises(AnswerUnusable, match=r"two of the answer's columns|two columns of one name"):
            scored(names, (1, 2), (3, 4))

    def test_a_column_named_like_our_own_mark_is_refused_unless_others_are_chosen(self) -> None:
        with pytest.raises(AnswerUnusable, match="column error, which is what we mark"):
            scored(("error", "p"), (1, 2), (3, 4), reserved=("error",))
        assert scored(("error", "p"), (1, 2), (3, 4), outputs=("p",), reserved=("error",))[0] == {
            "churn:p": 2
        }
        with pytest.raises(AnswerUnusable, match="column model"):
            scored(("model", "p"), (1, 2), (3, 4), reserved=("error", "model"))


class TestEchoes:
    @pytest.mark.statement("azureml-27")
    def test_an_echoed_feature_is_left_out_unless_outputs_names_it(self) -> None:
        names = ("City", "p")
        assert scored(names, ("Oslo", 1), ("Bodø", 2)) == [{"churn:p": 1}, {"churn:p": 2}]
        chosen = scored(names, ("Oslo", 1), ("Bodø", 2), outputs=("City",))
        assert chosen == [{"churn:City": "Oslo"}, {"churn:City": "Bodø"}]

    def test_an_answer_of_nothing_but_features_is_refused(self) -> None:
        with pytest.raises(AnswerUnusable, match="no columns but the features"):
            scored(("City",), ("Oslo",), ("Bodø",))

    @pytest.mark.statement("azureml-22")
    @pytest.mark.fault(16)
    @pytest.mark.parametrize(
        ("name", "first", "second"),
        [
            ("City", "Bodø", "Oslo"),
            ("City", "Oslo", "Oslo"),
            ("City", "Oslo", None),
            ("City", "Oslo", ""),
            ("City", "oslo", "Bodø"),
            ("Age", 41, 30),
            ("Age", 41.0, 30.0),
            ("Age", "41", "30"),
            ("Age", "41.0", "30.0"),
            ("Age", None, 41),
            ("Since", 1514851200000, 1514764800000),
        ],
        ids=repr,
    )
    def test_texts_integers_and_epoch_dates_that_come_back_changed_mean_reordered_rows(
        self, name: str, first: object, second: object
    ) -> None:
        with pytest.raises(AnswerUnusable, match=f"column {name} comes back with other values") as refused:
            scored((name, "p"), (first, 1), (second, 2))
        assert "Oslo" not in str(refused.value)
        assert "reorders" in str(refused.value)

    @pytest.mark.parametrize(
        ("name", "first", "second"),
        [
            ("Age", 30.0, 41.0),
            ("Age", "30", "41"),
            ("Age", "30.0", "41.0"),
            ("Age", 0.3, 1.0),
            ("Age", True, False),
            ("City", 3, 7),
            ("Since", "1/1/2018 12:00:00 AM", "1/2/2018 12:00:00 AM"),
            ("Since", 1514764800000, 1514851200000),
        ],
        ids=repr,
    )
    def test_another_spelling_and_a_derived_value_are_no_reordering(
        self, name: str, first: object, second: object
    ) -> None:
        assert scored((name, "p"), (first, 1), (second, 2)) == [{"churn:p": 1}, {"churn:p": 2}]

    @pytest.mark.statement("azureml-22")
    @pytest.mark.fault(16)
    @pytest.mark.parametrize("echo", ["{}", "{}T00:00:00.000", "{} 00:00:00+00:00"])
    @pytest.mark.parametrize("kind", ["date", None])
    def test_a_forecaster_that_sorts_its_rows_is_caught_by_its_dates(
        self, kind: ColumnType | None, echo: str
    ) -> None:
        sent = ["2020-01-03", "2020-01-01", "2020-01-02"]
        assert column(kind, sent, list(map(echo.format, sent))) is None
        assert "in 3 of 3 rows" in str(column(kind, sent, list(map(echo.format, sorted(sent)))))

    @pytest.mark.parametrize(
        ("sent", "echoed", "differs"),
        [
            ("2020-02-29T12:00:00.5Z", "2020-02-29T12:00:00.500000", False),
            ("2020-02-29T12:00:00.5Z", "2020-02-29 12:00:00", False),
            ("2020-02-29T12:00:00.5Z", "2020-02-29T13:00:00.5+01:00", False),
            ("2020-02-29T12:00:00Z", "2020-02-29", False),
            ("2020-02-29T12:00:00Z", "2020-02-29T12:00:01Z", True),
            ("2020-02-29T12:00:00Z", "2020-02-29T12:00:00.002Z", True),
            ("2020-02-29T12:00:00Z", "2020-02-29T12:00:00+01:00", True),
            ("2020-02-29T12:00:00Z", "2020-02-29T12:00:00-00:30", True),
            # Without a zone it may be another clock.
            ("2020-02-29T12:00:00Z", "2020-02-29T13:00:00", False),
            ("2020-02-29T12:00:00", "2020-02-29T13:00:00", True),
            ("2020-02-29T12:00:00", "2020-02-29T13:00:00Z", False),
            ("2020-02-29T12:00:00Z", "29 February", False),
            ("2020-02-29T12:00:00.0006Z", 1582977600000, False),
            ("2020-02-29T12:00:00.0006Z", 1582977600001, False),
            ("2020-02-29T12:00:00.0006Z", 1582977600002, True),
            ("2020-02-29T12:00:00Z", 10**400, False),
            ("2020-02-29T12:00:00Z", 18321, False),
            ("2020-02-29T12:00:00Z", 1582977601, False),
            ("2020-02-29T12:00:00Z", 99_999_999_999, False),
            ("2020-02-29T12:00:00Z", 1582977601000000000, False),
            ("2020-02-29T12:00:00Z", 1582977601000.0, False),
            ("2020-02-29T12:00:00Z", None, False),
            ("2020-02-29T12:00:00Z", 7.5, False),
            ("2020-02-29T12:00:00Z", True, False),
        ],
    )
    def test_a_moment_is_compared_however_it_is_written(
        self, sent: str, echoed: object, differs: bool
    ) -> None:
        assert bool(column("datetime", [sent], [echoed])) is differs

    @pytest.mark.statement("azureml-22")
    @pytest.mark.fault(16)
    def test_a_day_before_1973_that_comes_back_in_milliseconds_hides_no_other_row(self) -> None:
        sent, milliseconds = ["1970-06-01", "2020-01-01"], 151 * 86_400_000
        assert column("date", sent, [milliseconds, 1577836800000]) is None
        assert "in 1 of 2 rows" in str(column("date", sent, [milliseconds, 1577923200000]))

    def test_a_moment_that_lost_its_fraction_is_not_that_of_another_row(self) -> None:
        sent = ["2020-02-29T12:00:00.5Z", "2020-02-29T12:00:00Z"]
        assert column("datetime", sent, ["2020-02-29T12:00:00Z", "29 February"]) is None

    def test_moments_of_another_clock_tell_their_order(self) -> None:
        sent = [f"2020-01-01T{hour:02}:00:00Z" for hour in (3, 1, 2)]
        local = [f"2020-01-01T{hour:02}:00:00" for hour in (4, 2, 3)]
        assert column("datetime", sent, local) is None
        assert column("datetime", sent, sorted(each.removesuffix("Z") for each in sent))

    @pytest.mark.statement("azureml-22")
    @pytest.mark.fault(16)
    @pytest.mark.parametrize(
        ("kind", "sent", "echoed"),
        [
            ("number", [3.5, 1.5], [1.5, 3.5]),
            ("number", [3.5, 1.5], ["1.5", "3.5"]),
            ("number", [3.5, 0.1], [0.10000000149011612, 3.5]),
            ("number", [3.5, None, 1.5], [1.5, 3.5, None]),
            ("number", [3.5, None, 1.5], [1.5, 0.0, 3.5]),
            ("boolean", [True, False], [False, True]),
            ("boolean", [True, False], ["False", "True"]),
            (None, [3.5, 1], [1, 3.5]),
            (None, [True, False], [False, True]),
            # One odd value hides no other row.
            ("string", ["c", "b", "a"], [5, "c", "b"]),
            ("string", ["c", "b", "a"], [5, "c", ""]),
            ("integer", [3, 2, 1], ["n/a", 3, 2]),
            ("date", ["2020-01-03", "2020-01-01", "2020-01-02"], ["x", "2020-01-03", "2020-01-01"]),
            # Nor does a row that was sent null, whatever the others came back as.
            ("integer", [3, None, 5], [None, None, "5"]),
            (None, ["2020-01-01", "b", "a"], [7.5, "2020-01-01", "b"]),
        ],
        ids=repr,
    )
    def test_values_that_come_back_in_other_rows_mean_reordered_rows(
        self, kind: ColumnType | None, sent: list[Value | None], echoed: list[object]
    ) -> None:
        assert "reorders" in str(column(kind, sent, echoed))

    @pytest.mark.parametrize(
        ("kind", "sent", "echoed"),
        [
            ("number", [3.5, 1.5, 2.5], [1.0, 0.0, 0.5]),
            ("number", [3.5, 1.4], [4.0, 1.0]),
            ("number", [3.5, None, 1.5], [3.5, 2.5, 1.5]),
            ("number", [3.5, 0.1, 1e300], [3.5, 0.10000000149011612, 1e300]),
            ("number", [1.0, 2.0, 3.0], [None, 1.0, 2.0]),
            ("number", [1.0, 2.0, 3.0], [2.0, 2.0, 3.0]),
            ("boolean", [True, False], [0, 1]),
            ("boolean", [True, False], [False, False]),
            ("integer", [5, 1, 0], [1.0, 0.2, 0.0]),
            ("integer", [7, 12, 40], ["5", "10", "30+"]),
            ("string", ["2", "1", "x"], [0, 1, 2]),
            ("string", ["Oslo", "7", "Bergen"], ["Oslo", 7, 3]),
            (None, ["2020-01-01", "b"], ["1/1/2020", "b"]),
            (None, ["2020-01-01", 3], [4, 5]),
        ],
        ids=repr,
    )
    def test_what_a_service_rounds_scales_fills_or_recodes_is_no_reordering(
        self, kind: ColumnType | None, sent: list[Value | None], echoed: list[object]
    ) -> None:
        assert column(kind, sent, echoed) is None

    @pytest.mark.parametrize(
        ("kind", "sent", "echoed"),
        [
            ("string", "", None),
            ("integer", "", None),
            ("integer", "", 0.0),
            ("integer", "any", 1.0),
            ("integer", "0", 0),
            ("integer", False, 0),
            ("string", 0, "0"),
            (None, "", None),
        ],
        ids=repr,
    )
    def test_a_constant_for_a_label_that_the_service_demands_is_no_reordering(
        self, kind: ColumnType | None, sent: Value, echoed: object
    ) -> None:
        assert column(kind, [sent, sent], [echoed, echoed]) is None

    @pytest.mark.parametrize(
        ("sent", "echoed"),
        [
            # A null, or nothing, in one row says no less of the others.
            (["2000-01-01", "2001-05-05", "2002-02-02"], [None, "2000-01-01", "2000-01-01"]),
            (["2000-01-01", "2001-05-05", "2002-02-02"], ["", "2001-05-06", "2002-02-02"]),
            (["2000-01-01", "2001-05-05", "2002-02-02"], [None, 989107200000, 1012608000000]),
            # Milliseconds: before 1970 too, and as doubles, as they come beside a null.
            (["1950-01-01", "1940-05-05", "1960-02-02"], [-631152000000] * 3),
            (["2000-01-01", "2001-05-05"], [989020800000.0, 946684800000.0]),
            (["1973-06-01", "2001-05-05"], [100000000000, 989020800000]),
            (["5138-01-01", "2001-05-05"], [99999999999999, 989020800000]),
        ],
        ids=repr,
    )
    def test_dates_that_come_back_as_other_dates_are_refused(
        self, sent: list[Value | None], echoed: list[object]
    ) -> None:
        assert "reorders" in str(column("date", sent, echoed))

    @pytest.mark.parametrize(
        ("kind", "sent", "echoed"),
        [
            ("date", "2000-01-01", 946684800000.0),
            ("date", "1950-01-01", -631152000000),
            ("date", "1971-06-15", 45792000000000),
            ("datetime", "1970-01-01T01:00:00Z", 3600000000000),
            ("datetime", "2020-02-29T12:00:00Z", 20200229120000),
            ("datetime", "2020-02-29T12:00:00Z", 202002291200),
            ("date", "2001-05-05", 99999999999),
            ("date", "2001-05-05", 100000000000000),
            ("string", "9007199254740993", 9007199254740993),
            ("string", "89470000000000000017", 89470000000000000017),
            ("string", "150.0", 150),
            # Digits that a double has lost.
            ("string", "9007199254740993", 9007199254740992),
            ("string", "12345678901234567890", 12345678901234567168),
            ("string", "1" * 400, float("inf")),
            # Seconds of a far day lie among milliseconds; digits with a time behind them.
            ("date", "9999-12-31", 253402214400),
            ("date", "9999-12-31", 253402214400.0),
            ("date", "2001-05-05", 20010505000000.0),
            # Cut to seconds, or to 32 bits.
            ("datetime", "2000-01-01T00:00:00.25Z", 946684800000),
            ("datetime", "2000-01-01T00:00:00.25Z", 946684800000.0),
            ("date", "2020-02-29", 1582934392832.0),
        ],
        ids=repr,
    )
    def test_one_value_in_another_form_is_no_reordering(
        self, kind: ColumnType, sent: Value, echoed: object
    ) -> None:
        assert column(kind, [sent], [echoed]) is None

    @pytest.mark.parametrize(
        ("kind", "sent", "echoed"),
        [
            ("string", "9007199254740993", 9007199254740991),
            ("string", "150.0", 151),
            ("integer", 41, ""),
            ("datetime", "2000-01-01T00:00:00.25Z", 946684800249),
            ("datetime", "2000-01-01T00:10:00Z", 946684800000.0),
        ],
        ids=repr,
    )
    def test_one_value_that_is_another_is_told(self, kind: ColumnType, sent: Value, echoed: object) -> None:
        assert "reorders" in str(column(kind, [sent], [echoed]))

    def test_exact_doubles_of_other_rows_are_told_however_near_they_lie(self) -> None:
        sent: list[Value | None] = ["2024-01-05T11:00:00Z", "2024-01-05T11:02:00Z"]
        assert "reorders" in str(column("datetime", sent, [1704452520000.0, 1704452400000.0]))

    def test_half_a_surrogate_pair_in_place_of_a_number_tells_nothing(self) -> None:
        assert column("number", [1.5, 2.5], ["\ud800", "2.5"]) is None

    def test_moments_without_a_contract_are_compared_as_moments(self) -> None:
        sent: list[Value | None] = ["1971-01-01", "1972-01-01"]
        assert "reorders" in str(column(None, sent, [63072000000, 31536000000]))

    def test_a_text_beside_a_null_is_compared_where_no_contract_tells_its_type(self) -> None:
        assert "reorders" in str(column(None, ["c", "b", "2020-01-01"], ["c", "x", None]))

    @pytest.mark.parametrize("kind", [*get_args(ColumnType), None])
    def test_lists_and_objects_for_what_was_sent_are_no_reordering(self, kind: ColumnType | None) -> None:
        for sent in (["2020-01-01", "2020-01-02"], [1, 2], [1.5, 2.5], [True, False]):
            assert column(kind, sent, [[1], {"a": 1}]) is None

    def test_a_null_that_the_service_filled_is_no_reordering(self) -> None:
        columns = (SentColumn("City", "string"),)
        assert scored(("City", "p"), ("unknown", 5), columns=columns, sent=[[None]]) == [{"churn:p": 5}]

    @pytest.mark.parametrize(
        ("sent", "echoed", "differs"),
        [
            ("0150", 150, False),
            ("0150", 151, True),
            ("0150", "150", True),
            (2**53 + 1, float(2**53), False),
            (2**53 + 1, 2**53, True),
            (10**400, 1.5e300, True),
            (7, 8, True),
            ("abc", "abd", True),
            ("2018-01-01", "1/1/2018", False),
            (True, False, False),
        ],
        ids=repr,
    )
    def test_without_a_contract_the_value_itself_says_how_to_compare(
        self, sent: str | int, echoed: object, differs: bool
    ) -> None:
        def score() -> object:
            return scored(("x", "p"), (echoed, 1), columns=(SentColumn("x"),), sent=[[sent]])

        if not differs:
            assert score() == [{"churn:p": 1}]
            return
        with pytest.raises(AnswerUnusable, match="column x"):
            score()

    def test_a_constant_that_is_no_date_is_not_compared_as_one(self) -> None:
        columns = (SentColumn("d", "date"),)
        assert scored(("d", "p"), (0, 1), columns=columns, sent=[["any"]]) == [{"churn:p": 1}]


class TestValues:
    @pytest.mark.statement("sesam-20")
    def test_a_text_with_a_tilde_in_front_gets_a_blank_before_it(self) -> None:
        label = bare("~t2020-13-01", "yes")
        assert label == [{"churn:prediction": " ~t2020-13-01"}, {"churn:prediction": "yes"}]
        inside = bare(["~f1"], {"~k": "~:x"})
        assert inside == [{"churn:prediction": [" ~f1"]}, {"churn:prediction": {" ~k": " ~:x"}}]

    @pytest.mark.statement("sesam-19", "azureml-24")
    def test_what_is_no_number_or_no_text_becomes_null_or_the_replacement_character(self) -> None:
        assert bare(float("nan"), 0.5)[0] == {"churn:prediction": None}
        assert bare([float("inf"), 1], None)[0] == {"churn:prediction": [None, 1]}
        assert bare("a\0b", "\ud800")[0] == {"churn:prediction": "a\ufffdb"}
        assert bare("a\0b", "\ud800x")[1] == {"churn:prediction": "\ufffdx"}
        assert scored(("a\0\ud800",), (1,), (2,))[0] == {"churn:a\ufffd\ufffd": 1}

    @pytest.mark.statement("azureml-28", "sesam-22")
    def test_integers_and_doubles_keep_every_digit(self) -> None:
        values = [2**53 + 1, -(2**64), 10**30, 0.87, 0.1 + 0.2, 1e-300, 5e-324]
        answered = bare(values, values)[0]["churn:prediction"]
        assert msgspec.json.encode(answered) == json.dumps(values, separators=(",", ":")).encode()
        assert [bare(value, value)[0]["churn:prediction"] for value in values] == values

    def test_decimals_round_numbers_wherever_they_stand(self) -> None:
        rounded = scored(("a", "b"), (0.98765, [0.98765, {"p": 0.98765}]), (2, "0.98765"), decimals=2)
        assert rounded == [
            {"churn:a": 0.99, "churn:b": [0.99, {"p": 0.99}]},
            {"churn:a": 2, "churn:b": "0.98765"},
        ]
        assert bare(0.98765, 0.5, decimals=0)[0] == {"churn:prediction": 1.0}
        assert bare(0.98765, 0.5)[0] == {"churn:prediction": 0.98765}

    def test_a_result_nested_without_end_is_refused(self) -> None:
        deep: object = 1
        for _ in range(200):
            deep = [deep]
        with pytest.raises(AnswerUnusable, match="nested too deep"):
            bare(deep, 1)

    def test_kinds_may_differ_from_row_to_row(self) -> None:
        values = [1, 0.5, "x", None, True, [1], {"a": 1}]
        rows: list[Row] = [[]] * len(values)
        answered = bare(*values, columns=(), sent=rows)
        assert [row["churn:prediction"] for row in answered] == values


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text("~ a\0\ud800é", max_size=3),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text("~_a\0", max_size=2), inner, max_size=3)
    ),
    max_leaves=8,
)


@pytest.mark.statement("sesam-19", "sesam-20", "sesam-22")
@given(values=st.lists(VALUES, min_size=1, max_size=4), decimals=st.integers(-1, 15))
def test_whatever_a_model_answers_a_strict_reader_takes_it(values: list[object], decimals: int) -> None:
    answered = bare(*values, columns=(), sent=[[]] * len(values), decimals=decimals)
    assert len(answered) == len(values)
    reading = read(msgspec.json.encode([{"_id": str(n), **each} for n, each in enumerate(answered)]))
    assert [entity["_id"] for entity in reading.entities] == [str(n) for n in range(len(values))]
    body = msgspec.json.encode(answered).decode()
    assert "NaN" not in body
    for text in texts(json.loads(body)):
        assert not text.startswith("~")
        assert "\0" not in text
        text.encode()


def texts(value: object) -> list[str]:
    match value:
        case str():
            return [value]
        case list():
            return [text for item in value for text in texts(item)]
        case dict():
            return [text for pair in value.items() for item in pair for text in texts(item)]
    return []
