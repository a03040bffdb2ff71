"""Differences between two versions, in words a person can judge by."""

from typing import Any

import pytest

from contract.differences import differences
from contract.documents import Manifest
from contract.facts import Category, ColumnFacts, ColumnType


def manifest(*columns: ColumnFacts, **given: Any) -> Manifest:
    told: dict[str, Any] = {
        "schema_version": 1,
        "export": "customers",
        "pipe": "p",
        "node": "n",
        "version": "v",
        "state": "published",
        "started": "",
        "finished": "",
        "rows": 100,
        "bytes": 1000,
        "sha256": "a",
        "md5": "",
        "contract_id": "",
        "previous": None,
        "differences": (),
        "headers": {},
        "app_version": "",
        "columns": columns,
    }
    return Manifest(**told | given)


def column(name: str = "Income", type_: ColumnType = "integer", **facts: Any) -> ColumnFacts:
    return ColumnFacts(name=name, type=type_, **{"empties": 0} | facts)


def categories(*values: str) -> tuple[Category, ...]:
    return tuple(Category(value=value, count=9) for value in values)


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        (column(), column(), ()),
        (column(), column(type_="string"), ("Income retyped integer → string",)),
        (column(), column(empties=3), ("Income now has empties (3)",)),
        (column(empties=3), column(), ("Income no longer has empties",)),
        (column(empties=3), column(empties=4), ()),
        (
            column(minimum=1, maximum=5),
            column(minimum=1, maximum=9),
            ("Income ranges 1 to 9 (before: 1 to 5)",),
        ),
        (
            column(type_="string", categories=categories("a", "b")),
            column(type_="string", categories=categories("b", "c", "d")),
            ("2 new categories in Income: c, d", "1 category gone from Income: a"),
        ),
        (
            column(type_="string", categories=categories("b", "a")),
            column(type_="string", categories=categories("a", "b")),
            (),
        ),
        (
            column(type_="string", categories=categories("a")),
            column(type_="string"),
            ("Income is no longer categorical",),
        ),
        (
            column(type_="string"),
            column(type_="string", categories=categories("a")),
            ("Income is now categorical",),
        ),
        (column(minimum=1, maximum=5), column(), ()),
        (column(), column(minimum=1, maximum=5), ()),
        (
            column(type_="string", spelling="bare"),
            column(type_="string", spelling="full"),
            ("Income is now written full (before: bare)",),
        ),
        (
            column(type_="boolean", spelling="true"),
            column(type_="boolean"),
            ("Income is now written otherwise (before: true)",),
        ),
    ],
)
def test_a_column_is_compared_in_what_a_model_relies_on(
    old: ColumnFacts, new: ColumnFacts, told: tuple[str, ...]
) -> None:
    assert differences(manifest(old), manifest(new)) == told


def test_rows_columns_order_and_label_are_compared() -> None:
    old = manifest(column("a"), column("b"), column("c"), rows=200, label="c")
    new = manifest(column("b"), column("a"), column("d"), rows=150, label="d")
    assert differences(old, new) == (
        "rows 200 → 150 (-25.0%)",
        "new columns: d",
        "columns gone: c",
        "columns in another order",
        "label c → d",
    )
    assert differences(manifest(rows=0), manifest(rows=1)) == ("rows 0 → 1",)
    assert differences(manifest(label=""), manifest(label="c")) == ("label (none) → c",)
    assert differences(manifest(label="c"), manifest(label="")) == ("label c → (none)",)


def test_long_lists_are_cut_with_their_count() -> None:
    new = manifest(*(column(f"c{n}") for n in range(8)))
    assert differences(manifest(), new) == ("new columns: c0, c1, c2, c3, c4 and 3 more",)


@pytest.mark.fault(38)
def test_a_reordering_is_told_from_a_change() -> None:
    old = manifest(lines_digest="d", sha256="a")
    assert differences(old, manifest(lines_digest="d", sha256="b")) == (
        "the same rows, written or ordered otherwise",
    )
    assert differences(old, manifest(lines_digest="e", sha256="b")) == ()
    assert differences(old, manifest(lines_digest="d", sha256="a")) == ()


@pytest.mark.fault(38)
def test_the_same_cells_under_other_names_or_in_more_rows_are_not_the_same_rows() -> None:
    old = manifest(column("a"), column("b"), lines_digest="d", sha256="a")
    renamed = manifest(column("a"), column("c"), lines_digest="d", sha256="b")
    assert differences(old, renamed) == ("new columns: c", "columns gone: b")
    exchanged = manifest(column("b"), column("a"), lines_digest="d", sha256="b")
    assert differences(old, exchanged) == ("columns in another order",)
    more = manifest(column("a"), column("b"), lines_digest="d", sha256="b", rows=125)
    assert differences(old, more) == ("rows 100 → 125 (+25.0%)",)
