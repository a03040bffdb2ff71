"""The files that platforms read: azure.yaml, host.json, local settings, the workflow; and bridge.toml.

The official schemas cannot be fetched here. Those below are written from the documentation's facts
(facts/functions.md §3.7, §6), strict: a key that is misspelt is one that the platform passes over in silence.
"""

import copy
import json
import tomllib
from collections.abc import Callable
from typing import Any

import pytest
import yaml
from jsonschema import Draft202012Validator

from local.bootstrap import ROOT
from settings import Settings
from tests.unit.azure.test_bicep import NOT_ON_FLEX, known_setting

type Schema = dict[str, Any]


def closed(required: tuple[str, ...] = (), **properties: Any) -> Schema:
    """An object with these properties and no other."""
    return {
        "type": "object",
        "properties": properties,
        "required": list(required),
        "additionalProperties": False,
    }


TIMESPAN = {"type": "string", "pattern": r"^([0-9]+\.)?[0-2][0-9]:[0-5][0-9]:[0-5][0-9]$"}
TEXT = {"type": "string", "minLength": 1}

HOST = closed(
    ("version", "extensionBundle"),
    version={"const": "2.0"},
    functionTimeout=TIMESPAN,
    telemetryMode={"const": "OpenTelemetry"},
    extensionBundle=closed(
        ("id", "version"),
        id={"const": "Microsoft.Azure.Functions.ExtensionBundle"},
        version={"type": "string", "pattern": r"^\[\d+\.[*\d.]+, \d+\.\d+\.\d+\)$"},
    ),
    extensions=closed(
        http=closed(
            routePrefix={"type": "string"},
            maxConcurrentRequests={"type": "integer", "minimum": -1},
            maxOutstandingRequests={"type": "integer", "minimum": -1},
            dynamicThrottlesEnabled={"type": "boolean"},
        ),
        queues=closed(
            batchSize={"type": "integer", "minimum": 1, "maximum": 32},
            newBatchThreshold={"type": "integer", "minimum": 0},
            maxPollingInterval=TIMESPAN,
            visibilityTimeout=TIMESPAN,
            maxDequeueCount={"type": "integer", "minimum": 1},
            messageEncoding={"enum": ["base64", "none"]},
        ),
    ),
    logging=closed(
        applicationInsights=closed(
            samplingSettings=closed(isEnabled={"type": "boolean"}, excludedTypes={"type": "string"})
        )
    ),
)

LOCAL_SETTINGS = closed(
    ("IsEncrypted", "Values"),
    IsEncrypted={"const": False},
    # Text alone, and no colon in a name, which not every system takes in a variable's.
    Values={
        "type": "object",
        "propertyNames": {"pattern": "^[^:]+$"},
        "additionalProperties": {"type": "string"},
    },
    Host=closed(LocalHttpPort={"type": "integer"}, CORS={"type": "string"}),
)

AZURE = closed(
    ("name", "services"),
    name={"type": "string", "pattern": "^[a-z0-9-]{2,}$"},
    infra=closed(provider={"enum": ["bicep", "terraform"]}, path=TEXT, module=TEXT),
    services={
        "type": "object",
        "minProperties": 1,
        "additionalProperties": closed(
            ("project", "language", "host"),
            project=TEXT,
            language={"enum": ["python", "js", "ts", "csharp", "java"]},
            host={"enum": ["function", "appservice", "containerapp", "staticwebapp", "aks"]},
        ),
    },
)

STEP: Schema = {
    "type": "object",
    "propertyNames": {"enum": ["name", "run", "uses", "env", "with"]},
    "additionalProperties": {"type": ["string", "object"]},
}
WORKFLOW = closed(
    ("name", "on", "permissions", "jobs"),
    **{
        "name": TEXT,
        "on": closed(push={}, pull_request={}),
        "permissions": {"const": {"contents": "read"}},
        "concurrency": closed(("group",), **{"group": TEXT, "cancel-in-progress": {"type": "boolean"}}),
        "jobs": {
            "type": "object",
            "additionalProperties": closed(
                ("runs-on", "timeout-minutes", "steps"),
                **{
                    "runs-on": {"type": "string", "pattern": r"^ubuntu-\d\d\.\d\d$"},
                    "timeout-minutes": {"type": "integer", "maximum": 30},
                    "steps": {"type": "array", "items": STEP},
                },
            ),
        },
    },
)


def workflow(text: str) -> Any:
    """Read YAML as GitHub does: `on` is a word, not the truth."""
    content = yaml.safe_load(text)
    return {"on" if key is True else key: value for key, value in content.items()}


# Of each file: how it is read, its schema, and an edit that its schema must refuse.
FILES: dict[str, tuple[Callable[[str], Any], Schema, Callable[[Any], object]]] = {
    "host.json": (json.loads, HOST, lambda it: it["extensions"]["queues"].update(batchsize=1)),
    "local.settings.sample.json": (json.loads, LOCAL_SETTINGS, lambda it: it["Values"].update(A=1)),
    "azure.yaml": (yaml.safe_load, AZURE, lambda it: it["services"]["app"].update(host="functions")),
    "bridge.toml": (
        tomllib.loads,
        Settings.model_json_schema(),
        lambda it: it["models"]["churn"].update(batchrows=1),
    ),
    ".github/workflows/test.yml": (workflow, WORKFLOW, lambda it: it["permissions"].update(packages="write")),
}


@pytest.mark.parametrize("name", FILES)
def test_the_file_is_what_its_schema_allows(name: str) -> None:
    read, schema, _ = FILES[name]
    Draft202012Validator.check_schema(schema)
    assert trouble(read((ROOT / name).read_text()), schema) == []


@pytest.mark.parametrize("name", FILES)
def test_a_key_that_nobody_reads_is_found(name: str) -> None:
    read, schema, spoil = FILES[name]
    content = copy.deepcopy(read((ROOT / name).read_text()))
    spoil(content)
    assert trouble(content, schema)


def trouble(content: Any, schema: Schema) -> list[str]:
    return [error.message for error in Draft202012Validator(schema).iter_errors(content)]


def test_every_local_setting_is_one_that_somebody_reads() -> None:
    values = json.loads((ROOT / "local.settings.sample.json").read_text())["Values"]
    # The two that Azure has in another place: functionAppConfig, and the identity's own spelling.
    here_alone = {"FUNCTIONS_WORKER_RUNTIME", "AzureWebJobsStorage"}
    assert NOT_ON_FLEX & values.keys() <= here_alone
    assert [name for name in values if name not in here_alone and not known_setting(name)] == []


def test_no_secret_stands_in_a_file_that_is_committed() -> None:
    values = json.loads((ROOT / "local.settings.sample.json").read_text())["Values"]
    assert {values[name] for name in values if name.endswith(("__JWT", "__KEY"))} == {""}
    given = tomllib.loads((ROOT / "bridge.toml").read_text())
    assert "jwt" not in given["sesam"]
    assert [name for name, model in given["models"].items() if "key" in model] == []


def test_the_workflow_runs_make_test_on_the_python_of_the_project_and_keeps_no_credentials() -> None:
    (job,) = workflow((ROOT / ".github/workflows/test.yml").read_text())["jobs"].values()
    checkout, python, run = job["steps"]
    assert checkout["with"] == {"persist-credentials": False}
    assert python["with"] == {"python-version-file": ".python-version"}
    assert run == {"run": "make test"}
