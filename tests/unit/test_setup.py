"""Set-up and the commands: what a person on a fresh machine meets."""

import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from local import bootstrap
from local.bootstrap import ROOT, SetupFailed


def make(*words: str, folder: Path = ROOT, path: Path | None = None) -> subprocess.CompletedProcess[str]:
    search = f"{path}:{os.environ['PATH']}" if path else os.environ["PATH"]
    environment = {name: value for name, value in os.environ.items() if not name.startswith("MAKE")}
    return subprocess.run(
        ["make", *words],
        cwd=folder,
        env=environment | {"PATH": search},
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.fixture
def fresh_clone(tmp_path: Path) -> Path:
    """A folder with the Makefile and a set-up that only says which Python runs it."""
    clone = tmp_path / "clone"
    (clone / "local").mkdir(parents=True)
    shutil.copy(ROOT / "Makefile", clone)
    (clone / "local/bootstrap.py").write_text("import sys; print('set up by', sys.argv[0])")
    return clone


@pytest.fixture
def programs(tmp_path: Path) -> Path:
    """A folder that comes first on the PATH."""
    folder = tmp_path / "programs"
    folder.mkdir()
    return folder


def program(path: Path, script: str) -> str:
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)
    return str(path)


def test_help_tells_of_every_command() -> None:
    lines = (ROOT / "Makefile").read_text().splitlines()
    commands = {line.partition(":")[0] for line in lines if line and line[0].islower() and ":" in line}
    told = {line.split()[1] for line in make("help").stdout.splitlines()}
    assert "help" in told
    assert told == commands


def test_without_python_3_13_one_plain_line_says_what_to_do(fresh_clone: Path, programs: Path) -> None:
    for name in ("python3.13", "python3"):
        program(programs / name, "exit 1")
    ran = make("setup", folder=fresh_clone, path=programs)
    assert ran.returncode == 2
    assert ran.stdout == ""
    plain, of_make = ran.stderr.splitlines()
    assert plain == (
        "Python 3.13 is needed, and neither python3.13 nor python3 is: install it, "
        "or name it with make PYTHON=..."
    )
    assert of_make.startswith("make: ***")


def test_a_python_that_is_named_and_is_another_version_is_refused(fresh_clone: Path, programs: Path) -> None:
    other = program(programs / "python3.12", "exit 1")
    ran = make("setup", f"PYTHON={other}", folder=fresh_clone)
    assert ran.returncode == 2
    assert ran.stderr.startswith(f"Python 3.13 is needed, and {other} is not it: ")


def test_a_python3_13_that_is_a_failing_shim_is_passed_over(fresh_clone: Path, programs: Path) -> None:
    program(programs / "python3.13", "echo 'pyenv: command not found' >&2; exit 127")
    program(programs / "python3", f'exec {sys.executable} "$@"')
    ran = make("setup", folder=fresh_clone, path=programs)
    assert (ran.returncode, ran.stdout, ran.stderr) == (0, "set up by local/bootstrap.py\n", "")


def test_a_command_whose_set_up_fails_is_not_run(fresh_clone: Path) -> None:
    (fresh_clone / "local/bootstrap.py").write_text("import sys; sys.exit(2)")
    ran = make("azurite", f"PYTHON={sys.executable}", folder=fresh_clone)
    assert ran.returncode == 2
    assert "local.azurite" not in ran.stderr


@pytest.fixture
def steps(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Set-up of a folder of its own, whose steps are only noted."""
    for name in ("requirements.txt", "requirements-dev.txt", "package.json", "package-lock.json"):
        (tmp_path / name).write_text("as it was")
    python = tmp_path / ".venv/bin/python"
    modules = tmp_path / "node_modules"
    taken: list[str] = []

    def note(title: str, command: Sequence[str]) -> None:
        taken.append(title)
        if "venv" in command:
            python.parent.mkdir(parents=True)
            python.symlink_to(sys.executable)
        modules.mkdir(exist_ok=True)

    monkeypatch.setattr(bootstrap, "ROOT", tmp_path)
    monkeypatch.setattr(bootstrap, "ENVIRONMENT", tmp_path / ".venv")
    monkeypatch.setattr(bootstrap, "PYTHON", python)
    monkeypatch.setattr(bootstrap, "NODE_MODULES", modules)
    monkeypatch.setattr(bootstrap, "find_node", lambda: bootstrap.Node("node", ("npm",)))
    monkeypatch.setattr(bootstrap, "_step", note)
    return taken


def test_a_second_set_up_has_nothing_to_do(steps: list[str]) -> None:
    assert bootstrap.main() == 0
    assert [step.split()[0] for step in steps] == [".venv", "Python", "Azurite"]
    steps.clear()
    assert bootstrap.main() == 0
    assert steps == []


@pytest.mark.parametrize(
    ("changed", "step"),
    [
        ("requirements.txt", "Python packages"),
        ("requirements-dev.txt", "Python packages"),
        ("package-lock.json", "Azurite"),
    ],
)
def test_a_changed_pin_is_installed(changed: str, step: str, steps: list[str], tmp_path: Path) -> None:
    bootstrap.main()
    steps.clear()
    (tmp_path / changed).write_text("another pin")
    bootstrap.main()
    assert steps == [step]


def test_a_step_that_failed_is_taken_again(
    steps: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    note = bootstrap._step

    def fail_at_packages(title: str, command: Sequence[str]) -> None:
        note(title, command)
        if title == "Python packages":
            raise SetupFailed("no such version")

    monkeypatch.setattr(bootstrap, "_step", fail_at_packages)
    assert bootstrap.main() == 2
    assert capsys.readouterr().err == "no such version\n"
    monkeypatch.setattr(bootstrap, "_step", note)
    steps.clear()
    assert bootstrap.main() == 0
    assert steps == ["Python packages", "Azurite"]


def test_a_machine_without_node_gets_it_from_pypi(steps: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    found = iter([None, bootstrap.Node("node", ("npm",))])
    monkeypatch.setattr(bootstrap, "find_node", lambda: next(found))
    assert bootstrap.main() == 0
    assert steps[-2:] == ["node, which this machine lacks", "Azurite"]


@pytest.mark.parametrize(("version", "good"), [("v20.6.0", True), ("v24.1.0", True), ("v18.19.1", False)])
def test_a_node_that_is_too_old_does_not_count(
    version: str, good: bool, programs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    node, npm = program(programs / "node", f"echo {version}"), program(programs / "npm", "")
    monkeypatch.setenv("PATH", str(programs))
    monkeypatch.setattr(bootstrap, "ENVIRONMENT", tmp_path)
    assert bootstrap.find_node() == (bootstrap.Node(node, (npm,)) if good else None)


def test_a_node_without_npm_does_not_count(
    programs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program(programs / "node", "echo v24.1.0")
    monkeypatch.setenv("PATH", str(programs))
    monkeypatch.setattr(bootstrap, "ENVIRONMENT", tmp_path)
    assert bootstrap.find_node() is None


def test_a_step_that_fails_shows_what_it_said(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SetupFailed, match="set-up stopped at: a pip"):
        bootstrap._step("a pip", [sys.executable, "-c", "print('no such version'); exit(1)"])
    assert capsys.readouterr().err == "no such version\n"


def test_a_step_that_goes_well_is_one_short_line(capsys: pytest.CaptureFixture[str]) -> None:
    bootstrap._step("a pip", [sys.executable, "-c", "print('much talk')"])
    assert capsys.readouterr().out == "set-up: a pip  0 s\n"


def test_a_long_step_shows_that_it_lives(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bootstrap, "SECONDS_BETWEEN_DOTS", 0.001)
    bootstrap._step("a pip", [sys.executable, "-c", ""])
    assert capsys.readouterr().out.startswith("set-up: a pip ..")
