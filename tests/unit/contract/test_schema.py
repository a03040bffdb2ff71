"""The contract's JSON Schema: what it refuses, scoring refuses too; what it can say, it says."""

import json
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from contract.contract import Column, Contract
from contract.facts import ColumnType
from contract.features import DoesNotFit, Encoder
from contract.schema import json_schema


def contract(*columns: Column) -> Contract:
    return Contract(schema_version=1, label="Churn", columns=columns)


def accepts(agreed: Contract, entity: object) -> bool:
    schema = json.loads(json_schema(agreed))
    Draft202012Validator.check_schema(schema)
    return bool(Draft202012Validator(schema).is_valid(entity))


def scores(agreed: Contract, entity: dict[str, Any]) -> bool:
    try:
        Encoder(agreed).encode(entity)
    except DoesNotFit:
        return False
    return True


FORMS: dict[ColumnType, list[object]] = {
    "integer": [
        42,
        42.0,
        -7,
        2**63 - 1,
        "42",
        "-7",
        "~f42",
        "~f42.00",
        "~d1E+2",
        "~:42",
        "~:ns:42",
        "~b4242",
        [42],
        "",
    ],
    "number": [1.5, 2, "1.5", "-2", "1e-7", "~f1.50", "~d.5", "~:ns:1.5", ["1.5"], ""],
    "boolean": [True, False, "true", "True", "False", "~:ns:true", "~rtrue", [True]],
    "date": ["2015-12-31", "~t2015-12-31", ["~t2015-12-31"], "~:ns:2015-12-31", "~r2015-12-31"],
    "datetime": ["2015-01-02T03:04:05Z", "2015-01-02 03:04:05", "~t2015-01-02T03:04:05.123456789Z"],
    "string": ["a", "", "0150", 7, 1.5, "~f7.7000", "~:crm:100", "~rhttp://x", "~~hello", "~xfoo", ["a"],
               "~fabc", "~d", "~bra", "~ten days", "~: x", "~t2015"],
}  # fmt: skip

MISFITS: dict[ColumnType, list[object]] = {
    "integer": [30.5, "abc", "007", "+1", "-0", "1_000", " 1", "1e5", 2**63, True, "~fabc", "~t2015-12-31"],
    "number": ["abc", "1,5", ".5", "NaN", False, "~fNaN", "~d1_0", "~t2015-12-31"],
    "boolean": [1, 0, "yes", "TRUE", "1", "~ttrue"],
    "date": ["20151231", "31.12.2015", 20151231, "~t2015-12-31T00:00:00Z"],
    "datetime": ["2015-12-31", "~t2015-12-31", 1420167845, "2015-01-02T03:04Z"],
    "string": ["~t2015-12-31", "~fNaN", "~d-Infinity", True],
}  # fmt: skip


@pytest.mark.parametrize(
    ("kind", "value"), [(kind, value) for kind, all_ in FORMS.items() for value in all_], ids=repr
)
def test_every_form_that_scores_fits_the_schema(kind: ColumnType, value: object) -> None:
    agreed = contract(Column(name="x", type=kind))
    for name in ("x", "crm:x"):
        assert scores(agreed, {"_id": "1", name: value})
        assert accepts(agreed, {"_id": "1", name: value})


@pytest.mark.parametrize(
    ("kind", "value"), [(kind, value) for kind, all_ in MISFITS.items() for value in all_], ids=repr
)
def test_a_value_of_another_type_fits_neither(kind: ColumnType, value: object) -> None:
    agreed = contract(Column(name="x", type=kind))
    for name in ("x", "crm:x"):
        for held in (value, [value]):
            assert not scores(agreed, {"_id": "1", name: held})
            assert not accepts(agreed, {"_id": "1", name: held})


@pytest.mark.parametrize("value", ["~f7.7000", "~fabc", "~t2015-12-31", "~:crm:1", "a"])
def test_every_text_fits_a_tagged_column_and_its_schema(value: str) -> None:
    agreed = contract(Column(name="x", type="string", spelling="tagged"))
    assert scores(agreed, {"_id": "1", "x": value})
    assert accepts(agreed, {"_id": "1", "x": value})


@pytest.mark.parametrize("value", [[], [1, 2], [[1]], {}, {"a": 1}], ids=str)
@pytest.mark.parametrize("kind", FORMS)
def test_lists_and_dicts_fit_neither(kind: ColumnType, value: object) -> None:
    agreed = contract(Column(name="x", type=kind))
    assert not scores(agreed, {"_id": "1", "x": value})
    assert not accepts(agreed, {"_id": "1", "x": value})


@pytest.mark.parametrize("nullable", [True, False])
@pytest.mark.parametrize(
    ("entity", "has_it"),
    [
        ({"x.y": 1}, True),
        ({"crm:x.y": 1}, True),
        ({"x.y": None}, True),
        ({"x.y": 1, "crm:x.y": "not read"}, True),
        ({}, False),
        ({"xy": 1, "xzy": 1, "y": 1, "X.Y": 1}, False),
        ({"a:b:x.y": 1}, True),
        ({"x.y:b": 1}, False),
        ({"_a:x.y": 1, "$a:x.y": 1}, False),
    ],
    ids=str,
)
def test_a_column_is_found_by_the_names_that_scoring_finds_it_by(
    nullable: bool, entity: dict[str, Any], has_it: bool
) -> None:
    agreed = contract(Column(name="x.y", type="integer", nullable=nullable))
    fits = has_it or nullable
    assert scores(agreed, {"_id": "1"} | entity) is fits
    assert accepts(agreed, {"_id": "1"} | entity) is fits


def test_id_and_label_are_not_asked_for_and_what_was_seen_is_told() -> None:
    agreed = contract(
        Column(name="_id", type="string"),
        Column(name="Age", type="integer", minimum=18, maximum=90),
        Column(name="City", type="string", categories=("Bergen", "Oslo")),
        Column(name="Churn", type="boolean"),
    )
    assert accepts(agreed, {"_id": "1", "Age": 17, "City": "Ås"})
    schema = json.loads(json_schema(agreed))
    assert {each["title"]: each["x-seen"] for each in schema["allOf"]} == {
        "Age": {"type": "integer", "minimum": 18, "maximum": 90},
        "City": {"type": "string", "categories": ["Bergen", "Oslo"]},
    }


def columns(kinds: list[ColumnType], *ends: int | None) -> st.SearchStrategy[Column]:
    return st.builds(
        Column,
        name=st.sampled_from(["x", "a b-c", "rdf:type", "crm:x", "(.*)"]),
        type=st.sampled_from(kinds),
        nullable=st.booleans(),
        spelling=st.sampled_from(["", "tagged", "full", "bare", "mixed"]),
        categories=st.none() | st.just(("True", "a")),
        minimum=st.sampled_from(ends),
        maximum=st.sampled_from(ends),
    )


COLUMNS = columns(["integer", "number"], None, 0, 1, 2) | columns(
    ["boolean", "date", "datetime", "string"], None
)
TEXTS = st.text(max_size=8) | st.sampled_from(
    [str(v) for values in [*FORMS.values(), *MISFITS.values()] for v in values if isinstance(v, str)]
)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | TEXTS,
    lambda inner: st.lists(inner, max_size=2),
    max_leaves=3,
)
NAMES = st.sampled_from(["x", "crm:x", "a b-c", "erp:a b-c", "rdf:type", "z:crm:x", "(.*)", "p:(.*)", "_p:x"])


@example(Column(name="x", type="string"), {"x": "~f1\n"})
@given(COLUMNS, st.dictionaries(NAMES, VALUES, max_size=3))
def test_what_scores_fits_the_schema_whatever_it_is(column: Column, entity: dict[str, Any]) -> None:
    agreed = contract(column)
    if scores(agreed, {"_id": "1"} | entity):
        assert accepts(agreed, {"_id": "1"} | entity)
