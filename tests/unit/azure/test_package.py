"""What is deployed: exactly the app, and the same bytes for the same files."""

from pathlib import Path

import pytest

from local.bootstrap import ROOT
from local.package import build, packed

FOLDERS = {"contract", "scoring", "training_export"}
FILES = {"LICENSE", "bridge.toml", "host.json", "requirements.txt"}
MODULES = {path.name for path in ROOT.glob("*.py")}


def test_the_package_is_the_app_and_nothing_else() -> None:
    names = packed()
    assert {name.partition("/")[0] for name in names} == FOLDERS | FILES | MODULES
    assert {Path(name).suffix for name in names if "/" in name} == {".py"}


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A small project with what lies about in a real one."""
    (tmp_path / ".funcignore").write_text((ROOT / ".funcignore").read_text())
    for name in (
        *("function_app.py", "host.json", "scoring/batch.py", "scoring/__pycache__/batch.pyc"),
        *("local.settings.json", "local.settings.kari.json", ".env", ".azure/prod/.env", ".git/config"),
        *("local/host.py", ".venv/bin/python", "docs/a.md", "node_modules/a/b.js", "tests/unit/test_a.py"),
        *("__azurite_db_blob__.json", ".python_packages/lib/site-packages/a.py"),
    ):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(name)
    return tmp_path


def test_secrets_tools_and_leavings_stay_at_home(project: Path) -> None:
    assert packed(project) == [
        ".python_packages/lib/site-packages/a.py",
        "function_app.py",
        "host.json",
        "scoring/batch.py",
    ]


def test_the_same_files_give_the_same_bytes(project: Path) -> None:
    first = build(project / ".build" / "first.zip", project).read_bytes()
    (project / "host.json").touch()
    assert build(project / ".build" / "second.zip", project).read_bytes() == first
    (project / "host.json").write_text("{}")
    assert build(project / ".build" / "third.zip", project).read_bytes() != first
