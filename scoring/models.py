"""The one place of scoring that knows the concrete classes: settings → models with their wires.

Made at the first call and kept for the life of the process: a model owns its connections, its threads and
its breaker.
"""

import threading
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from functools import cache, lru_cache

import telemetry
from contract.contract import Contract
from contract.documents import timestamp
from contract.features import Encoder, Row
from errors import NoContract, NotFound
from scoring.batch import Model, unobserved
from scoring.breaker import Breaker
from scoring.contracts import Adopted, Contracts
from scoring.deadline import Deadline
from scoring.dialects import Options, SentColumn, dialect_of
from scoring.endpoint import Endpoint
from scoring.identity import identity_of
from scoring.retries import Sender
from scoring.rows import Payload, RowRefused, RowScorer, Scores
from scoring.scores import scores_of
from scoring.seen import Observer
from sections import ModelSettings, own_names, prefix_of
from settings import Settings, settings
from storage import Container, open_container

# Storage is asked while a call waits: no long retries here, scoring/contracts.py serves on without it.
STORAGE_RETRIES = 1
STORAGE_TIMEOUT_S = 5

# Calls to one model that are at work or wait for its lanes; more wait for a thread.
CALLS_AT_ONCE = 256

# How long the end of the process may be held up, by all models together.
LAST_WORD_S = 10.0


def _once[T](make: Callable[[], T]) -> Callable[[], T]:
    """Make something at the first call. Of threads that come at once one makes it, the others wait for it.

    `functools.cache` alone would make it twice: two pools of connections, two breakers.
    """
    made, lock = cache(make), threading.RLock()

    def get() -> T:
        with lock:
            return made()

    return get


@_once
def all_models() -> Mapping[str, Model]:
    """Give every configured model by name.

    Raises:
        SettingsWrong: the settings cannot be used.
    """
    given = settings()
    return {name: model_of(name, model, given) for name, model in given.models.items()}


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


@_once
def container() -> Container:
    """Give the container that scoring reads and writes."""
    return open_container(settings().storage, retries=STORAGE_RETRIES, timeout_s=STORAGE_TIMEOUT_S)


@_once
def contracts() -> Contracts:
    """Give the adoptions that this process follows."""
    return Contracts(container(), clock=time.monotonic, now=_now)


# What counts the entities of each model that follows an export; filled as models are made.
_observers: dict[str, Observer] = {}


@_once
def _observing() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(1, thread_name_prefix="observer")


def finish() -> None:
    """Write what scoring has seen and not yet written, at the end of the process."""
    end = time.monotonic() + LAST_WORD_S
    for observer in list(_observers.values()):  # a model may be made meanwhile
        observer.finish(max(0.0, end - time.monotonic()))


def encoder_of(given: ModelSettings, prefix: str, contract: Contract | None) -> Encoder:
    """Give the encoder of a model through a contract.

    Raises:
        NoContract: `features` or `map` name columns that the contract does not have, the prefix covers one
            that it has, or a constant for one has no place or is not of its type.
    """
    try:
        return Encoder(
            contract,
            features=given.features,
            constants=given.constants,
            choices=given.map,
            prefix=prefix,
            echoes=given.outputs,
            naive=given.datetimes == "naive",
        )
    except ValueError as error:
        raise NoContract(f"The model's settings do not suit the version: {error}.") from None


def model_of(name: str, given: ModelSettings, whole: Settings) -> Model:
    """Make a model with its wires: connections, threads and breaker of its own."""
    prefix = prefix_of(name, given.prefix)
    breaker = Breaker(time.monotonic)
    scorer = _scorer(name, given, whole, breaker)

    @lru_cache(maxsize=8)
    def through(contract: Contract | None) -> Encoder:
        return encoder_of(given, prefix, contract)

    @lru_cache(maxsize=8)
    def payload(encoder: Encoder) -> Payload:
        return payload_of(given, prefix, encoder)

    def send(encoder: Encoder, rows: Sequence[Row], deadline: Deadline) -> list[Scores | RowRefused]:
        return scorer.score(rows, payload(encoder), deadline, telemetry.request_id())

    def adopted(deadline: Deadline) -> Adopted | None:
        return contracts().adopted(name, given.contract, deadline) if given.contract else None

    if given.contract:
        _observers[name] = _observer(name, given)
    return Model(
        name=name,
        settings=given,
        prefix=prefix,
        limits=whole.limits,
        adopted=adopted,
        encoder=lambda adopted: through(adopted.contract if adopted else None),
        send=send,
        left_alone_for=lambda: breaker.open_for,
        threads=ThreadPoolExecutor(CALLS_AT_ONCE, thread_name_prefix=f"{name}-call"),
        observe=_observers.get(name, unobserved),
    )


def _scorer(name: str, given: ModelSettings, whole: Settings, breaker: Breaker) -> RowScorer:
    identity, limits = identity_of(given, whole.storage.client_id), whole.limits
    endpoint = Endpoint(
        name, given, identity, answer_bytes=limits.answer_bytes, header_bytes=limits.header_bytes
    )
    enough_s = min(given.timeout_s, given.deadline_s) / 2
    return RowScorer(Sender(endpoint, breaker, attempts=given.attempts, enough_s=enough_s), given)


def _observer(name: str, given: ModelSettings) -> Observer:
    return Observer(
        name,
        given.constants,
        manifest=lambda version: contracts().manifest(given.contract, version),
        write=lambda blob, data: container().create(blob, data),
        thread=_observing(),
        clock=time.monotonic,
        now=lambda: datetime.now(UTC),
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
            reserved=own_names(given.provenance),
        ),
    )


def _now() -> str:
    return timestamp(datetime.now(UTC))
