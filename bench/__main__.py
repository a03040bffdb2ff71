"""`make bench`: every measure, into docs/benchmarks.md. `make bench-quick`: each of them small, printed."""

import argparse
import os
import platform
import sys
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path

from bench import cold_start, growth, memory, own_cpu, snapshot, whole_road
from bench.tables import Table, replaced

PAGE = Path(__file__).resolve().parents[1] / "docs" / "benchmarks.md"
PACKAGES = ("azure-functions", "azure-functions-runtime", "azure-storage-blob", "msgspec", "requests")

FULL: dict[str, Callable[[], list[Table]]] = {
    "own-cpu": lambda: [own_cpu.run()],
    "whole-road": whole_road.run,
    "snapshot": lambda: [snapshot.run()],
    "cold-start": lambda: [cold_start.run()],
    "memory": lambda: [memory.run()],
    "growth": lambda: [growth.run()],
}
QUICK: dict[str, Callable[[], list[Table]]] = {
    "own-cpu": lambda: [own_cpu.run(sizes=(100, 1_000), dialects=("classic", "designer"), seconds=0.5)],
    "whole-road": lambda: whole_road.run(callers=(4,), seconds=1),
    "snapshot": lambda: [snapshot.run(megabytes=(10,))],
    "cold-start": lambda: [cold_start.run(repeats=3, starts=1)],
    "memory": lambda: [memory.run(seconds=5, callers=16)],
    "growth": lambda: [growth.run(times=(1, 3), seconds=0.5)],
}


def main() -> int:
    """Measure what is asked for; write the page after a full run of everything."""
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("measures", nargs="*", choices=[[], *FULL], help="all of them when none is named")
    parser.add_argument("--quick", action="store_true", help="small, printed only")
    given = parser.parse_args()
    measures = QUICK if given.quick else FULL
    told = list(_measured({name: measures[name] for name in given.measures or measures}))
    page = "\n".join([_where(), *(table.markdown() for table in told)])
    print(page)
    if not given.quick and not given.measures:
        PAGE.write_text(replaced(PAGE.read_text(), page))
        print(f"written to {PAGE.name}", file=sys.stderr)
    return 0


def _measured(measures: dict[str, Callable[[], list[Table]]]) -> Iterator[Table]:
    for name, measure in measures.items():
        begun = time.perf_counter()
        yield from measure()
        print(f"{name}: {time.perf_counter() - begun:.0f} s", file=sys.stderr, flush=True)


def _where() -> str:
    model = next(
        (line.partition(":")[2].strip() for line in _lines("/proc/cpuinfo") if line.startswith("model name")),
        platform.machine(),
    )
    versions = ", ".join(f"{package} {metadata.version(package)}" for package in PACKAGES)
    return (
        f"Measured {datetime.now(UTC):%Y-%m-%d %H:%M} UTC on {os.cpu_count()} cores ({model}), load "
        f"{os.getloadavg()[0]:.1f}, {platform.system()}, Python {platform.python_version()}, {versions}. "
        "Medians; ratios are of one run, and in 1 and 6 of one round.\n"
    )


def _lines(path: str) -> list[str]:
    return Path(path).read_text().splitlines() if Path(path).exists() else []


if __name__ == "__main__":
    sys.exit(main())
