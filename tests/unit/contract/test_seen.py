"""What scoring sees is counted in the bins of the manifest, and no value of an entity is kept."""

import random
from collections.abc import Sequence
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from contract.contract import contract_of
from contract.facts import Category, ColumnFacts, ColumnType, Histogram
from contract.features import Encoder, Row
from contract.seen import SeenColumn, Tally, bins, sum_of
from local import customers
from local.demo import PIPE
from local.node import running_node
from tests.cells import encode_cells
from training_export.cells import Cells
from training_export.column_facts import ColumnScan
from training_export.csv_dialect import Dialect
from training_export.csv_scan import scan


def facts_of(cells: Sequence[str]) -> ColumnFacts:
    column = ColumnScan("x")
    column.add(Cells.of(list(cells)))
    return column.facts()


def seen(taught: ColumnFacts, *values: Any) -> SeenColumn:
    tally = Tally([taught])
    tally.add([[value] for value in values], 0)
    (column,) = tally.columns()
    return column


def counts_of(taught: ColumnFacts) -> tuple[int, ...]:
    if taught.categories is not None:
        return tuple(category.count for category in taught.categories)
    return taught.histogram.counts if taught.histogram else ()


CELLS: dict[str, st.SearchStrategy[str]] = {
    "integer": st.integers(-(2**63), 2**63 - 1).map(str),
    "small integer": st.integers(-3, 9).map(str),
    "number": st.floats(allow_nan=False, allow_infinity=False).map(repr),
    "boolean": st.sampled_from(["True", "False"]),
    "date": st.dates().map(str),
    "datetime": st.datetimes().map(lambda moment: f"{moment.isoformat()}Z"),
    "datetime of a minute": st.integers(0, 10**9).map(lambda ns: f"2026-01-01T00:00:{ns % 60:02}.{ns:09}Z"),
    "text": st.text(st.characters(codec="utf-8", exclude_characters="\x00"), min_size=1, max_size=40),
    "category": st.sampled_from(["Oslo", "Bergen", "Bodø"]),
}


@pytest.mark.parametrize("kind", CELLS)
@settings(max_examples=40)  # of each kind
@given(data=st.data())
def test_the_rows_of_a_version_are_counted_as_its_manifest_counts_them(
    kind: str, data: st.DataObject
) -> None:
    cells = data.draw(st.lists(CELLS[kind] | st.just(""), min_size=1, max_size=60).filter(any))
    taught = facts_of(cells * 5)
    contract = contract_of([taught], "")
    rows: list[Row] = [[encode_cells(contract, [cell])["x"]] for cell in cells * 5]
    tally = Tally([taught])
    tally.add(rows, 0)
    (column,) = tally.columns()
    assert column.nulls == taught.empties
    assert (column.below, column.above, column.unseen) == (0, 0, taught.rare)
    assert len(column.counts) == bins(taught)
    # A bin's edge in seconds, or of a huge integer, is a double: what lies on one may fall to either side.
    exact = kind not in ("integer", "datetime", "datetime of a minute")
    if exact:
        assert column.counts == counts_of(taught)
    assert sum(column.counts) == sum(counts_of(taught))


def test_a_whole_snapshot_seen_again_is_its_own_manifest() -> None:
    with running_node(customers.datasets(300)) as node:
        body = b"".join(node.publish(node.pipe(PIPE)))
        entities = [e for e in node.entities("customers-global") if not e.get("_deleted")]
    scanned = scan([body], Dialect())
    by_name = {column.name: column for column in scanned.columns}
    encoder = Encoder(contract_of(scanned.columns, "ChurnFlag"))
    tally = Tally([by_name[name] for name in encoder.columns])
    rows = [encoder.encode(entity).row for entity in entities]
    for start in range(0, len(rows), 70):
        tally.add(rows[start : start + 70], 1)
    assert (tally.entities, tally.outside) == (scanned.rows, 5)
    for column in tally.columns():
        taught = by_name[column.name]
        assert column.counts == (counts_of(taught) or (scanned.rows - taught.empties,)), column.name
        assert (column.nulls, column.unseen) == (taught.empties, taught.rare), column.name
        assert (column.below, column.above) == (0, 0), column.name


@pytest.mark.parametrize(
    ("taught", "values", "told"),
    [
        (facts_of(["18", "90"]), [17, 18, 90, 91, None], (1, 1, 1)),
        (facts_of(["1.5", "2.5"]), [1.4999, 1.5, 2.5, 2.500001, None], (1, 1, 1)),
        (facts_of(["7"] * 9), [6, 7, 8, 8], (1, 2, 0)),
        (facts_of(["2020-01-01", "2020-12-31"]), ["2019-12-31", "2020-01-01", "2021-01-01"], (1, 1, 0)),
        (
            facts_of(["2020-01-01T00:00:00.5Z", "2020-01-01T00:00:01Z"]),
            [f"2020-01-01T00:00:0{second}" for second in ("0Z", "0.5Z", "1", "1.1")],
            (1, 1, 0),
        ),
        (facts_of(["ab" * n for n in range(1, 99)]), ["a", "ab", "c" * 196, "c" * 197, "c" * 198], (1, 2, 0)),
    ],
    ids=["integers", "numbers", "one value", "dates", "datetimes", "lengths"],
)  # fmt: skip
def test_what_lies_beyond_the_version_is_counted_apart(
    taught: ColumnFacts, values: list[Any], told: tuple[int, int, int]
) -> None:
    column = seen(taught, *values)
    assert (column.below, column.above, column.nulls) == told
    assert sum(column.counts) == len(values) - sum(told)


def test_new_categories_are_one_count_and_never_told() -> None:
    taught = facts_of(["Oslo"] * 9 + ["Bergen"] * 6)
    column = seen(taught, "Oslo", "Secret street 1", "Another secret", None, "Bergen", "Oslo")
    assert column == SeenColumn(name="x", counts=(2, 1), nulls=1, unseen=2)
    assert b"ecret" not in msgspec.json.encode(column)


def test_a_column_of_which_the_manifest_tells_nothing_is_counted_as_filled_or_not() -> None:
    column = seen(ColumnFacts(name="x", type="string", empties=3), "a", None, "b")
    assert column == SeenColumn(name="x", counts=(2,), nulls=1)


def test_columns_without_facts_are_left_out_and_constants_after_the_features_too() -> None:
    tally = Tally([None, facts_of(["1", "2"])])
    tally.add([["a", 1, "constant"], ["b", 2, "constant"]], 0)
    assert [column.name for column in tally.columns()] == ["x"]


def test_a_cleared_tally_begins_at_nothing() -> None:
    tally = Tally([facts_of(["1", "2"])])
    tally.add([[1], [None]], 1)
    tally.clear()
    assert (tally.entities, tally.outside) == (0, 0)
    assert tally.columns() == (SeenColumn(name="x", counts=(0,) * len(tally.columns()[0].counts)),)


def test_observations_add_up_as_if_one_process_had_seen_all() -> None:
    chance = random.Random(7)
    taught = facts_of([str(chance.randrange(500)) for _ in range(400)])
    values = [chance.choice([None, *range(-50, 600)]) for _ in range(300)]
    parts = [seen(taught, *values[:120]), seen(taught, *values[120:121]), seen(taught, *values[121:])]
    assert sum_of(taught, parts) == seen(taught, *values)
    assert sum_of(taught, []) == SeenColumn(name="x", counts=(0,) * bins(taught))


@given(
    st.sampled_from(["integer", "number", "boolean", "date", "datetime", "string"]),
    st.lists(st.none() | st.text(max_size=3).map(str), max_size=3),
)
def test_facts_of_an_unknown_kind_are_counted_all_the_same(kind: ColumnType, values: list[Any]) -> None:
    bare = ColumnFacts(name="x", type=kind, empties=0)
    column = seen(bare, *values) if values else seen(bare, None)
    assert sum(column.counts) + column.nulls == max(len(values), 1)


def test_a_histogram_alone_gives_the_ends() -> None:
    histogram = Histogram(edges=(0.0, 10.0, 20.0), counts=(1, 1))
    column = seen(
        ColumnFacts(name="x", type="number", empties=0, histogram=histogram), -1.0, 0.0, 10.0, 20.0, 21.0
    )
    assert column == SeenColumn(name="x", counts=(1, 2), below=1, above=1)
    lengths = ColumnFacts(name="x", type="string", empties=0, histogram=histogram)
    assert seen(lengths, "a" * 20, "a" * 21).above == 1
    dates = ColumnFacts(
        name="x", type="date", empties=0, histogram=Histogram(edges=(-1e15, 1e15), counts=(2,))
    )
    assert seen(dates, "0001-01-01", "9999-12-31").counts == (2,)


def test_a_category_told_twice_is_no_error() -> None:
    odd = ColumnFacts(name="x", type="boolean", empties=0, categories=(Category(value="maybe", count=5),))
    assert seen(odd, True).unseen == 1
