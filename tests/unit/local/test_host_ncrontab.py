"""The timer's schedules, facts/functions.md §3.5."""

from datetime import UTC, datetime, timedelta

import pytest

from local.host.ncrontab import parse


def times(expression: str, start: str, count: int = 1) -> list[str]:
    moment = datetime.fromisoformat(start).replace(tzinfo=UTC)
    found = []
    for _ in range(count):
        moment = parse(expression).next(moment)
        found.append(moment.strftime("%Y-%m-%d %H:%M:%S"))
    return found


@pytest.mark.parametrize(
    ("expression", "start", "expected"),
    [
        ("0 0 2 * * *", "2026-11-23 01:59:59", ["2026-11-23 02:00:00", "2026-11-24 02:00:00"]),
        ("0 0 2 * * *", "2026-11-23 02:00:00", ["2026-11-24 02:00:00"]),
        ("0 0 2 * * *", "2026-12-31 02:00:00", ["2027-01-01 02:00:00"]),
        ("* * * * * *", "2026-11-23 23:59:59", ["2026-11-24 00:00:00", "2026-11-24 00:00:01"]),
        ("*/20 * * * * *", "2026-11-23 00:00:21", ["2026-11-23 00:00:40", "2026-11-23 00:01:00"]),
        ("50/4 * * * * *", "2026-11-23 00:00:51", ["2026-11-23 00:00:54", "2026-11-23 00:00:58"]),
        ("0 10-20/5 8,17 * * *", "2026-11-23 08:16:00", ["2026-11-23 08:20:00", "2026-11-23 17:10:00"]),
        ("0 0 6 * * Mon-Fri", "2026-11-27 06:00:00", ["2026-11-30 06:00:00"]),
        ("0 0 6 * * 0", "2026-11-23 00:00:00", ["2026-11-29 06:00:00"]),
        ("0 0 0 29 feb *", "2026-01-01 00:00:00", ["2028-02-29 00:00:00", "2032-02-29 00:00:00"]),
        ("30 2 * * *", "2026-11-23 00:00:00", ["2026-11-23 02:30:00"]),
    ],
)
def test_a_schedule_gives_its_next_times(expression: str, start: str, expected: list[str]) -> None:
    assert times(expression, start, len(expected)) == expected


def test_day_of_month_and_weekday_must_both_match() -> None:
    # Friday the 13th; Vixie cron would take any Friday and any 13th.
    assert times("0 0 0 13 * fri", "2026-11-23 00:00:00", 2) == ["2027-08-13 00:00:00", "2028-10-13 00:00:00"]


def test_a_time_between_two_seconds_is_before_the_next_one() -> None:
    start = datetime(2026, 11, 23, 1, 59, 59, 999_999, tzinfo=UTC)
    assert parse("0 0 2 * * *").next(start) == datetime(2026, 11, 23, 2, tzinfo=UTC)


def test_a_time_of_another_zone_is_taken_for_the_moment_it_is() -> None:
    oslo = datetime.fromisoformat("2026-11-23T02:30:00+01:00")
    assert parse("0 0 2 * * *").next(oslo) - oslo == timedelta(minutes=30)


@pytest.mark.parametrize(
    ("expression", "field"),
    [
        ("60 * * * * *", "second"),
        ("0 0 24 * * *", "hour"),
        ("0 0 0 0 * *", "day of month"),
        ("0 0 0 * 13 *", "month"),
        ("0 0 0 * * 7", "day of week"),
        ("0 0 0 * * fri-mon", "day of week"),
        ("0 */0 * * * *", "minute"),
        ("0 a * * * *", "minute"),
        ("0 1, * * * *", "minute"),
    ],
)
def test_a_wrong_field_is_named(expression: str, field: str) -> None:
    with pytest.raises(ValueError, match=f"the field {field} cannot be"):
        parse(expression)


@pytest.mark.parametrize("expression", ["", "00:05:00", "0 0 2 * *  * *", "@daily"])
def test_what_is_no_expression_is_refused(expression: str) -> None:
    with pytest.raises(ValueError, match="six fields"):
        parse(expression)


def test_a_day_that_never_comes_is_refused() -> None:
    with pytest.raises(ValueError, match="never comes"):
        parse("0 0 0 30 2 *").next(datetime(2026, 11, 23, tzinfo=UTC))
