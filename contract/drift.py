"""How far a column's distribution has moved from one version to another, in two numbers. Pure.

    population stability index   Σ (new − old) · ln(new / old) over bins; half a row is added to each, as
                                 none may be empty. By custom 0.1 is little, over 0.25 is much
    Jensen–Shannon distance      the root of the divergence to base 2: 0 the same, 1 nothing in common

The bins are the categories, the rare ones together, or else ranges; empty cells are a bin of their own. Two
histograms are brought to ranges that cut through no bin of either, so nothing is guessed about where in a
bin its values lie; ranges are joined until each holds a tenth of the old rows. Of text that is not
categorical the lengths are compared, as that is all a manifest tells of it.
"""

import math
from collections.abc import Iterator, Sequence
from itertools import pairwise

import msgspec

from contract.contract import is_reserved
from contract.facts import ColumnFacts, Histogram

FEWEST_OF_A_RANGE = 0.1

type Counts = Sequence[int]


class Drift(msgspec.Struct, frozen=True):
    """How far one column has moved."""

    column: str
    population_stability_index: float
    jensen_shannon_distance: float


def drifts(old: Sequence[ColumnFacts], new: Sequence[ColumnFacts]) -> list[Drift]:
    """Compare the columns that both have with one type, the farthest moved first."""
    before = {column.name: column for column in old if not is_reserved(column.name)}
    pairs = ((before[column.name], column) for column in new if column.name in before)
    found = [drift for pair in pairs if (drift := drift_of(*pair))]
    return sorted(found, key=lambda drift: (-drift.population_stability_index, drift.column))


def drift_of(old: ColumnFacts, new: ColumnFacts) -> Drift | None:
    """Compare a column with an earlier version's; None where there is nothing in common to compare."""
    bins = _bins(old, new)
    if bins is None or not sum(bins[0]) or not sum(bins[1]):
        return None
    return Drift(
        new.name,
        round(population_stability_index(*bins), 4),
        round(jensen_shannon_distance(*bins), 4),
    )


def population_stability_index(old: Counts, new: Counts) -> float:
    """Give the index of two samples counted in the same bins."""
    return sum(index_parts(old, new))


def index_parts(old: Counts, new: Counts) -> list[float]:
    """Give what each bin adds to the index."""
    pairs = zip(_shares(old, 0.5), _shares(new, 0.5), strict=True)
    return [(after - before) * math.log(after / before) for before, after in pairs]


def jensen_shannon_distance(old: Counts, new: Counts) -> float:
    """Give the distance of two samples counted in the same bins."""
    divergence = 0.0
    for before, after in zip(_shares(old), _shares(new), strict=True):
        middle = (before + after) / 2
        divergence += sum(share * math.log2(share / middle) / 2 for share in (before, after) if share)
    return math.sqrt(max(divergence, 0.0))


def _shares(counts: Counts, added: float = 0.0) -> list[float]:
    total = sum(counts) + added * len(counts)
    return [(count + added) / total for count in counts]


def _bins(old: ColumnFacts, new: ColumnFacts) -> tuple[list[int], list[int]] | None:
    if old.type != new.type:
        return None
    if old.categories is not None and new.categories is not None:
        bins = _by_category(old, new)
    elif old.histogram is not None and new.histogram is not None:
        bins = _by_range(old.histogram, new.histogram)
    else:
        return None
    if old.empties or new.empties:
        bins = [*bins, (old.empties, new.empties)]
    return [before for before, _ in bins], [after for _, after in bins]


def _by_category(old: ColumnFacts, new: ColumnFacts) -> list[tuple[int, int]]:
    before = {category.value: category.count for category in old.categories or ()}
    after = {category.value: category.count for category in new.categories or ()}
    bins = [(before.get(value, 0), after.get(value, 0)) for value in sorted(before.keys() | after.keys())]
    return [*bins, (old.rare, new.rare)] if old.rare or new.rare else bins


def _by_range(old: Histogram, new: Histogram) -> list[tuple[int, int]]:
    cuts = sorted({*_uncut(old, new), *_uncut(new, old)})
    below = [(0, 0), *((_below(old, cut), _below(new, cut)) for cut in cuts)]
    below.append((sum(old.counts), sum(new.counts)))
    cells = [(b - a, d - c) for (a, c), (b, d) in pairwise(below)]
    return list(_joined([cell for cell in cells if any(cell)], sum(old.counts)))


def _uncut(edges_of: Histogram, other: Histogram) -> Iterator[float]:
    """Give the edges that do not lie within a bin of the other."""
    for edge in edges_of.edges:
        if not any(low < edge < high for low, high in pairwise(other.edges)):
            yield edge


def _below(histogram: Histogram, cut: float) -> int:
    """Count what lies below an edge that cuts no bin; a bin without width lies at its edge."""
    lows = histogram.edges[:-1]
    return sum(count for low, count in zip(lows, histogram.counts, strict=True) if low < cut)


def _joined(cells: Sequence[tuple[int, int]], rows: int) -> Iterator[tuple[int, int]]:
    for start, stop in groups(cells, rows):
        yield sum(old for old, _ in cells[start:stop]), sum(new for _, new in cells[start:stop])


def groups(cells: Sequence[tuple[int, int]], rows: int) -> Iterator[tuple[int, int]]:
    """Join neighbours until each holds its share of the old rows; what lies beyond stays apart.

    Gives where each group starts and stops. `cells` are counts, old and new, of ranges in order.
    """
    known = [at for at, (old, _) in enumerate(cells) if old]
    start, stop = (known[0], known[-1] + 1) if known else (0, 0)
    if start:
        yield 0, start
    first, held = start, 0
    for at in range(start, stop):
        held += cells[at][0]
        if held >= FEWEST_OF_A_RANGE * rows:
            yield first, at + 1
            first, held = at + 1, 0
    if first < stop:
        yield first, stop
    if stop < len(cells):
        yield stop, len(cells)
