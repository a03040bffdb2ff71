"""What scoring has lately seen, as counts in the bins of a version's manifest. Pure.

Rows are counted as they are encoded, column by column: in the manifest's categories or histogram, with what
falls beside them as one count each. So an observation holds counts alone and never a value of an entity, and
two observations of one version add up number by number.
"""

from bisect import bisect_right
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from functools import partial
from math import ceil, inf, nextafter

import msgspec

from contract import values
from contract.facts import ColumnFacts, Histogram
from contract.values import Value

SCHEMA_VERSION = 1

type Places = Callable[[Iterable[Value | None]], Iterable[int | None]]
"""Values → for each the number of its bin from 1 on, 0 below all, one more above all; None beside them."""


class SeenColumn(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What was seen of one feature."""

    name: str
    counts: tuple[int, ...]
    """One count for each category, else for each bin of the histogram, else one of all that is filled; in
    the order of the version's manifest."""
    nulls: int = 0
    below: int = 0
    above: int = 0
    """Beyond the lowest and the highest of the version."""
    unseen: int = 0
    """Of none of the manifest's categories: new ones, and those too rare to be told."""


class Observation(msgspec.Struct, frozen=True, kw_only=True):
    """What one process has seen of one model's entities while it had adopted one version."""

    schema_version: int
    model: str
    version: str
    started: str
    finished: str
    entities: int
    outside: int
    """Entities of which a value lay outside the contract."""
    columns: tuple[SeenColumn, ...]


class Tally:
    """Counts rows.

    Args:
        taught: for each of their columns what the version's manifest tells; None for one to leave out.
    """

    def __init__(self, taught: Sequence[ColumnFacts | None]) -> None:
        self._columns = [None if facts is None else _Column(facts) for facts in taught]
        self.entities = 0
        self.outside = 0

    def add(self, rows: Sequence[Sequence[Value | None]], outside: int) -> None:
        """Count rows, of which so many lie outside the contract."""
        self.entities += len(rows)
        self.outside += outside
        for column, cells in zip(self._columns, zip(*rows, strict=True), strict=False):
            if column is not None:
                column.add(cells)

    def clear(self) -> None:
        """Begin again at nothing."""
        self.entities = self.outside = 0
        for column in self._columns:
            if column is not None:
                column.clear()

    def columns(self) -> tuple[SeenColumn, ...]:
        """Give what was counted so far."""
        return tuple(column.seen() for column in self._columns if column is not None)


def sum_of(taught: ColumnFacts, columns: Iterable[SeenColumn]) -> SeenColumn:
    """Add up what was seen of one feature; all counted in the bins of `taught`."""
    found = list(columns)
    return SeenColumn(
        name=taught.name,
        counts=tuple(map(sum, zip(*(column.counts for column in found), strict=True))) or (0,) * bins(taught),
        nulls=sum(column.nulls for column in found),
        below=sum(column.below for column in found),
        above=sum(column.above for column in found),
        unseen=sum(column.unseen for column in found),
    )


def bins(taught: ColumnFacts) -> int:
    """Say how many bins a column is counted in."""
    if taught.categories is not None:
        return len(taught.categories)
    return len(taught.histogram.counts) if taught.histogram else 1


def edges(taught: ColumnFacts, histogram: Histogram) -> list[float] | list[str]:
    """Give the edges of a histogram, its outermost ones where the version's values begin and end.

    No value of the version lies beyond them; so what is seen there is outside what the model was taught. Of
    dates and datetimes they are canonical texts without their Z, which order as the times do.
    """
    inner = histogram.edges[1:-1]
    if taught.type in ("date", "datetime"):
        told = [_moment(seconds) for seconds in (histogram.edges[0], *inner, histogram.edges[-1])]
        told[0] = str(taught.minimum or told[0]).removesuffix("Z")
        told[-1] = str(taught.maximum or told[-1]).removesuffix("Z")
        return [_shortest(each) for each in told] if taught.type == "date" else told
    text = taught.type == "string"
    low, high = (taught.shortest, taught.longest) if text else (taught.minimum, taught.maximum)
    first = low if isinstance(low, int | float) else histogram.edges[0]
    last = high if isinstance(high, int | float) else histogram.edges[-1]
    return [first, *inner, last]


class _Column:
    def __init__(self, taught: ColumnFacts) -> None:
        self._name = taught.name
        self._bins = bins(taught)
        self._places = _places(taught)
        self._counts: Counter[int | None] = Counter()
        self._nulls = 0

    def add(self, cells: Sequence[Value | None]) -> None:
        filled = [cell for cell in cells if cell is not None]
        self._nulls += len(cells) - len(filled)
        self._counts.update(self._places(filled))

    def clear(self) -> None:
        self._counts.clear()
        self._nulls = 0

    def seen(self) -> SeenColumn:
        counts = self._counts
        return SeenColumn(
            name=self._name,
            counts=tuple(counts[at] for at in range(1, self._bins + 1)),
            nulls=self._nulls,
            below=counts[0],
            above=counts[self._bins + 1],
            unseen=counts[None],
        )


def _places(taught: ColumnFacts) -> Places:
    """Choose how a column's values find their bins; all of it runs in C, as scoring waits for nobody."""
    if taught.categories is not None:
        return partial(map, _categories(taught).get)
    if taught.histogram is None:
        return lambda filled: (1 for _ in filled)
    ends = edges(taught, taught.histogram)
    match taught.type:
        case "date" | "datetime":
            find = partial(bisect_right, _texts(ends))
            return lambda filled: map(find, [str(text).rstrip("Z") for text in filled])
        case "string":
            find = partial(bisect_right, _integers(ends))
            return lambda filled: map(find, map(len, filled))  # type: ignore[arg-type]  # texts all
        case "integer":
            return partial(map, partial(bisect_right, _integers(ends)))
    return partial(map, partial(bisect_right, _numbers(ends)))


def _categories(taught: ColumnFacts) -> Mapping[Value, int]:
    told = [category.value for category in taught.categories or ()]
    known = [values.boolean(value) for value in told] if taught.type == "boolean" else told
    return {value: at for at, value in enumerate(known, 1) if value is not None}


# The last bin includes its end, so what ends it is the least that lies beyond.


def _texts(ends: Sequence[float | str]) -> list[str]:
    texts = [str(edge) for edge in ends]
    return [*texts[:-1], f"{texts[-1]}\0"]


def _integers(ends: Sequence[float | str]) -> list[int]:
    """Integers are compared with integers twice as fast as with doubles, and to their last digit."""
    whole = [edge if isinstance(edge, int) else ceil(float(edge)) for edge in ends]
    return [*whole[:-1], whole[-1] + 1]


def _numbers(ends: Sequence[float | str]) -> list[float]:
    numbers = [float(edge) for edge in ends]
    return [*numbers[:-1], nextafter(numbers[-1], inf)]


def _moment(seconds: float) -> str:
    """Give seconds since 1970 as canonical text without its Z; beyond the calendar, its first or last day."""
    try:
        text = (datetime(1970, 1, 1) + timedelta(seconds=seconds)).isoformat()
    except OverflowError:
        return "0001-01-01T00:00:00" if seconds < 0 else "9999-12-31T23:59:59"
    return text.rstrip("0") if "." in text else text


def _shortest(text: str) -> str:
    return text.removesuffix("T00:00:00")
