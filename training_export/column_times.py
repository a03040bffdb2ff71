"""Columns of dates and datetimes, read as words where all cells are of a usual form. Pure."""

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from contract.values import moment, seconds
from training_export.cells import WORD, Cells, Places, Words
from training_export.column_digits import BYTE, HIGH, TENS, in_pairs, read_digits, word

_POINT, _MINUS, _ZULU = ord("."), ord("-"), ord("Z")


class _Form(NamedTuple):
    """The least that each byte of a word may be, and what takes one beyond the most to its highest bit."""

    least: np.uint64
    highs: np.uint64


def _form(least: bytes, most: bytes) -> _Form:
    highs = bytes(0x7F - (last - first) for first, last in zip(least, most, strict=True))
    return _Form(word(least), word(highs.ljust(WORD, b"\x7f")))


# The words of a date, and of a datetime, whose third is cut behind the second.
_YEAR_MONTH = _form(b"0000-00-", b"9999-19-")
_DAY = _form(b"00", b"39")
_DAY_TIME = _form(b"00T00:00", b"39T29:59")
_SECOND = _form(b":00", b":59")
_OFFSET = _form(b"00:00", b"29:59")
_THREE_BYTES, _FIVE_BYTES = np.uint64((1 << 24) - 1), np.uint64((1 << 40) - 1)
_DATE_BYTES, _TIME_BYTES, _OFFSET_BYTES, _MOST_FRACTION = 10, 19, 6, 9
_DAY_S = 86_400


def _calendar() -> NDArray[np.int32]:
    """Give the table of all months, indexed by 20 x year + month.

    An entry is 32 x (days from 1970 to the month's first day) + its number of days; 0 where there is no such
    month.
    """
    # The calendar repeats every 400 years: so little is computed that import leaves no memory behind.
    months = np.arange(np.datetime64("2000-01", "M"), np.datetime64("2400-02", "M"))
    firsts = months.astype("M8[D]").astype(np.int64)
    days_ = np.diff(firsts)
    calendar = np.zeros((10_000, _MONTHS), np.int32)
    for year in range(0, 10_000, 400):
        moved = firsts[:-1] + (year - 2000) // 400 * (firsts[-1] - firsts[0])
        calendar[year : year + 400, 1:13] = (32 * moved + days_).reshape(-1, 12)
    calendar[0] = 0  # no year either
    return calendar.reshape(-1)


# As many as two digits can tell of which the first is 0 or 1.
_MONTHS = 20
_CALENDAR = _calendar()
_YEAR_2, _YEAR_9999 = (int(_CALENDAR[year * _MONTHS + 1]) // 32 for year in (2, 9999))


def days(cells: Cells) -> NDArray[np.float64] | None:
    """Read all cells as dates, in seconds since 1970; None where one is none."""
    if not cells.shortest == cells.longest == _DATE_BYTES:
        return None
    since = _days(cells, _pairs(cells.near[1], _DAY))
    return None if since is None else (since * _DAY_S).astype(np.float64)


def _days(cells: Cells, back: Words | None) -> NDArray[np.int64] | None:
    """Read the dates in first words and these pairs, in days since 1970; None where one is none."""
    front = None if back is None else _pairs(cells.near[0], _YEAR_MONTH)
    if front is None or back is None:
        return None
    months = _CALENDAR.take(_sum_of_pairs(front, _CENTURY_YEAR_MONTH)).astype(np.int64)
    day = back & _PAIR
    day -= np.uint64(1)  # day 0 wraps, and is beyond every month
    if bool((day >= (months & 31).view(np.uint64)).any()):
        return None
    months >>= 5
    months += day.view(np.int64)
    return months


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
    back = _pairs(cells.near[1], _DAY_TIME)
    if back is None:
        back = _pairs(_with_t(cells.near[1]), _DAY_TIME)
    since, clock, zone = _days(cells, back), _clock(cells, back), _zones(cells)
    if since is None or clock is None or zone is None:
        return None
    zone_bytes, offset = zone
    # In the first and last year a zone can leave the calendar.
    if offset is not None and (since.min() < _YEAR_2 or since.max() >= _YEAR_9999):
        return None
    even = isinstance(zone_bytes, int) and cells.shortest == cells.longest
    fraction = _fractions(cells, (cells.longest if even else cells.lengths) - zone_bytes - _TIME_BYTES)
    if fraction is None:
        return None
    since *= _DAY_S
    since += clock
    if offset is not None:
        since -= offset
    return since.astype(np.float64) + fraction


def _with_t(words: Words) -> Words:
    """Put a T in the place of a blank between date and time, in the second words of datetimes."""
    blank = (words & _BETWEEN) == _BLANK
    return np.where(blank, words ^ _BLANK ^ _T, words)


_BETWEEN, _BLANK, _T = map(word, (b"\0\0\xff", b"\0\0 ", b"\0\0T"))


def _clock(cells: Cells, back: Words | None) -> NDArray[np.int64] | None:
    """Read the times of day in these pairs and in all cells' third words, in seconds, without fractions."""
    seconds_ = None if back is None else _pairs(cells.near[2] & _THREE_BYTES, _SECOND)
    if seconds_ is None or back is None:
        return None
    clock = _sum_of_pairs(back, _HOUR_MINUTE)
    clock *= 60
    clock += ((seconds_ >> BYTE) & _PAIR).view(np.int64)
    return None if int(clock.max()) >= _DAY_S else clock


def _zones(cells: Cells) -> tuple[Places | int, NDArray[np.int64] | None] | None:
    """Give how many bytes of each cell name a zone, and how many seconds that is ahead, None for none."""
    if cells.shortest == cells.longest == _TIME_BYTES:
        return 0, None
    ends = cells.starts + cells.lengths
    zulu = cells.buffer.octets.take(ends - 1) == _ZULU
    if bool(zulu.all()):
        return 1, None
    sign = cells.buffer.octets.take(ends - _OFFSET_BYTES)
    ahead = (sign == ord("+")) & (cells.lengths >= _TIME_BYTES + _OFFSET_BYTES) & ~zulu
    behind = (sign == _MINUS) & (cells.lengths >= _TIME_BYTES + _OFFSET_BYTES) & ~zulu
    with_offset = np.flatnonzero(ahead | behind)
    if not len(with_offset):
        return zulu.astype(np.intp), None
    pairs = _pairs(cells.buffer.words[ends[with_offset] - _OFFSET_BYTES + 1] & _FIVE_BYTES, _OFFSET)
    if pairs is None:
        return None
    minutes = _sum_of_pairs(pairs, _OFFSET_HOUR_MINUTE)
    if int(minutes.max()) >= 24 * 60:
        return None
    offset = np.zeros(len(cells), np.int64)
    offset[with_offset] = minutes * 60
    return zulu + _OFFSET_BYTES * (ahead | behind), np.where(behind, -offset, offset)


def _fractions(cells: Cells, sizes: Places | int) -> NDArray[np.float64] | np.float64 | None:
    """Read the fractions of a second of all cells, so many bytes each, a point among them; 0 where none."""
    least, most = int(np.min(sizes)), int(np.max(sizes))
    if least == most == 0:
        return np.float64(0)
    if least < 0 or most > 1 + _MOST_FRACTION or bool(np.any(np.equal(sizes, 1))):
        return None
    points = cells.buffer.octets.take(cells.starts + _TIME_BYTES) == _POINT
    if not bool((points | np.equal(sizes, 0)).all()):
        return None
    counts = np.maximum(sizes - 1, 0)
    digits = read_digits(cells, _TIME_BYTES + sizes, counts)
    return None if digits is None else digits / TENS.take(counts)


def _pairs(words: Words, form: _Form) -> Words | None:
    """Read words by their form, digits in pairs; None where one is of another form."""
    digits = words ^ form.least
    beyond = digits + form.highs
    beyond |= digits
    if int(np.bitwise_or.reduce(beyond)) & int(HIGH):
        return None
    return in_pairs(digits)


class _Sum(NamedTuple):
    """Which pairs of a word are summed up, each times its factor, and from which bit of the product on."""

    pairs: np.uint64
    factors: np.uint64
    bit: np.uint64


def _sum(bit: int, factors: Mapping[int, int]) -> _Sum:
    """Make the sum of these bytes of a word, each times a factor, that is read from a bit on.

    A product by one number takes each byte up to that bit. What it takes beyond the word is lost, so the sum
    must be the highest of it; what it takes elsewhere must stay below the sum.
    """
    pairs = sum(0xFF << 8 * octet for octet in factors)
    moved = sum(factor << (bit - 8 * octet) for octet, factor in factors.items())
    return _Sum(np.uint64(pairs), np.uint64(moved), np.uint64(bit))


def _sum_of_pairs(words: Words, sum_: _Sum) -> NDArray[np.int64]:
    sums = words & sum_.pairs
    sums *= sum_.factors
    sums >>= sum_.bit
    return sums.view(np.int64)


_PAIR = np.uint64(0xFF)
_CENTURY_YEAR_MONTH = _sum(46, {0: 100 * _MONTHS, 2: _MONTHS, 5: 1})
_HOUR_MINUTE = _sum(48, {3: 60, 6: 1})
_OFFSET_HOUR_MINUTE = _sum(48, {0: 60, 3: 1})
