"""The OpenAPI 3.1 document of the routes, served at GET /api/openapi.json.

`OPERATIONS` is the table: a row a route, what it takes, what it answers, and which failures of errors.py. The
schemas are derived from the types that the answers are made of; what the code writes as plain dicts has its
shape here. tests/unit/test_openapi.py holds the table against the routes that are registered, and
tests/faults/test_api.py every answer of the running app against its schema.
"""

from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from typing import Any, Literal, NamedTuple, NotRequired, TypedDict

import msgspec

from answers import PROBLEM
from checks import Check
from contract.documents import Adoption, Golden, Latest, Manifest
from contract.drift import Drift
from errors import (
    BadAnswer,
    Conflict,
    CredentialsRefused,
    EntitiesDoNotFit,
    EntitiesRefused,
    Failure,
    InvalidRequest,
    NoContract,
    NotFound,
    Overloaded,
    ServiceDown,
    SettingsWrong,
    Silence,
    StorageDown,
    StorageRefused,
    Throttled,
    TooLarge,
    UnsupportedMediaType,
)
from scoring.description import Model
from scoring.drift import DriftReport
from scoring.golden import Kept
from scoring.routes import Adopt
from training_export.routes import Move
from training_export.runs import Run
from version import APP_VERSION

JSON = "application/json"
SCHEMAS = "#/components/schemas/{name}"

STORAGE = (SettingsWrong, StorageDown, StorageRefused)
SERVICE = (Throttled, BadAnswer, CredentialsRefused, ServiceDown, Silence)
ENTITIES = (EntitiesDoNotFit, EntitiesRefused)

# ---- the shapes of what the code writes as dicts


class Alive(TypedDict):
    """The process answers."""

    status: Literal["alive"]


class Ready(TypedDict):
    """Whether all checks hold."""

    ready: bool
    checks: list[Check]


class Entity(TypedDict):
    """An entity as Sesam sends it: its `_id`, and any properties beside."""

    _id: str
    _deleted: NotRequired[Any]


class LoneEntity(TypedDict):
    """One entity, the payload of a rest transform: its `_id` may be missing."""

    _id: NotRequired[str | None]
    _deleted: NotRequired[Any]


class Started(TypedDict):
    """A run that waits in the queue; GET the export to follow it."""

    run: str


class ExportVersion(TypedDict):
    """A version of an export, in short."""

    version: str
    state: Literal["published", "held"]
    rows: int
    bytes: int


class Export(TypedDict):
    """A configured export: what training reads, the last run, the versions, newest first."""

    name: str
    latest: str | None
    pinned: bool
    run: Run | None
    versions: list[ExportVersion]


class Compared(TypedDict):
    """How a version differs from another, in words and column by column."""

    version: str
    against: str
    differences: list[str]
    drift: list[Drift]


class Problem(TypedDict):
    """A failure (RFC 9457): what happened, where, and what to do."""

    type: str
    title: str
    status: int
    detail: str
    request_id: str
    entities: NotRequired[list[str]]
    entity_count: NotRequired[int]
    features: NotRequired[list[str]]


# ---- the table


type Types = Any | tuple[Any, ...]


class Operation(NamedTuple):
    """One method of one route.

    Attributes:
        answer: the type of the body of `status`, or the types that it may be of.
        failures: what it may answer as a problem document, beside two that all have: the 413 for
            headers over the limit, and the 500 that nobody foresaw.
        body: likewise of what it takes; empty where it takes none.
        query: the parameters it takes, and what they do.
        also: a further status with the same body.
    """

    method: str
    path: str
    summary: str
    answer: Types
    failures: tuple[type[Failure], ...] = ()
    body: Types = ()
    status: int = 200
    query: Mapping[str, str] = {}
    also: int | None = None
    anonymous: bool = False


OPERATIONS = (
    Operation("GET", "/api/health", "Alive: asks nothing, tells nothing.", Alive, anonymous=True),
    Operation(
        "GET",
        "/api/health/ready",
        "Whether settings, storage, contracts and web services are in order, each with what to do.",
        Ready,
        query={
            "deep": "`1` also writes to storage, asks the Sesam node, and replays every model's golden rows."
        },
        also=503,
    ),
    Operation("GET", "/api/openapi.json", "This document.", dict[str, Any]),
    Operation(
        "POST",
        "/api/score/{model}",
        "Entities → the same entities, in the same order, with scores; one object in, one object out.",
        (list[Entity], LoneEntity),
        (InvalidRequest, NotFound, UnsupportedMediaType, *ENTITIES, *SERVICE, NoContract, *STORAGE),
        body=(list[Entity], LoneEntity),
    ),
    Operation("GET", "/api/models", "Every model.", list[Model], STORAGE),
    Operation(
        "GET",
        "/api/models/{model}",
        "What a model speaks and has adopted, and how `latest` differs from that.",
        Model,
        (NotFound, NoContract, *STORAGE),
    ),
    Operation(
        "GET",
        "/api/models/{model}/drift",
        "How what was lately scored differs from the adopted version, in numbers and words.",
        DriftReport,
        (InvalidRequest, NotFound, NoContract, *STORAGE),
        query={"days": "How many days to look back, 1 to 90; 7 unless told."},
    ),
    Operation(
        "PUT",
        "/api/models/{model}/contract",
        "Adopt a version, after its golden rows have been replayed.",
        Adoption,
        (InvalidRequest, NotFound, Conflict, *SERVICE, NoContract, *STORAGE),
        Adopt,
    ),
    Operation(
        "PUT",
        "/api/models/{model}/golden",
        "Store rows of a version with the trained model's own predictions.",
        Kept,
        (InvalidRequest, NotFound, Conflict, EntitiesDoNotFit, NoContract, *STORAGE),
        Golden,
    ),
    Operation("GET", "/api/exports", "Every export.", list[Export], (Conflict, *STORAGE)),
    Operation(
        "GET", "/api/exports/{export}", "Latest, last run, versions.", Export, (NotFound, Conflict, *STORAGE)
    ),
    Operation(
        "POST", "/api/exports/{export}", "Start a run.", Started, (NotFound, Conflict, *STORAGE), status=202
    ),
    Operation(
        "GET",
        "/api/exports/{export}/versions/{version}",
        "A version's manifest, or how it differs from another version.",
        (Manifest, Compared),
        (NotFound, Conflict, *STORAGE),
        query={"against": "Another version: the differences instead of the manifest."},
    ),
    Operation(
        "PUT",
        "/api/exports/{export}/latest",
        "Roll back, roll forward, pin; `null` unpins and moves to the newest published version.",
        Latest,
        (InvalidRequest, NotFound, Conflict, *STORAGE),
        Move,
    ),
)

PARAMETERS = {
    "model": "The name of a model, as in `[models.<name>]`.",
    "export": "The name of an export, as in `[exports.<name>]`.",
    "version": "A version, such as `20261123T020000Z-0a1b2c3d`.",
}


# ---- the document


@cache
def document() -> Mapping[str, Any]:
    """Give the document; made at the first call, as nothing of it is needed to start."""
    kinds = [kind for it in OPERATIONS for kind in (*_each(it.answer), *_each(it.body))]
    schemas, components = msgspec.json.schema_components([*kinds, Problem], ref_template=SCHEMAS)
    known = dict(zip(kinds, schemas, strict=False))
    paths: dict[str, dict[str, Any]] = {}
    for operation in OPERATIONS:
        paths.setdefault(operation.path, {})[operation.method.lower()] = _operation(operation, known)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Sesam ↔ Azure Machine Learning",
            "version": APP_VERSION,
            "description": __doc__.partition("\n")[0],
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "servers": [{"url": "/"}],
        "security": [{"header": []}, {"query": []}],
        "paths": paths,
        "components": {
            "schemas": components,
            "securitySchemes": {
                "header": {"type": "apiKey", "in": "header", "name": "x-functions-key"},
                "query": {"type": "apiKey", "in": "query", "name": "code"},
            },
        },
    }


def _each(types: Types) -> tuple[Any, ...]:
    return types if isinstance(types, tuple) else (types,)


def _operation(operation: Operation, known: Mapping[Any, Any]) -> dict[str, Any]:
    told: dict[str, Any] = {
        "summary": operation.summary,
        "parameters": list(_parameters(operation)),
        "responses": dict(_responses(operation, _content(operation.answer, known))),
    }
    if operation.body:
        told["requestBody"] = {"required": True, "content": _content(operation.body, known)}
    return told | ({"security": []} if operation.anonymous else {})


def _content(types: Types, known: Mapping[Any, Any]) -> dict[str, Any]:
    first, *others = (known[kind] for kind in _each(types))
    return {JSON: {"schema": {"anyOf": [first, *others]} if others else first}}


def _parameters(operation: Operation) -> Iterator[dict[str, Any]]:
    for name, what in PARAMETERS.items():
        if f"{{{name}}}" in operation.path:
            schema = {"type": "string", "minLength": 1}
            yield {"name": name, "in": "path", "required": True, "description": what, "schema": schema}
    for name, what in operation.query.items():
        yield {"name": name, "in": "query", "description": what, "schema": {"type": "string"}}


def _responses(operation: Operation, content: Mapping[str, Any]) -> Iterator[tuple[str, Mapping[str, Any]]]:
    yield str(operation.status), {"description": operation.summary, "content": content}
    if operation.also:
        yield str(operation.also), {"description": "Not all of it holds.", "content": content}
    if operation.anonymous:
        return
    yield (
        "401",
        {"description": "No function key, or a wrong one: the Functions host's answer, without a body."},
    )
    by_status: dict[int, list[type[Failure]]] = {}
    failures: tuple[type[Failure], ...] = (*operation.failures, TooLarge, Overloaded, Failure)
    for kind in failures:
        by_status.setdefault(kind.status, []).append(kind)
    for status, kinds in sorted(by_status.items()):
        if status != operation.also:
            yield str(status), _problem(status, kinds)


def _problem(status: int, kinds: Sequence[type[Failure]]) -> dict[str, Any]:
    types = [f"urn:sesam-azureml:{kind.slug}" for kind in kinds]
    schema = {
        "allOf": [
            {"$ref": SCHEMAS.format(name=Problem.__name__)},
            {"properties": {"type": {"enum": types}, "status": {"const": status}}},
        ]
    }
    return {
        "description": "; ".join(kind.title for kind in kinds),
        "content": {PROBLEM: {"schema": schema}},
    }
