"""What the cells of a column are worth, many at once. Pure.

The rules are contract/values.py's. Here whole columns of their usual forms are read as words, a few
operations for all cells where one call a cell would cost a hundred times as much; whatever is of another form
goes to the rules, or to a C parser of the same grammar. tests/unit/training_export proves that all agree.
"""

from collections.abc import Callable, Mapping
from typing import NamedTuple

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


# The last n bytes of a word.
_LAST = np.array([(1 << 64) - (1 << 8 * (WORD - n)) for n in range(WORD + 1)], np.uint64)
_HIGH, _LOW = _all(0x80), _all(0x7F)
_ZEROS, _POINTS = _all(_ZERO), _all(_POINT)
# Added to a byte, it reaches its highest bit from 10 on.
_NO_DIGIT = _all(0x76)
_BYTE, _WORD_BITS = np.uint64(8), np.uint64(64)


def integers(cells: Cells) -> NDArray[np.int64] | None:
    """Read all cells as integers; None where one is none."""
    unsigned = _unsigned(cells)
    if _zero_leads(cells, unsigned):
        return None
    lengths = unsigned.lengths
    if cells.shortest > 0 and int(lengths.min()) > 0 and int(lengths.max()) <= _MOST_DIGITS:
        values = _digits(cells, cells.lengths, lengths)
        return None if values is None else _signed(unsigned, values)
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
    return _signed(unsigned, digits / _TENS.take(behind))


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
    if not (unsigned.leads == _ZERO).any():
        return False
    return bool(((_unsigned_word(cells, unsigned) & _TWO_LEADS) == _ZERO_LEADS).any())


# A digit's upper half is 3; so is that of `:` to `?`.
_TWO_LEADS, _ZERO_LEADS = _word(b"\xff\xf0"), _word(b"00")


def _unsigned_word(cells: Cells, unsigned: _Unsigned) -> Words:
    words: Words = cells.near[0]
    if unsigned.negative is not None:
        words = words >> (unsigned.negative * _BYTE)
    return words


def _point_taken_out(cells: Cells, unsigned: _Unsigned) -> tuple[Places, NDArray[np.int64] | None]:
    """Give how many bytes come before a point and what all digits are worth without it; of one word."""
    words = _unsigned_word(cells, unsigned)
    below = _below(words, _POINTS)
    before = np.minimum(np.bitwise_count(below) >> 3, unsigned.lengths)
    # What is behind the point moves up to its place; without one, all is below it.
    moved = words >> _BYTE
    digits = moved ^ ((moved ^ words) & below)
    return before, _eight_digits(_to_the_end(digits, unsigned.lengths - (before < unsigned.lengths)))


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
    whole = _digits(cells, starts - cells.starts + before, before)
    rest_ = _digits(cells, cells.lengths, behind)
    return before, None if whole is None or rest_ is None else whole * _TENS.take(behind) + rest_


def _below(words: Words, octets: np.uint64) -> Words:
    """Give all bits below the first byte of each word that is the one in `octets`; all where none is."""
    differing = words ^ octets
    # The highest bit of each byte that is 0, exactly; moved down to its lowest.
    there = ~(((differing & _LOW) + _LOW) | differing | _LOW) >> np.uint64(7)
    below: Words = (there - np.uint64(1)) & ~there
    return below


def _digits(cells: Cells, ends: Places | int, counts: Places | int) -> NDArray[np.int64] | None:
    """Read so many digits before a place in each cell, up to 16, as whole numbers; None where one is none."""
    if ends is counts and cells.longest <= WORD:  # whole cells, of one word
        return _eight_digits(_to_the_end(cells.near[0], cells.lengths))
    low = _eight_digits((_before(cells, ends) ^ _ZEROS) & _LAST.take(np.minimum(counts, WORD)))
    if low is None or int(np.max(counts)) <= WORD:
        return low
    words = cells.buffer.words[cells.starts + ends - 2 * WORD]
    high = _eight_digits((words ^ _ZEROS) & _LAST.take(np.maximum(counts - WORD, 0)))
    return None if high is None else high * _TENS[WORD] + low


def _to_the_end(words: Words, lengths: Places) -> Words:
    """Move digits from the beginning of words to their end, one at least: there each is its value."""
    moved: Words = (words ^ _ZEROS) << (_WORD_BITS - _BYTE * lengths.view(np.uint64))
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


def _eight_digits(words: Words) -> NDArray[np.int64] | None:
    """Give what eight digits are worth, each byte one's value, the first lowest; None where one is none."""
    beyond = words + _NO_DIGIT
    beyond |= words
    if int(np.bitwise_or.reduce(beyond)) & int(_HIGH):
        return None
    pairs = _in_pairs(words)
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


def _in_pairs(digits: Words) -> Words:
    """Give words where the first byte of two digits is what both are worth, and the second is anything."""
    pairs = digits * np.uint64(10)
    pairs += digits >> _BYTE
    return pairs


# ---- dates and times


class _Form(NamedTuple):
    """The least that each byte of a word may be, and what takes one beyond the most to its highest bit."""

    least: np.uint64
    highs: np.uint64


def _form(least: bytes, most: bytes) -> _Form:
    highs = bytes(0x7F - (last - first) for first, last in zip(least, most, strict=True))
    return _Form(_word(least), _word(highs.ljust(WORD, b"\x7f")))


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
    """Tell of a month, by 20 times its year and its number: 32 times its first day since 1970, plus its days.

    What is no month has no days.
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


_BETWEEN, _BLANK, _T = map(_word, (b"\0\0\xff", b"\0\0 ", b"\0\0T"))


def _clock(cells: Cells, back: Words | None) -> NDArray[np.int64] | None:
    """Read the times of day in these pairs and in all cells' third words, in seconds, without fractions."""
    seconds_ = None if back is None else _pairs(cells.near[2] & _THREE_BYTES, _SECOND)
    if seconds_ is None or back is None:
        return None
    clock = _sum_of_pairs(back, _HOUR_MINUTE)
    clock *= 60
    clock += ((seconds_ >> _BYTE) & _PAIR).view(np.int64)
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
    digits = _digits(cells, _TIME_BYTES + sizes, counts)
    return None if digits is None else digits / _TENS.take(counts)


def _pairs(words: Words, form: _Form) -> Words | None:
    """Read words by their form, digits in pairs; None where one is of another form."""
    digits = words ^ form.least
    beyond = digits + form.highs
    beyond |= digits
    if int(np.bitwise_or.reduce(beyond)) & int(_HIGH):
        return None
    return _in_pairs(digits)


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


VALUES: Mapping[ColumnType, Callable[[Cells], Values | None]] = {
    "integer": integers,
    "number": numbers,
    "date": days,
    "datetime": moments,
}
"""How non-empty cells of a type are read at once, narrowest type first."""
