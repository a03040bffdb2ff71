"""Whole blocks of CSV split at once, where they are as regular as csv writers write them. Pure.

    bytes → quotes, separators and line breaks as bits → those outside quotes → cells, column by column

What is split here, stdlib `csv`, strict, reads the same; whatever is in any doubt is not split, and
csv_scan.py has `csv` give its verdict (tests/unit/training_export/test_csv_split.py holds both against each
other). After simdjson (Langdale and Lemire, "Parsing Gigabytes of JSON per Second"): which bytes lie inside
quotes is a prefix sum of the quotes, modulo 2, over whole words of bits.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from training_export.cells import PAD, Buffer, Cells, Places, by_column
from training_export.csv_dialect import Dialect

type Octets = NDArray[np.uint8]
# One bit a byte of a buffer: the first byte's is the lowest of the first word.
type Bits = NDArray[np.uint64]

_BITS = 64
# What is compared and packed at a time stays in the processor's cache; whole words of bits come of it.
_STRIP = 128 * 1024
# Below one set bit in ten numpy's flatnonzero costs three times as much a bit: then only the octets that hold
# any are unpacked, where one in eight is set at least.
_FEW = 10
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
        maybe = [sign for sign in (self.quote, self._stray) if sign is not None and bytes([sign]) in block]
        signs = [self.delimiter, self.end, *maybe]
        found = dict(zip(signs, _bits(buffer.octets[: -len(PAD)], signs), strict=True))
        quotes = None if self.quote is None else found.pop(self.quote, None)
        if quotes is not None:
            outside = ~_inside(quotes)
            found = {sign: bits & outside for sign, bits in found.items()}
        rows = _count(found[self.end])
        if not rows:
            return Split(0, iter(()), 0)
        places = _places(found[self.delimiter] | found[self.end])
        ends = places[self.width - 1 : rows * self.width : self.width]
        # There are no more ends than these places: where these are ends, no other is.
        if len(ends) < rows or not bool((buffer.octets.take(ends) == self.end).all()):
            return None
        past = int(ends[-1]) + 1
        stray = _up_to(found[self._stray], past) if self._stray in found else None
        if block.find(b"\0", 0, past) >= 0 or not self._ended_alike(buffer, ends, stray):
            return None
        quoted = None if quotes is None else _places(_up_to(quotes, past))
        cells = self._cells(buffer, places[: rows * self.width], quoted)
        return None if cells is None else Split(rows, cells, past - len(PAD))

    @property
    def _stray(self) -> int:
        """The line break that is no record's last byte."""
        return _LF if self.end == _CR else _CR

    def _ended_alike(self, buffer: Buffer, ends: Places, stray: Bits | None) -> bool:
        """Say whether no line break lies outside quotes but in the records' own terminators."""
        if stray is None:
            return not self.two
        if not self.two:
            return not stray.any()
        return _count(stray) == len(ends) and bool((buffer.octets.take(ends - 1) == _CR).all())

    def _cells(self, buffer: Buffer, places: Places, quotes: Places | None) -> Iterator[Cells] | None:
        """Give the cells before these places, by column; None in any doubt."""
        stops = places.reshape(-1, self.width).T.copy()
        starts = np.empty_like(stops)
        np.add(stops[:-1], 1, out=starts[1:])
        starts[0, 0] = len(PAD)
        np.add(stops[-1, :-1], 1, out=starts[0, 1:])
        lengths = np.subtract(stops, starts, out=stops)
        if self.two:
            lengths[-1] -= 1
        if self.width == 1 and not lengths.all():
            return None  # to csv an empty line has no cell
        # Looked for only where it can be.
        if len(buffer.data) > self.longest and int(lengths.max()) > self.longest:
            return None
        if quotes is not None and len(quotes):
            regular = self._unquoted(buffer, places, starts, lengths, quotes)
            if regular is None:
                return None
            buffer = regular
        return by_column(buffer, starts, lengths)

    def _unquoted(
        self, buffer: Buffer, places: Places, starts: Places, lengths: Places, quotes: Places
    ) -> Buffer | None:
        """Take the quotes off, in place; give the buffer that the cells then lie in, None in any doubt.

        In doubt is a quote that opens elsewhere than at a cell's start, or closes elsewhere than at its end,
        but for one closed and opened again at once: a doubled one.
        """
        opening, closing = quotes[::2], quotes[1::2]
        before, after = buffer.octets.take(opening - 1), buffer.octets.take(closing + 1)
        doubled = before == self.quote
        # What opens behind a separator opens a cell: by the bits it lies outside quotes, as that does.
        begins = (before == self.delimiter) | (before == self.end) | doubled | (opening == len(PAD))
        finishes = (after == self.delimiter) | (after == self.end) | (after == self.quote)
        if self.two:
            finishes |= after == _CR
        if not begins.all() or not finishes.all():
            return None
        if doubled.any() and not self.doubled:
            return None
        quoted = np.flatnonzero(buffer.octets.take(starts) == self.quote)
        starts.reshape(-1)[quoted] += 1
        lengths.reshape(-1)[quoted] -= 2
        if not doubled.any():
            return buffer
        return _undoubled(buffer, places, starts, lengths, opening[doubled])


def splitter_of(width: int, dialect: Dialect, longest: int) -> Splitter | None:
    """Make a splitter for `width` columns of a dialect; None where `csv` alone can read what it says.

    Args:
        width: columns.
        dialect: how the blocks are written.
        longest: bytes; a block with a longer cell is not split.
    """
    quote, end = dialect.quotechar, dialect.lineterminator
    signs = dialect.delimiter + (quote or "")
    if not width or dialect.escapechar is not None or end not in _ENDS or not signs.isascii():
        return None
    return Splitter(
        width=width,
        delimiter=ord(dialect.delimiter),
        quote=None if quote is None else ord(quote),
        doubled=dialect.doublequote,
        end=_ENDS[end],
        two=len(end) == 2,
        longest=longest,
    )


def _undoubled(buffer: Buffer, places: Places, starts: Places, lengths: Places, seconds: Places) -> Buffer:
    """Write the cells with doubled quotes anew, behind all others, without the `seconds` of each two."""
    columns, rows = starts.shape
    row, column = np.divmod(np.searchsorted(places, seconds), columns)
    at = column * rows + row
    starts, lengths = starts.reshape(-1), lengths.reshape(-1)
    firsts = np.flatnonzero(np.diff(at, prepend=-1))
    which, gone = at[firsts], np.diff(firsts, append=len(at))
    sizes = lengths[which]
    offsets = np.cumsum(sizes) - sizes
    octets = buffer.octets[np.repeat(starts[which] - offsets, sizes) + np.arange(sizes.sum())]
    kept = np.delete(octets, seconds - starts[at] + np.repeat(offsets, gone))
    sizes -= gone
    lengths[which] = sizes
    starts[which] = len(buffer.data) + np.cumsum(sizes) - sizes
    return Buffer(b"".join((buffer.data, kept.tobytes(), PAD)))


# ---- bits


def _bits(octets: Octets, signs: Sequence[int]) -> Bits:
    """Say of each byte behind a PAD whether it is one of the signs: a row for each of these."""
    found = np.zeros((len(signs), -(-len(octets) // _BITS)), "<u8")
    by_octet = found.view(np.uint8)
    each = np.array(signs, np.uint8).reshape(-1, 1)
    for at in range(0, len(octets), _STRIP):
        packed = np.packbits(octets[at : at + _STRIP] == each, axis=1, bitorder="little")
        by_octet[:, at // 8 : at // 8 + packed.shape[1]] = packed
    found[:, : len(PAD) // _BITS] = 0
    return found


def _inside(quotes: Bits) -> Bits:
    """Say of each byte whether an odd number of quotes came up to it."""
    inside = quotes.copy()
    for shift in (1, 2, 4, 8, 16, 32):
        inside ^= inside << np.uint64(shift)
    odd = inside >> np.uint64(_BITS - 1)
    inside[1:] ^= np.uint64(0) - np.bitwise_xor.accumulate(odd)[:-1]
    return inside


def _up_to(bits: Bits, place: int) -> Bits:
    """Give the bits of the bytes before a place."""
    whole, some = divmod(place, _BITS)
    cut = bits[: whole + bool(some)].copy()
    if some:
        cut[-1] &= np.uint64((1 << some) - 1)
    return cut


def _count(bits: Bits) -> int:
    return int(np.bitwise_count(bits).sum())


def _places(bits: Bits) -> Places:
    """Give the places of the bytes whose bit is set."""
    octets = bits.view(np.uint8)
    if _FEW * _count(bits) > _BITS * len(bits):
        return np.flatnonzero(np.unpackbits(octets, bitorder="little").view(np.bool_))
    filled = np.flatnonzero(octets != 0)
    at = np.flatnonzero(np.unpackbits(octets.take(filled), bitorder="little").view(np.bool_))
    return filled.take(at >> 3) * 8 + (at & 7)
