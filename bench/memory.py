"""5. Memory of one scoring instance under load: its level, and whether it stays."""

import threading
from pathlib import Path
from statistics import median

from bench.customers import entities
from bench.parts import drive, running_parts
from bench.tables import Table

CALLERS, SIZE = 64, 1_000


def run(seconds: float = 60, callers: int = CALLERS) -> Table:
    """Sample the app's resident memory while the callers call."""
    with running_parts() as parts:
        idle = _resident(parts.app.pid)
        done, samples = threading.Event(), list[float]()
        sampler = threading.Thread(target=_sample, args=(parts.app.pid, samples, done))
        sampler.start()
        driven = drive(parts.score_url("churn"), callers, seconds, entities(SIZE), SIZE)
        done.set()
        sampler.join()
    third = max(len(samples) // 3, 1)
    first, last = median(samples[third : 2 * third] or samples), median(samples[-third:])
    return Table(
        "5. Memory",
        f"One instance, {callers} callers × {SIZE:,} entities for {seconds:.0f} s "
        f"({driven.rate:,.0f} entities/s): resident MiB.",
        ("idle, before the first call", "second third", "last third", "growth", "highest"),
        [
            (
                f"{idle:.0f}",
                f"{first:.0f}",
                f"{last:.0f}",
                f"**{last / first - 1:+.1%}**",
                f"{max(samples):.0f}",
            )
        ],
        "flat.",
    )


def _sample(pid: int, samples: list[float], done: threading.Event) -> None:
    while not done.wait(0.25):
        samples.append(_resident(pid))


def _resident(pid: int) -> float:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) / 1024 for line in lines if line.startswith("VmRSS:"))
