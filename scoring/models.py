"""The one place of scoring that knows the concrete classes: settings → models with their wires.

Made at the first call and kept for the life of the process: a model owns its connections, its threads and
its breaker.
"""

import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from functools import cache, lru_cache
from typing import Any

from contract.contract import Contract
from contract.differences import differences
from contract.drift import drifts
from contract.features import Encoder, Row
from errors import NoContract, NotFound
from scoring.batch import ERROR, OUTSIDE, PROVENANCE, Model, Scores
from scoring.contracts import Adopted, Contracts
from scoring.deadline import Deadline
from scoring.dialects import Options, SentColumn, dialect_of
from scoring.endpoint import Endpoint
from scoring.identity import identity_of
from scoring.retries import Sender
from scoring.rows import Payload, RowRefused, RowScorer
from scoring.scores import scores_of
from settings import ModelSettings, Settings, settings
from storage import Container, open_container

# Storage is asked while a call waits: no long retries here, scoring/contracts.py serves on without it.
STORAGE_RETRIES = 1
STORAGE_TIMEOUT_S = 5

# Calls to one model that are at work or wait for its lanes; more wait for a thread.
CALLS_AT_ONCE = 256


@cache
def all_models() -> Mapping[str, Model]:
    """Give every configured model by name.

    Raises:
        SettingsWrong: the settings cannot be used.
    """
    given = settings()
    return {name: _model(name, model, given) for name, model in given.models.items()}


def model(name: str) -> Model:
    """Give a model by name.

    Raises:
        NotFound: no such model is configured.
        SettingsWrong: the settings cannot be used.
    """
    models = all_models()
    if name not in models:
        raise NotFound(f"No model {name[:63]!r} is configured: GET /api/models lists them.")
    return models[name]


@cache
def container() -> Container:
    """Give the container that scoring reads and writes."""
    return open_container(settings().storage, retries=STORAGE_RETRIES, timeout_s=STORAGE_TIMEOUT_S)


@cache
def contracts() -> Contracts:
    """Give the adoptions that this process follows."""
    return Contracts(container(), clock=time.monotonic, now=_now)


def encoder_of(given: ModelSettings, prefix: str, contract: Contract | None) -> Encoder:
    """Give the encoder of a model through a contract.

    Raises:
        NoContract: the model's features name a column that the contract does not have.
    """
    try:
        return Encoder(
            contract,
            features=given.features,
            constants=given.constants,
            choices=given.map,
            prefix=prefix,
            naive=given.datetimes == "naive",
        )
    except ValueError as error:
        raise NoContract(f"The version does not suit the model's settings: {error}.") from None


def describe(found: Model) -> dict[str, Any]:
    """Describe a model: what it speaks, what it has adopted, how `latest` differs from that; no secret."""
    told: dict[str, Any] = {"name": found.name, "dialect": found.settings.dialect, "prefix": found.prefix}
    if not found.settings.contract:
        return told | {"columns": found.settings.features, "contract": None}
    try:
        adopted = contracts().adopted(found.name, found.settings.contract)
    except NoContract as failure:
        return told | {"export": found.settings.contract, "adopted": None, "detail": failure.detail}
    return told | {
        "export": found.settings.contract,
        "columns": found.encoder(adopted).columns,
        "adopted": {
            "version": adopted.version,
            "contract": adopted.contract_id,
            "adopted": adopted.adopted,
        },
        "latest": _latest(found.settings.contract, adopted),
        "trouble": contracts().trouble(found.name) or None,
    }


def readiness(found: Model) -> str:
    """Say in a line what a model has adopted.

    Raises:
        Failure: it cannot score, or its adoption cannot be followed.
    """
    if not found.settings.contract:
        return "bound by features alone, untyped: no contract is checked"
    adopted = contracts().adopted(found.name, found.settings.contract)
    trouble = contracts().trouble(found.name)
    return f"version {adopted.version}" + (
        f"; storage cannot be asked for news: {trouble}" if trouble else ""
    )


def _latest(export: str, adopted: Adopted) -> dict[str, Any] | None:
    latest = contracts().latest(export)
    if latest is None:
        return None
    if latest.version == adopted.version:
        return {"version": latest.version, "differences": [], "drift": []}
    new, old = contracts().manifest(export, latest.version), contracts().manifest(export, adopted.version)
    return {
        "version": latest.version,
        "differences": differences(old, new),
        "drift": [drift._asdict() for drift in drifts(old.columns, new.columns)],
    }


def _model(name: str, given: ModelSettings, whole: Settings) -> Model:
    prefix = given.prefix or f"{name}:"
    identity = identity_of(given, whole.storage.client_id)
    endpoint = Endpoint(name, given, identity, answer_bytes=whole.limits.answer_bytes)
    scorer = RowScorer(Sender(endpoint, attempts=given.attempts), given)

    @lru_cache(maxsize=8)
    def through(contract: Contract | None) -> Encoder:
        return encoder_of(given, prefix, contract)

    @lru_cache(maxsize=8)
    def payload(encoder: Encoder) -> Payload:
        return payload_of(given, prefix, encoder)

    def send(encoder: Encoder, rows: Sequence[Row], deadline: Deadline) -> list[Scores | RowRefused]:
        results = scorer.score(rows, payload(encoder), deadline)
        return [
            r if isinstance(r, RowRefused) else dict(zip(r.names, r.values, strict=True)) for r in results
        ]

    return Model(
        name=name,
        settings=given,
        prefix=prefix,
        limits=whole.limits,
        adopted=lambda: contracts().adopted(name, given.contract) if given.contract else None,
        encoder=lambda adopted: through(adopted.contract if adopted else None),
        send=send,
        threads=ThreadPoolExecutor(CALLS_AT_ONCE, thread_name_prefix=f"{name}-call"),
    )


def payload_of(given: ModelSettings, prefix: str, encoder: Encoder) -> Payload:
    """Give how an encoder's rows become a body of the model's dialect, and an answer its scores."""
    dialect = dialect_of(
        given.dialect, Options(given.input_name, given.output_name, given.method, given.parameters)
    )
    columns = tuple(
        SentColumn(name, known.type if known else None, known.spelling if known else "")
        for name, known in zip(encoder.columns, encoder.described, strict=True)
    )
    taken = (ERROR, OUTSIDE, *(PROVENANCE if given.provenance else ()))
    return Payload(
        columns=columns,
        write=lambda rows: dialect.request(columns, rows),
        read=lambda answer, rows: scores_of(
            dialect.results(answer, len(rows)),
            columns,
            rows,
            prefix=prefix,
            outputs=given.outputs,
            decimals=given.decimals,
            taken=taken,
        ),
    )


def _now() -> str:
    return f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ}"
