"""An entity → one row, through a contract: by name, never shifted, never changed."""

from decimal import Decimal
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from contract.contract import Column, Contract
from contract.facts import ColumnType
from contract.features import DoesNotFit, Encoder, PrefixTaken
from tests.cells import encode_cells


def contract(*columns: Column, label: str = "ChurnFlag") -> Contract:
    return Contract(schema_version=1, label=label, columns=columns)


def one(kind: ColumnType, value: Any, **facts: Any) -> Any:
    encoder = Encoder(contract(Column(name="x", type=kind, **facts)))
    return encoder.encode({"_id": "1", "x": value}).row[0]


def refused(kind: ColumnType, value: Any, **facts: Any) -> str:
    with pytest.raises(DoesNotFit) as error:
        one(kind, value, **facts)
    return error.value.remarks[0].reason


@pytest.mark.statement("sesam-8")
@pytest.mark.parametrize("form", [1, 1.0, "~f1", "~f1.00", "~d1.0", "1"], ids=repr)
def test_every_form_of_one_is_the_same_integer_and_the_same_number(form: object) -> None:
    assert one("integer", form) == 1
    assert type(one("integer", form)) is int
    assert one("number", form) == 1.0
    assert type(one("number", form)) is float


@pytest.mark.statement("sesam-7")
@pytest.mark.parametrize(
    ("kind", "value", "feature"),
    [
        ("number", "~f1.50", 1.5),
        ("number", "~d1.5", 1.5),
        ("datetime", "~t2015-01-02T03:04:05.120Z", "2015-01-02T03:04:05.12Z"),
        ("date", "~t2015-12-31", "2015-12-31"),
        ("date", "2015-12-31", "2015-12-31"),
        ("string", "~:crm-customer:100", "100"),
        ("integer", "~:crm-customer:100", 100),
        ("string", "~rhttp://www.sesam.io/", "http://www.sesam.io/"),
        ("string", "~u531a379e-31bb-4ce1-8690-158dceb64be6", "531a379e-31bb-4ce1-8690-158dceb64be6"),
        ("string", "~bAAECAwQF", "AAECAwQF"),
        ("string", "~~hello", "~~hello"),
        ("string", "~xfoo", "~xfoo"),
        ("boolean", True, True),
        ("boolean", "False", False),
    ],
)
def test_transit_values_are_decoded(kind: ColumnType, value: object, feature: object) -> None:
    assert one(kind, value) == feature


@pytest.mark.parametrize(
    ("value", "text"),
    [(42, "42"), (1.0, "1.0"), ("~f7.7000", "7.7000"), (2**70, str(2**70)), ("~f1E+2", "1E+2")],
)
def test_a_number_in_a_text_column_takes_its_csv_spelling(value: object, text: str) -> None:
    assert one("string", value) == text


@pytest.mark.parametrize(
    ("spelling", "text"), [("bare", "100"), ("full", "crm:100"), ("tagged", "~:crm:100")]
)
def test_an_identifier_is_written_as_the_column_writes_them(spelling: str, text: str) -> None:
    assert one("string", "~:crm:100", spelling=spelling) == text


@pytest.mark.parametrize(
    ("value", "categories", "text"),
    [
        ("~:crm:7", ("crm:7", "unknown"), "crm:7"),
        ("~:crm:7", ("7", "crm:8"), "7"),
        ("~:7", None, "7"),
        ("crm:7", None, "crm:7"),
        ("~rhttp://x", None, "http://x"),
    ],
)
def test_an_identifier_in_a_mixed_column_is_the_one_spelling_that_training_saw(
    value: str, categories: tuple[str, ...] | None, text: str
) -> None:
    assert one("string", value, spelling="mixed", categories=categories) == text


@pytest.mark.parametrize("categories", [None, (), ("unknown",), ("7", "crm:7")])
def test_an_identifier_in_a_mixed_column_is_an_error_where_its_spelling_cannot_be_known(
    categories: tuple[str, ...] | None,
) -> None:
    told = refused("string", "~:crm:7", spelling="mixed", categories=categories)
    assert "with and without namespace" in told


@pytest.mark.statement("azureml-11", "P2")
@pytest.mark.parametrize(
    ("kind", "value"),
    [
        ("integer", 30.5), ("integer", "30.0"), ("integer", "007"), ("integer", "abc"), ("integer", True),
        ("integer", 2**63), ("integer", "~t2015-12-31"), ("integer", "~fabc"), ("integer", float("inf")),
        ("number", "abc"), ("number", "1_000"), ("number", 2**53 + 1), ("number", False), ("number", "~fNaN"),
        ("number", "~f"), ("integer", "~f"),
        ("number", "~f9007199254740993"), ("number", float("inf")),
        ("boolean", 1), ("boolean", "yes"), ("date", "2015-02-30"), ("date", "~t2015-12-31T00:00:00Z"),
        ("datetime", "~t2015-12-31"), ("datetime", 1420167845), ("string", "~t2015-12-31"), ("string", True),
    ],
)  # fmt: skip
def test_a_value_that_does_not_fit_is_an_error_and_never_changed(kind: ColumnType, value: object) -> None:
    assert refused(kind, value)


@pytest.mark.statement("sesam-14", "azureml-10")
def test_a_list_of_one_is_its_element_and_any_other_list_or_dict_an_error() -> None:
    assert one("integer", [7]) == 7
    assert refused("integer", [7, 8]) == "a list of 2, where one value is wanted"
    assert refused("integer", []) == "a list of 0, where one value is wanted"
    assert refused("integer", [[7]])
    assert refused("string", {"a": 1}) == "a dict, where one value is wanted"


def test_true_is_one_only_where_the_training_data_wrote_booleans_as_bits() -> None:
    assert one("integer", True, minimum=0, maximum=1) == 1
    assert refused("integer", True, minimum=0, maximum=2)
    assert refused("integer", True)


@pytest.mark.statement("sesam-9")
def test_reserved_properties_and_the_label_are_no_features() -> None:
    columns = [Column(name=n, type="string") for n in ("_id", "$ids", "rdf:type", "Age", "ChurnFlag")]
    assert contract(*columns).features == ("Age",)
    explicit = Encoder(contract(*columns), features=("rdf:type", "Age"))
    assert explicit.encode({"_id": "1", "rdf:type": "x", "Age": "1"}).row == ["x", "1"]


@pytest.mark.statement("sesam-10", "azureml-2")
def test_names_match_exactly_first_then_without_namespace() -> None:
    encoder = Encoder(contract(Column(name="age", type="integer")))
    assert encoder.encode({"_id": "1", "crm:age": 1}).row == [1]
    assert encoder.encode({"_id": "1", "crm:age": 1, "erp:age": 2, "age": 3}).row == [3]
    with pytest.raises(DoesNotFit, match=r"several properties match this name \(crm:age, erp:age\)"):
        encoder.encode({"_id": "1", "erp:age": 2, "crm:age": 1})
    chosen = Encoder(contract(Column(name="age", type="integer")), choices={"age": "erp:age"})
    assert chosen.encode({"_id": "1", "erp:age": 2, "crm:age": 1}).row == [2]


def test_what_is_wrong_is_told_in_the_order_of_the_contract() -> None:
    columns = [Column(name=name, type="integer") for name in ("a", "b", "c")]
    with pytest.raises(DoesNotFit) as error:
        Encoder(contract(*columns)).encode({"_id": "1", "a": "x", "crm:b": 1, "erp:b": 2, "c": "x"})
    assert [remark.feature for remark in error.value.remarks] == ["a", "b", "c"]


def test_a_namespace_may_hold_colons_and_a_name_not() -> None:
    encoder = Encoder(contract(Column(name="age", type="integer"), Column(name="boss", type="string")))
    entity = {"_id": "1", "http://crm.example:80/:age": 1, "crm:eu:boss": "~:crm:eu:100"}
    assert encoder.encode(entity).row == [1, "100"]
    exact = Encoder(contract(Column(name="crm:age", type="integer")))
    assert exact.encode({"_id": "1", "crm:age": 1, "age": 2}).row == [1]
    with pytest.raises(DoesNotFit, match="crm:age: required"):
        exact.encode({"_id": "1", "eu:crm:age": 1})


SCORE = Column(name="score", type="integer", nullable=True)


@pytest.mark.statement("sesam-21")
def test_a_score_of_an_earlier_round_is_never_a_feature() -> None:
    echoing = Encoder(contract(SCORE), prefix="churn:", echoes=("score",))
    assert echoing.encode({"_id": "1", "churn:score": 1, "churn:prediction": 2}).row == [None]


@pytest.mark.statement("sesam-21")
@pytest.mark.parametrize("properties", [["crm:age"], ["crm:age", "age"], ["crm:segment", "age"]], ids=str)
def test_a_prefix_that_is_a_namespace_of_the_hub_is_refused_where_its_properties_would_be_lost(
    properties: list[str],
) -> None:
    columns = (Column(name="age", type="integer", nullable=True), Column(name="segment", type="integer"))
    encoder = Encoder(contract(*columns), constants={"segment": 1}, prefix="crm:")
    with pytest.raises(PrefixTaken, match="set another prefix") as error:
        encoder.encode({"_id": "1"} | dict.fromkeys(properties, 1))
    assert [r.feature for r in error.value.remarks] == [properties[0].partition(":")[2]]


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({"prefix": "sc"}, "the prefix sc covers score"),
        ({"prefix": "Chu"}, "the prefix Chu covers ChurnFlag"),
        ({"prefix": "crm:", "choices": {"score": "crm:points"}}, "the prefix crm: covers crm:points"),
        ({"choices": {"age": "crm:age"}}, "map names age, which is no feature"),
        ({"features": ["age"]}, "features names age"),
        ({"constants": {"score": "north"}}, "the constant for score does not fit its column: not an integer"),
        ({"features": ["city"], "constants": {"score": 1}}, "name it there too, at its place"),
        ({"constants": {"score": 1}, "choices": {"score": "crm:score"}}, "map names score"),
    ],
    ids=str,
)
def test_settings_that_do_not_suit_the_contract_are_refused(given: dict[str, Any], told: str) -> None:
    with pytest.raises(ValueError, match=told):
        columns = (SCORE, Column(name="city", type="string"), Column(name="ChurnFlag", type="boolean"))
        Encoder(contract(*columns), **given)


def test_the_label_is_never_sent_as_a_feature() -> None:
    columns = (Column(name="age", type="integer"), Column(name="ChurnFlag", type="boolean"))
    taught = Contract(schema_version=1, label="ChurnFlag", columns=columns)
    assert Encoder(taught).columns == ("age",)
    with pytest.raises(ValueError, match="features names ChurnFlag, the label"):
        Encoder(taught, features=("age", "ChurnFlag"))
    demanded = Encoder(taught, features=("age",), constants={"ChurnFlag": False})
    assert demanded.encode({"_id": "1", "age": 7, "ChurnFlag": True}).row == [7, False]


def test_a_required_column_without_a_property_is_an_error_and_a_null_lies_outside() -> None:
    encoder = Encoder(contract(Column(name="age", type="integer")))
    with pytest.raises(DoesNotFit, match="age: required"):
        encoder.encode({"_id": "1"})
    encoded = encoder.encode({"_id": "1", "age": None})
    assert encoded.row == [None]
    assert [r.feature for r in encoded.outside] == ["age"]


def test_a_column_with_empties_takes_null_and_absence_alike() -> None:
    encoder = Encoder(contract(Column(name="age", type="integer", nullable=True)))
    assert encoder.encode({"_id": "1"}) == encoder.encode({"_id": "1", "age": None}) == ([None], ())


def test_what_the_model_has_not_seen_lies_outside() -> None:
    encoder = Encoder(
        contract(
            Column(name="age", type="integer", minimum=18, maximum=90),
            Column(name="city", type="string", categories=("Bergen", "Oslo")),
            Column(name="since", type="date", minimum="2010-01-01", maximum="2020-12-31"),
        )
    )
    inside = {"_id": "1", "age": 90, "city": "Oslo", "since": "~t2010-01-01"}
    assert encoder.encode(inside).outside == ()
    beyond = {"_id": "1", "age": 91, "city": "Ås", "since": "~t2021-01-01"}
    assert [r.feature for r in encoder.encode(beyond).outside] == ["age", "city", "since"]


@pytest.mark.parametrize(
    ("features", "row"),
    [
        ([], {"a": 7, "b": 0, "c": 9}),
        (["c", "b", "a"], {"c": 9, "b": 0, "a": 7}),
        (["b", "c"], {"b": 0, "c": 9}),
    ],
    ids=str,
)
def test_a_constant_stands_at_the_place_of_its_column_and_what_is_no_feature_behind_all(
    features: list[str], row: dict[str, int]
) -> None:
    columns = [Column(name=name, type="integer") for name in ("_id", "a", "b", "ChurnFlag", "c")]
    constants: dict[str, Any] = {"unknown to it": "~tz", "ChurnFlag": "", "b": 0}
    encoder = Encoder(contract(*columns), features=features, constants=constants)
    encoded = encoder.encode({"_id": "1", "a": 7, "b": 8, "c": 9})
    assert encoder.columns == (*row, "unknown to it", "ChurnFlag")
    assert encoded.row == [*row.values(), "~tz", ""]


def test_without_a_contract_a_constant_stands_where_features_names_it_else_behind() -> None:
    encoder = Encoder(None, features=["a", "b", "c"], constants={"d": 1, "b": "~tz"})
    assert encoder.columns == ("a", "b", "c", "d")
    assert encoder.encode({"_id": "1", "a": 7, "b": 8, "c": 9}).row == [7, "~tz", 9, 1]


@pytest.mark.parametrize(
    ("kind", "given", "sent"),
    [
        ("integer", "42", 42),
        ("integer", "", None),
        ("number", 5, 5.0),
        ("boolean", "true", True),
        ("date", "~t2026-11-23", "2026-11-23"),
        ("datetime", "2026-11-23 02:00:00", "2026-11-23T02:00:00Z"),
        ("string", 7, "7"),
        ("string", "", None),
    ],
)
def test_a_constant_of_a_feature_is_read_as_a_cell_of_it_is(kind: ColumnType, given: Any, sent: Any) -> None:
    (value,) = Encoder(contract(Column(name="x", type=kind)), constants={"x": given}).encode({}).row
    assert (value, type(value)) == (sent, type(sent))


def test_features_without_a_contract_bind_names_and_go_untyped() -> None:
    encoder = Encoder(None, features=("age", "city", "income"))
    assert encoder.encode({"_id": "1", "x:income": "~f1.50", "city": "Oslo"}).row == [None, "Oslo", 1.5]


@pytest.mark.statement("sesam-11", "azureml-1", "azureml-3")
@pytest.mark.fault(6)
@given(st.permutations(["a", "b", "c", "ns:extra", "_ts"]), st.sets(st.sampled_from(["b", "c"])))
def test_order_and_missing_and_extra_properties_move_no_value(order: list[str], absent: set[str]) -> None:
    encoder = Encoder(contract(*(Column(name=n, type="string", nullable=True) for n in "abc")))
    entity = {name: f"value of {name}" for name in order if name not in absent}
    assert encoder.encode(entity).row == [None if n in absent else f"value of {n}" for n in "abc"]


CELLS: dict[ColumnType, st.SearchStrategy[tuple[str, object]]] = {
    "integer": st.integers(-(2**63), 2**63 - 1).map(lambda i: (str(i), i)),
    "number": st.decimals(
        allow_nan=False, allow_infinity=False, places=4, min_value=-(10**9), max_value=10**9
    ).map(lambda d: (str(d), f"~f{d}")),
    "boolean": st.sampled_from([("True", True), ("true", True), ("False", False), ("false", False)]),
    "date": st.dates().map(lambda d: (d.isoformat(), f"~t{d.isoformat()}")),
    "datetime": st.tuples(st.datetimes(), st.sampled_from("T "), st.sampled_from(["Z", "+00:00", ""])).map(
        lambda t: (f"{t[0].isoformat(t[1])}{t[2]}", f"~t{t[0].isoformat()}Z")
    ),
    "string": st.text(min_size=1).filter(lambda s: not s.startswith("~")).map(lambda s: (s, s)),
}


@pytest.mark.statement("sesam-43", "azureml-45", "P2")
@pytest.mark.parametrize("kind", CELLS)
@given(data=st.data())
def test_the_feature_of_an_entity_equals_the_feature_of_its_csv_row(
    kind: ColumnType, data: st.DataObject
) -> None:
    cell, value = data.draw(CELLS[kind])
    agreed = contract(Column(name="x", type=kind, nullable=True))
    taught = encode_cells(agreed, [cell])["x"]
    assert Encoder(agreed).encode({"_id": "1", "ns:x": value}).row == [taught]
    assert Encoder(agreed).encode({"_id": "1", "ns:x": cell}).row == [taught]


def test_an_empty_cell_and_null_and_an_empty_text_are_the_same() -> None:
    agreed = contract(Column(name="x", type="string", nullable=True))
    assert encode_cells(agreed, [""]) == {"x": None}
    for value in (None, ""):
        assert Encoder(agreed).encode({"_id": "1", "x": value}).row == [None]


def test_a_hostile_number_of_shapes_does_not_fill_the_memory() -> None:
    encoder = Encoder(contract(Column(name="x", type="integer", nullable=True)))
    for index in range(2000):
        encoder.encode({"_id": "1", f"p{index}": 1})
    assert len(encoder._plans) <= 512


@given(
    st.recursive(st.none() | st.booleans() | st.integers() | st.floats() | st.text(), st.lists, max_leaves=5)
)
def test_any_json_value_is_encoded_or_refused_and_nothing_else(value: object) -> None:
    for kind in CELLS:
        try:
            (feature,) = Encoder(contract(Column(name="x", type=kind))).encode({"_id": "1", "x": value}).row
        except DoesNotFit as misfit:
            assert str(value) not in str(misfit) or len(str(value)) < 3
        else:
            assert b"NaN" not in msgspec.json.encode(feature)
            assert not isinstance(feature, Decimal)


@pytest.mark.fault(8)
@pytest.mark.parametrize(
    "value", [float("inf"), "~f1e400", f"~f{2**63}", 2**63, -(2**63) - 1, 2**70, "~f1e999999"]
)
def test_without_a_contract_a_number_that_would_lose_digits_is_refused(value: object) -> None:
    with pytest.raises(DoesNotFit):
        Encoder(None, features=("x",)).encode({"_id": "1", "x": value})


@pytest.mark.parametrize("value", [2**63 - 1, -(2**63), f"~f{2**63 - 1}", True])
def test_without_a_contract_a_number_within_64_bits_goes_out_with_all_its_digits(value: object) -> None:
    (sent,) = Encoder(None, features=("x",)).encode({"_id": "1", "x": value}).row
    assert sent is value or sent == 2**63 - 1


def test_a_double_that_is_no_exact_integer_is_no_integer() -> None:
    assert refused("integer", 1e18 + 2048)
    assert refused("string", float("inf"))
