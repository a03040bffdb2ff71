"""The rules that hold across the repository: who may import whom (design §2), what no file may hold, pins.

Each rule is a row with a planted breach, so that it is seen to fail.
"""

import ast
import json
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from fnmatch import fnmatch
from functools import cache
from importlib import metadata
from pathlib import Path
from typing import Any

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from local.azurite import FLAGS
from local.bootstrap import ROOT
from version import APP_VERSION

APP = ("contract", "scoring", "training_export", *(path.stem for path in ROOT.glob("*.py")))


def _says_pure(path: Path) -> bool:
    return "Pure" in (ast.get_docstring(ast.parse(path.read_text())) or "")


# What says of itself that it is pure, and two folders that are wholly so.
PURE = (
    "contract",
    "scoring.dialects",
    *(
        ".".join(path.relative_to(ROOT).with_suffix("").parts)
        for folder in (".", "scoring", "training_export")
        for path in sorted((ROOT / folder).glob("*.py"))
        if _says_pure(path)
    ),
)
ENVIRONMENT_READERS = {"settings", "schedule", "telemetry", "azure_monitor"}


# ---- who may import whom


@dataclass(frozen=True)
class ImportRule:
    """`who` never imports `never`: neither itself nor through another module of the project."""

    what: str
    who: tuple[str, ...]
    never: tuple[str, ...]
    planted: Mapping[str, str]
    only_at_top_level: bool = False


IMPORT_RULES = [
    ImportRule(
        "scoring knows neither the other side nor the local tools",
        ("scoring",),
        ("training_export", "local"),
        {"scoring.batch": "def f():\n    from training_export import versions"},
    ),
    ImportRule(
        "training_export knows neither the other side nor the local tools",
        ("training_export",),
        ("scoring", "local"),
        {"training_export.snapshot": "import storage", "storage": "import scoring.batch"},
    ),
    ImportRule(
        "the contract knows neither side, no wire and no settings",
        ("contract",),
        ("scoring", "training_export", "azure", "requests", "pydantic", "pydantic_settings", "time", "os"),
        {"contract.values": "from settings import LIMIT", "settings": "import pydantic"},
    ),
    ImportRule(
        "pure modules touch no wire, no clock, no chance and no environment",
        PURE,
        ("azure", "azurefunctions", "requests", "time", "os", "random", "socket"),
        {"scoring.dialects.classic": "from os import environ"},
    ),
    ImportRule(
        "Azure's storage and identity are imported where they are first used: cold start counts",
        APP,
        ("azure.storage", "azure.identity"),
        {"storage": "try:\n    from azure import storage\nexcept ImportError: ..."},
        only_at_top_level=True,
    ),
    ImportRule(
        "the app needs neither the local tools nor the tests nor the benchmarks",
        APP,
        ("local", "tests", "bench"),
        {"errors": "def f():\n    import tests.unit"},
    ),
    ImportRule(
        "the local tools need no tests", ("local",), ("tests",), {"local.demo": "import tests.integration"}
    ),
]

ALLOWED = {
    "contract.values": "import typing\nif typing.TYPE_CHECKING:\n    import requests, scoring.batch",
    "scoring.batch": "import contract.values, requests, timeit",
    "storage": "def f():\n    from azure.storage.blob import BlobClient",
}


@pytest.mark.parametrize("rule", IMPORT_RULES, ids=lambda rule: rule.what)
def test_imports_point_one_way(rule: ImportRule) -> None:
    assert list(import_breaches(rule, project_modules())) == []


@pytest.mark.parametrize("rule", IMPORT_RULES, ids=lambda rule: rule.what)
def test_an_import_that_points_the_other_way_is_found(rule: ImportRule) -> None:
    assert list(import_breaches(rule, rule.planted))
    assert list(import_breaches(rule, ALLOWED)) == []


def import_breaches(rule: ImportRule, modules: Mapping[str, str]) -> Iterator[str]:
    for start in (module for module in modules if lies_in(module, rule.who)):
        for module in reached(start, modules):
            for name, at_top_level in imports(modules[module]):
                if lies_in(name, rule.never) and (at_top_level or not rule.only_at_top_level):
                    yield f"{start}: {module} imports {name}"


def reached(start: str, modules: Mapping[str, str]) -> set[str]:
    """The modules of the project that run when `start` is imported and used, itself included."""
    found: set[str] = set()
    todo = [start]
    while todo:
        module = todo.pop()
        if module in modules and module not in found:
            found.add(module)
            todo += [name for name, _ in imports(modules[module])]
        if "." in module:  # a package's __init__ runs too, and `from a.b import c` may name a thing in a.b
            todo.append(module.rpartition(".")[0])
    return found


def lies_in(name: str, places: Iterable[str]) -> bool:
    return any(name == place or name.startswith(f"{place}.") for place in places)


@cache
def imports(source: str) -> list[tuple[str, bool]]:
    """Each import as a dotted name, and whether it runs when the module is imported."""
    return list(_imports(ast.parse(source), at_top_level=True))


def _imports(node: ast.AST, at_top_level: bool) -> Iterator[tuple[str, bool]]:
    if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
        return  # never runs
    if isinstance(node, ast.Import):
        yield from ((alias.name, at_top_level) for alias in node.names)
    if isinstance(node, ast.ImportFrom):
        assert node.level == 0, f"imports are absolute: {ast.unparse(node)}"
        yield from ((f"{node.module}.{alias.name}", at_top_level) for alias in node.names)
    within = at_top_level and not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)
    for child in ast.iter_child_nodes(node):
        yield from _imports(child, within)


@cache
def project_modules() -> dict[str, str]:
    """Every module of the app and the local tools, by dotted name."""
    modules = {}
    for path in project_files():
        parts = path.relative_to(ROOT).with_suffix("").parts
        if path.suffix == ".py" and parts[0] in (*APP, "local"):
            modules[".".join(parts).removesuffix(".__init__")] = path.read_text()
    return modules


CLOCK = {"now", "utcnow", "today", "fromtimestamp"}


def test_pure_modules_are_told_the_time() -> None:
    pure = {name: source for name, source in project_modules().items() if lies_in(name, PURE)}
    assert pure
    assert {name: read for name, source in pure.items() if (read := clock_readings(source))} == {}


def test_reading_the_clock_is_found() -> None:
    assert clock_readings("from datetime import UTC, datetime\nx = datetime.now(UTC)")
    assert not clock_readings("def now_known(now): return now.year")


def clock_readings(source: str) -> list[str]:
    nodes = ast.walk(ast.parse(source))
    return [ast.unparse(node) for node in nodes if isinstance(node, ast.Attribute) and node.attr in CLOCK]


def test_the_environment_is_read_where_contributing_says() -> None:
    sources = {name: source for name, source in project_modules().items() if not lies_in(name, ("local",))}
    assert {name for name, source in sources.items() if "os.environ" in source} == ENVIRONMENT_READERS
    contributing = (ROOT / "CONTRIBUTING.md").read_text()
    (row,) = re.findall(r"\| reads a setting \| (.*) \|", contributing)
    assert set(re.findall(r"`(\w+)\.py`", row)) == ENVIRONMENT_READERS


def test_function_app_only_registers() -> None:
    assert other_than_registering((ROOT / "function_app.py").read_text()) == []


@pytest.mark.parametrize(
    "line",
    [
        "def f(): ...",
        "if True: app = App()",
        "for x in y: print(x)",
        "@app.route()\ndef f(): ...",
        "url = 'x'",
        "print(1)",
    ],
)
def test_anything_else_in_function_app_is_found(line: str) -> None:
    app = '"""The app."""\nimport a\napp = App()\nfor each in (a.b, a.c):\n    app.register_functions(each)\n'
    assert other_than_registering(app) == []
    assert other_than_registering(app + line) == [ast.unparse(ast.parse(line))]


def other_than_registering(source: str) -> list[str]:
    def is_registering(statement: ast.stmt) -> bool:
        match statement:
            case ast.Import() | ast.ImportFrom() | ast.Assign(value=ast.Call()):
                return True
            case ast.Expr(value=ast.Constant(value=str())):
                return statement is body[0]
            case ast.Expr(value=ast.Call(func=ast.Attribute(attr="register_functions"))):
                return True
            case ast.For(body=within, orelse=[]):
                return all(is_registering(each) for each in within)
        return False

    body = ast.parse(source).body
    return [ast.unparse(statement) for statement in body if not is_registering(statement)]


# ---- what no file may hold

# A pattern, texts that it finds, texts that it leaves alone. (Written so that none is found in this file.)
FORBIDDEN_TEXT = {
    "a path of one machine": (
        r"(?<![\w.$}])/(?:work|root|tmp|opt|Users|home(?!/site))/\w",
        ["cat /" + "work/x", "'/" + "tmp/data'", "/" + "home/kari/x"],
        ["/home/site/wwwroot", "at work/life", "https://host/root/x", "$HOME/tmp/x"],
    ),
    "a registry's address, or how to reach one": (
        r"registry\.npm|npmjs\.org|pypi\.org/simple|python[h]osted|index-[u]rl|find-[l]inks|_auth[T]oken",
        [
            "registry" + ".npmjs" + ".org/azurite",
            "--extra-index" + "-url x",
            "https://files.python" + "hosted.org",
        ],
        ["https://pypi.org/project/azure-functions-runtime"],
    ),
}


@pytest.mark.parametrize("what", FORBIDDEN_TEXT)
def test_no_file_holds(what: str) -> None:
    pattern = re.compile(FORBIDDEN_TEXT[what][0])
    found = [
        f"{path.relative_to(ROOT)}:{number}: {line.strip()}"
        for path in project_files()
        for number, line in enumerate(path.read_text(errors="replace").splitlines(), 1)
        if pattern.search(line)
    ]
    assert found == []


@pytest.mark.parametrize("what", FORBIDDEN_TEXT)
def test_forbidden_text_is_found_and_nothing_else(what: str) -> None:
    pattern, planted, allowed = FORBIDDEN_TEXT[what]
    assert all(re.search(pattern, text) for text in planted)
    assert not any(re.search(pattern, text) for text in allowed)


def project_files() -> Iterator[Path]:
    """The files that are the project's: all but those that .gitignore names."""
    ignored = [".git", *(line.strip("/") for line in (ROOT / ".gitignore").read_text().split())]
    for folder, folders, files in ROOT.walk():
        folders[:] = [name for name in folders if not any(fnmatch(name, pattern) for pattern in ignored)]
        yield from (folder / name for name in files if not any(fnmatch(name, each) for each in ignored))


# ---- pins

REQUIREMENTS = {"requirements.txt": ["requirements.txt"]}
REQUIREMENTS["requirements-dev.txt"] = ["requirements.txt", "requirements-dev.txt"]


def pins(text: str) -> dict[str, str]:
    """The version of each package, by its canonical name; a line that pins nothing is refused."""
    lines = (line.split("#")[0].strip() for line in text.splitlines())
    found: dict[str, str] = {}
    for line in lines:
        if line and not line.startswith("-r "):
            name, equal, version = line.partition("==")
            assert equal, f"not pinned: {line}"
            assert canonicalize_name(name) not in found, f"pinned twice: {name}"
            found[canonicalize_name(name)] = version
    return found


def pinned_in(name: str) -> dict[str, str]:
    return pins("\n".join((ROOT / file).read_text() for file in REQUIREMENTS[name]))


def brought_along(names: Iterable[str]) -> set[str]:
    """The packages, and all that they need on this machine."""
    found: set[str] = set()
    todo = list(names)
    while todo:
        name = canonicalize_name(todo.pop())
        if name not in found:
            found.add(name)
            needs = [Requirement(need) for need in metadata.requires(name) or []]
            todo += [need.name for need in needs if not need.marker or need.marker.evaluate({"extra": ""})]
    return found


@pytest.mark.parametrize("file", REQUIREMENTS)
def test_everything_that_is_brought_along_is_pinned(file: str) -> None:
    pinned = pinned_in(file)
    assert brought_along(pinned) - pinned.keys() == set()


def test_a_line_without_a_pin_a_second_pin_and_a_missing_one_are_found() -> None:
    with pytest.raises(AssertionError, match="not pinned: requests>=2"):
        pins("requests>=2")
    with pytest.raises(AssertionError, match="pinned twice: Requests"):
        pins("requests==2.34.2\nRequests==2.34.2  # again")
    assert "urllib3" in brought_along(["requests"])


def test_the_platform_brings_its_own_worker() -> None:
    assert "azure-functions-worker" not in pinned_in("requirements-dev.txt")


def test_the_app_imports_only_what_requirements_txt_brings() -> None:
    app = [source for module, source in project_modules().items() if lies_in(module, APP)]
    assert not_brought(app) == set()


def test_an_import_that_requirements_txt_does_not_bring_is_found() -> None:
    assert not_brought(["import json, requests", "def f():\n    import aiohttp.web"]) == {"aiohttp"}


# formats = ["parquet"] asks for it, and whoever wants that adds it to their requirements.
OPTIONAL = {"pyarrow"}


def not_brought(sources: Iterable[str]) -> set[str]:
    pinned = OPTIONAL.union(pinned_in("requirements.txt"))
    providers = metadata.packages_distributions()
    packages = {name.partition(".")[0] for source in sources for name, _ in imports(source)}
    packages.difference_update(APP)  # some package may be named like a module of ours
    return {
        package
        for package in packages & providers.keys()
        if not any(canonicalize_name(provider) in pinned for provider in providers[package])
    }


def test_the_lock_file_of_npm_names_no_address_and_checks_every_package() -> None:
    assert lock_breaches(read_json("package-lock.json")) == []


@pytest.mark.parametrize(
    "package",
    [{"resolved": "https" + "://somewhere/a.tgz", "integrity": "sha512-x"}, {"version": "1.0.0"}],
    ids=["an address", "no checksum"],
)
def test_a_package_with_an_address_or_without_a_checksum_is_found(package: dict[str, str]) -> None:
    assert lock_breaches({"packages": {"": {}, "node_modules/a": package}}) == ["node_modules/a"]


def lock_breaches(lock: Mapping[str, Any]) -> list[str]:
    packages = {path: package for path, package in lock["packages"].items() if path}
    assert packages
    return [path for path, package in packages.items() if "resolved" in package or "integrity" not in package]


def test_azurite_is_one_version_everywhere() -> None:
    version = read_json("package.json")["dependencies"]["azurite"]
    assert re.fullmatch(r"\d+\.\d+\.\d+", version)
    assert read_json("package-lock.json")["packages"]["node_modules/azurite"]["version"] == version
    assert f"/azurite:{version}\n" in (ROOT / "compose.yaml").read_text()


def test_azurite_by_docker_is_started_as_ours_is() -> None:
    compose = (ROOT / "compose.yaml").read_text()
    assert all(flag in compose for flag in FLAGS)
    assert re.findall(r'- "(.*)"', compose) == [f"127.0.0.1:{port}:{port}" for port in (10000, 10001, 10002)]


# ---- what only the real platforms would notice


def test_the_extension_bundle_that_only_the_real_host_needs_is_named() -> None:
    assert read_json("host.json")["extensionBundle"] == {
        "id": "Microsoft.Azure.Functions.ExtensionBundle",
        "version": "[4.*, 5.0.0)",
    }


def test_the_workflow_pins_its_actions_by_commit_and_may_only_read() -> None:
    for path in (ROOT / ".github" / "workflows").iterdir():
        workflow = path.read_text()
        assert "permissions:\n  contents: read\n" in workflow
        assert unpinned_actions(workflow) == []
    assert unpinned_actions("- uses: actions/checkout@v6") == ["actions/checkout@v6"]


def unpinned_actions(workflow: str) -> list[str]:
    used: list[str] = re.findall(r"uses: *(.+)", workflow)
    assert used
    return [action for action in used if not re.fullmatch(r"\S+@[0-9a-f]{40} # v[\d.]+", action)]


def test_the_app_and_its_project_file_tell_one_version() -> None:
    assert f'\nversion = "{APP_VERSION}"\n' in (ROOT / "pyproject.toml").read_text()


def test_one_python_is_meant_everywhere() -> None:
    assert (ROOT / ".python-version").read_text() == "3.13\n"
    assert 'requires-python = "==3.13.*"' in (ROOT / "pyproject.toml").read_text()


def read_json(name: str) -> Any:
    return json.loads((ROOT / name).read_text())
