"""How often each cell of a column occurs while they are few; how many different ones, always. Pure."""

import math
from collections.abc import Collection, Iterable, Iterator, Sequence

import numpy as np

from training_export.cells import LONG, WORD, Cells, Mask, Places, Words

# So many places for each known cell: nearly every one has a place of its own.
_PLACES_A_CELL = 8
_FEWEST_PLACES = 256
# Cells whose place another one has are looked for in a further table, by other bits of their hashes.
_MOST_TABLES = 3


class Counts:
    """Each different cell, and how many rows hold it: exact, for up to `most` different ones."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._seen: dict[str, int] = {}
        self._tables: list[_Table] = []
        self.characters = 0

    def add(self, cells: Cells) -> bool:
        """Take cells, or none of them where they would be too many different ones; say whether."""
        found, rest = self._find(cells)
        new = self._new(rest)
        if new is None:
            return False
        if new:
            self._learn(new)
            found, rest = self._find(cells)
        for table, entries, others in found:
            table.count(entries, others)
        for text in rest.texts():  # all of them are known
            self._seen[text] += 1
        return True

    def _find(self, cells: Cells) -> tuple[list[tuple["_Table", Places, Places]], Cells]:
        """Give the entries of those that stand in tables, and the rest.

        For each table all entries looked up, and then those among them that are other cells'.
        """
        found: list[tuple[_Table, Places, Places]] = []
        for table in self._tables:
            if not len(cells):
                break
            entries, there = table.find(cells)
            others = np.flatnonzero(~there)
            found.append((table, entries, entries.take(others)))
            cells = cells.some(others)
        return found, cells

    def _new(self, cells: Cells) -> Collection[str] | None:
        """Give what was never seen among these cells; None where it would be too much."""
        if not len(cells):
            return ()
        different = _different(cells, self._most)
        if different is None:
            return None
        new = [text for text in different if text not in self._seen]
        return new if len(self._seen) + len(new) <= self._most else None

    def _learn(self, new: Collection[str]) -> None:
        self._seen = self.total()
        self._seen.update(dict.fromkeys(new, 0))
        self._tables = list(_tables(self._seen))
        self.characters += sum(map(len, new))

    def total(self) -> dict[str, int]:
        """Give each different cell and its count."""
        total = self._seen.copy()
        for table in self._tables:
            for text, count in table.counts():
                total[text] += count
        return total


class _Table:
    """Known cells, found by some bits of their hashes and told from all others by every word of theirs."""

    def __init__(self, texts: Sequence[str], number: int) -> None:
        cells = Cells.of(texts)
        bits = (max(len(texts) * _PLACES_A_CELL, _FEWEST_PLACES) - 1).bit_length()
        self._left, self._right = np.uint64(bits * number), np.uint64(64 - bits)
        places = self._places(cells.hashes)
        # Where no cell belongs stands the first one: whatever is looked up there is not it.
        self._entries: Places = np.zeros(1 << bits, np.intp)
        self._entries[places] = np.arange(len(texts))
        self._hashes = cells.hashes
        self._words = [cells.word(at) for at in range(max(-(-cells.longest // WORD), 1))]
        self._texts = texts
        self._counts = np.zeros(len(texts), np.int64)
        # Where cells share a place, it is the last one's.
        placeless = np.flatnonzero(self._entries[places] != np.arange(len(texts)))
        self.placeless = [texts[at] for at in placeless.tolist()]

    def _places(self, hashes: Words) -> Places:
        return ((hashes << self._left) >> self._right).view(np.int64)

    def find(self, cells: Cells) -> tuple[Places, Mask]:
        """Give which entry each cell would be, and whether it is that."""
        entries = self._entries.take(self._places(cells.hashes))
        there = self._hashes.take(entries) == cells.hashes
        if cells.longest > WORD or len(self._words) > 1:
            # The hash of a single word is its own; of more than one, the words decide.
            there &= cells.lengths <= WORD * len(self._words)
            for number, words in enumerate(self._words):
                there &= words.take(entries) == cells.word(number)
        return entries, there

    def count(self, entries: Places, others: Places) -> None:
        """Count these entries, but for the others among them."""
        self._counts += np.bincount(entries, minlength=len(self._counts))
        if len(others):
            self._counts -= np.bincount(others, minlength=len(self._counts))

    def counts(self) -> Iterator[tuple[str, int]]:
        """Give each cell and how often it was counted."""
        return zip(self._texts, self._counts.tolist(), strict=True)


def _tables(texts: Iterable[str]) -> Iterator[_Table]:
    """Make as many tables as give nearly every text a place; long ones have none."""
    left = [text for text in texts if len(text.encode()) <= LONG]
    for number in range(_MOST_TABLES):
        if left:
            table = _Table(left, number)
            yield table
            left = table.placeless


class Distinct:
    """How many different cells: the `few` smallest of their hashes tell (a k-minimum-values sketch).

    Up to `few` different cells it is exact; from then on its relative standard error is 1/sqrt(few - 2).
    """

    def __init__(self, few: int) -> None:
        self._few = few
        self._kept: Words = np.empty(0, np.uint64)
        self._limit: np.uint64 | None = None
        self._waiting: list[Words] = []

    def add(self, hashes: Words) -> None:
        """Take the hashes of cells."""
        if self._limit is not None:
            hashes = hashes[hashes < self._limit]
        self._waiting.append(hashes)
        # Sorting is what costs: it waits until it is worth it. A first limit is so at once: it keeps most of
        # what comes from being sorted at all.
        if sum(map(len, self._waiting)) > (self._few if self._limit is None else 4 * self._few):
            self._sort()

    def _sort(self) -> None:
        self._kept = _sorted_once(np.concatenate([self._kept, *self._waiting]))
        self._waiting.clear()
        if len(self._kept) > self._few:
            self._kept = self._kept[: self._few].copy()
            self._limit = self._kept[-1]

    def estimate(self) -> tuple[int, float]:
        """Give how many there are, and the relative standard error; 0 where it is exact."""
        self._sort()
        if self._limit is None:
            return len(self._kept), 0.0
        share = (int(self._limit) + 1) / 2**64
        return round((self._few - 1) / share), round(1 / math.sqrt(self._few - 2), 4)


def _different(cells: Cells, most: int) -> Sequence[str] | None:
    """Give each different cell once; None where these are more than `most`."""
    one_word = cells.longest <= WORD
    in_order = np.sort(cells.near[0] if one_word else cells.hashes)
    differing = _differing(in_order)
    if np.count_nonzero(differing) > most:
        return None
    if one_word:
        # Of such a text numpy takes the zeros behind its end off.
        return [text.decode() for text in in_order[differing].view("S8").tolist()]
    order = np.argsort(cells.hashes)
    return cells.some(order[_differing(cells.hashes.take(order))]).texts()


def _sorted_once(hashes: Words) -> Words:
    """Sort them, each different one once: faster than numpy's `unique`."""
    hashes = np.sort(hashes)
    return hashes[_differing(hashes)]


def _differing(in_order: Words) -> Mask:
    """Say which of sorted numbers differ from the one before."""
    differing = np.empty(len(in_order), np.bool_)
    differing[:1] = True
    np.not_equal(in_order[1:], in_order[:-1], out=differing[1:])
    return differing
