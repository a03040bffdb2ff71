"""NCRONTAB, the timer's schedule language: six fields, both day fields must match (facts/functions.md §3.5).

    second  minute  hour  day-of-month  month  day-of-week (0 is Sunday)

Each is `*`, a value, a range `a-b`, a step `*/n`, `a/n` (from a to the end) or `a-b/n`, or a list of these.
Months and weekdays may be given by their first three letters. Five fields mean second 0.
"""

import calendar
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import product

_MONTHS = {month.name[:3].lower(): month.value for month in calendar.Month}
_WEEKDAYS = {day.name[:3].lower(): (day.value + 1) % 7 for day in calendar.Day}
# 29 February falls on each weekday within 40 years, the skipped leap years of 2100 and 2200 included.
_HORIZON = timedelta(days=40 * 366)


@dataclass(frozen=True)
class Schedule:
    """The times at which a timer is due, all in UTC."""

    seconds: frozenset[int]
    minutes: frozenset[int]
    hours: frozenset[int]
    days: frozenset[int]
    months: frozenset[int]
    weekdays: frozenset[int]

    def next(self, after: datetime) -> datetime:
        """Give the first due time later than `after`; ValueError when there is none (30 February)."""
        start = after.astimezone(UTC).replace(microsecond=0) + timedelta(seconds=1)
        midnight = start.replace(hour=0, minute=0, second=0)
        horizon = midnight + _HORIZON
        while midnight <= horizon:
            if self._on(midnight):
                due = next((time for time in self._times(midnight) if time >= start), None)
                if due is not None:
                    return due
            midnight += timedelta(days=1)
        raise ValueError("the schedule names a day that never comes")

    def _on(self, day: datetime) -> bool:
        weekday = day.isoweekday() % 7
        return day.month in self.months and day.day in self.days and weekday in self.weekdays

    def _times(self, midnight: datetime) -> Iterator[datetime]:
        for hour, minute, second in product(sorted(self.hours), sorted(self.minutes), sorted(self.seconds)):
            yield midnight.replace(hour=hour, minute=minute, second=second)


def parse(expression: str) -> Schedule:
    """Read an NCRONTAB expression; ValueError says which field is wrong."""
    fields = expression.split()
    if len(fields) == 5:
        fields = ["0", *fields]
    if len(fields) != 6:
        raise ValueError(f'"{expression}" is no NCRONTAB expression: it has six fields, like 0 0 2 * * *')
    seconds, minutes, hours, days, months, weekdays = fields
    return Schedule(
        seconds=_field("second", seconds, 0, 59),
        minutes=_field("minute", minutes, 0, 59),
        hours=_field("hour", hours, 0, 23),
        days=_field("day of month", days, 1, 31),
        months=_field("month", months, 1, 12, _MONTHS),
        weekdays=_field("day of week", weekdays, 0, 6, _WEEKDAYS),
    )


def _field(
    name: str, text: str, low: int, high: int, names: Mapping[str, int] | None = None
) -> frozenset[int]:
    try:
        return frozenset(_values(text.split(","), low, high, names or {}))
    except ValueError:
        raise ValueError(f'the field {name} cannot be "{text}": it takes {low} to {high}') from None


def _values(parts: Iterable[str], low: int, high: int, names: Mapping[str, int]) -> Iterator[int]:
    def number(text: str) -> int:
        value = names[text.lower()] if text.lower() in names else int(text)
        if not low <= value <= high:
            raise ValueError
        return value

    for part in parts:
        span, slash, step = part.partition("/")
        first, dash, last = span.partition("-")
        start, end = (low, high) if span == "*" else (number(first), number(last) if dash else number(first))
        if slash and not dash:
            end = high
        # A range that wraps round (fri-mon) is refused: what the real host makes of it is not known.
        if end < start or (slash and int(step) < 1):
            raise ValueError
        yield from range(start, end + 1, int(step) if slash else 1)
