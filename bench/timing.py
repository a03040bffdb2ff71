"""How things are timed: in turn, several times, and the median told."""

import time
from collections.abc import Callable, Mapping
from statistics import median


def cpu_seconds(works: Mapping[str, Callable[[], object]], repeats: int) -> dict[str, float]:
    """Run the works in turn, `repeats` times, and give the median CPU seconds of each, all threads counted.

    CPU time, because other programs' load must not decide; in turn, so that it meets all works alike.
    """
    taken: dict[str, list[float]] = {name: [] for name in works}
    for _ in range(repeats):
        for name, work in works.items():
            begun = time.process_time()
            work()
            taken[name].append(time.process_time() - begun)
    return {name: median(times) for name, times in taken.items()}
