"""Every kind of value in every spelling that a node may give its cell: what was taught is what is asked.

How a node writes a cell is not documented (facts/sesam.md §3.3), so each kind comes in all the spellings
that are known to be possible. The road is the whole one: a column of cells is scanned, its facts become a
contract, and an entity's JSON is encoded through that.
"""

import base64
import csv
import io
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any, NamedTuple

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from contract import features, scalars, wire
from contract.contract import Contract, contract_of
from contract.features import DoesNotFit, Encoder
from local import customers
from local.demo import LABEL, PIPE
from local.node import running_node
from tests.cells import encode_cells
from training_export.cells import Cells
from training_export.column_facts import ColumnScan
from training_export.csv_dialect import Dialect
from training_export.csv_scan import scan


class Written(NamedTuple):
    """A value as an entity has it, and as a CSV cell may have it, by spelling."""

    value: object
    cells: Mapping[str, str]


def moment(seconds: int, nanoseconds: int) -> Written:
    whole = (datetime(1, 1, 1) + timedelta(seconds=seconds)).isoformat()
    fraction = f".{nanoseconds:09d}".rstrip("0").rstrip(".")
    return Written(
        f"~t{whole}{fraction}Z",
        {
            "ISO": f"{whole}{fraction}Z",
            "nanoseconds": f"{whole}.{nanoseconds:09d}Z",
            "with a blank": f"{whole.replace('T', ' ')}{fraction}",
            "with an offset": f"{whole}{fraction}+00:00",
            "tagged": f"~t{whole}{fraction}Z",
        },
    )


def identifier(namespace: str, id_: str) -> Written:
    full = f"{namespace}:{id_}"
    return Written(f"~:{full}", {"bare": id_, "full": full, "tagged": f"~:{full}"})


def tagged(tag: str, text: str) -> Written:
    return Written(f"~{tag}{text}", {"bare": text, "tagged": f"~{tag}{text}"})


WORDS = st.text(st.characters(codec="utf-8", exclude_characters="\x00:~"), min_size=1, max_size=12)
NAMESPACES = st.from_regex(r"[a-z][a-z0-9-]{0,8}(:[a-z]{1,3})?", fullmatch=True)

KINDS: dict[str, st.SearchStrategy[Written]] = {
    "integer": st.integers(-(2**63), 2**63 - 1).map(lambda i: Written(i, {"plain": str(i)})),
    "float": st.floats(allow_nan=False, allow_infinity=False).map(lambda f: Written(f, {"plain": repr(f)})),
    "decimal": st.decimals(-(10**9), 10**9, places=4).map(
        lambda d: Written(f"~f{d}", {"plain": str(d), "tagged": f"~f{d}"})
    ),
    "float tag": st.decimals(-(10**6), 10**6, places=2).map(
        lambda d: Written(f"~d{d}", {"plain": str(d), "tagged": f"~d{d}"})
    ),
    "text": WORDS.map(lambda text: Written(text, {"plain": text})),
    "boolean": st.booleans().map(
        lambda b: Written(b, {"Python's": str(b), "JSON's": str(b).lower(), "bits": str(int(b))})
    ),
    "date": st.dates().map(lambda d: Written(f"~t{d}", {"ISO": f"{d}", "tagged": f"~t{d}"})),
    "datetime": st.builds(moment, st.integers(0, 3 * 10**11), st.integers(0, 999_999_999)),
    "identifier": st.builds(identifier, NAMESPACES, WORDS),
    "identifier that is a number": st.builds(identifier, NAMESPACES, st.integers(1, 10**9).map(str)),
    "identifier that is a date": st.builds(identifier, NAMESPACES, st.dates().map(str)),
    "URI": WORDS.map(lambda path: tagged("r", f"http://www.sesam.io/{path}")),
    "phone number": st.integers(0, 10**9).map(lambda number: tagged("r", f"tel:+47{number}")),
    "UUID": st.uuids().map(lambda id_: tagged("u", str(id_))),
    "bytes": st.binary(min_size=1, max_size=9).map(lambda raw: tagged("b", base64.b64encode(raw).decode())),
    "bytes that look like a number": st.integers(1000, 9999).map(lambda n: tagged("b", str(n))),
}
NULL = Written(None, {})
SPELLINGS = [
    ("integer", "plain"), ("float", "plain"), ("decimal", "plain"), ("decimal", "tagged"),
    ("float tag", "plain"), ("float tag", "tagged"), ("text", "plain"),
    ("boolean", "Python's"), ("boolean", "JSON's"), ("boolean", "bits"), ("date", "ISO"), ("date", "tagged"),
    ("datetime", "ISO"), ("datetime", "nanoseconds"), ("datetime", "with a blank"),
    ("datetime", "with an offset"), ("datetime", "tagged"),
    ("identifier", "bare"), ("identifier", "full"), ("identifier", "tagged"),
    ("identifier that is a number", "bare"), ("identifier that is a number", "full"),
    ("identifier that is a date", "bare"),
    ("URI", "bare"), ("URI", "tagged"), ("phone number", "bare"), ("UUID", "bare"), ("UUID", "tagged"),
    ("bytes", "bare"), ("bytes", "tagged"), ("bytes that look like a number", "bare"),
]  # fmt: skip


def taught_by(cells: Sequence[str]) -> Contract:
    column = ColumnScan("x")
    column.add(Cells.of(list(cells)))
    return contract_of([column.facts()], "")


@pytest.mark.statement("sesam-43", "azureml-45")
@pytest.mark.parametrize(("kind", "spelling"), SPELLINGS, ids=str)
@settings(max_examples=40)  # of each of the thirty
@given(data=st.data())
def test_the_feature_of_the_json_is_the_feature_of_the_cell(
    kind: str, spelling: str, data: st.DataObject
) -> None:
    column = data.draw(st.lists(KINDS[kind] | st.just(NULL), min_size=1, max_size=8))
    cells = [written.cells.get(spelling, "") for written in column]
    contract = taught_by(cells)
    encoder = Encoder(contract)
    for written, cell in zip(column, cells, strict=True):
        (taught,) = encode_cells(contract, [cell]).values()
        # From the entity's JSON, namespaced; a list of one; and the cell itself, as golden rows bring it.
        for value in (written.value, [written.value], cell):
            assert encoder.encode({"_id": "1", "crm:x": value}).row == [taught]
        assert type(encoder.encode({"_id": "1", "x": written.value}).row[0]) is type(taught)
    if NULL in column:
        assert encoder.encode({"_id": "1"}).row == [None]


def test_a_category_that_training_saw_a_few_times_is_not_told_as_one_that_it_never_saw() -> None:
    encoder = Encoder(taught_by(["Oslo"] * 100 + ["Bergen"] * 4))
    assert encoder.encode({"_id": "1", "x": "Oslo"}).outside == ()
    (told,) = encoder.encode({"_id": "1", "x": "Bergen"}).outside
    assert told.reason == "a category that training hardly or never saw"


# Texts that only begin like a tag.
LIKE_TAGS = (
    *("~ten days", "~t2015", "~bra", "~: x", "~fine", "~fee", "~d", "~d-", "~drop", "~user", "~u"),
    *("~rough draft", "~red", "~running", "~r"),
)


@pytest.mark.parametrize("text", LIKE_TAGS)
def test_a_text_that_only_begins_like_a_tag_is_that_text_wherever_it_comes_from(text: str) -> None:
    contract = taught_by(["Oslo is fine", "Bodø is far", text])
    assert contract.columns[0].spelling == "bare"
    assert Encoder(contract).encode({"_id": "1", "x": text}).row == [text]
    unseen = Encoder(taught_by(["Oslo is fine", "Bodø is far"]))
    assert unseen.encode({"_id": "1", "x": text}).row == [text]
    assert Encoder(None, features=["x"]).encode({"_id": "1", "x": text}).row == [text]


def test_no_bytes_at_all_are_null_as_their_empty_cell_is() -> None:
    assert Encoder(taught_by(["YQ==", "", "YWI="])).encode({"_id": "1", "x": "~b"}).row == [None]
    assert Encoder(None, features=["x"]).encode({"_id": "1", "x": "~b"}).row == [None]
    assert Encoder(taught_by(["~bYQ==", "~b"])).encode({"_id": "1", "x": "~b"}).row == ["~b"]


IDENTIFIED = [(kind, spelling) for kind, spelling in SPELLINGS if kind in ("identifier", "URI", "decimal")]


@pytest.mark.statement("sesam-43")
@pytest.mark.parametrize(("kind", "spelling"), IDENTIFIED, ids=str)
@given(data=st.data())
def test_odd_cells_in_a_column_make_errors_and_never_another_feature(
    kind: str, spelling: str, data: st.DataObject
) -> None:
    column = data.draw(st.lists(KINDS[kind], min_size=1, max_size=8))
    cells = [written.cells[spelling] for written in column]
    odd = data.draw(st.sampled_from(["unknown", "of old: unknown", "7.7", *LIKE_TAGS]))
    contract = taught_by([*cells, odd])
    assert Encoder(contract).encode({"_id": "1", "x": odd}).row == [*encode_cells(contract, [odd]).values()]
    for written, cell in zip(column, cells, strict=True):
        (taught,) = encode_cells(contract, [cell]).values()
        try:
            asked = Encoder(contract).encode({"_id": "1", "crm:x": written.value}).row
        except DoesNotFit as misfit:
            assert contract.columns[0].spelling == "mixed"
            assert "with and without namespace" in str(misfit)
        else:
            assert asked == [taught]


@given(data=st.data())
def test_two_values_that_differ_for_training_differ_for_scoring(data: st.DataObject) -> None:
    """The other direction: what the cells tell apart, the features of the JSON tell apart."""
    kind, spelling = data.draw(st.sampled_from(SPELLINGS))
    column = data.draw(st.lists(KINDS[kind], min_size=2, max_size=6))
    contract = taught_by([written.cells[spelling] for written in column])
    encoder = Encoder(contract)
    for one in column:
        for other in column:
            of_cells = [encode_cells(contract, [each.cells[spelling]])["x"] for each in (one, other)]
            of_json = [encoder.encode({"_id": "1", "x": each.value}).row[0] for each in (one, other)]
            assert (of_cells[0] == of_cells[1]) is (of_json[0] == of_json[1])


# ---- the stand-in's customers, all 5,000 of them


class Snapshot(NamedTuple):
    """The customers as a CSV of the training pipe, and as the entities that are posted."""

    contract: Contract
    rows: dict[str, list[str]]
    entities: list[dict[str, Any]]


@pytest.fixture(scope="module")
def snapshot() -> Snapshot:
    with running_node(customers.datasets()) as node:
        body = b"".join(node.publish(node.pipe(PIPE)))
        entities = [e for e in node.entities("customers-global") if not e.get("_deleted")]
    lines = csv.reader(io.StringIO(body.decode(), newline=""), strict=True)
    next(lines)
    contract = contract_of(scan([body], Dialect()).columns, LABEL)
    return Snapshot(contract, {cells[0]: cells for cells in lines}, entities)


def cells_that_differ(snapshot: Snapshot) -> Iterator[str]:
    """Name each feature that is not, to the type, what training read from the customer's row."""
    names = snapshot.contract.features
    encoder = Encoder(snapshot.contract)
    for entity in snapshot.entities:
        try:
            taught = encode_cells(snapshot.contract, snapshot.rows[entity["_id"].rpartition(":")[2]])
            asked = dict(zip(names, encoder.encode(entity).row, strict=True))
        except DoesNotFit as misfit:
            yield str(misfit)
            continue
        yield from (
            name for name in names if (asked[name], type(asked[name])) != (taught[name], type(taught[name]))
        )


@pytest.mark.statement("sesam-43")
def test_of_5000_customers_every_cell_is_what_is_asked(snapshot: Snapshot) -> None:
    assert len(snapshot.entities) == len(snapshot.rows) > 4900
    assert len(snapshot.contract.features) >= 19
    assert list(cells_that_differ(snapshot)) == []


FLIPPED: dict[str, tuple[Any, str, Any]] = {
    "a datetime loses its nanoseconds": (scalars, "_moment", lambda value, column: value.text[:19]),
    "names keep their namespace": (features, "bare_name", lambda name: name),
    "identifiers keep theirs": (wire, "bare_name", lambda name: name),
    "a decimal is rounded": (wire, "_decimal", lambda digits: round(Decimal(digits))),
    "a boolean is a text": (scalars, "_boolean", str),
    "a null is an empty text": (scalars, "_from_json", lambda read, **_: lambda value: read(value or "")),
}


@pytest.mark.parametrize("rule", FLIPPED)
def test_one_rule_flipped_is_seen(rule: str, snapshot: Snapshot, monkeypatch: pytest.MonkeyPatch) -> None:
    few = snapshot._replace(entities=snapshot.entities[:300])
    assert list(cells_that_differ(few)) == []
    where, name, flipped = FLIPPED[rule]
    monkeypatch.setattr(where, name, flipped)
    # Readers of whole columns, held equal by test_columns.py, would go round the rule.
    monkeypatch.setattr(features, "column_reader", lambda *_, **__: lambda *_: None)
    assert list(cells_that_differ(few))
