"""Leaves a web service alone for a while after repeated failures. Pure: a state machine whose clock is given.

Sesam answers a failed batch by sending its entities one at a time, 1 + 100 calls (facts/sesam.md §2.2). When
the service is down, each of them would wait for its own timeouts; here they are told at once.

    closed     every request goes; STRIKES failures without a success between open it
    open       nothing goes for a pause: FIRST_PAUSE_S, twice as long after every failed probe, at most
               LONGEST_PAUSE_S
    half-open  the pause is over: one request, the probe, goes, and what becomes of it closes or opens
"""

import threading
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum

STRIKES = 5
FIRST_PAUSE_S = 5.0
LONGEST_PAUSE_S = 60.0


class Signal(Enum):
    """What one request says about the service."""

    GOOD = "it scored rows"
    ALIVE = "it answered, if only to refuse or to ask for patience: never a strike"
    BAD = "no connection, no answer in time, or an error that explains nothing"
    NONE = "nothing was sent after all"


@dataclass(frozen=True, slots=True)
class Permit:
    """Leave to send one request, to be handed back by `report`."""

    probe: bool = False


class Breaker:
    """The state of one endpoint; safe to use from many threads."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._strikes = 0
        self._pause = 0.0
        self._until = 0.0
        self._probing = False

    @property
    def open_for(self) -> float:
        """Say for how many seconds more nothing goes; 0 where requests, or a probe, may go."""
        with self._lock:
            return self._wait()

    def admit(self) -> Permit | float:
        """Give leave to send, or the seconds to leave the endpoint alone."""
        with self._lock:
            if not self._pause:
                return Permit()
            wait = self._wait()
            if wait > 0:
                return wait
            if self._probing:
                # How long the probe takes is not known; a second is soon enough to ask again.
                return 1.0
            self._probing = True
            return Permit(probe=True)

    def report(self, permit: Permit, signal: Signal) -> None:
        """Say what became of an admitted request. Each permit is reported once."""
        with self._lock:
            if permit.probe:
                self._probing = False
            match signal:
                case Signal.GOOD:
                    self._close()
                case Signal.ALIVE if permit.probe:
                    self._close()
                case Signal.BAD if permit.probe:
                    self._open(min(self._pause * 2, LONGEST_PAUSE_S))
                case Signal.BAD if not self._pause:
                    self._strikes += 1
                    if self._strikes >= STRIKES:
                        self._open(FIRST_PAUSE_S)

    def _wait(self) -> float:
        return max(self._until - self._clock(), 0.0) if self._pause else 0.0

    def _open(self, pause: float) -> None:
        self._pause = pause
        self._until = self._clock() + pause

    def _close(self) -> None:
        self._strikes = 0
        self._pause = 0.0
