"""The facts of one column, read off its cells batch by batch, in bounded memory. Pure.

A column begins as a count of each different cell, from which every fact follows exactly. One with more than
a few goes on as running facts: its type, which can only widen (integer → number → string, date and datetime →
string), a sketch of its distinct cells, moments and a histogram. Cells are counted as written: `1` and `1.0`
are two.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np

from contract.facts import FEWEST_SEEN, MOST_CATEGORIES, Category, ColumnFacts, ColumnType
from contract.values import READERS, text_spelling
from training_export.cells import LONG, WORD, Cells, Mask, Words
from training_export.column_counts import Counts, Distinct
from training_export.column_series import Series, Spread, Weights
from training_export.column_values import VALUES, Values

# Up to so many different cells (and so many characters of them) a column is known exactly. The sketch of
# distinct cells keeps as many hashes.
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
        self._counts = Counts(few)
        self._running: _Running | None = None

    def add(self, cells: Cells) -> None:
        """Take the next cells."""
        if not len(cells):
            return
        if self._running is None and self._counts.add(cells):
            if self._counts.characters > CHARACTERS_A_CELL * self._few:
                self._run()
            return
        (self._running or self._run()).add(cells)

    def facts(self) -> ColumnFacts:
        """Give the facts of all cells taken."""
        if self._running:
            return self._running.facts(self._name)
        return _facts_of_few(self._name, self._counts.total())

    def _run(self) -> "_Running":
        self._running = _Running(self._few, counts_only=self._name == "_id")
        if counts := self._counts.total():
            self._running.add(*_weighed(counts))
        self._counts = Counts(self._few)
        return self._running


def _facts_of_few(name: str, counts: dict[str, int]) -> ColumnFacts:
    empties = counts.pop("", 0)
    told: dict[str, Any] = {}
    kind: ColumnType = "string"
    if counts and name != "_id":
        kind, told = _typed_facts_of_few(counts)
    return ColumnFacts(name=name, type=kind, empties=empties, distinct=len(counts), **told)


def _typed_facts_of_few(counts: Mapping[str, int]) -> tuple[ColumnType, dict[str, Any]]:
    if spelling := _boolean_spelling(counts):
        return "boolean", {"spelling": spelling} | _categories(counts)
    cells, weights = _weighed(counts)
    kind, values = _narrowest(cells)
    if values is None:
        texts = _Texts()
        texts.add(cells, weights)
        return kind, texts.facts() | _categories(counts)
    series = Series(kind)
    series.add(cells, values, weights)
    return kind, series.facts() | _common(counts)


def _weighed(counts: Mapping[str, int]) -> tuple[Cells, Weights]:
    return Cells.of(list(counts)), np.fromiter(counts.values(), np.int64, len(counts))


def _common(counts: Mapping[str, int]) -> dict[str, Any]:
    # As with categories: told is only what many rows share.
    seen = [(value, count) for value, count in counts.items() if count >= FEWEST_SEEN]
    seen.sort(key=lambda pair: (-pair[1], pair[0]))
    told = tuple(Category(value=value, count=count) for value, count in seen[:MOST_COMMON])
    return {"common": told} if told else {}


def _categories(counts: Mapping[str, int]) -> dict[str, Any]:
    # Text appears only where many rows share it: personal data stays in the data (design §6).
    seen = [Category(value=value, count=count) for value, count in counts.items() if count >= FEWEST_SEEN]
    rows, told = sum(counts.values()), sum(category.count for category in seen)
    if len(counts) > MOST_CATEGORIES or not seen or told < CATEGORICAL_SHARE * rows:
        return {}
    seen.sort(key=lambda category: (-category.count, category.value))
    return {"categories": tuple(seen), "rare": rows - told}


def _boolean_spelling(different: Mapping[str, int]) -> str:
    """Give `true` or `True` where all cells are booleans of that one spelling, else nothing."""
    if different.keys() <= {"true", "false"}:
        return "true"
    return "True" if different.keys() <= {"True", "False"} else ""


def _narrowest(cells: Cells) -> tuple[ColumnType, Values | None]:
    (first,) = cells.some(slice(1)).texts()
    for kind, read in VALUES.items():
        # What the first cell is not, all are not: most columns are asked for one type or two.
        values = None if READERS[kind](first) is None else read(cells)
        if values is not None:
            return kind, values
    return "string", None


class _Running:
    """A column with many different cells."""

    def __init__(self, few: int, *, counts_only: bool) -> None:
        self._rows = self._filled = 0
        self._distinct = Distinct(few)
        self._undecided = not counts_only
        self._counts_only = counts_only
        self._texts: _Texts | None = None
        self._series: Series | None = None
        self._spelling = _Spelling("bare")  # as numbers and times are, before what makes it text

    def add(self, cells: Cells, weights: Weights | None = None) -> None:
        """Take the next cells, each once or so many times."""
        self._rows += _total(cells, weights)
        if not cells.shortest:
            filled = np.flatnonzero(cells.lengths)
            cells, weights = cells.some(filled), None if weights is None else weights[filled]
            if not len(cells):
                return
        self._filled += _total(cells, weights)
        self._distinct.add(cells.hashes)
        if self._undecided:
            self._decide(cells, weights)
        elif self._texts:
            self._texts.add(cells, weights)
        elif self._series:
            self._go_on(cells, weights)
        elif not self._counts_only:
            self._spelling.add(cells)

    def _decide(self, cells: Cells, weights: Weights | None) -> None:
        self._undecided = False
        kind, values = _narrowest(cells)
        if values is None:
            self._texts = _Texts()
            self._texts.add(cells, weights)
        else:
            self._series = Series(kind)
            self._series.add(cells, values, weights)

    def _go_on(self, cells: Cells, weights: Weights | None) -> None:
        # A column that turns out to be text only now has no lengths: those of earlier cells went unrecorded.
        while self._series:
            values = VALUES[self._series.kind](cells)
            if values is not None:
                self._series.add(cells, values, weights)
                return
            self._series = self._series.widened()
        self._spelling.add(cells)

    def facts(self, name: str) -> ColumnFacts:
        """Give the facts of all cells taken."""
        distinct, error = self._distinct.estimate()
        told = self._series or self._texts
        facts = told.facts() if told else {} if self._counts_only else {"spelling": self._spelling.told()}
        return ColumnFacts(
            name=name,
            type=self._series.kind if self._series else "string",
            empties=self._rows - self._filled,
            distinct=min(distinct, self._filled),
            distinct_error=error,
            **facts,
        )


def _total(cells: Cells, weights: Weights | None) -> int:
    return len(cells) if weights is None else int(weights.sum())


class _Texts:
    """Lengths and spelling of text."""

    def __init__(self) -> None:
        self._spelling = _Spelling()
        self._lengths = Spread(smallest_step=1)

    def add(self, cells: Cells, weights: Weights | None = None) -> None:
        """Take cells, each once or so many times."""
        self._lengths.add(cells.characters(), weights)
        self._spelling.add(cells)

    def facts(self) -> dict[str, Any]:
        """Give what a manifest tells of it."""
        return {
            "spelling": self._spelling.told(),
            "shortest": self._lengths.low,
            "longest": self._lengths.high,
            "histogram": self._lengths.histogram(),
        }


class _Spelling:
    """How text is written: one tag says that the node writes tags, a namespace here and there is a mix."""

    def __init__(self, *seen: str) -> None:
        self._seen = set(seen)

    def add(self, cells: Cells) -> None:
        """Take cells."""
        if "tagged" not in self._seen:
            self._seen |= _spellings_of(cells, tags_alone=len(self._seen) > 1)

    def told(self) -> str:
        """Give the one spelling of all cells taken; nothing where there were none."""
        if "tagged" in self._seen:
            return "tagged"
        return "mixed" if len(self._seen) > 1 else next(iter(self._seen), "")


def _spellings_of(cells: Cells, *, tags_alone: bool) -> set[str]:
    """Give the spellings of cells; those without a tag may be left out."""
    if text_spelling(cells.some(slice(1)).texts()[0]) == "tagged":
        return {"tagged"}
    # What begins every cell decides for every cell.
    if text_spelling(cells.shared_start()) == "full":
        return {"full"}
    begins = (cells.near[0] & np.uint64(0xFF)).astype(np.uint8)
    told = begins == ord("~")
    if not tags_alone:
        told |= _BEGINS_NAMESPACE[begins] & _may_have_namespace(cells)
    which = np.flatnonzero(told)
    spellings = set(map(text_spelling, cells.some(which).texts()))
    return spellings if len(which) == len(cells) else spellings | {"bare"}


_BEGINS_NAMESPACE = np.array(
    [chr(octet).isascii() and text_spelling(f"{chr(octet)}:") == "full" for octet in range(256)]
)


def _may_have_namespace(cells: Cells) -> Mask:
    """Say which cells hold a colon, or may hold one further on; not those with a blank well before it."""
    may = _hold(cells.near, ":")
    if cells.longest > LONG:
        may |= cells.lengths > LONG
    if may.any():
        first = cells.near[:2]
        may &= _hold(first, ":") | ~_hold(first, " ")
    return may


def _hold(near: Words, character: str) -> Mask:
    # After Mycroft: a borrow reaches the high bit of some byte only where one of them is zero.
    zeroed = near ^ np.uint64(int.from_bytes(character.encode() * WORD))
    borrows = zeroed - _LOWS
    borrows &= np.invert(zeroed, out=zeroed)
    held: Mask = (np.bitwise_or.reduce(borrows, axis=0) & _HIGHS) != 0
    return held


_LOWS, _HIGHS = np.uint64(0x0101010101010101), np.uint64(0x8080808080808080)
