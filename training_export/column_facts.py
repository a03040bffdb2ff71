"""The facts of one column, read off its cells batch by batch, in bounded memory. Pure.

A column begins as a count of each different cell, from which every fact follows exactly. One with more than
a few goes on as running facts: its type, which can only widen (integer → number → string, date and datetime →
string), a sketch of its distinct cells, moments and a histogram. Cells are counted as written: `1` and `1.0`
are two.
"""

import math
from collections import Counter
from collections.abc import Iterable, Sequence
from itertools import takewhile
from typing import Any

from contract.facts import FEWEST_SEEN, MOST_CATEGORIES, Category, ColumnFacts, ColumnType
from contract.values import text_spelling
from training_export.column_values import VALUES, Series, Spread, Values

# Up to so many different cells (and so many characters of them) a column is known exactly. The sketch of
# distinct cells keeps as many hashes; its relative standard error is 1/sqrt(few - 2).
FEW = 2048
CHARACTERS_A_CELL = 200
# What a wide table shares among its columns; but each has enough for its categories to be exact.
FEW_IN_ALL = 64 * FEW
FEWEST = MOST_CATEGORIES + 56
CATEGORICAL_SHARE = 0.95
MOST_COMMON = 10


def few_of(width: int) -> int:
    """Give how many different cells of each column are kept, in a table of so many columns."""
    return max(FEWEST, min(FEW, FEW_IN_ALL // max(width, 1)))


class ColumnScan:
    """Takes a column's cells; gives its facts. Of `_id` only counts (design §6)."""

    def __init__(self, name: str, few: int = FEW) -> None:
        self._name = name
        self._few = few
        self._counts: Counter[str] = Counter()
        self._known = 0
        self._running: _Running | None = None

    def add(self, cells: Sequence[str]) -> None:
        """Take the next cells."""
        if self._running:
            self._running.add(cells)
            return
        counts = self._counts
        counts.update(cells)
        if len(counts) > self._known:
            self._known = len(counts)
            if self._known > self._few or sum(map(len, counts)) > CHARACTERS_A_CELL * self._few:
                self._running = _Running(counts, self._few, counts_only=self._name == "_id")
                self._counts = Counter()

    def facts(self) -> ColumnFacts:
        """Give the facts of all cells taken."""
        if self._running:
            return self._running.facts(self._name)
        return _facts_of_few(self._name, self._counts.copy())


def _facts_of_few(name: str, counts: Counter[str]) -> ColumnFacts:
    empties = counts.pop("", 0)
    cells, weights = list(counts), list(counts.values())
    kind: ColumnType = "string"
    told: dict[str, Any] = {}
    if name == "_id":
        pass
    elif spelling := _boolean_spelling(cells):
        kind, told = "boolean", {"spelling": spelling} | _categories(counts)
    else:
        kind, values = _narrowest(cells)
        if values is None:
            texts = _Texts(cells)
            texts.count(cells, weights)
            told = texts.facts() | _categories(counts)
        else:
            series = Series(kind)
            series.count(cells, values, weights)
            told = series.facts() | _common(counts)
    return ColumnFacts(name=name, type=kind, empties=empties, distinct=len(cells), **told)


def _common(counts: Counter[str]) -> dict[str, Any]:
    # As with categories: told is only what many rows share.
    seen = [(value, count) for value, count in counts.items() if count >= FEWEST_SEEN]
    seen.sort(key=lambda pair: (-pair[1], pair[0]))
    told = tuple(Category(value=value, count=count) for value, count in seen[:MOST_COMMON])
    return {"common": told} if told else {}


def _categories(counts: Counter[str]) -> dict[str, Any]:
    # Text appears only where many rows share it: personal data stays in the data (design §6).
    seen = [Category(value=value, count=count) for value, count in counts.items() if count >= FEWEST_SEEN]
    rows, told = counts.total(), sum(category.count for category in seen)
    if len(counts) > MOST_CATEGORIES or not seen or told < CATEGORICAL_SHARE * rows:
        return {}
    seen.sort(key=lambda category: (-category.count, category.value))
    return {"categories": tuple(seen), "rare": rows - told}


def _boolean_spelling(cells: Sequence[str]) -> str:
    """Give `true` or `True` where all cells are booleans of that one spelling, else nothing."""
    different = set(cells)
    if different and different <= {"true", "false"}:
        return "true"
    return "True" if different and different <= {"True", "False"} else ""


def _narrowest(cells: Sequence[str]) -> tuple[ColumnType, Values | None]:
    for kind, read in VALUES.items():
        values = read(cells) if cells else None
        if values is not None:
            return kind, values
    return "string", None


class _Running:
    """A column with many different cells."""

    def __init__(self, counts: Counter[str], few: int, *, counts_only: bool) -> None:
        self._empties = counts.pop("", 0)
        self._filled = counts.total()
        self._counts_only = counts_only
        self._distinct = _Distinct(few)
        self._distinct.add(counts)
        self._texts: _Texts | None = None
        self._series: Series | None = None
        if counts_only:
            return
        cells, weights = list(counts), list(counts.values())
        kind, values = _narrowest(cells)
        if values is None:
            self._texts = _Texts(cells)
            self._texts.count(cells, weights)
        else:
            self._series = Series(kind)
            self._series.count(cells, values, weights)

    def add(self, cells: Sequence[str]) -> None:
        if "" in cells:
            filled = [cell for cell in cells if cell]
            self._empties += len(cells) - len(filled)
            cells = filled
        if not cells:
            return
        self._filled += len(cells)
        self._distinct.add(cells)
        if self._texts:
            self._texts.add(cells)
        # Text only now, after so many numbers or times, it tells no lengths: theirs were never taken.
        while self._series:
            values = VALUES[self._series.kind](cells)
            if values is not None:
                self._series.add(cells, values)
                break
            self._series = self._series.widened()

    def facts(self, name: str) -> ColumnFacts:
        distinct, error = self._distinct.estimate()
        told = self._series or self._texts
        facts = told.facts() if told else {} if self._counts_only else {"spelling": "bare"}
        return ColumnFacts(
            name=name,
            type=self._series.kind if self._series else "string",
            empties=self._empties,
            distinct=min(distinct, self._filled),
            distinct_error=error,
            **facts,
        )


class _Distinct:
    """How many different cells: the `few` smallest of their hashes tell (a k-minimum-values sketch).

    Python's own hash of text is a keyed SipHash of 64 bits at C speed; its key is the process's, so that an
    estimate may differ between runs, within its error. Up to `few` different cells it is exact.
    """

    def __init__(self, few: int) -> None:
        self._few = few
        self._kept: set[int] = set()
        self._limit = 2**63

    def add(self, cells: Iterable[str]) -> None:
        limit = self._limit
        if min(map(hash, cells)) >= limit:
            return
        self._kept.update([h for h in map(hash, cells) if h < limit])
        if len(self._kept) > 2 * self._few:
            smallest = sorted(self._kept)[: self._few]
            self._kept, self._limit = set(smallest), smallest[-1] + 1

    def estimate(self) -> tuple[int, float]:
        if len(self._kept) <= self._few and self._limit == 2**63:
            return len(self._kept), 0.0
        share = (sorted(self._kept)[self._few - 1] + 2**63 + 1) / 2**64
        return round((self._few - 1) / share), round(1 / math.sqrt(self._few - 2), 4)


class _Texts:
    """Lengths and spelling of text."""

    def __init__(self, cells: Iterable[str]) -> None:
        spellings = set(map(text_spelling, cells))
        self._spelling = spellings.pop() if len(spellings) == 1 else "bare" if spellings else ""
        self._lengths = Spread(smallest_step=1)

    def count(self, cells: Sequence[str], weights: Sequence[int]) -> None:
        self._lengths.count(list(map(len, cells)), weights)

    def add(self, cells: Sequence[str]) -> None:
        self._lengths.add(sorted(map(len, cells)))
        if self._spelling == "bare":
            return
        # What begins every cell decides for every cell.
        shared = _shared_start(min(cells), max(cells))
        if text_spelling(shared) != self._spelling and set(map(text_spelling, cells)) != {self._spelling}:
            self._spelling = "bare"

    def facts(self) -> dict[str, Any]:
        if self._lengths.low is None:
            return {}
        return {
            "spelling": self._spelling,
            "shortest": self._lengths.low,
            "longest": self._lengths.high,
            "histogram": self._lengths.histogram(),
        }


def _shared_start(first: str, last: str) -> str:
    same = takewhile(lambda pair: pair[0] == pair[1], zip(first, last, strict=False))
    return "".join(letter for letter, _ in same)
