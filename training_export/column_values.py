"""What the cells of a column are worth, many at once. Pure.

The rules are contract/values.py's. Here whole columns of their usual forms are read as words, a few
operations for all cells where one call a cell would cost a hundred times as much; whatever is of another form
goes to the rules, or to a C parser of the same grammar. tests/unit/training_export proves that all agree.
"""

from collections.abc import Callable, Mapping
from datetime import date

import numpy as np
from numpy.typing import NDArray

from contract import numerals
from contract.facts import ColumnType
from contract.values import INT64, LARGEST_EXACT, moment, number, seconds
from training_export.cells import LONG, WORD, Cells, Mask, Places, Words

type Values = NDArray[np.int64] | NDArray[np.float64]

# Digits that two words hold; as many make a whole number of 64 bits.
_MOST_DIGITS = 2 * WORD
# Digits of which every number is exactly a double, as is every power of ten up to 10^22.
_EXACT_DIGITS = 15

_TENS = 10 ** np.arange(_MOST_DIGITS + 1, dtype=np.int64)
_POINT, _MINUS, _ZERO, _ZULU = ord("."), ord("-"), ord("0"), ord("Z")


def _word(text: bytes) -> np.uint64:
    return np.uint64(int.from_bytes(text, "little"))


def _all(octet: int) -> np.uint64:
    return _word(bytes([octet]) * WORD)


# Of n digits at the end of a word: what is no digit before them, and zeros in its place.
_LAST = np.array([(1 << 64) - (1 << 8 * (WORD - n)) for n in range(WORD + 1)], np.uint64)
_ZEROS = np.array([int.from_bytes(b"0" * (WORD - n), "little") for n in range(WORD + 1)], np.uint64)
_HIGH, _LOW = _all(0x80), _all(0x7F)
# Added to a byte, these reach its highest bit from 10 on, and from 1 on.
_NO_DIGIT, _NOT_NIL = 0x76, 0x7F


def integers(cells: Cells) -> NDArray[np.int64] | None:
    """Read all cells as integers; None where one is none."""
    negative, starts, lengths = _unsigned(cells)
    if cells.shortest > 0 and int(lengths.min()) > 0 and int(lengths.max()) <= _MOST_DIGITS:
        values = _digits(cells, cells.lengths, lengths)
        if values is None or _zero_leads(cells, starts, lengths):
            return None
        if negative is None:
            return values
        return None if bool((negative & (values == 0)).any()) else np.where(negative, -values, values)
    return _integers_by_json(cells)


def _integers_by_json(cells: Cells) -> NDArray[np.int64] | None:
    # JSON's grammar is ours, but for `-0`.
    listed = _listed(cells, b"0123456789-")
    values = None if listed is None else numerals.read_integers(listed, len(cells))
    if values is None or bool((cells.near[0] == _word(b"-0")).any()):
        return None
    return np.array(values, np.int64) if min(values) in INT64 and max(values) in INT64 else None


def numbers(cells: Cells) -> NDArray[np.float64] | None:
    """Read all cells as numbers; None where one is none."""
    values = _decimals(cells)
    return _numbers_by_json(cells) if values is None else values


def _decimals(cells: Cells) -> NDArray[np.float64] | None:
    """Read all cells as digits with a point or none; None where one is of another form, number or not."""
    negative, starts, lengths = _unsigned(cells)
    if cells.shortest == 0 or int(lengths.min()) == 0 or int(lengths.max()) > _EXACT_DIGITS + 1:
        return None
    before = _before_point(cells, starts, lengths)
    behind = np.maximum(lengths - before - 1, 0)
    # Digits on both sides of a point, or no point at all; and not too many in all.
    if int(before.min()) == 0 or bool(((behind == 0) & (before != lengths)).any()):
        return None
    if int((before + behind).max()) > _EXACT_DIGITS or _zero_leads(cells, starts, before):
        return None
    whole = _digits(cells, starts - cells.starts + before, before)
    rest = _digits(cells, cells.lengths, behind)
    if whole is None or rest is None:
        return None
    scale = _TENS.take(behind)
    # Both are exactly doubles, so their quotient is the nearest one (Clinger, "How to read floating point
    # numbers accurately").
    values: NDArray[np.float64] = (whole * scale + rest) / scale
    if negative is None:
        return values
    return None if bool((negative & (values == 0)).any()) else np.where(negative, -values, values)


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


def _unsigned(cells: Cells) -> tuple[Mask | None, Places, Places]:
    """Give which cells begin with a minus, None where none does, and where all go on, how long."""
    negative = cells.buffer.octets.take(cells.starts) == _MINUS
    if not negative.any():
        return None, cells.starts, cells.lengths
    return negative, cells.starts + negative, cells.lengths - negative


def _zero_leads(cells: Cells, starts: Places, lengths: Places) -> bool:
    """Say whether one of several digits begins with 0."""
    leads = cells.buffer.octets.take(starts) == _ZERO
    return bool((leads & (lengths > 1)).any())


def _before_point(cells: Cells, starts: Places, lengths: Places) -> Places:
    """Count the bytes before the first point of each, all where there is none; of up to two words."""
    rest = cells if starts is cells.starts else Cells(cells.buffer, starts, lengths)
    first = _place_of(rest.near[0], _POINT)
    if rest.longest > WORD:
        first = np.where(first == WORD, _place_of(rest.near[1], _POINT) + WORD, first)
    return np.minimum(first, lengths)


def _place_of(words: Words, octet: int) -> Places:
    """Give where a byte first stands in each word, 8 where it does not."""
    differing = words ^ _all(octet)
    there = ~(((differing & _LOW) + _LOW) | differing | _LOW)
    return (np.bitwise_count((there & (np.uint64(0) - there)) - np.uint64(1)) >> 3).astype(np.intp)


def _digits(cells: Cells, ends: Places, counts: Places) -> NDArray[np.int64] | None:
    """Read so many digits before a place in each cell, up to 16, as whole numbers; None where one is none."""
    low = _eight_digits(_before(cells, ends), np.minimum(counts, WORD))
    if low is None or int(counts.max()) <= WORD:
        return low
    high = _eight_digits(cells.buffer.words[cells.starts + ends - 2 * WORD], np.maximum(counts - WORD, 0))
    return None if high is None else high * _TENS[WORD] + low


def _before(cells: Cells, ends: Places) -> Words:
    """Give the words that end at a place in each cell; what lies before the cell is anything."""
    if cells.longest <= WORD:
        words: Words = cells.near[0] << (8 * (WORD - ends)).view(np.uint64)
    else:
        words = cells.buffer.words[cells.starts + ends - WORD]
    return words


def _from(cells: Cells, at: int) -> Words:
    """Give the words from a byte of each cell on, which two near words hold."""
    number, bits = at // WORD, np.uint64(8 * (at % WORD))
    words: Words = (cells.near[number] >> bits) | (cells.near[number + 1] << (np.uint64(64) - bits))
    return words


def _eight_digits(words: Words, counts: Places) -> NDArray[np.int64] | None:
    words = words & _LAST.take(counts) | _ZEROS.take(counts)
    words ^= _all(_ZERO)
    if int(np.bitwise_or.reduce((words + _all(_NO_DIGIT)) | words)) & int(_HIGH):
        return None
    return _value_of(words)


def _value_of(words: Words) -> NDArray[np.int64]:
    """Give what eight digits, one a byte, the first lowest, are worth: in pairs, fours, eights."""
    words = (words * np.uint64(10) + (words >> np.uint64(8))) & np.uint64(0x00FF00FF00FF00FF)
    words = (words * np.uint64(100) + (words >> np.uint64(16))) & np.uint64(0x0000FFFF0000FFFF)
    return ((words * np.uint64(10_000) + (words >> np.uint64(32))) & np.uint64(0xFFFFFFFF)).view(np.int64)


# ---- dates and times


def _pattern(text: bytes) -> tuple[np.uint64, np.uint64]:
    """Give a form, 0 where a digit stands, and what takes a byte that is not of it to its highest bit."""
    highs = (_NO_DIGIT if octet == _ZERO else _NOT_NIL for octet in text)
    return _word(text), _word(bytes(highs))


_YEAR, _DAY, _CLOCK, _OFFSET = map(_pattern, (b"0000-00-", b"00-00-00", b"00:00:00", b"00:00\0\0\0"))
_FIVE_BYTES = np.uint64((1 << 40) - 1)
_DATE_BYTES, _TIME_BYTES, _OFFSET_BYTES, _MOST_FRACTION = 10, 19, 6, 9
_DAY_S = 86_400

_YEARS = range(1, 10_000)
# By the year: is it a leap year, and on which day since 1970 does it begin?
_LEAP = np.array([False, *(date(year, 12, 31).timetuple().tm_yday == 366 for year in _YEARS)])
_NEW_YEAR = np.array([0, *(date(year, 1, 1).toordinal() for year in _YEARS)]) - date(1970, 1, 1).toordinal()
# By 16 times a leap year and the month: days of it, and days before it.
_MONTHS = np.zeros((2, 16), np.int64)
_MONTHS[:, 1:13] = [[31, february, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31] for february in (28, 29)]
_BEFORE = np.cumsum(_MONTHS, axis=1) - _MONTHS


def days(cells: Cells) -> NDArray[np.float64] | None:
    """Read all cells as dates, in seconds since 1970; None where one is none."""
    if not cells.shortest == cells.longest == _DATE_BYTES:
        return None
    since = _days(cells)
    return None if since is None else (since * _DAY_S).astype(np.float64)


def _days(cells: Cells) -> NDArray[np.int64] | None:
    """Read what all cells begin with as dates, in days since 1970; None where one does not."""
    front, back = _pairs(cells.near[0], _YEAR), _pairs(_from(cells, 2), _DAY)
    if front is None or back is None:
        return None
    year, month, day = _octet(front, 0) * 100 + _octet(front, 2), _octet(back, 3), _octet(back, 6)
    if int(year.min()) < 1 or int(month.max()) > 12 or int(day.min()) < 1:
        return None
    months = _LEAP.take(year) * 16 + month
    if bool((day > _MONTHS.take(months)).any()):
        return None
    since: NDArray[np.int64] = _NEW_YEAR.take(year) + _BEFORE.take(months) + day - 1
    return since


def moments(cells: Cells) -> NDArray[np.float64] | None:
    """Read all cells as datetimes, in seconds since 1970; None where one is none."""
    values = _usual_moments(cells)
    return _moments_by_rule(cells) if values is None else values


def _moments_by_rule(cells: Cells) -> NDArray[np.float64] | None:
    (first,) = cells.some(slice(1)).texts()
    canonical = None if moment(first) is None else list(map(moment, cells.texts()))
    if canonical is None or None in canonical:
        return None
    return np.array([seconds(text) for text in canonical if text])


def _usual_moments(cells: Cells) -> NDArray[np.float64] | None:
    """Read all cells as datetimes; None where one is of another form, datetime or not."""
    if cells.shortest < _TIME_BYTES:
        return None
    between = cells.buffer.octets.take(cells.starts + _DATE_BYTES)
    if not bool(((between == ord("T")) | (between == ord(" "))).all()):
        return None
    since, clock, zone = _days(cells), _clock(cells), _zones(cells)
    if since is None or clock is None or zone is None:
        return None
    zone_bytes, offset = zone
    # In the first and last year a zone can leave the calendar.
    if offset is not None and (since.min() < _NEW_YEAR[2] or since.max() >= _NEW_YEAR[9999]):
        return None
    fraction = _fractions(cells, cells.lengths - zone_bytes - _TIME_BYTES)
    if fraction is None:
        return None
    whole = since * _DAY_S + clock
    return (whole if offset is None else whole - offset) + fraction


def _clock(cells: Cells) -> NDArray[np.int64] | None:
    """Read the times of day in all cells, in seconds, without fractions."""
    pairs = _pairs(_from(cells, _DATE_BYTES + 1), _CLOCK)
    if pairs is None:
        return None
    hour, minute, second = _octet(pairs, 0), _octet(pairs, 3), _octet(pairs, 6)
    if int(hour.max()) > 23 or int(minute.max()) > 59 or int(second.max()) > 59:
        return None
    return hour * 3600 + minute * 60 + second


def _zones(cells: Cells) -> tuple[Places, NDArray[np.int64] | None] | None:
    """Give how many bytes of each cell name a zone, and how many seconds that is ahead, None for none."""
    ends = cells.starts + cells.lengths
    zulu = cells.buffer.octets.take(ends - 1) == _ZULU
    if cells.shortest == cells.longest == _TIME_BYTES or bool(zulu.all()):
        return zulu.astype(np.intp), None
    sign = cells.buffer.octets.take(ends - _OFFSET_BYTES)
    ahead = (sign == ord("+")) & (cells.lengths >= _TIME_BYTES + _OFFSET_BYTES) & ~zulu
    behind = (sign == _MINUS) & (cells.lengths >= _TIME_BYTES + _OFFSET_BYTES) & ~zulu
    with_offset = np.flatnonzero(ahead | behind)
    if not len(with_offset):
        return zulu.astype(np.intp), None
    pairs = _pairs(cells.buffer.words[ends[with_offset] - _OFFSET_BYTES + 1] & _FIVE_BYTES, _OFFSET)
    if pairs is None or int(_octet(pairs, 0).max()) > 23 or int(_octet(pairs, 3).max()) > 59:
        return None
    offset = np.zeros(len(cells), np.int64)
    offset[with_offset] = _octet(pairs, 0) * 3600 + _octet(pairs, 3) * 60
    return zulu + _OFFSET_BYTES * (ahead | behind), np.where(behind, -offset, offset)


def _fractions(cells: Cells, sizes: Places) -> NDArray[np.float64] | None:
    """Read the fractions of a second of all cells, so many bytes each, a point among them; 0 where none."""
    least, most = int(sizes.min()), int(sizes.max())
    if least == most == 0:
        return np.zeros(len(cells))
    if least < 0 or most > 1 + _MOST_FRACTION or bool((sizes == 1).any()):
        return None
    points = cells.buffer.octets.take(cells.starts + _TIME_BYTES) == _POINT
    if not bool((points | (sizes == 0)).all()):
        return None
    counts = np.maximum(sizes - 1, 0)
    digits = _digits(cells, _TIME_BYTES + sizes, counts)
    return None if digits is None else digits / _TENS.take(counts)


def _pairs(words: Words, pattern: tuple[np.uint64, np.uint64]) -> Words | None:
    """Read words by their pattern; None where one is of another form.

    Where two digits stand, the first one's byte is then what both are worth.
    """
    form, highs = pattern
    words = words ^ form
    if int(np.bitwise_or.reduce((words + highs) | words)) & int(_HIGH):
        return None
    return words * np.uint64(10) + (words >> np.uint64(8))


def _octet(words: Words, number: int) -> NDArray[np.int64]:
    return ((words >> np.uint64(8 * number)) & np.uint64(0xFF)).view(np.int64)


VALUES: Mapping[ColumnType, Callable[[Cells], Values | None]] = {
    "integer": integers,
    "number": numbers,
    "date": days,
    "datetime": moments,
}
"""How non-empty cells of a type are read at once, narrowest type first."""
