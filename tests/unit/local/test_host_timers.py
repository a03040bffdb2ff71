"""When a timer runs, on a clock of the test's own."""

import asyncio
import json
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from local.host.engine import Call, Outcome
from local.host.functions import Function
from local.host.running import Running
from local.host.timers import Timer

START = datetime(2026, 11, 23, 1, 0, tzinfo=UTC)


class LastRun(Exception):
    """Ends a timer under test: it has run often enough."""


class Clock:
    """A clock that moves when somebody sleeps; `longer` is what each sleep takes beyond what was asked."""

    def __init__(self, longer: float = 0) -> None:
        self.now = START
        self.slept: list[float] = []
        self._longer = longer

    def __call__(self) -> datetime:
        return self.now

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now += timedelta(seconds=seconds + self._longer)


class Runs:
    """Notes each run; the runs take so long, one after the other, and after the last the test is over."""

    def __init__(self, clock: Clock, durations: Iterable[float]) -> None:
        self.seen: list[tuple[str, dict[str, Any]]] = []
        self._clock = clock
        self._durations = list(durations)

    async def run(self, call: Call) -> Outcome:
        self.seen.append((self._clock.now.strftime("%d %H:%M:%S"), json.loads(call.data.json)))
        if len(self.seen) == len(self._durations):
            raise LastRun
        self._clock.now += timedelta(seconds=self._durations[len(self.seen) - 1])
        return Outcome(succeeded=True)

    @property
    def times(self) -> list[str]:
        return [time for time, _ in self.seen]


def nightly(schedule: str, **trigger: object) -> Function:
    return Function("nightly", "id", "timer", {"name": "timer", "schedule": schedule, **trigger}, ())


def serve(function: Function, clock: Clock, runs: Runs, settings: dict[str, str] | None = None) -> None:
    async def until_the_last_run() -> None:
        await Timer(function, settings or {}, runs, Running(), clock, clock.sleep).serve()

    with pytest.raises(LastRun):
        asyncio.run(until_the_last_run())


def test_a_timer_runs_at_its_times() -> None:
    clock = Clock()
    runs = Runs(clock, [0, 0, 0])
    serve(nightly("0 0 2 * * *"), clock, runs)
    assert runs.times == ["23 02:00:00", "24 02:00:00", "25 02:00:00"]


def test_the_schedule_may_be_a_setting() -> None:
    clock = Clock()
    runs = Runs(clock, [0])
    serve(nightly("%SCHEDULE%"), clock, runs, {"SCHEDULE": "30 0 1 * * *"})
    assert runs.times == ["23 01:00:30"]


def test_a_timer_never_overlaps_itself_and_drops_the_times_it_missed() -> None:
    clock = Clock()
    runs = Runs(clock, [25, 0, 0])
    serve(nightly("*/10 * * * * *"), clock, runs)
    assert runs.times == ["23 01:00:10", "23 01:00:40", "23 01:00:50"]


def test_the_function_is_told_of_the_last_run_and_the_next() -> None:
    clock = Clock()
    runs = Runs(clock, [0, 0])
    serve(nightly("0 0 2 * * *"), clock, runs)
    first, second = (told for _, told in runs.seen)
    assert first["IsPastDue"] is False
    assert first["ScheduleStatus"] == {
        "Last": "0001-01-01T00:00:00+00:00",
        "Next": "2026-11-24T02:00:00+00:00",
        "LastUpdated": "2026-11-23T02:00:00+00:00",
    }
    assert second["ScheduleStatus"]["Last"] == "2026-11-23T02:00:00+00:00"


def test_a_run_that_starts_late_is_past_due() -> None:
    clock = Clock(longer=5)
    runs = Runs(clock, [0])
    serve(nightly("30 * * * * *"), clock, runs)
    assert runs.times == ["23 01:00:35"]
    assert runs.seen[0][1]["IsPastDue"] is True


def test_a_long_wait_is_slept_in_pieces_so_that_a_clock_set_anew_is_noticed() -> None:
    clock = Clock()
    serve(nightly("0 0 2 * * *"), clock, Runs(clock, [0]))
    assert set(clock.slept) == {60.0}
    assert len(clock.slept) == 60


def test_run_on_startup_runs_before_the_first_due_time() -> None:
    clock = Clock()
    runs = Runs(clock, [0, 0])
    serve(nightly("0 0 2 * * *", runOnStartup=True), clock, runs)
    assert runs.times == ["23 01:00:00", "23 02:00:00"]


@pytest.mark.parametrize("schedule", ["%SCHEDULE%", "daily", "0 0 0 31 4 *"])
def test_a_wrong_schedule_is_refused_before_anything_runs(schedule: str) -> None:
    clock = Clock()
    with pytest.raises(ValueError, match=r"SCHEDULE|NCRONTAB|never comes"):
        Timer(nightly(schedule), {}, Runs(clock, []), Running(), clock, clock.sleep)
