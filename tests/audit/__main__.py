"""`make audit`: pip-audit on all that is pinned, against PyPI's advisories.

Where they cannot be had (no network, or a mirror without them), it says so and fails nothing: an audit that
did not take place must never read like one that found nothing.
"""

import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from local.bootstrap import ROOT
from tests.environments import EnvironmentFailed, environment

PINS = (ROOT / "requirements.txt", ROOT / "requirements-dev.txt")
SECONDS = 10


class Verdict(NamedTuple):
    """What to tell, and how to end: 0, or 1 where something is known against a package."""

    told: str
    status: int


def audit(pins: Sequence[Path]) -> Verdict:
    """Audit files of pins.

    Raises:
        EnvironmentFailed: pip-audit cannot be installed.
    """
    python = environment("audit", ROOT / "tests" / "audit" / "requirements.txt")
    command = [str(python), "-m", "pip_audit", "--no-deps", "--disable-pip", "--format=json"]
    command += [f"--timeout={SECONDS}", *(f"--requirement={path}" for path in pins)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    return verdict(done.stdout, done.stderr)


def verdict(stdout: str, stderr: str) -> Verdict:
    """Read what pip-audit printed: its report, or nothing but an error."""
    try:
        packages: list[dict[str, Any]] = json.loads(stdout)["dependencies"]
    except (ValueError, KeyError, TypeError):
        last = (stderr.strip().splitlines() or ["it said nothing"])[-1]
        return Verdict(f"skipped, nothing was audited: the advisories cannot be reached ({last[:200]})", 0)
    skipped = [package["name"] for package in packages if "skip_reason" in package]
    if len(skipped) == len(packages):
        return Verdict("skipped, nothing was audited: the index here has no advisories of any package", 0)
    known = [
        f"{package['name']} {package['version']}: {vulnerability['id']}, mended in "
        f"{', '.join(vulnerability['fix_versions']) or 'no version yet'}"
        for package in packages
        for vulnerability in package.get("vulns", ())
    ]
    told = [f"{len(packages) - len(skipped)} packages audited, {len(known)} advisories", *known]
    told += [f"not audited: {', '.join(skipped)}"] if skipped else []
    return Verdict("\n".join(told), 1 if known else 0)


def main() -> int:
    """Audit what this project pins, and say what came of it."""
    try:
        told, status = audit(PINS)
    except EnvironmentFailed as failed:
        told, status = f"skipped, nothing was audited: {failed}", 0
    print(f"make audit: {told}")
    return status


if __name__ == "__main__":
    sys.exit(main())
