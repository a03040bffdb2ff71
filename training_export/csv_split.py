"""Whole blocks of CSV split at once, where they are as regular as csv writers write them. Pure.

    bytes → quotes and separators as bits → separators outside quotes → cells, column by column

What is split here, stdlib `csv`, strict, reads the same; whatever is in any doubt is not split, and
csv_scan.py has `csv` give its verdict (tests/unit/training_export/test_csv_split.py holds both against each
other). After simdjson (Langdale and Lemire, "Parsing Gigabytes of JSON per Second"): which bytes lie inside
quotes is a prefix sum of the quotes, modulo 2, over whole words of bits.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from training_export.cells import PAD, WORD, Buffer, Cells, Mask, Places

type Octets = NDArray[np.uint8]

_LF, _CR = 0x0A, 0x0D
_ENDS = {"\r\n": _LF, "\n": _LF, "\r": _CR}


class Split(NamedTuple):
    """The whole records at the beginning of a block: their cells, by column, and how many bytes they are.

    No records and no bytes: not even one ends in the block.
    """

    rows: int
    columns: Iterator[Cells]
    used: int


@dataclass(frozen=True, slots=True)
class Splitter:
    """Splits blocks of `width` columns; made by `splitter_of`.

    `quote` is None where nothing can be quoted. `end` is a record's last byte; `two` says that a CR goes
    before it.
    """

    width: int
    delimiter: int
    quote: int | None
    doubled: bool
    end: int
    two: bool
    longest: int

    def split(self, block: bytes) -> Split | None:
        """Split the whole records of a block that begins with one.

        Args:
            block: UTF-8 between two PADs.

        Returns:
            None where the block is not regular beyond doubt.
        """
        buffer = Buffer(block)
        body = buffer.octets[len(PAD) : -len(PAD)]
        quotes = body == self.quote if self.quote is not None and bytes([self.quote]) in block else None
        inside = None if quotes is None else _inside(quotes)
        separators = (body == self.delimiter) | (body == self.end)
        if inside is not None:
            separators &= ~inside
        places = np.flatnonzero(separators)
        ends = np.flatnonzero(body[places] == self.end)
        rows = len(ends)
        if not rows:
            return Split(0, iter(()), 0)
        if int(ends[-1]) + 1 != rows * self.width or not np.array_equal(ends, self._ends(rows)):
            return None
        places = places[: rows * self.width]
        used = int(places[-1]) + 1
        if block.find(b"\0", 0, used + len(PAD)) >= 0 or not self._ended_alike(body[:used], places, inside):
            return None
        cells = self._cells(buffer, places, None if quotes is None else np.flatnonzero(quotes[:used]))
        return None if cells is None else Split(rows, cells, used)

    def _ends(self, rows: int) -> Places:
        return np.arange(self.width - 1, rows * self.width, self.width)

    def _ended_alike(self, body: Octets, places: Places, inside: Mask | None) -> bool:
        """Say whether no line break lies outside quotes but in the records' own terminators."""
        stray = body == (_LF if self.end == _CR else _CR)
        if inside is not None:
            stray &= ~inside[: len(body)]
        ends = places[self.width - 1 :: self.width]
        if not self.two:
            return not stray.any()
        return int(ends[0]) > 0 and bool(stray[ends - 1].all()) and np.count_nonzero(stray) == len(ends)

    def _cells(self, buffer: Buffer, places: Places, quotes: Places | None) -> Iterator[Cells] | None:
        starts = np.empty_like(places)
        starts[0], starts[1:] = 0, places[:-1] + 1
        starts += len(PAD)
        stops = places + len(PAD)
        if self.two:
            stops[self.width - 1 :: self.width] -= 1
        if quotes is not None and len(quotes):
            regular = self._unquoted(buffer, starts, stops, quotes + len(PAD))
            if regular is None:
                return None
            buffer = regular
        elif self.width == 1 and bool((starts == stops).any()):
            return None  # to csv an empty line has no cell
        lengths = stops - starts
        if int(lengths.max()) > self.longest:
            return None
        by_column = starts.reshape(-1, self.width).T.copy(), lengths.reshape(-1, self.width).T.copy()
        return (Cells(buffer, *places_) for places_ in zip(*by_column, strict=True))

    def _unquoted(self, buffer: Buffer, starts: Places, stops: Places, quotes: Places) -> Buffer | None:
        """Take the quotes off, in place; give the buffer that the cells then lie in, None in any doubt.

        In doubt is a quote that opens elsewhere than at a cell's start, or closes elsewhere than at its end,
        but for one closed and opened again at once: a doubled one.
        """
        opening, closing = quotes[::2], quotes[1::2]
        before, after = buffer.octets[opening - 1], buffer.octets[closing + 1]
        doubled = before == self.quote
        # What opens behind a separator opens a cell: by the bits it lies outside quotes, as that does.
        begins = (before == self.delimiter) | (before == self.end) | doubled | (opening == len(PAD))
        finishes = (after == self.delimiter) | (after == self.end) | (after == self.quote)
        if self.two:
            finishes |= after == _CR
        if not begins.all() or not finishes.all():
            return None
        quoted = buffer.octets[starts] == self.quote
        if self.width == 1 and not bool((quoted | (starts != stops)).all()):
            return None
        if doubled.any() and not self.doubled:
            return None
        starts += quoted
        stops -= quoted
        return _undoubled(buffer, starts, stops, opening[doubled]) if doubled.any() else buffer


def splitter_of(
    width: int,
    delimiter: str,
    quotechar: str | None,
    escapechar: str | None,
    lineterminator: str,
    *,
    doublequote: bool,
    longest: int,
) -> Splitter | None:
    """Make a splitter for the csv sink's own words; None where `csv` alone can read what they say.

    Args:
        longest: bytes; a block with a longer cell is not split.
    """
    signs = delimiter + (quotechar or "")
    if not width or escapechar is not None or lineterminator not in _ENDS or not signs.isascii():
        return None
    return Splitter(
        width=width,
        delimiter=ord(delimiter),
        quote=None if quotechar is None else ord(quotechar),
        doubled=doublequote,
        end=_ENDS[lineterminator],
        two=len(lineterminator) == 2,
        longest=longest,
    )


def _undoubled(buffer: Buffer, starts: Places, stops: Places, seconds: Places) -> Buffer:
    """Write the cells with doubled quotes anew, behind all others, without the `seconds` of each two."""
    at = np.searchsorted(stops, seconds)
    firsts = np.flatnonzero(np.diff(at, prepend=-1))
    which, gone = at[firsts], np.diff(firsts, append=len(at))
    lengths = stops[which] - starts[which]
    offsets = np.cumsum(lengths) - lengths
    octets = buffer.octets[np.repeat(starts[which] - offsets, lengths) + np.arange(lengths.sum())]
    kept = np.delete(octets, seconds - starts[at] + np.repeat(offsets, gone))
    lengths -= gone
    stops[which] = len(buffer.data) + np.cumsum(lengths)
    starts[which] = stops[which] - lengths
    return Buffer(b"".join((buffer.data, kept.tobytes(), PAD)))


def _inside(quotes: Mask) -> Mask:
    """Say of each byte whether an odd number of quotes came up to it."""
    bits = np.packbits(quotes, bitorder="little")
    words = np.zeros(-(-len(bits) // WORD), "<u8")
    words.view(np.uint8)[: len(bits)] = bits
    for shift in (1, 2, 4, 8, 16, 32):
        words ^= words << np.uint64(shift)
    odd = words >> np.uint64(63)
    words[1:] ^= np.uint64(0) - np.bitwise_xor.accumulate(odd)[:-1]
    return np.unpackbits(words.view(np.uint8), count=len(quotes), bitorder="little").view(np.bool_)
