"""Batches of cells read as values of one type, and what accumulates of them. Pure.

The rules are contract/values.py's; here they are applied to some hundred cells at once, because one call per
cell would cost ten times as much. tests/unit/training_export proves that both always agree.
"""

import math
import re
from bisect import bisect_left
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from operator import mul
from typing import Any, Self

from contract import numerals
from contract.facts import ColumnType, Histogram
from contract.values import INT64, LARGEST_EXACT, day, moment, number, seconds

type Values = list[int] | list[float]

MOST_BINS = 64
_MOST_REMEMBERED = 40_000  # days of a century, at some 190 bytes each


def integers(cells: Sequence[str]) -> list[int] | None:
    """Read all cells as integers; None where one is none. JSON's grammar is ours, but for `-0`."""
    values = numerals.integers(cells)
    if values is None or (0 in values and "-0" in cells):
        return None
    return values if min(values) in INT64 and max(values) in INT64 else None


def numbers(cells: Sequence[str]) -> list[float] | None:
    """Read all cells as numbers; None where one is none."""
    values = numerals.numbers(cells)
    if values is None:
        return None
    # From 2^53 on a whole number may be an id whose digits a double has lost: the rule decides each.
    if (min(values) <= -LARGEST_EXACT or max(values) >= LARGEST_EXACT) and None in map(number, cells):
        return None
    return values


def days(cells: Sequence[str]) -> list[float] | None:
    """Read all cells as dates, in seconds since 1970; None where one is none."""
    try:
        return [_DAYS[cell] for cell in cells]
    except _NoneSuch:
        return None


def moments(cells: Sequence[str]) -> list[float] | None:
    """Read all cells as datetimes, in seconds since 1970; None where one is none."""
    if _in_utc(cells):
        try:
            return [moment.timestamp() for moment in map(datetime.fromisoformat, cells)]
        except ValueError:
            return None
    try:
        tails = _tails([cell[19:] for cell in cells])
        values = [
            _DAYS[cell[:10]] + _MINUTES[cell[10:16]] + _SECONDS[cell[16:19]] + tail
            for cell, tail in zip(cells, tails, strict=True)
        ]
    except _NoneSuch:
        return None
    # In the first and last year a zone can leave the calendar: the rule decides each.
    if (min(values) < _SECOND_YEAR or max(values) > _LAST_YEAR) and None in map(moment, cells):
        return None
    return values


VALUES: Mapping[ColumnType, Callable[[Sequence[str]], Values | None]] = {
    "integer": integers,
    "number": numbers,
    "date": days,
    "datetime": moments,
}
"""How non-empty cells of a type are read at once, narrowest type first."""


class _NoneSuch(Exception):
    """A part that is none of its kind."""


class _Remembered(dict[str, float]):
    """A bounded memory of parts already read, in seconds."""

    def __init__(self, read: Callable[[str], float | None]) -> None:
        self._read = read

    def __missing__(self, part: str) -> float:
        value = self._read(part)
        if value is None:
            raise _NoneSuch
        if len(self) >= _MOST_REMEMBERED:
            self.clear()
        self[part] = value
        return value


_SECOND_YEAR = seconds("0002-01-01")
_LAST_YEAR = seconds("9999-01-01")
_NOON = seconds("2000-01-01T12:00:00Z")
_MINUTE = re.compile(r"[T ]([01][0-9]|2[0-3]):([0-5][0-9])", re.ASCII)
_SECOND = re.compile(r":[0-5][0-9]", re.ASCII)


def _day(part: str) -> float | None:
    return None if day(part) is None else seconds(part)


def _minute(part: str) -> float | None:
    match = _MINUTE.fullmatch(part)
    return 3600.0 * int(match[1]) + 60 * int(match[2]) if match else None


def _second(part: str) -> float | None:
    return float(part[1:]) if _SECOND.fullmatch(part) else None


def _zone(part: str) -> float | None:
    canonical = moment(f"2000-01-01T12:00:00{part}")
    return None if canonical is None else seconds(canonical) - _NOON


def _in_utc(cells: Sequence[str]) -> bool:
    """Say whether all cells are written alike, as datetimes with Z, whatever their digits."""
    shape = cells[0].encode().translate(_SHAPE)
    return shape in _UTC and "\n".join(cells).encode().translate(_SHAPE) == b"\n".join([shape] * len(cells))


_SHAPE = bytes.maketrans(b"123456789", b"000000000")
_UTC = {
    f"0000-00-00{t}00:00:00{f}Z".encode() for t in "T " for f in ("", *("." + "0" * n for n in range(1, 10)))
}


def _tails(parts: list[str]) -> list[float]:
    """Read what follows the seconds: fraction and zone."""
    # Fractions in UTC are the usual case, and too many to remember.
    joined = ",".join(parts)
    if (
        joined.startswith(".")
        and joined.endswith("Z")
        and joined.count("Z,.") == len(parts) - 1
        and joined.encode().translate(None, b"0123456789") == b".Z," * (len(parts) - 1) + b".Z"
        and len(min(parts, key=len)) > 2
        and len(max(parts, key=len)) < 12
    ):
        return [float(part[:-1]) for part in parts]
    return [_ZONES[part] for part in parts]


_DAYS = _Remembered(_day)
_MINUTES = _Remembered(_minute)
_SECONDS = _Remembered(_second)
_ZONES = _Remembered(_zone)


class Spread:
    """Lowest, highest, and a histogram whose bins double their width as the range grows."""

    def __init__(self, smallest_step: float = 0) -> None:
        self.low: float | None = None
        self.high: float | None = None
        self._smallest = smallest_step
        self._step: float = smallest_step
        self._bins: Counter[int] = Counter()

    def add(self, values: Sequence[float]) -> None:
        """Take sorted values."""
        self._reach(values[0], values[-1])
        step, at = self._step, 0
        while at < len(values):
            bin_ = int(values[at] // step)
            end = bisect_left(values, (bin_ + 1) * step, at + 1)
            self._bins[bin_] += end - at
            at = end

    def count(self, values: Sequence[float], weights: Sequence[int]) -> None:
        """Take values in any order, each so many times."""
        if values:
            self._reach(min(values), max(values))
            for value, weight in zip(values, weights, strict=True):
                self._bins[int(value // self._step)] += weight

    def histogram(self) -> Histogram:
        """Give the bins, empty ones between them included."""
        if self.low is None or self.high is None or self.low == self.high:
            edge = float(self.low or 0)
            return Histogram(edges=(edge, edge), counts=(self._bins.total(),))
        first, last = min(self._bins), max(self._bins)
        edges = [float(bin_ * self._step) for bin_ in range(first, last + 2)]
        # The very last edge can lie beyond what a double holds.
        edges[-1] = min(edges[-1], 1.7976931348623157e308)
        return Histogram(
            edges=tuple(edges), counts=tuple(self._bins[bin_] for bin_ in range(first, last + 1))
        )

    def _reach(self, low: float, high: float) -> None:
        self.low = low if self.low is None else min(self.low, low)
        self.high = high if self.high is None else max(self.high, high)
        if not self._step:
            self._step = _power_of_two(self.low, self.high)
        while int(self.high // self._step) - int(self.low // self._step) >= MOST_BINS:
            self._step *= 2
            halved: Counter[int] = Counter()
            for bin_, count in self._bins.items():
                halved[bin_ >> 1] += count
            self._bins = halved


def _power_of_two(low: float, high: float) -> float:
    """Give the first width of a bin: fine enough for the range, never finer than a double can tell."""
    span = high / MOST_BINS - low / MOST_BINS
    finest = max(abs(low), abs(high)) * 2.0**-50
    return 2.0 ** max(math.frexp(max(span, finest))[1], -1000)


class Series:
    """A column of numbers or times: its range, histogram, and for numbers mean and deviation."""

    def __init__(self, kind: ColumnType) -> None:
        self.kind = kind
        self._spread = Spread(smallest_step=1 if kind == "integer" else 0)
        self._moments = _Moments()
        self._first = ""
        self._last = ""

    def add(self, cells: Sequence[str], values: Values) -> None:
        """Take cells together with their values."""
        ordered = sorted(values)
        if self.kind in ("date", "datetime"):
            self._note_times(cells, values, ordered[0], ordered[-1])
        else:
            self._moments.add(values)
        self._spread.add(ordered)

    def count(self, cells: Sequence[str], values: Values, weights: Sequence[int]) -> None:
        """Take cells together with their values, each so many times."""
        if self.kind in ("date", "datetime"):
            self._note_times(cells, values, min(values), max(values))
        else:
            self._moments.count(values, weights)
        self._spread.count(values, weights)

    def widened(self) -> Self | None:
        """Give the series as numbers, where its integers all are such; None where it can only be text."""
        low, high = self._spread.low, self._spread.high
        if self.kind != "integer" or low is None or high is None or max(-low, high) > LARGEST_EXACT:
            return None
        self.kind = "number"
        return self

    def facts(self) -> dict[str, Any]:
        """Give what a manifest tells of it."""
        told: dict[str, Any] = {"histogram": self._spread.histogram()}
        if self.kind in ("date", "datetime"):
            return told | {"minimum": self._first, "maximum": self._last}
        low, high = self._spread.low, self._spread.high
        if self.kind == "number" and low is not None and high is not None:
            low, high = float(low), float(high)
        return told | {"minimum": low, "maximum": high} | self._moments.facts()

    def _note_times(self, cells: Sequence[str], values: Values, low: float, high: float) -> None:
        # A double of seconds blurs the ninth digit: among equals the text decides.
        if self._spread.low is None or low <= self._spread.low:
            near = [cell for cell, value in zip(cells, values, strict=True) if value == low]
            self._first = min([*filter(None, [self._first]), *map(self._canonical, near)], key=_as_order)
        if self._spread.high is None or high >= self._spread.high:
            near = [cell for cell, value in zip(cells, values, strict=True) if value == high]
            self._last = max([*filter(None, [self._last]), *map(self._canonical, near)], key=_as_order)

    def _canonical(self, cell: str) -> str:
        return cell if self.kind == "date" else moment(cell) or cell


def _as_order(canonical: str) -> str:
    return canonical.removesuffix("Z")


class _Moments:
    """Mean and deviation, merged batch by batch so that nothing cancels (Chan, Golub and LeVeque)."""

    def __init__(self) -> None:
        self._n = 0
        self._mean = 0.0
        self._squares = 0.0

    def add(self, values: Values) -> None:
        n = len(values)
        mean = _mean(values, n)
        squares = math.sumprod(values, values)
        about_mean = squares - n * mean * mean
        # What the subtraction cancels must be few of the 53 bits; sumprod itself loses none.
        if not about_mean * 1e5 > squares:
            deviations = [value - mean for value in values]
            about_mean = math.sumprod(deviations, deviations)
        self._merge(n, mean, about_mean)

    def count(self, values: Values, weights: Sequence[int]) -> None:
        n = sum(weights)
        if n:
            mean = _mean([value * (weight / n) for value, weight in zip(values, weights, strict=True)], 1)
            deviations = [value - mean for value in values]
            self._merge(n, mean, sum(map(mul, map(mul, deviations, deviations), weights)))

    def facts(self) -> dict[str, Any]:
        deviation = math.sqrt(self._squares / (self._n - 1)) if self._n > 1 else None
        # Values near the end of the doubles have squares beyond it.
        if deviation is not None and not math.isfinite(deviation):
            deviation = None
        return {"mean": self._mean, "deviation": deviation} if self._n else {}

    def _merge(self, n: int, mean: float, squares: float) -> None:
        total = self._n + n
        delta = mean - self._mean if self._n else mean
        self._squares += squares + (delta * delta * self._n * n / total if self._n else 0.0)
        self._mean += delta * (n / total)
        self._n = total


def _mean(values: Sequence[float], n: int) -> float:
    try:
        return math.fsum(values) / n
    except OverflowError:
        return math.fsum(value / n for value in values)
