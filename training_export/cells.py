"""Cells of a column as places in one buffer of UTF-8, read eight bytes at a time. Pure.

A text object a cell is what a scan in Python spends most of its time on. Here a column of a block is two
arrays, where its cells start and how long they are, and whatever is asked of them is asked of all at once:
eight bytes of a cell are one number, and bytes are tested, compared and turned into values eight at a time
(after Lemire, "Number Parsing at a Gigabyte per Second").

No cell holds a NUL (it is refused before): so words that are filled up with zeros tell cells apart.
"""

import zlib
from collections.abc import Iterable, Iterator, Sequence
from functools import cached_property
from itertools import accumulate

import numpy as np
from numpy.typing import NDArray

type Places = NDArray[np.intp]
type Words = NDArray[np.uint64]
type Mask = NDArray[np.bool_]
type Counts = NDArray[np.int32]

WORD = 8
# The first words of all cells are read together, which costs little more than reading one.
NEAR = 8
# Whole words are read before the first and behind the last byte of a cell: so much must be there.
PAD = b"\n" * (NEAR * WORD)
# So many cells keep a call of numpy busy: of fewer, those of several columns are read together.
TOGETHER = 8192
# Longer cells are few in a block, and are read one by one.
LONG = NEAR * WORD

# glibc gives an array of a block's size back to the system, which clears it anew each time, until it has once
# seen a larger one freed (mallopt(3), M_MMAP_THRESHOLD): a fifth of a scan's time. This is never written to.
_FREED_ONCE = 16 * 1024 * 1024
bytes(_FREED_ONCE)

_FIRST = np.array([(1 << 8 * n) - 1 for n in range(WORD + 1)], np.uint64)
_EACH_BYTE = np.uint64(0x0101010101010101)
_HIGH = 0x8080808080808080  # no byte of ASCII has it
_MULTIPLIERS = np.array([0x9E3779B97F4A7C15, 0xBF58476D1CE4E5B9, 0x94D049BB133111EB], np.uint64)
_HALF, _SHIFT = np.uint64(32), np.uint64(29)


class Buffer:
    """Bytes, PAD before and behind what cells lie in, to be read as bytes and as words at any place."""

    def __init__(self, data: bytes) -> None:
        self.data = data
        self.octets = np.frombuffer(data, np.uint8)
        self.words: Words = np.ndarray((len(data) - WORD + 1,), "<u8", data, strides=(1,))

    @cached_property
    def going_on(self) -> Counts | None:
        """How many bytes up to each place go on with a character, that one included; None where none does."""
        if self.data.isascii():
            return None
        return np.cumsum((self.octets & 0xC0) == 0x80, dtype=np.int32)


class Cells:
    """Cells of one column, in order: those of `buffer` at `starts`, `lengths` bytes each."""

    def __init__(self, buffer: Buffer, starts: Places, lengths: Places) -> None:
        self.buffer = buffer
        self.starts = starts
        self.lengths = lengths
        self._among: tuple[Cells, Places | slice] | None = None

    @classmethod
    def of(cls, texts: Sequence[str]) -> "Cells":
        """Lay out texts as cells."""
        encoded = [text.encode() for text in texts]
        lengths = np.fromiter(map(len, encoded), np.intp, len(encoded))
        starts = np.fromiter(accumulate(map(len, encoded[:-1]), initial=len(PAD)), np.intp, len(encoded))
        return cls(Buffer(b"".join((PAD, *encoded, PAD))), starts, lengths)

    def __len__(self) -> int:
        return len(self.starts)

    def some(self, which: Places | slice) -> "Cells":
        """Give those at these indexes; what has been read of all is taken from there, and not read again."""
        some = Cells(self.buffer, _at(self.starts, which), _at(self.lengths, which))
        some._among = self, which
        return some

    def texts(self) -> list[str]:
        """Give each as a text."""
        return [cell.decode() for cell in self.octets()]

    def octets(self) -> list[bytes]:
        """Give the bytes of each."""
        data, ends = self.buffer.data, self.starts + self.lengths
        return [data[start:end] for start, end in zip(self.starts.tolist(), ends.tolist(), strict=True)]

    @cached_property
    def shortest(self) -> int:
        """Bytes of the shortest; there must be one."""
        return int(self.lengths.min())

    @cached_property
    def longest(self) -> int:
        """Bytes of the longest; there must be one."""
        return int(self.lengths.max())

    @cached_property
    def near(self) -> Words:
        """Each cell's first words, up to NEAR as far as the longest goes, the first byte lowest.

        Of shape (words, cells), with zeros behind a cell's end.
        """
        count = min(max(-(-self.longest // WORD), 1), NEAR)
        if self._among and "near" in self._among[0].__dict__:
            whole, which = self._among
            return _at(whole.near[:count], which)
        read = np.ndarray(
            (len(self.buffer.data) - WORD * count + 1,), f"V{WORD * count}", self.buffer.data, strides=(1,)
        )
        near: Words = read[self.starts].view("<u8").reshape(-1, count).T
        if count > 1:
            near = near.copy()
        for number, words in enumerate(near):
            self._clear(words, WORD * number)
        return near

    def _clear(self, words: Words, at: int) -> None:
        """Put zeros behind the ends of cells in words from their byte `at` on."""
        if self.shortest >= at + WORD:
            return
        if self.shortest == self.longest:
            words &= _FIRST[max(self.longest - at, 0)]
        else:
            # Clipped: of a cell that ends before, no byte is left, and of one that goes on, eight.
            words &= _FIRST.take(self.lengths - at if at else self.lengths, mode="clip")

    def word(self, number: int) -> Words:
        """Give each cell's word from its byte 8 x number on, below LONG, as they are in `near`."""
        near: Words = self.near[number] if number < len(self.near) else np.zeros(len(self), np.uint64)
        return near

    @cached_property
    def hashes(self) -> Words:
        """A hash of 64 bits of each; the same for the same text, always. It tells cells of one word apart."""
        if self._among and "hashes" in self._among[0].__dict__:
            whole, which = self._among
            return _at(whole.hashes, which)
        hashes: Words = self.near[0] * _MULTIPLIERS[0]
        hashes ^= hashes >> _HALF
        for number, words in enumerate(self.near[1:], 1):
            mixed = (hashes ^ words) * _MULTIPLIERS[1]
            mixed ^= mixed >> _SHIFT
            goes_on = self.shortest > WORD * number
            hashes = mixed if goes_on else np.where(self.lengths > WORD * number, mixed, hashes)
        if self.longest > LONG:
            long = np.flatnonzero(self.lengths > LONG)
            hashes[long] ^= _checksums(self.some(long).octets())
        hashes *= _MULTIPLIERS[2]
        hashes ^= hashes >> _HALF
        return hashes

    def characters(self) -> Places:
        """Count the characters of each: its bytes without those that go on with one."""
        if self.longest > LONG:
            up_to, last = self.buffer.going_on, self.starts - 1
            return self.lengths if up_to is None else self.lengths - up_to[last + self.lengths] + up_to[last]
        if not int(np.bitwise_or.reduce(self.near, axis=None)) & _HIGH:
            return self.lengths
        going_on = np.bitwise_count((self.near >> np.uint64(7)) & ~(self.near >> np.uint64(6)) & _EACH_BYTE)
        return self.lengths - going_on.sum(axis=0, dtype=np.intp)

    def shared_start(self) -> str:
        """Give what all begin with, up to LONG bytes; there must be one."""
        shared = min(self.shortest, LONG)
        for number, words in enumerate(self.near):
            differing = int(np.bitwise_or.reduce(words ^ words[0]))
            if differing:
                alike = ((differing & -differing).bit_length() - 1) // 8
                shared = min(shared, WORD * number + alike)
                break
        start = int(self.starts[0])
        return self.buffer.data[start : start + shared].decode(errors="ignore")


def by_column(buffer: Buffer, starts: Places, lengths: Places) -> Iterator[Cells]:
    """Give the cells of each column, whose starts and lengths are a row of each."""
    columns, rows = starts.shape
    count = max(TOGETHER // rows, 1)
    for at in range(0, columns, count):
        yield from _band(buffer, starts[at : at + count], lengths[at : at + count])


def _band(buffer: Buffer, starts: Places, lengths: Places) -> Iterable[Cells]:
    """Give the cells of a few columns, read and hashed together where columns take as many words."""
    rows = starts.shape[1]
    if len(starts) == 1:
        return [Cells(buffer, starts[0], lengths[0])]
    band: dict[int, Cells] = {}
    words = np.minimum(-(-lengths.max(axis=1) // WORD), NEAR)
    for count in set(words.tolist()):
        alike = np.flatnonzero(words == count)
        together = Cells(buffer, starts[alike].reshape(-1), lengths[alike].reshape(-1))
        _ = together.hashes
        for at, column in enumerate(alike.tolist()):
            band[column] = together.some(slice(rows * at, rows * (at + 1)))
    return [band[column] for column in range(len(starts))]


def _at[T: (Words, Places)](array: T, which: Places | slice) -> T:
    # By the last axis; several times as fast as indexing by an array.
    return array[..., which] if isinstance(which, slice) else array.take(which, axis=-1)


def _checksums(cells: Sequence[bytes]) -> Words:
    upper = np.fromiter(map(zlib.crc32, cells), np.uint64, len(cells))
    return (upper << _HALF) | np.fromiter(map(zlib.adler32, cells), np.uint64, len(cells))
