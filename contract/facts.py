"""Facts of a column over all rows of a version, as they stand in its manifest (design §6)."""

from typing import Literal

import msgspec

ColumnType = Literal["integer", "number", "boolean", "date", "datetime", "string"]

# Text appears in a manifest only as categories: personal data stays in the data (design §6).
MOST_CATEGORIES = 200
FEWEST_SEEN = 5


class Histogram(msgspec.Struct, frozen=True, kw_only=True):
    """Counts between edges: `counts[i]` values lie in [edges[i], edges[i+1]), the last bin closed.

    Of numbers; of dates and datetimes as seconds since 1970; of text, of its length in characters.
    """

    edges: tuple[float, ...]
    counts: tuple[int, ...]


class Category(msgspec.Struct, frozen=True, kw_only=True):
    """A value of a text or boolean column and how many rows hold it."""

    value: str
    count: int


class ColumnFacts(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One column, seen whole. Facts that do not apply are left out."""

    name: str
    type: ColumnType
    empties: int
    distinct: int | None = None
    distinct_error: float = 0.0
    """Relative standard error of `distinct`; 0 says that it is exact."""
    minimum: int | float | str | None = None
    maximum: int | float | str | None = None
    """Of numbers; dates and datetimes in their canonical text."""
    mean: float | None = None
    deviation: float | None = None
    """Sample standard deviation, of numbers."""
    histogram: Histogram | None = None
    categories: tuple[Category, ...] | None = None
    """Of a categorical text column: each value seen at least FEWEST_SEEN times, most common first."""
    common: tuple[Category, ...] | None = None
    """Of numbers and times few enough to be counted: those most rows hold, as written, each seen at least
    FEWEST_SEEN times."""
    rare: int = 0
    """Rows of a categorical column whose value was seen less often, and is not told."""
    shortest: int | None = None
    longest: int | None = None
    """Lengths of text, in characters."""
    spelling: str = ""
    """How the cells are written where a type has several spellings; see contract/values.py."""
