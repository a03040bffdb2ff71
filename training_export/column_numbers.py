"""Columns of integers and numbers, read as words where all cells are of a usual form. Pure."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from contract import numerals
from contract.values import INT64, LARGEST_EXACT, number
from training_export.cells import LONG, WORD, Cells, Mask, Places, Words
from training_export.column_digits import (
    BYTE,
    HIGH,
    MOST_DIGITS,
    TENS,
    ZERO,
    all_of,
    eight_digits,
    read_digits,
    to_the_end,
    word,
)

# Digits of which every number is exactly a double, as is every power of ten up to 10^22.
_EXACT_DIGITS = 15
_MINUS = ord("-")
_LOW, _POINTS = ~HIGH, all_of(ord("."))


def integers(cells: Cells) -> NDArray[np.int64] | None:
    """Read all cells as integers; None where one is none."""
    unsigned = _unsigned(cells)
    if _zero_leads(cells, unsigned):
        return None
    lengths = unsigned.lengths
    if cells.shortest > 0 and int(lengths.min()) > 0 and int(lengths.max()) <= MOST_DIGITS:
        values = _whole(cells, unsigned)
        return None if values is None else _signed(unsigned, values)
    return _integers_by_json(cells)


def _whole(cells: Cells, unsigned: "_Unsigned") -> NDArray[np.int64] | None:
    """Read all cells as digits behind a minus or none, without it; None where one is none."""
    if unsigned.negative is None and cells.longest <= WORD:
        return eight_digits(to_the_end(cells.near[0], cells.lengths))
    return read_digits(cells, cells.lengths, unsigned.lengths)


def _integers_by_json(cells: Cells) -> NDArray[np.int64] | None:
    # JSON's grammar is ours, but for `-0`.
    listed = _listed(cells, b"0123456789-")
    values = None if listed is None else numerals.read_integers(listed, len(cells))
    if values is None or bool((cells.near[0] == word(b"-0")).any()):
        return None
    return np.array(values, np.int64) if min(values) in INT64 and max(values) in INT64 else None


def numbers(cells: Cells) -> NDArray[np.float64] | None:
    """Read all cells as numbers; None where one is none."""
    unsigned = _unsigned(cells)
    # Postcodes are digits throughout: the parser would have most of them listed before it met such a one.
    if _zero_leads(cells, unsigned):
        return None
    values = _decimals(cells, unsigned)
    return _numbers_by_json(cells) if values is None else values


def _decimals(cells: Cells, unsigned: "_Unsigned") -> NDArray[np.float64] | None:
    """Read all cells as digits with a point or none; None where one is of another form, number or not."""
    lengths = unsigned.lengths
    if cells.shortest == 0 or int(lengths.min()) == 0 or int(lengths.max()) > _EXACT_DIGITS + 1:
        return None
    in_one_word = cells.longest <= WORD
    before, digits = (_point_taken_out if in_one_word else _around_point)(cells, unsigned)
    behind = np.maximum(lengths - before - 1, 0)
    # Digits on both sides of a point, or no point at all; and not too many in all.
    if digits is None or int(before.min()) == 0 or bool(((behind == 0) & (before != lengths)).any()):
        return None
    if int((before + behind).max()) > _EXACT_DIGITS:
        return None
    # Both are exactly doubles, so their quotient is the nearest one (Clinger, "How to read floating point
    # numbers accurately").
    return _signed(unsigned, digits / TENS.take(behind))


def _numbers_by_json(cells: Cells) -> NDArray[np.float64] | None:
    listed = _listed(cells, b"0123456789-+.eE")
    read = None if listed is None else numerals.read_numbers(listed, len(cells))
    if read is None:
        return None
    values = np.array(read)
    # From 2^53 on a whole number may be an id whose digits a double has lost: the rule decides each.
    if bool((np.abs(values) >= LARGEST_EXACT).any()) and None in map(number, cells.texts()):
        return None
    return values


def _listed(cells: Cells, signs: bytes) -> bytes | None:
    """Write all cells, commas between and blanks behind; None where one has other than these signs."""
    if cells.longest > LONG:
        listed = b"".join([cell + b"," for cell in cells.octets()])
    else:
        octets = np.empty((len(cells), WORD * len(cells.near) + 1), np.uint8)
        octets[:, :-1] = cells.near.T.copy().view(np.uint8)
        octets[:, -1] = ord(",")
        listed = octets.tobytes()
    return None if listed.translate(None, signs + b",\0") else listed[:-1].replace(b"\0", b" ")


class _Unsigned(NamedTuple):
    """Which cells begin with a minus (None: none does), and where all go on, how long, with which byte."""

    negative: Mask | None
    starts: Places
    lengths: Places
    leads: NDArray[np.uint8]


def _unsigned(cells: Cells) -> _Unsigned:
    leads = cells.buffer.octets.take(cells.starts)
    negative = leads == _MINUS
    if not negative.any():
        return _Unsigned(None, cells.starts, cells.lengths, leads)
    starts = cells.starts + negative
    return _Unsigned(negative, starts, cells.lengths - negative, cells.buffer.octets.take(starts))


def _signed[T: (NDArray[np.int64], NDArray[np.float64])](unsigned: _Unsigned, values: T) -> T | None:
    """Put the minus to the values that have one; None where one is -0."""
    negative = unsigned.negative
    if negative is None:
        return values
    return None if bool((negative & (values == 0)).any()) else np.where(negative, -values, values)


def _zero_leads(cells: Cells, unsigned: _Unsigned) -> bool:
    """Say whether one begins with 0 and goes on with a digit, or a sign that no number has there."""
    if not (unsigned.leads == ZERO).any():
        return False
    return bool(((_unsigned_word(cells, unsigned) & _TWO_LEADS) == _ZERO_LEADS).any())


# A digit's upper half is 3; so is that of `:` to `?`.
_TWO_LEADS, _ZERO_LEADS = word(b"\xff\xf0"), word(b"00")


def _unsigned_word(cells: Cells, unsigned: _Unsigned) -> Words:
    words: Words = cells.near[0]
    if unsigned.negative is not None:
        words = words >> (unsigned.negative * BYTE)
    return words


def _point_taken_out(cells: Cells, unsigned: _Unsigned) -> tuple[Places, NDArray[np.int64] | None]:
    """Give how many bytes come before a point and what all digits are worth without it; of one word."""
    words = _unsigned_word(cells, unsigned)
    below = _below(words, _POINTS)
    before = np.minimum(np.bitwise_count(below) >> 3, unsigned.lengths)
    # What is behind the point moves up to its place; without one, all is below it.
    moved = words >> BYTE
    digits = moved ^ ((moved ^ words) & below)
    return before, eight_digits(to_the_end(digits, unsigned.lengths - (before < unsigned.lengths)))


def _around_point(cells: Cells, unsigned: _Unsigned) -> tuple[Places, NDArray[np.int64] | None]:
    """Give how many bytes come before a point and what all digits are worth without it; of two words."""
    starts, lengths = unsigned.starts, unsigned.lengths
    rest = cells if unsigned.negative is None else Cells(cells.buffer, starts, lengths)
    before = np.bitwise_count(_below(rest.near[0], _POINTS)) >> 3
    if rest.longest > WORD:
        second = np.bitwise_count(_below(rest.near[1], _POINTS)) >> 3
        before = np.where(before == WORD, second + WORD, before)
    before = np.minimum(before, lengths)
    behind = np.maximum(lengths - before - 1, 0)
    if int(behind.max()) > _EXACT_DIGITS:
        return before, None
    whole = read_digits(cells, starts - cells.starts + before, before)
    rest_ = read_digits(cells, cells.lengths, behind)
    return before, None if whole is None or rest_ is None else whole * TENS.take(behind) + rest_


def _below(words: Words, octets: np.uint64) -> Words:
    """Give all bits below the first byte of each word that is the one in `octets`; all where none is."""
    differing = words ^ octets
    # The highest bit of each byte that is 0, exactly; moved down to its lowest.
    there = ~(((differing & _LOW) + _LOW) | differing | _LOW) >> np.uint64(7)
    below: Words = (there - np.uint64(1)) & ~there
    return below
