"""A node's configuration as it lies in a repository, and the checks a Sesam consultant's tools make of it.

    pipes/<_id>.conf.json   systems/<_id>.conf.json   node-metadata.conf.json   test-env.json

Layout and checks: facts/sesam.md §4 and §2.4.
"""

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

type Config = dict[str, Any]

SAMPLES = Path(__file__).parents[2] / "examples" / "sesam"

TRANSFORM_TYPES = frozenset(
    {
        "dtl",
        "http",
        "rest",
        "conditional",
        "emit_children",
        "json_schema_validation",
        "rdf",
        "template",
        "xml",
    }
)
SINK_TYPES = frozenset(
    {"dataset", "sql", "rest", "json", "conditional", "csv_endpoint", "http_endpoint", "kafka", "null"}
)
SYSTEM_TYPES = frozenset({"system:url", "system:rest", "system:microservice"})

# What the csv_endpoint sink does where it is not told (facts/sesam.md §3.1).
CSV_DEFAULTS: Mapping[str, object] = {
    "quoting": "minimal",
    "delimiter": ",",
    "doublequote": True,
    "include_header": True,
    "escapechar": None,
    "lineterminator": "\r\n",
    "quotechar": '"',
    "byte_order_mark": False,
    "encoding": "utf-8",
    "encode_error_strategy": "backslashreplace",
    "skip-deleted-entities": True,
    "content_disposition": "attachment",
}

_VARIABLE = re.compile(r"\$(ENV|SECRET)\(([^)]+)\)")


class ConfigurationError(ValueError):
    """What is wrong with a configuration, file by file."""


@dataclass(frozen=True)
class Configuration:
    """Pipes and systems by `_id`, as written."""

    pipes: Mapping[str, Config]
    systems: Mapping[str, Config]


def load(folder: Path = SAMPLES) -> Configuration:
    """Read a configuration. Raises ConfigurationError with all that `problems` finds."""
    found = problems(folder)
    if found:
        raise ConfigurationError("\n".join(found))
    return Configuration(_read_all(folder / "pipes"), _read_all(folder / "systems"))


def problems(folder: Path) -> list[str]:
    """Check every file; an empty list says that all is well."""
    files = sorted(folder.rglob("*.conf.json"))
    if not files:
        return [f"{folder.name}: holds no configuration"]
    return [f"{file.relative_to(folder)}: {problem}" for file in files for problem in _file_problems(file)]


def transforms(pipe: Config) -> list[Config]:
    """Give a pipe's transforms: none, one or a list of them."""
    given = pipe.get("transform", [])
    return given if isinstance(given, list) else [given]


def sink(pipe: Config) -> Config:
    """Give a pipe's sink with what it does by default: a dataset named like the pipe."""
    given = pipe.get("sink", {"type": "dataset"})
    defaults: dict[str, Mapping[str, object]] = {
        "dataset": {"dataset": pipe["_id"]},
        "csv_endpoint": CSV_DEFAULTS,
    }
    return {**defaults.get(given["type"], {}), **given}


def resolved(config: Config, environment: Mapping[str, object], secrets: Mapping[str, str]) -> Config:
    """Put the values of `$ENV()` and `$SECRET()` in; one that is missing is a ConfigurationError."""
    values: dict[str, Mapping[str, object]] = {"ENV": environment, "SECRET": secrets}

    def value(match: re.Match[str]) -> str:
        kind, name = match.groups()
        if name not in values[kind]:
            raise ConfigurationError(f"{config['_id']}: ${kind}({name}) is not set on the node")
        text = values[kind][name]
        return json.dumps(text if isinstance(text, str) else json.dumps(text))[1:-1]

    return dict(json.loads(_VARIABLE.sub(value, json.dumps(config))))


def _read_all(folder: Path) -> dict[str, Config]:
    configs = (json.loads(file.read_text("utf-8")) for file in sorted(folder.glob("*.conf.json")))
    return {config["_id"]: config for config in configs}


def _file_problems(file: Path) -> Iterator[str]:
    text = file.read_text("utf-8")
    try:
        config = json.loads(text)
    except ValueError as error:
        yield f"is not JSON: {error}"
        return
    if not isinstance(config, dict):
        yield "is not one JSON object"
        return
    for name in ("_id", "type"):
        if not isinstance(config.get(name), str) or not config[name]:
            yield f"has no {name!r} that is a text"
            return
    if config["type"] == "pipe":
        yield from _pipe_problems(config, text)
    elif config["type"] != "metadata" and config["type"] not in SYSTEM_TYPES:
        yield f"has the unknown type {config['type']!r}"
    elif "$SECRET(" in text and config["type"] == "metadata":
        yield "has a $SECRET, which works in systems alone"
    if config["type"] != "metadata" and file.name != f"{config['_id']}.conf.json":
        yield f"is not named after its _id, {config['_id']!r}"


def _pipe_problems(pipe: Config, text: str) -> Iterator[str]:
    if not isinstance(pipe.get("source"), dict) or "type" not in pipe["source"]:
        yield "has no source with a type"
    if "$SECRET(" in text:
        yield "has a $SECRET, which works in systems alone"
    if pipe.get("sink", {}).get("type", "dataset") not in SINK_TYPES:
        yield f"has the unknown sink type {pipe['sink']['type']!r}"
    for transform in transforms(pipe):
        if transform.get("type") not in TRANSFORM_TYPES:
            yield f"has the unknown transform type {transform.get('type')!r}"
        elif transform["type"] == "dtl" and "default" not in transform.get("rules", {}):
            yield "has a DTL transform without the rule 'default'"
        elif transform["type"] == "http" and not {"system", "url"} <= transform.keys():
            yield "has an http transform without system or url"
