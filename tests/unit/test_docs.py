"""The documentation is true: settings, failures and routes stand in it, its data can be read, it is built."""

import json
import os
import re
import runpy
import subprocess
import sys
import tomllib
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from pydantic import BaseModel, SecretStr
from pydantic.fields import FieldInfo

import errors
from local.bootstrap import ROOT
from local.site import within_site
from sections import (
    AzureMLSettings,
    ExportSettings,
    LimitSettings,
    ModelSettings,
    SesamSettings,
    StorageSettings,
)
from settings import load_settings

SECTIONS: Mapping[str, type[BaseModel]] = {
    "sesam": SesamSettings,
    "storage": StorageSettings,
    "exports.<name>": ExportSettings,
    "models.<name>": ModelSettings,
    "limits": LimitSettings,
    "azure_ml": AzureMLSettings,
}
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])


class Block(NamedTuple):
    """A fenced block of a page."""

    page: str
    line: int
    language: str
    text: str

    def __str__(self) -> str:
        return f"{self.page}:{self.line}"


def blocks_of(page: str, text: str) -> Iterator[Block]:
    """Every fenced block, its indentation taken off."""
    fence = r"^(?P<indent> *)```(?P<language>[a-z]*)[^\n]*\n(?P<text>.*?)^(?P=indent)```$"
    for found in re.finditer(fence, text, re.MULTILINE | re.DOTALL):
        body = re.sub(rf"^{found['indent']}", "", found["text"], flags=re.MULTILINE)
        yield Block(page, text.count("\n", 0, found.start()) + 1, found["language"], body)


BLOCKS = [
    block for page in PAGES for block in blocks_of(str(page.relative_to(ROOT)), page.read_text("utf-8"))
]


# ---- settings


def defaults(section: type[BaseModel]) -> dict[str, object]:
    """What each key of a section is when nobody sets it; None where it follows something else."""
    return {field.alias or name: _default(field) for name, field in section.model_fields.items()}


def _default(field: FieldInfo) -> object:
    if field.is_required():
        return "required"
    value: object = field.get_default(call_default_factory=True)
    if isinstance(value, SecretStr):
        return value.get_secret_value()
    return list(value) if isinstance(value, tuple) else value


def documented(page: str) -> dict[str, dict[str, object]]:
    """The keys and defaults that the page tells, by section."""
    told: dict[str, dict[str, object]] = {}
    for part in re.split(r"^## ", page, flags=re.MULTILINE)[1:]:
        if found := re.match(r"`\[(.+)\]`", part):
            rows = re.findall(r"^\| `(\w+)` \| (?:`(.+?)`|(\w+|–)) \|", part, re.MULTILINE)
            told[found[1]] = {key: _told(value, word) for key, value, word in rows}
    return told


def _told(value: str, word: str) -> object:
    if word:
        return None if word == "–" else word
    return tomllib.loads(f"value = {value}")["value"]


def test_every_setting_is_documented_with_its_default_and_no_other() -> None:
    page = (ROOT / "docs" / "configure.md").read_text("utf-8")
    assert documented(page) == {name: defaults(section) for name, section in SECTIONS.items()}


def test_a_setting_without_its_row_and_a_wrong_default_are_found() -> None:
    page = "## `[limits]`\n| `depth` | `65` | … |\n| `gone` | required | … |\n| `open` | – | … |\n"
    assert documented(page) == {"limits": {"depth": 65, "gone": "required", "open": None}}


# ---- failures


def failures(of: type[errors.Failure] = errors.Failure) -> Iterator[type[errors.Failure]]:
    for failure in of.__subclasses__():
        yield failure
        yield from failures(failure)


def test_every_failure_is_documented_with_its_status_cause_and_cure_and_no_other() -> None:
    page = (ROOT / "docs" / "operate.md").read_text("utf-8")
    told = re.findall(r"^\| `([a-z-]+)` \| (\d{3}) \| (.+?) \| (.+?) \|$", page, re.MULTILINE)
    known: list[type[errors.Failure]] = [errors.Failure, *failures()]
    assert {slug: int(status) for slug, status, *_ in told} == {each.slug: each.status for each in known}
    assert all(cause.strip() and cure.strip() for *_, cause, cure in told)


# ---- blobs


def test_every_place_in_storage_is_documented_and_no_other() -> None:
    code = (ROOT / "storage.py").read_text("utf-8")
    page = (ROOT / "docs" / "operate.md").read_text("utf-8")
    places = set(re.findall(r'(?:return f|PREFIX = )"([a-z]+)/', code))
    places.remove("probes")  # the doctor takes its own away again
    assert set(re.findall(r"^\| `([a-z]+)/", page, re.MULTILINE)) == places


# ---- routes


def routes() -> set[str]:
    """Every route of the app, as `METHOD /api/path`; of an app of its own, for functions are told once."""
    app = runpy.run_path(str(ROOT / "function_app.py"))["app"]
    return {
        f"{method} /api/{binding['route']}"
        for function in app.get_functions()
        for binding in (binding.get_dict_repr() for binding in function.get_bindings())
        if binding["type"] == "httpTrigger"
        for method in (str(getattr(given, "value", given)) for given in binding["methods"])
    }


@pytest.mark.parametrize("page", ["README.md", "docs/routes.md"])
def test_every_route_is_documented_and_no_other(page: str) -> None:
    table = "\n".join(
        line for line in (ROOT / page).read_text("utf-8").splitlines() if line.startswith("| `")
    )
    told = set(re.findall(r"`((?:GET|PUT|POST|DELETE) /api/[^`?]+)`", table))
    assert told == routes()


# ---- blocks


@pytest.mark.parametrize("block", [b for b in BLOCKS if b.language == "json"], ids=str)
def test_json_can_be_read(block: Block) -> None:
    for document in _documents(block.text):
        json.loads(document)


def _documents(text: str) -> Iterable[str]:
    """One document, or one a line."""
    lines = text.strip().splitlines()
    one_a_line = len(lines) > 1 and all(
        line.startswith(("{", "[")) and line.endswith(("}", "]")) for line in lines
    )
    return lines if one_a_line else [text]


@pytest.mark.parametrize("block", [b for b in BLOCKS if b.language == "toml"], ids=str)
def test_toml_holds_settings_that_the_app_takes(
    block: Block, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    given: dict[str, Any] = tomllib.loads(block.text)
    (tmp_path / "bridge.toml").write_text(block.text, "utf-8")
    monkeypatch.setenv("BRIDGE_CONFIG", str(tmp_path / "bridge.toml"))
    monkeypatch.setenv("AzureWebJobsStorage", "UseDevelopmentStorage=true")
    monkeypatch.setenv("SESAM__URL", "datahub-1234.sesam.cloud")
    monkeypatch.setenv("SESAM__JWT", "a-token")
    for name, model in given.get("models", {}).items():
        monkeypatch.setenv(f"MODELS__{name.upper()}__KEY", "a-key")
        if export := model.get("contract"):
            monkeypatch.setenv(f"EXPORTS__{export.upper()}__PIPE", "a-pipe")
    load_settings()


def test_every_make_command_that_is_shown_exists() -> None:
    commands = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    shown = {
        word
        for block in BLOCKS
        if block.language == "console"
        for word in re.findall(r"^make ([a-z-]+)", block.text, re.MULTILINE)
    } | {word for page in PAGES for word in re.findall(r"`make ([a-z-]+)[^`]*`", page.read_text("utf-8"))}
    assert shown <= commands
    assert {"run", "test"} <= shown


# ---- the site


def test_the_site_is_built_without_a_broken_link_or_a_page_that_nothing_leads_to(tmp_path: Path) -> None:
    built = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(tmp_path)],
        cwd=ROOT,
        env=os.environ | {"NO_MKDOCS_2_WARNING": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert built.returncode == 0, built.stderr
    assert (tmp_path / "security.html").is_file()
    shown = {page.name: page.read_text("utf-8") for page in tmp_path.rglob("*.html")}
    assert [name for name, html in shown.items() if "```" in html] == [], "a block that is not shown as one"


def test_a_page_of_the_root_links_within_the_site() -> None:
    text = "[Deploy](docs/deploy.md#x), [`infra/`](infra/app), [Azure](https://azure.com), [above](#top)"
    assert within_site(text) == "[Deploy](deploy.md#x), `infra/`, [Azure](https://azure.com), [above](#top)"
