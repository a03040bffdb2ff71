"""The one point in time by which a call is over, whatever it waits for (statement 40 of facts/azureml.md)."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Self


@dataclass(frozen=True, slots=True)
class Deadline:
    """A time of `clock`, which counts seconds and never goes back."""

    at: float
    clock: Callable[[], float] = time.monotonic

    @classmethod
    def after(cls, seconds: float, clock: Callable[[], float] = time.monotonic) -> Self:
        """Give the deadline that is so many seconds away."""
        return cls(clock() + seconds, clock)

    def left(self) -> float:
        """Give the seconds left, never less than 0."""
        return max(self.at - self.clock(), 0.0)
