"""How things are timed: in turn, round after round, and the medians told."""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from statistics import median

# Of fewer, one that was disturbed would be the median.
FEWEST_ROUNDS = 3


@dataclass(frozen=True)
class Rounds:
    """CPU seconds of works that were run in turn, all threads counted: of each work one figure a round."""

    taken: Mapping[str, list[float]]

    def median(self, work: str) -> float:
        """Give the CPU seconds of one work."""
        return median(self.taken[work])

    def ratio(self, work: str, beside: str) -> float:
        """Give the first to the second, each round by itself: what slows a machine for a while slows both."""
        return median(a / b for a, b in zip(self.taken[work], self.taken[beside], strict=True))


def in_turn(works: Mapping[str, Callable[[], object]], seconds: float = 0) -> Rounds:
    """Run the works in turn, for so many seconds of wall time and FEWEST_ROUNDS at least.

    CPU time is what is taken, because other programs' load must not decide; in turn, so that it meets all
    works alike.
    """
    taken: dict[str, list[float]] = {name: [] for name in works}
    end, rounds = time.perf_counter() + seconds, 0
    while rounds < FEWEST_ROUNDS or time.perf_counter() < end:
        for name, work in works.items():
            begun = time.process_time()
            work()
            taken[name].append(time.process_time() - begun)
        rounds += 1
    return Rounds(taken)
