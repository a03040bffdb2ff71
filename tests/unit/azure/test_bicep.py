"""The templates of infra/: each parses, says nothing that contradicts itself or the app, and keeps our rules.

Each rule is a function from the templates to its breaches, with planted breaches that it must find. What only
Azure's compiler would see (types, API versions) is not checked here: none is to be had (docs/deploy.md).
"""

import json
import re
from collections.abc import Callable, Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any, get_args

import pytest

import telemetry
from local.bootstrap import ROOT
from scoring import measured
from sections import ModelSettings, StorageSettings
from settings import Settings
from storage import EXPORT_QUEUE
from tests.unit.azure.bicep import Bicep, Declared, properties
from training_export.publisher import DEADLINE_S
from training_export.runs import Outcome

INFRA = ROOT / "infra"
MAIN = "main.bicep"

type Templates = Mapping[str, Bicep]


@cache
def read(path: Path) -> Bicep:
    return Bicep(path.read_text())


def templates() -> dict[str, Bicep]:
    return {str(path.relative_to(INFRA)): read(path) for path in sorted(INFRA.rglob("*.bicep"))}


# ---- the rules


def syntax(files: Templates) -> Iterator[str]:
    yield from (name for name, file in files.items() if file.broken)


# What each resource of a type must say.
MUST = {
    "Microsoft.Storage/storageAccounts": {
        "properties.allowSharedKeyAccess": "false",
        "properties.allowBlobPublicAccess": "false",
        "properties.minimumTlsVersion": "'TLS1_2'",
        "properties.supportsHttpsTrafficOnly": "true",
    },
    "Microsoft.KeyVault/vaults": {"properties.enableRbacAuthorization": "true"},
    "Microsoft.Insights/components": {"properties.DisableLocalAuth": "true"},
    "Microsoft.Web/sites": {
        "properties.httpsOnly": "true",
        "properties.siteConfig.minTlsVersion": "'1.2'",
        "properties.siteConfig.scmMinTlsVersion": "'1.2'",
        "properties.siteConfig.ftpsState": "'Disabled'",
        "properties.keyVaultReferenceIdentity": "identityId",
        "properties.functionAppConfig.runtime.name": "'python'",
        "properties.functionAppConfig.runtime.version": f"'{(ROOT / '.python-version').read_text().strip()}'",
    },
    "basicPublishingCredentialsPolicies": {"properties.allow": "false"},
    "Microsoft.Authorization/roleAssignments": {},
}


def hardening(files: Templates) -> Iterator[str]:
    for name, resource in _resources(files):
        if resource.existing:
            continue
        said = properties(resource)
        for path, value in MUST.get(resource.type.partition("@")[0], {}).items():
            if said.get(path) != value:
                yield f"{name}: {resource.name}: {path} is not {value}"


KEYS = re.compile(r"listKeys|listAccountSas|AccountKey=|InstrumentationKey\b|access[kK]ey|/listsecrets", re.I)


def no_keys(files: Templates) -> Iterator[str]:
    yield from (f"{name}: {found}" for name, file in files.items() for found in KEYS.findall(file.text))


SECRET = re.compile(r"secret|password|token|jwt|(?<!public)key(?!vault)|connectionstring", re.I)


def secrets(files: Templates) -> Iterator[str]:
    for name, file in files.items():
        for each in file.declared:
            told = SECRET.search(each.name.replace("KEY_VAULT", "").replace("keyVault", ""))
            if each.kind == "output" and (told or SECRET.search(each.text.partition("=")[2])):
                yield f"{name}: output {each.name}"
            if each.kind == "parameter" and told and "@secure()" not in each.decorators:
                yield f"{name}: param {each.name} is not @secure()"


def modules(files: Templates) -> Iterator[str]:
    used = {MAIN}
    for name, file in files.items():
        for module in file.of("module").values():
            used.add(module.type)
            if module.type not in files:
                yield f"{name}: there is no {module.type}"
                continue
            wanted = files[module.type].of("parameter")
            given = {path[7:] for path in properties(module) if re.fullmatch(r"params\.\w+", path)}
            yield from (f"{name}: {module.name} takes no {extra}" for extra in sorted(given - wanted.keys()))
            needed = {each.name for each in wanted.values() if not each.default}
            yield from (f"{name}: {module.name} lacks {missing}" for missing in sorted(needed - given))
        taken = file.outputs_used()
        kinds = file.of("module")
        for symbol, output in sorted(taken):
            its = files.get(kinds[symbol].type) if symbol in kinds else None
            if its and output not in its.of("output"):
                yield f"{name}: {symbol} has no output {output}"
    yield from (f"{unused} is used nowhere" for unused in files.keys() - used)


def nothing_idle(files: Templates) -> Iterator[str]:
    taken = {(file.of("module")[s].type, o) for file in files.values() for s, o in file.outputs_used()}
    for name, file in files.items():
        for each in file.declared:
            once = file.names_used.count(each.name) == 1
            if each.kind in ("parameter", "variable") and once:
                yield f"{name}: {each.name} is not used"
            if each.kind == "output" and name != MAIN and (name, each.name) not in taken:
                yield f"{name}: output {each.name} is not used"


def one_version(files: Templates) -> Iterator[str]:
    versions: dict[str, set[str]] = {}
    for name, resource in _resources(files):
        type_, _, version = resource.type.partition("@")
        # A type below another one takes its parent's version.
        if version and not re.fullmatch(r"20\d\d-\d\d-\d\d", version):
            yield f"{name}: {resource.type} is a preview"
        if version:
            versions.setdefault("/".join(type_.split("/")[:2]), set()).add(version)
    yield from (f"{type_}: {sorted(found)}" for type_, found in versions.items() if len(found) > 1)


ROLES = {
    "b7e6dc6d-f1e8-4753-8033-0f276bb0955b": "Storage Blob Data Owner",
    "2a2b9908-6ea1-4ae2-8e65-a410df84e7d1": "Storage Blob Data Reader",
    "974c5e8b-45b9-4653-ba55-5f855dd0fb88": "Storage Queue Data Contributor",
    "0a9a7e1f-b9d0-4cc4-a60d-0319b160aaa3": "Storage Table Data Contributor",
    "4633458b-17de-408a-b874-0445c86b69e6": "Key Vault Secrets User",
    "b86a8fe4-44ce-4948-aee5-eccb2c155cd7": "Key Vault Secrets Officer",
    "3913510d-42f4-4e42-8a64-420c390055eb": "Monitoring Metrics Publisher",
    "f6c7c914-8db3-469d-8ca1-694a8f32e121": "AzureML Data Scientist",
}
ROLE = re.compile(r"'([0-9a-f]{8}-(?:[0-9a-f]{4}-){3}[0-9a-f]{12})'")


def roles(files: Templates) -> Iterator[str]:
    for name, file in files.items():
        lines = file.text.splitlines()
        for number, line in enumerate(lines):
            for id_ in ROLE.findall(line):
                above = number
                while lines[above - 1].lstrip().startswith("//"):
                    above -= 1
                told = re.search(r"// ([\w ]+): \S+", lines[above])
                if id_ not in ROLES or told is None or told[1] != ROLES[id_]:
                    yield f"{name}: {id_} is not told as {ROLES.get(id_, 'a role known here')}, and why"


# What the platform and Microsoft's libraries read (facts/functions.md §6, docs/telemetry.md).
PLATFORM = {
    *(f"AzureWebJobsStorage__{part}" for part in ("accountName", "credential", "clientId")),
    "AZURE_CLIENT_ID",
    "PYTHON_ENABLE_OPENTELEMETRY",
    "APPLICATIONINSIGHTS_CONNECTION_STRING",
    "APPLICATIONINSIGHTS_AUTHENTICATION_STRING",
    "APPLICATIONINSIGHTS_STATSBEAT_DISABLED_ALL",
    "APPLICATIONINSIGHTS_SDKSTATS_DISABLED",
    "APPLICATIONINSIGHTS_OPENTELEMETRY_RESOURCE_METRIC_DISABLED",
    "TRAINING_EXPORT_SCHEDULE",  # settings.export_schedule
}
# Flex Consumption refuses them; their place is functionAppConfig (facts/functions.md §6).
NOT_ON_FLEX = {
    *("FUNCTIONS_WORKER_PROCESS_COUNT", "FUNCTIONS_WORKER_RUNTIME", "FUNCTIONS_EXTENSION_VERSION"),
    *("WEBSITE_RUN_FROM_PACKAGE", "SCM_DO_BUILD_DURING_DEPLOYMENT"),
}


def known_setting(name: str) -> bool:
    """Whether the app or the platform reads an app setting of this name."""
    if name in PLATFORM:
        return True
    section, *keys = name.lower().split("__")
    if section not in Settings.model_fields or not keys:
        return False
    if section in ("models", "exports"):
        fields = {field.alias or name for name, field in ModelSettings.model_fields.items()}
        return len(keys) == 2 and (section == "exports" or keys[1] in fields)
    annotation: Any = Settings.model_fields[section].annotation
    model = next((each for each in get_args(annotation) if each is not type(None)), annotation)
    return keys[0] in model.model_fields


def settings_known(files: Templates) -> Iterator[str]:
    for name in (MAIN, "app/function.bicep"):
        for setting in _settings_set(files[name]):
            if setting in NOT_ON_FLEX or not known_setting(setting):
                yield f"{name}: nobody reads {setting}"


def _settings_set(file: Bicep) -> set[str]:
    keys = re.findall(r"(?m)^\s+'?([A-Z][A-Za-z0-9]*_\w+)'?:", file.text)
    vault = re.search(r"param settingsFromVault string = '([^']+)'", file.text)
    return {*keys, *(vault[1].split(",") if vault else ())}


def _resources(files: Templates) -> Iterator[tuple[str, Declared]]:
    for name, file in files.items():
        yield from ((name, each) for each in file.declared if each.kind == "resource")


type Rule = Callable[[Templates], Iterator[str]]

# A rule, and edits of the real templates (file, text, instead) that it must find.
RULES: dict[Rule, list[tuple[str, str, str]]] = {
    syntax: [("app/vault.bicep", "output name string =", "output name string")],
    hardening: [
        ("app/storage.bicep", "allowSharedKeyAccess: false", "allowSharedKeyAccess: true"),
        ("app/storage.bicep", "    minimumTlsVersion: 'TLS1_2'\n", ""),
        ("app/function.bicep", "httpsOnly: true", "httpsOnly: false"),
        ("app/function.bicep", "version: '3.13'", "version: '3.12'"),
        ("app/function.bicep", "properties: { allow: false }", "properties: { allow: true }"),
        ("app/function.bicep", "keyVaultReferenceIdentity: identityId", "reserved: true"),
        ("app/monitoring.bicep", "DisableLocalAuth: true", "DisableLocalAuth: false"),
        ("app/vault.bicep", "enableRbacAuthorization: true", "enableRbacAuthorization: false"),
    ],
    no_keys: [("app/function.bicep", "storage.name\n", "storage.listKeys().keys[0].value\n")],
    secrets: [
        (MAIN, "param alertEmail string", "param sesamToken string"),
        ("app/identity.bicep", "output id string = identity.id", "output apiKey string = identity.id"),
        ("app/storage.bicep", "output name string = account.name", "output name string = account.accountKey"),
    ],
    modules: [
        (MAIN, "'app/vault.bicep'", "'app/vaults.bicep'"),
        (MAIN, "    exportEveryHours: exportEveryHours\n", ""),
        (MAIN, "    email: alertEmail\n", "    mail: alertEmail\n"),
        (MAIN, "vault.outputs.uri", "vault.outputs.url"),
    ],
    nothing_idle: [
        ("app/alerts.bicep", "param email string", "param email string\nparam people2 string"),
        (MAIN, "    vaultUri: vault.outputs.uri\n", ""),
    ],
    one_version: [
        ("app/vault.bicep", "vaults@2023-07-01", "vaults@2023-07-01-preview"),
        ("app/function.bicep", "storageAccounts@2023-05-01", "storageAccounts@2022-09-01"),
    ],
    roles: [
        ("app/vault.bicep", "4633458b-17de-408a-b874-0445c86b69e6", "4633458b-17de-408a-b874-0445c86b69e7"),
        ("app/vault.bicep", "// Key Vault Secrets User:", "// Key Vault Reader:"),
        ("app/storage.bicep", "// Storage Queue Data Contributor: the app", "// The app"),
    ],
    settings_known: [
        (MAIN, "AZURE_ML__WORKSPACE:", "AZURE_ML__WORK_SPACE:"),
        (MAIN, "'SESAM__JWT,", "'SESAM__TOKEN,"),
        ("app/function.bicep", "PYTHON_ENABLE_OPENTELEMETRY", "PYTHON_ENABLE_OPEN_TELEMETRY"),
        ("app/function.bicep", "PYTHON_ENABLE_OPENTELEMETRY: 'true'", "FUNCTIONS_WORKER_RUNTIME: 'python'"),
    ],
}


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.__name__)
def test_the_templates_keep_the_rule(rule: Rule) -> None:
    assert list(rule(templates())) == []


@pytest.mark.parametrize(
    ("rule", "edit"),
    [(rule, edit) for rule, edits in RULES.items() for edit in edits],
    ids=lambda it: it[2].strip()[:40] if isinstance(it, tuple) else it.__name__,
)
def test_a_breach_is_found(rule: Rule, edit: tuple[str, str, str]) -> None:
    file, text, instead = edit
    files = templates()
    assert text in files[file].text
    files[file] = Bicep(files[file].text.replace(text, instead, 1))
    assert list(rule(files))


# ---- what templates and app must both say


def test_parameters_are_given_by_name_and_none_is_missing() -> None:
    wanted = templates()[MAIN].of("parameter")
    given = json.loads((INFRA / "main.parameters.json").read_text())["parameters"]
    assert given.keys() == wanted.keys()
    without = [name for name, each in given.items() if re.fullmatch(r"\$\{(AZURE_\w+)\}", each["value"])]
    assert {name for name, each in wanted.items() if not each.default} <= set(without), "azd knows these"


def test_every_parameter_that_a_person_sets_is_explained_in_the_guide() -> None:
    guide = (ROOT / "docs" / "deploy.md").read_text()
    given = json.loads((INFRA / "main.parameters.json").read_text())["parameters"]
    names = {re.findall(r"[A-Z]+_\w+", each["value"])[0] for each in given.values()}
    asked_by_azd = {"AZURE_ENV_NAME", "AZURE_LOCATION", "AZURE_PRINCIPAL_ID"}
    assert {name for name in names - asked_by_azd if f"`{name}`" not in guide} == set()


def test_storage_holds_the_queue_and_the_container_that_the_app_asks_for() -> None:
    named = properties_by_type("app/storage.bicep")
    assert named["Microsoft.Storage/storageAccounts/queueServices/queues"] == [EXPORT_QUEUE]
    containers = named["Microsoft.Storage/storageAccounts/blobServices/containers"]
    assert StorageSettings().container in containers


def properties_by_type(file: str) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for resource in templates()[file].of("resource").values():
        name = properties(resource).get("name", "").strip("'")
        found.setdefault(resource.type.partition("@")[0], []).append(name)
    return found


def test_a_run_ends_by_itself_before_the_platform_ends_it() -> None:
    timeout = json.loads((ROOT / "host.json").read_text())["functionTimeout"]
    hours, minutes, seconds = map(int, timeout.split(":"))
    assert hours * 3600 + minutes * 60 + seconds >= DEADLINE_S + 240


# ---- the alerts' queries, against what the app tells


def queries() -> dict[str, str]:
    text = (INFRA / "app" / "alerts.bicep").read_text()
    return dict(re.findall(r"var (\w+) = '''\n(.*?)'''", text, re.DOTALL))


def names_in(query: str) -> set[str]:
    one = re.findall(r'Name == "([^"]+)"', query)
    several = re.findall(r"Name in \(([^)]*)\)", query)
    return {*one, *(name for names in several for name in re.findall(r'"([^"]+)"', names))}


def outcomes_in(query: str) -> set[str]:
    one = re.findall(r'outcome [!=]= "([^"]+)"', query)
    several = re.findall(r"outcome in \(([^)]*)\)", query)
    return {*one, *(name for names in several for name in re.findall(r'"([^"]+)"', names))}


def query_breaches(query: str) -> list[str]:
    metrics = {each.name: each for each in telemetry.METRICS}
    outcomes = {measured.GOOD, *get_args(Outcome.__value__)}
    names = names_in(query)
    found = [f"no metric {name}" for name in names if name not in metrics]
    for attribute in re.findall(r'Properties\["([^"]+)"\]', query):
        found += [
            f"{n} has no {attribute}"
            for n in names & metrics.keys()
            if attribute not in metrics[n].attributes
        ]
    return found + [f"no outcome {outcome}" for outcome in outcomes_in(query) - outcomes]


def test_the_three_alerts_ask_for_what_the_app_tells() -> None:
    assert {name: names_in(query) for name, query in queries().items()} == {
        "noVersion": {telemetry.RUNS.name},
        "errors": {telemetry.BATCHES.name},
        "outside": {telemetry.SCORED.name, telemetry.OUTSIDE.name},
    }
    assert {name: query_breaches(query) for name, query in queries().items()} == {
        "noVersion": [],
        "errors": [],
        "outside": [],
    }
    assert outcomes_in(queries()["noVersion"]) == {"published", "unchanged"}
    assert outcomes_in(queries()["errors"]) == {measured.GOOD}


@pytest.mark.parametrize(
    "wrong",
    [
        'AppMetrics | where Name == "bridge.batch"',
        'AppMetrics | where Name in ("bridge.runs", "bridge.running")',
        'AppMetrics | where Name == "bridge.runs" | extend m = Properties["model"]',
        'AppMetrics | where Name == "bridge.runs" | where outcome == "publised"',
    ],
)
def test_a_query_for_what_nobody_tells_is_found(wrong: str) -> None:
    assert query_breaches(wrong)


def test_every_placeholder_of_a_query_is_filled_in() -> None:
    text = (INFRA / "app" / "alerts.bicep").read_text()
    for name, query in queries().items():
        filled = next(line for line in text.splitlines() if re.search(rf"query: .*\b{name}\b", line))
        assert set(re.findall(r"\{\w+\}", query)) == set(re.findall(r"\{\w+\}", filled))


def test_paths_are_those_that_azd_expects() -> None:
    assert (INFRA / MAIN).is_file()
    assert Path(ROOT / "azure.yaml").is_file()
    assert "'azd-service-name': 'app'" in templates()[MAIN].text
