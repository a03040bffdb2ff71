"""How what scoring has lately seen differs from what the model was taught, in numbers and in words. Pure.

The two numbers are those of contract/drift.py, over the same bins. A small sample moves by chance alone:
`by_chance` is the index that two samples of these sizes out of one distribution stay below nineteen times in
twenty (the index is close to chi-squared with one degree of freedom fewer than bins, times 1/old + 1/new).
What is no more than that is never called moved.
"""

from collections.abc import Iterator, Sequence
from math import sqrt
from typing import Literal, NamedTuple

import msgspec

from contract.drift import groups, index_parts, jensen_shannon_distance
from contract.facts import ColumnFacts, Histogram
from contract.seen import SeenColumn, edges
from contract.values import LARGEST_EXACT

# By custom (docs/contract.md).
SOMEWHAT = 0.1
MUCH = 0.25

# Less than this beside what the model was taught is no news; each such entity is marked anyway.
SHARE_WORTH_TELLING = 0.01

# The normal distribution's 95th percentile.
NINETEEN_OF_TWENTY = 1.6449


class Moved(msgspec.Struct, frozen=True, kw_only=True):
    """How far one feature has moved."""

    feature: str
    seen: int
    moved: Literal["little", "somewhat", "much"]
    population_stability_index: float
    by_chance: float
    jensen_shannon_distance: float
    told: tuple[str, ...]
    """What a person can act on; empty where nothing is to be told."""


class _Cell(NamedTuple):
    """A bin, as the end of a sentence that begins with its share."""

    what: str
    old: int
    new: int


def moved(taught: ColumnFacts, rows: int, seen: SeenColumn) -> Moved | None:
    """Compare a feature with its column of a version of so many rows; None where nothing was seen of it."""
    cells = [cell for cell in _cells(taught, rows, seen) if cell.old or cell.new]
    old, new = [cell.old for cell in cells], [cell.new for cell in cells]
    if not sum(new) or not sum(old):
        return None
    parts = index_parts(old, new)
    index, chance = sum(parts), index_by_chance(len(cells), sum(old), sum(new))
    how: Literal["little", "somewhat", "much"] = "little"
    if index > max(SOMEWHAT, chance):
        how = "much" if index > MUCH else "somewhat"
    return Moved(
        feature=taught.name,
        seen=sum(new),
        moved=how,
        population_stability_index=round(index, 4),
        by_chance=round(chance, 4),
        jensen_shannon_distance=round(jensen_shannon_distance(old, new), 4),
        told=tuple(_sentences(taught.name, cells, how, _grown(cells, parts))),
    )


def index_by_chance(bins: int, old: int, new: int) -> float:
    """Give the index that two samples of one distribution stay below nineteen times in twenty."""
    freedom = bins - 1
    if not freedom:
        return 0.0
    # The percentile of chi-squared by Wilson and Hilferty, good to 1 % for any freedom from 2 on.
    part = 2 / (9 * freedom)
    return freedom * (1 - part + NINETEEN_OF_TWENTY * sqrt(part)) ** 3 * (1 / old + 1 / new)


def _grown(cells: Sequence[_Cell], parts: Sequence[float]) -> _Cell:
    """Give the bin whose growth adds most to the index: of what there now is more, a person can see why."""
    old, new = sum(cell.old for cell in cells), sum(cell.new for cell in cells)
    grown = [cell.new * old > cell.old * new for cell in cells]
    farthest = max(range(len(cells)), key=lambda at: (grown[at], parts[at]))
    return cells[farthest]


def _sentences(name: str, cells: Sequence[_Cell], how: str, grown: _Cell) -> Iterator[str]:
    old, new = sum(cell.old for cell in cells), sum(cell.new for cell in cells)
    if how != "little":
        yield f"{name} has moved {how}: {grown.new / new:.1%} {grown.what}, in training {grown.old / old:.1%}"
    for cell in cells:
        said = how != "little" and cell is grown
        if not cell.old and not said and (cell.new / new >= SHARE_WORTH_TELLING or cell.what == _NULL):
            yield f"{name}: {cell.new} of {new} {cell.what}, in training none"


def _cells(taught: ColumnFacts, rows: int, seen: SeenColumn) -> Iterator[_Cell]:
    if taught.categories is not None:
        for category, count in zip(taught.categories, seen.counts, strict=True):
            yield _Cell(f"are {category.value}", category.count, count)
        yield _Cell(
            "are of rare or new categories" if taught.rare else "are new categories", taught.rare, seen.unseen
        )
    elif taught.histogram is not None:
        yield from _ranges(taught, taught.histogram, seen)
    else:
        yield _Cell("are filled", rows - taught.empties, sum(seen.counts))
    yield _Cell(_NULL, taught.empties, seen.nulls)


_NULL = "are null"


def _ranges(taught: ColumnFacts, histogram: Histogram, seen: SeenColumn) -> Iterator[_Cell]:
    """Join neighbouring bins until each holds its share of the version, as contract/drift.py does."""
    ends = [_shown(edge) for edge in edges(taught, histogram)]
    low, high = ends[0], ends[-1]
    text = taught.type == "string"
    yield _Cell(f"are shorter than {low} characters" if text else f"lie below {low}", 0, seen.below)
    pairs = list(zip(histogram.counts, seen.counts, strict=True))
    for start, stop in groups(pairs, sum(histogram.counts)):
        what = (
            f"are {ends[start]} to {ends[stop]} characters long"
            if text
            else f"lie from {ends[start]} to {ends[stop]}"
        )
        yield _Cell(what, sum(old for old, _ in pairs[start:stop]), sum(new for _, new in pairs[start:stop]))
    yield _Cell(f"are longer than {high} characters" if text else f"lie above {high}", 0, seen.above)


def _shown(edge: float | str) -> str:
    if isinstance(edge, str):
        return edge
    return str(int(edge)) if float(edge).is_integer() and abs(edge) < LARGEST_EXACT else f"{edge:.6g}"
