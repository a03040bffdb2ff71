"""Cells of a column as places in one buffer of UTF-8, read eight bytes at a time. Pure.

A text object a cell is what a scan in Python spends most of its time on. Here a column of a block is two
arrays, where its cells start and how long they are, and whatever is asked of them is asked of all at once:
the eight bytes of a cell from its k-th word on are a number, and so are all cells' (after simdjson's "number
parsing at a gigabyte per second": bytes are tested and turned into values as whole words).

No cell holds a NUL (csv_scan.py refuses it): so words that are filled up with zeros tell cells apart.
"""

from collections.abc import Sequence
from functools import cached_property
from hashlib import blake2b
from itertools import accumulate

import numpy as np
from numpy.typing import NDArray

type Places = NDArray[np.intp]
type Words = NDArray[np.uint64]
type Mask = NDArray[np.bool_]

WORD = 8
# Whole words are read before the first and behind the last byte of a cell: so much must be there.
PAD = b"\n" * (2 * WORD)
# The words of longer cells are not all looked at; what needs them goes by their texts.
LONG = 32 * WORD

_FIRST = np.array([(1 << 8 * n) - 1 for n in range(WORD + 1)], np.uint64)
_SIGN = np.uint64(0x0101010101010101)
_MULTIPLIERS = np.array([0x9E3779B97F4A7C15, 0xBF58476D1CE4E5B9, 0x94D049BB133111EB], np.uint64)
_HALF, _SHIFT = np.uint64(32), np.uint64(29)


class Buffer:
    """Bytes, PAD before and behind what cells lie in, to be read as bytes and as words at any place."""

    __slots__ = ("data", "octets", "words")

    def __init__(self, data: bytes) -> None:
        self.data = data
        self.octets = np.frombuffer(data, np.uint8)
        self.words: Words = np.ndarray((len(data) - WORD + 1,), "<u8", data, strides=(1,))


class Cells:
    """Cells of one column, in order: those of `buffer` at `starts`, `lengths` bytes each."""

    def __init__(self, buffer: Buffer, starts: Places, lengths: Places) -> None:
        self.buffer = buffer
        self.starts = starts
        self.lengths = lengths

    @classmethod
    def of(cls, texts: Sequence[str]) -> "Cells":
        """Lay out texts as cells."""
        encoded = [text.encode() for text in texts]
        lengths = np.fromiter(map(len, encoded), np.intp, len(encoded))
        starts = np.fromiter(accumulate(map(len, encoded[:-1]), initial=len(PAD)), np.intp, len(encoded))
        return cls(Buffer(b"".join((PAD, *encoded, PAD))), starts, lengths)

    def __len__(self) -> int:
        return len(self.starts)

    def some(self, which: Places | Mask) -> "Cells":
        """Give those at these indexes, or where the mask is true."""
        return Cells(self.buffer, self.starts[which], self.lengths[which])

    def texts(self) -> list[str]:
        """Give each as a text."""
        data = self.buffer.data
        ends = self.starts + self.lengths
        return [
            data[start:end].decode() for start, end in zip(self.starts.tolist(), ends.tolist(), strict=True)
        ]

    @cached_property
    def shortest(self) -> int:
        """Bytes of the shortest; there must be one."""
        return int(self.lengths.min())

    @cached_property
    def longest(self) -> int:
        """Bytes of the longest; there must be one."""
        return int(self.lengths.max())

    def word(self, number: int) -> Words:
        """Give each cell's word from its byte 8 x number on, the first byte lowest, zeros behind its end."""
        at = WORD * number
        if self.shortest >= at + WORD:
            return self._words_at(self.starts + at)
        if self.shortest == self.longest:
            kept: np.uint64 = _FIRST[max(self.longest - at, 0)]
            return self._words_at(self.starts + min(at, self.longest)) & kept
        if at == 0:
            return self._words_at(self.starts) & _FIRST.take(np.minimum(self.lengths, WORD))
        left = np.minimum(np.maximum(self.lengths, at), at + WORD) - at
        return self._words_at(self.starts + np.minimum(self.lengths, at)) & _FIRST.take(left)

    def _words_at(self, places: Places) -> Words:
        # Not take(): it would first copy all words to where they are aligned.
        words: Words = self.buffer.words[places]
        return words

    @cached_property
    def first_word(self) -> Words:
        """The word that most is decided by."""
        return self.word(0)

    @cached_property
    def later_words(self) -> list[tuple[Places | slice, Words]]:
        """Word by word from the second on: which cells go on so far, and theirs; none beyond LONG."""
        words: list[tuple[Places | slice, Words]] = []
        for number in range(1, -(-min(self.longest, LONG) // WORD)):
            if self.shortest > WORD * number:
                words.append((slice(None), self.word(number)))
            else:
                live = np.flatnonzero(self.lengths > WORD * number)
                words.append((live, self.some(live).word(number)))
        return words

    @cached_property
    def hashes(self) -> Words:
        """A hash of 64 bits of each; the same for the same text, always. It tells cells of one word apart."""
        hashes: Words = self.first_word * _MULTIPLIERS[0]
        hashes ^= hashes >> _HALF
        for live, words in self.later_words:
            mixed = (hashes[live] ^ words) * _MULTIPLIERS[1]
            mixed ^= mixed >> _SHIFT
            hashes[live] = mixed
        hashes *= _MULTIPLIERS[2]
        hashes ^= hashes >> _HALF
        if self.longest > LONG:
            for at in np.flatnonzero(self.lengths > LONG).tolist():
                start = int(self.starts[at])
                cell = self.buffer.data[start : start + int(self.lengths[at])]
                hashes[at] = int.from_bytes(blake2b(cell, digest_size=WORD).digest())
        return hashes

    def characters(self) -> Places:
        """Count the characters of each: its bytes without those that go on with one."""
        counts = self.lengths - _going_on(self.first_word)
        for live, words in self.later_words:
            counts[live] -= _going_on(words)
        if self.longest > LONG:
            long = np.flatnonzero(self.lengths > LONG)
            counts[long] = np.fromiter(map(len, self.some(long).texts()), np.intp, len(long))
        return counts

    def shared_start(self) -> str:
        """Give what all begin with, up to LONG bytes; there must be one."""
        shared = min(self.shortest, LONG)
        for number in range(-(-shared // WORD)):
            words = self.word(number)
            differing = int(np.bitwise_or.reduce(words ^ words[0]))
            if differing:
                alike = ((differing & -differing).bit_length() - 1) // 8
                shared = min(shared, WORD * number + alike)
                break
        start = int(self.starts[0])
        return self.buffer.data[start : start + shared].decode(errors="ignore")


def _going_on(words: Words) -> NDArray[np.uint8]:
    """Count the bytes 10xxxxxx in each word."""
    return np.bitwise_count((words >> np.uint64(7)) & ~(words >> np.uint64(6)) & _SIGN)
