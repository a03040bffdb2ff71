"""`make fuzz`: coverage-guided fuzzing (atheris, libFuzzer) of the pure modules that read what others wrote.

    python -m tests.fuzz.run --minutes 5 csv answers

What each target finds new is kept in .build/fuzz, so that the next run goes on from there; an input that
breaks a promise is saved there too, as `crash-…`, and belongs into the corpus once it is repaired.
"""

import argparse
import re
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from local.bootstrap import ROOT
from tests.environments import EnvironmentFailed, environment
from tests.fuzz.targets import TARGETS

FUZZ = ROOT / "tests" / "fuzz"
CORPUS = FUZZ / "corpus"
FOUND = ROOT / ".build" / "fuzz"
LONGEST_INPUT = 4096


def fuzz(target: str, *options: str, found: Path) -> subprocess.CompletedProcess[str]:
    """Fuzz a target from its corpus, keeping what is found; libFuzzer's options as they are.

    Raises:
        EnvironmentFailed: this machine has no atheris: there are wheels for Linux on x86-64 only.
    """
    python = environment("fuzz", FUZZ / "requirements.txt")
    found.mkdir(parents=True, exist_ok=True)
    command = [str(python), "-m", "tests.fuzz.engine", target, str(found), str(CORPUS / target)]
    command += [f"-artifact_prefix={found}/", f"-max_len={LONGEST_INPUT}", *options]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)


def _told(done: subprocess.CompletedProcess[str]) -> str:
    if done.returncode:
        saved = [line for line in done.stderr.splitlines() if "Test unit written" in line]
        return "\n".join(
            ["a promise broke", done.stdout.strip(), *saved, *([] if saved else [done.stderr[-2000:]])]
        )
    steps = re.findall(r"^#\d+\s.*?exec/s: \d+", done.stderr, re.MULTILINE)
    return steps[-1] if steps else "nothing ran"


def main(arguments: Sequence[str] | None = None) -> int:
    """Fuzz the targets one after the other; 0 where no promise broke."""
    parser = argparse.ArgumentParser(prog="make fuzz")
    parser.add_argument("targets", nargs="*", default=list(TARGETS))
    parser.add_argument("--minutes", type=float, default=1.0, help="for each target")
    given = parser.parse_args(arguments)
    broken = 0
    for target in given.targets:
        try:
            done = fuzz(target, f"-max_total_time={60 * given.minutes:.0f}", found=FOUND / target)
        except EnvironmentFailed as error:
            print(f"make fuzz: {error}", file=sys.stderr)
            return 2
        print(f"{target:9} {_told(done)}", flush=True)
        broken += done.returncode != 0
    return 1 if broken else 0


if __name__ == "__main__":
    sys.exit(main())
