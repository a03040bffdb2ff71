"""Entities decoded into slots: always what dicts would give, whatever was seen before."""

import json
from typing import Any

import msgspec
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from contract.contract import Column, Contract
from contract.entities import ABSENT, DictEntities, Entities
from contract.features import DoesNotFit, EncodedRows, Encoder
from scoring.shapes import MOST_CHARACTERS, MOST_SLOTS, Shape, SlotEntities

NAMES = ["_id", "x", "crm:x", "erp:x", "y", "æ", "", 'quote"', "back\\slash", "line\nend", "f0", "m:x", "m:y"]
SLOT_NAMES = [name for name in NAMES if not set(name) & set('"\\\n')]
VALUES = st.integers(0, 9) | st.none() | st.text(max_size=2) | st.lists(st.booleans(), max_size=2)


def objects(names: list[str]) -> st.SearchStrategy[list[list[tuple[str, Any]]]]:
    """JSON objects as pairs: a name may come twice, in any order."""
    pairs = st.lists(st.tuples(st.sampled_from(names), VALUES), max_size=6)
    return st.lists(pairs, min_size=1, max_size=4)


def written(pairs: list[tuple[str, Any]], *, ascii_only: bool) -> bytes:
    inside = (f"{json.dumps(name, ensure_ascii=ascii_only)}: {json.dumps(value)}" for name, value in pairs)
    return f"{{{', '.join(inside)}}}".encode()


def seen(entities: Entities) -> Any:
    """All that can be asked of entities; names of slots that none of them has tell nothing."""
    columns = {name: list(entities.column(name)) for name in entities.names}
    last = [len(entities) - 1]
    return (
        [entities.at(place) for place in range(len(entities))],
        {name: column for name, column in columns.items() if column != [ABSENT] * len(entities)},
        list(entities.column("of no entity")),
        entities.only(last).at(0),
        list(entities.only(last).column("x")),
    )


@given(st.lists(objects(NAMES) | objects(SLOT_NAMES), min_size=1, max_size=4), st.booleans())
@example([[[("x", 1), ("x", 2)]], [[("x", 1), ("x", 2)]]], True)
@example([[[("æ", 1)]], [[("æ", 2)]]], True)
def test_slots_give_what_dicts_give(calls: list[list[list[tuple[str, Any]]]], ascii_only: bool) -> None:
    shape = Shape()
    for call in calls:
        raws = [written(pairs, ascii_only=ascii_only) for pairs in call]
        for _ in range(2):  # with what was known before, and once its names are known
            assert seen(shape.decode(raws)) == seen(DictEntities([dict(pairs) for pairs in call]))


def test_entities_of_known_names_are_slots_and_others_are_learned() -> None:
    shape = Shape()
    assert isinstance(shape.decode([b'{"x": 1}']), DictEntities)
    assert isinstance(shape.decode([b'{"x": 2}', b"{}"]), SlotEntities)
    assert isinstance(shape.decode([b'{"y": 1}']), DictEntities)
    assert isinstance(shape.decode([b'{"y": 1, "x": 2}']), SlotEntities)


@pytest.mark.parametrize(
    "raw",
    [
        b'{"a\\"b": 1}',
        msgspec.json.encode({str(name): 0 for name in range(MOST_SLOTS + 1)}),
        msgspec.json.encode({"x" * (MOST_CHARACTERS + 1): 0}),
    ],
)
def test_names_that_are_no_slots_too_many_or_too_long_leave_dicts(raw: bytes) -> None:
    shape = Shape()
    for _ in range(2):
        decoded = shape.decode([raw])
        assert decoded.at(0) == json.loads(raw)
        assert isinstance(decoded, DictEntities)


@pytest.mark.parametrize("raw", [b"[1]", b"3", b'"x"', b"null", b'{"x": 01}', b'{"x": 1'])
def test_what_is_no_object_is_refused(raw: bytes) -> None:
    shape = Shape()
    shape.decode([b'{"x": 1}'])
    with pytest.raises(msgspec.DecodeError):
        shape.decode([b'{"x": 1}', raw])


def told(encoded: EncodedRows) -> Any:
    misfits: dict[int, DoesNotFit] = dict(encoded.misfits)
    rows = {at: row for at, row in enumerate(encoded.rows) if at not in misfits}
    return repr((rows, {at: m.remarks for at, m in sorted(misfits.items())}, sorted(encoded.outside.items())))


FEATURE_NAMES = ["x", "crm:x", "erp:x", "y", "crm:y", "m:x", "m:prediction", "_id"]


@pytest.mark.statement("sesam-43")
@given(
    st.lists(st.dictionaries(st.sampled_from(FEATURE_NAMES), st.integers(0, 9) | st.none()), max_size=4),
    st.lists(st.dictionaries(st.sampled_from(FEATURE_NAMES), st.integers(0, 9) | st.none()), max_size=4),
    st.booleans(),
)
def test_what_other_entities_had_changes_no_row(
    before: list[dict[str, object]], entities: list[dict[str, object]], nullable: bool
) -> None:
    columns = tuple(
        Column(name=name, type="integer", nullable=nullable, maximum=5, minimum=0) for name in "xy"
    )
    encoder = Encoder(Contract(schema_version=1, label="", columns=columns), prefix="m:", constants={"c": 1})
    shape = Shape()
    for some in (before, entities):  # learned
        shape.decode([msgspec.json.encode(entity) for entity in some])
    decoded = shape.decode([msgspec.json.encode(entity) for entity in entities])
    assert isinstance(decoded, SlotEntities)
    assert told(encoder.encode_together(decoded)) == told(encoder.encode_together(DictEntities(entities)))
