"""Timer functions: a schedule becomes runs (facts/functions.md §3.5).

A timer never overlaps itself: due times that pass while a run is under way are dropped. There is one
instance, so there is no lease, and nothing is remembered between two starts.
"""

import asyncio
import json
from collections.abc import Awaitable, Callable, Mapping
from datetime import UTC, datetime

from local.host import ncrontab
from local.host.engine import Call, Outcome, Runs
from local.host.functions import Function, resolved
from local.host.messages import TypedData
from local.host.running import Running

# A run that starts later than this after its time is past due: the machine slept, or another run held it up.
LATE_SECONDS = 1.0
# Sleep in pieces, so that a clock that is set anew is noticed.
LONGEST_SLEEP = 60.0


def utc_now() -> datetime:
    """Give the time: the clock of a host that is not under test."""
    return datetime.now(UTC)


class Timer:
    """One timer function.

    `settings` holds what `%NAME%` in the schedule stands for; ValueError when the schedule is wrong.
    """

    def __init__(
        self,
        function: Function,
        settings: Mapping[str, str],
        engine: Runs,
        running: Running,
        clock: Callable[[], datetime] = utc_now,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self.schedule = ncrontab.parse(resolved(str(function.trigger["schedule"]), settings))
        self._function = function
        self._engine = engine
        self._running = running
        self._clock = clock
        self._sleep = sleep
        self._last: datetime | None = None
        self.schedule.next(clock())  # a day that never comes is found now, not at run time

    async def serve(self) -> None:
        """Run the function at its times until cancelled; a run under way is not cancelled with it."""
        if self._function.trigger.get("runOnStartup"):
            await self._run(past_due=False)
        while True:
            due = self.schedule.next(self._clock())
            while (left := (due - self._clock()).total_seconds()) > 0:
                await self._sleep(min(left, LONGEST_SLEEP))
            late = (self._clock() - due).total_seconds()
            await self._run(past_due=late > LATE_SECONDS)

    async def fire(self) -> Outcome:
        """Run the function now (the admin endpoint)."""
        return await self._fire(past_due=False)

    async def _run(self, *, past_due: bool) -> None:
        await asyncio.shield(self._running.start(self._fire(past_due=past_due)))

    async def _fire(self, *, past_due: bool) -> Outcome:
        now = self._clock()
        data = timer_input(now, self._last, self.schedule.next(now), past_due=past_due)
        self._last = now
        return await self._engine.run(Call(self._function, data))


def timer_input(now: datetime, last: datetime | None, due: datetime, *, past_due: bool) -> TypedData:
    """Make a timer trigger's input: the last run before this one (year 1 if there was none) and the next."""
    never = datetime.min.replace(tzinfo=UTC)
    return TypedData(
        json=json.dumps(
            {
                "Schedule": {"AdjustForDST": True},
                "ScheduleStatus": {
                    "Last": (last or never).isoformat(),
                    "Next": due.isoformat(),
                    "LastUpdated": now.isoformat(),
                },
                "IsPastDue": past_due,
            }
        )
    )
