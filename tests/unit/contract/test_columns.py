"""Columns read at once: always what their values give one by one."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from contract.contract import Column, Contract
from contract.entities import DictEntities, Entity
from contract.facts import ColumnType
from contract.features import DoesNotFit, Encoded, Encoder

DAYS = st.dates().map(str)
CLOCKS = st.sampled_from(
    ["T10:00:00Z", "T23:59:59Z", "T10:00:00.5Z", "T10:00:00.10Z", "T10:00:00.123456789Z"]
)
CLOCKS |= st.sampled_from(
    ["T10:00:00.1234567891Z", "T10:00:00", "T10:00:00+01:00", "T24:00:00Z", "T10:00:60Z"]
)
CLOCKS |= st.sampled_from(["T10:00:00.Z", " 10:00:00Z", ""])
MOMENTS = st.tuples(DAYS, CLOCKS).map("".join)
DECIMALS = st.one_of(
    st.integers(-(2**60), 2**60).map(str),
    st.floats(allow_nan=False, allow_infinity=False).map(repr),
    st.decimals(allow_nan=False, allow_infinity=False).map(str),
    st.sampled_from(["1.", ".5", "007", "-", "1e5", "+1", "1.50"]),
)
USUAL = {
    "integer": st.integers(-(2**64), 2**64) | st.integers(-3, 3),
    "number": st.floats(width=32) | st.integers(-(2**54), 2**54) | DECIMALS.map("~f{}".format),
    "boolean": st.booleans(),
    "date": DAYS | DAYS.map("~t{}".format),
    "datetime": MOMENTS.map("~t{}".format) | MOMENTS,
    "string": st.sampled_from(["a", "b", "~:crm:a", "~~a", "~ra", "~ta", "~", "é", "a\n~tb", "", "~:crm:"]),
}
ODD_VALUES: list[object] = [None, "", True, 0, 1, 1.0, -0.0, float("nan"), float("inf"), 2**63, 10**400]
ODD_VALUES += [[1], ["a"], [None], [[1]], [], {}, "1", "true", "a,b", "~:crm:1", "2020-01-01"]
ODD_VALUES += ["~f1~f2", "~f~f1"]
ODD_VALUES += ["~f1,~f2", "~f1", "~f-0", "~f1e400", "~f٣", "~f1\n", "~t2020-01-01\n", "~t2020-02-30"]
ODD_VALUES += ["~t2020-01-01T00:00:00Z", "~t2020-01-01T24:00:00Z", "2020-01-01T00:00:00.10Z"]
ODD = st.sampled_from(ODD_VALUES)
FACTS: dict[str, list[dict[str, Any]]] = {
    "integer": [{}, {"minimum": 0, "maximum": 1}, {"minimum": -(2**63), "maximum": 2**63 - 1}],
    "number": [{}, {"minimum": -1.5, "maximum": 1e9}, {"minimum": 0.0, "maximum": 0.0}],
    "boolean": [{}, {"spelling": "True", "categories": ("False", "True")}],
    "date": [{}, {"minimum": "1990-01-01", "maximum": "2020-12-31"}],
    "datetime": [{}, {"minimum": "1990-01-01T00:00:00Z", "maximum": "2020-12-31T10:00:00.123456789Z"}],
    "string": [
        {},
        {"spelling": "tagged"},
        {"spelling": "tagged", "categories": ("a", "~:crm:a", "~f1")},
        {"categories": ("a", "b", "~:crm:a")},
        {"spelling": "full"},
        {"spelling": "mixed"},
        {"spelling": "mixed", "categories": ("a", "crm:")},
    ],
}


@st.composite
def columns(draw: st.DrawFn) -> tuple[Column | None, list[object]]:
    kind: ColumnType = draw(st.sampled_from(sorted(USUAL)))
    facts = draw(st.sampled_from(FACTS[kind]))
    column = Column(name="x", type=kind, nullable=draw(st.booleans()), **facts)
    usual = st.lists(USUAL[kind], min_size=1, max_size=6)
    found: list[object] = list(draw(usual))
    found += draw(st.lists(ODD, max_size=draw(st.sampled_from([0, 0, 1, 3]))))
    return (column if draw(st.integers(0, 5)) else None), draw(st.permutations(found))


def encoders(column: Column | None, *, naive: bool = False) -> Iterator[Encoder]:
    """One that reads at once where it can, and one that never does."""
    contract = Contract(schema_version=1, label="", columns=(column,)) if column else None
    for at_once in (True, False):
        encoder = Encoder(contract, features=("x",), naive=naive)
        if not at_once:
            encoder._features = tuple(replace(f, read_all=lambda *_: None) for f in encoder._features)
        yield encoder


def encode_all(encoder: Encoder, entities: Sequence[Entity]) -> list[Encoded | DoesNotFit]:
    """What comes of each, encoded together."""
    together = encoder.encode_together(DictEntities(entities))
    return [
        together.misfits.get(at) or Encoded(row, together.outside.get(at, ()))
        for at, row in enumerate(together.rows)
    ]


def told(encoded: Sequence[Encoded | DoesNotFit]) -> str:
    """What came of each entity, to the last bit: 1, 1.0, True and -0.0 are all different."""
    return repr([e if isinstance(e, Encoded) else e.remarks for e in encoded])


@pytest.mark.statement("sesam-43")
@given(columns(), st.booleans())
@example((Column(name="x", type="number"), ["~f-0", "~f-0.0"]), False)
@example((Column(name="x", type="number"), ["~f1~f2", "~f3"]), False)
@example((Column(name="x", type="number"), ["~f~f1", "~f3"]), False)
@example((Column(name="x", type="datetime", nullable=True), ["~t2020-01-01T10:00:00.10Z", None]), True)
@example((Column(name="x", type="date"), ["~t2020-01-01", "2020-01-01"]), False)
@example((Column(name="x", type="integer", minimum=0, maximum=1), [True, 1]), False)
@example((Column(name="x", type="datetime"), ["2020-01-01T10:00:00Z", "~t2020-01-01 10:00:00Z"]), False)
@example((Column(name="x", type="datetime"), ["2020-01-01T10:00:00Z", "~t2020-01-01\n10:00:00Z"]), False)
def test_a_column_at_once_gives_what_its_values_give_one_by_one(
    given: tuple[Column | None, list[object]], naive: bool
) -> None:
    column, found = given
    entities = [{"_id": str(at), "x": value} for at, value in enumerate(found)]
    at_once, one_by_one = encoders(column, naive=naive)
    alone = [encoded for entity in entities for encoded in encode_all(one_by_one, [entity])]
    assert told(encode_all(at_once, entities)) == told(alone)
    # Of one text the judgement is one: that shortcut too gives what each gives alone.
    assert told(encode_all(one_by_one, entities)) == told(alone)


NAMES = ["x", "crm:x", "erp:x", "y", "crm:y", "m:x", "m:prediction", "_id"]


@pytest.mark.statement("sesam-43")
@given(
    st.lists(st.dictionaries(st.sampled_from(NAMES), st.integers(0, 9) | st.none()), max_size=6),
    st.sampled_from([{}, {"x": "erp:x"}]),
    st.booleans(),
)
def test_an_entity_comes_out_of_a_batch_as_it_does_alone(
    entities: list[dict[str, object]], choices: dict[str, str], nullable: bool
) -> None:
    columns = tuple(
        Column(name=name, type="integer", nullable=nullable, maximum=5, minimum=0) for name in "xy"
    )
    contract = Contract(schema_version=1, label="", columns=columns)
    encoder = Encoder(contract, prefix="m:", choices=choices, constants={"c": 1})
    together = encode_all(encoder, entities)
    assert told(together) == told([encoded for e in entities for encoded in encode_all(encoder, [e])])
    assert [type(each) for each in together] == [type(encode_all(encoder, [e])[0]) for e in entities]
