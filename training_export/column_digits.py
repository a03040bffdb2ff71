"""Digits of cells, eight at a time: a word of eight bytes is one number, and so is what they are worth. Pure.

After Lemire, "Number Parsing at a Gigabyte per Second".
"""

import numpy as np
from numpy.typing import NDArray

from training_export.cells import WORD, Cells, Places, Words

ZERO = ord("0")
# Digits that two words hold; as many make a whole number of 64 bits.
MOST_DIGITS = 2 * WORD

TENS = 10 ** np.arange(MOST_DIGITS + 1, dtype=np.int64)


def word(text: bytes) -> np.uint64:
    """Give eight bytes, or fewer and zeros behind them, as the number that they are in memory."""
    return np.uint64(int.from_bytes(text, "little"))


def all_of(octet: int) -> np.uint64:
    """Give the word of one byte, eight times."""
    return word(bytes([octet]) * WORD)


# The last n bytes of a word.
_LAST = np.array([(1 << 64) - (1 << 8 * (WORD - n)) for n in range(WORD + 1)], np.uint64)
HIGH = all_of(0x80)
_ZEROS = all_of(ZERO)
# Added to a byte, it reaches its highest bit from 10 on.
_NO_DIGIT = all_of(0x76)
BYTE, _WORD_BITS = np.uint64(8), np.uint64(64)


def read_digits(cells: Cells, ends: Places | int, counts: Places | int) -> NDArray[np.int64] | None:
    """Read so many digits before a place in each cell, up to 16, as whole numbers; None where one is none."""
    low = eight_digits((_before(cells, ends) ^ _ZEROS) & _LAST.take(np.minimum(counts, WORD)))
    if low is None or int(np.max(counts)) <= WORD:
        return low
    words = cells.buffer.words[cells.starts + ends - 2 * WORD]
    high = eight_digits((words ^ _ZEROS) & _LAST.take(np.maximum(counts - WORD, 0)))
    return None if high is None else high * TENS[WORD] + low


def to_the_end(words: Words, lengths: Places) -> Words:
    """Move digits from the beginning of words to their end, one at least: there each is its value."""
    moved: Words = (words ^ _ZEROS) << (_WORD_BITS - BYTE * lengths.view(np.uint64))
    return moved


def _before(cells: Cells, ends: Places | int) -> Words:
    """Give the words that end at a place in each cell; what lies before the cell is anything."""
    words: Words
    if isinstance(ends, int):
        words = _from(cells, ends - WORD)
    elif cells.longest <= WORD:
        words = cells.near[0] << (8 * (WORD - ends)).view(np.uint64)
    else:
        words = cells.buffer.words[cells.starts + ends - WORD]
    return words


def _from(cells: Cells, at: int) -> Words:
    """Give the words from a byte of each cell on, which near words hold."""
    number, bits = at // WORD, np.uint64(8 * (at % WORD))
    if not bits:
        return cells.word(number)
    words: Words = (cells.near[number] >> bits) | (cells.near[number + 1] << (_WORD_BITS - bits))
    return words


def eight_digits(words: Words) -> NDArray[np.int64] | None:
    """Give what eight digits are worth, each byte one's value, the first lowest; None where one is none."""
    beyond = words + _NO_DIGIT
    beyond |= words
    if int(np.bitwise_or.reduce(beyond)) & int(HIGH):
        return None
    pairs = in_pairs(words)
    # Of the four pairs the first and third, and the second and fourth, each to its place at once.
    values = pairs & _TWO_PAIRS
    values *= _FIRST_AND_THIRD
    pairs >>= np.uint64(16)
    pairs &= _TWO_PAIRS
    pairs *= _SECOND_AND_FOURTH
    values += pairs
    values >>= np.uint64(32)
    return values.view(np.int64)


# Their products meet in the upper half of a word.
_TWO_PAIRS = np.uint64(0x000000FF000000FF)
_FIRST_AND_THIRD = np.uint64(100 + (1_000_000 << 32))
_SECOND_AND_FOURTH = np.uint64(1 + (10_000 << 32))


def in_pairs(digits: Words) -> Words:
    """Give words where the first byte of two digits is what both are worth, and the second is anything."""
    pairs = digits * np.uint64(10)
    pairs += digits >> BYTE
    return pairs
