"""Environments of their own for servers whose pins must not meet ours; built once, then reused.

    python = environment("servers", Path("tests/servers/requirements.txt"))

They lie in .build/envs, named by what is in them: other requirements are another environment.
"""

import fcntl
import hashlib
import subprocess
import sys
from pathlib import Path

from local.bootstrap import ROOT

ENVIRONMENTS = ROOT / ".build" / "envs"


class EnvironmentFailed(Exception):
    """An environment could not be built; the message ends with what pip said."""


def environment(name: str, requirements: Path) -> Path:
    """Give the Python of the environment that has these requirements, building it where there is none.

    The requirements must be pinned and complete: dependencies are not followed. Nothing is compiled ahead,
    for most of it is never imported.

    Raises:
        EnvironmentFailed: it cannot be built.
    """
    digest = hashlib.sha256(sys.version.encode() + requirements.read_bytes()).hexdigest()[:12]
    folder = ENVIRONMENTS / f"{name}-{digest}"
    python, done = folder / "bin" / "python", folder / ".done"
    ENVIRONMENTS.mkdir(parents=True, exist_ok=True)
    with (ENVIRONMENTS / f"{name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # the workers of one test run build it once
        if not done.exists():
            _run(sys.executable, "-m", "venv", "--clear", str(folder))
            pip = (str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check")
            _run(*pip, "--no-deps", "--no-compile", "-r", str(requirements))
            done.touch()
    return python


def _run(*command: str) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise EnvironmentFailed(f"{' '.join(command[1:4])} failed:\n{(done.stderr or done.stdout)[-2000:]}")
