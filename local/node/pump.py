"""A run of a pipe: entities from its source, in batches through its transforms, into its sink's dataset.

A batch that fails is tried again one entity at a time; the pump settings, and by status the `retry_strategy`
of the system, say how many failures a run bears and how often an entity is tried again in later runs; after a
run over everything whatever was not seen is marked deleted (facts/sesam.md §2.1 and §2.2). So nothing can be
lost without a trace in `Run`. Nothing ever waits here: `write_retry_delay` is not kept.
"""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import batched, chain
from types import TracebackType
from typing import Any, Self

import requests

from local.node import dtl
from local.node.configuration import Config, ConfigurationError, sink, transforms
from local.node.datasets import Dataset
from local.node.publisher import without_namespaces
from local.node.reader import Reading, UnreadableError, read
from local.node.transit import Entity, encode

BATCH_SIZE = 100
PUMP_DEFAULTS: Mapping[str, Any] = {
    "fallback_to_single_entities_on_batch_fail": True,
    "max_consecutive_write_errors": 1,
    "max_retries_per_entity": 5,
    "max_write_errors_in_retry_dataset": 0,
}
SYSTEM_DEFAULTS: Mapping[str, Any] = {
    "headers": {},
    "verify_ssl": False,
    "connect_timeout": 60,
    "read_timeout": 1800,
    "retry_strategy": {},
}


class TransformFailed(Exception):
    """A transform failed for all entities it was given.

    `status` is the service's, if it answered; `strategy` what its system's retry_strategy says of that.
    """

    def __init__(
        self, text: str, status: int | None = None, strategy: Mapping[str, Any] | None = None
    ) -> None:
        super().__init__(text)
        self.text = text
        self.status = status
        self.strategy = strategy or {}


@dataclass(frozen=True, slots=True)
class FailedEntity:
    """An entity that no transform's retry could save: status and text are of the service's answer."""

    id: str
    status: int | None
    text: str


@dataclass(slots=True)
class Run:
    """What a run did.

    `read` = entities from the source; `filtered` by DTL; `written` = given to the sink, of which `changed`
    made a new version; `deleted` = ids that were marked so, being filtered or no longer there; `dropped` =
    elements of replies that were no objects; `requests` posted; `dead` = ids of failed entities that will not
    be tried again. A run that the pump ended early is not `completed`.
    """

    pipe: str
    completed: bool = False
    read: int = 0
    filtered: int = 0
    written: int = 0
    changed: int = 0
    dropped: int = 0
    requests: int = 0
    deleted: list[str] = field(default_factory=list)
    failed: list[FailedEntity] = field(default_factory=list)
    dead: list[str] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Input:
    """What a run is to read.

    `entities` from the source; `whole` = these are all there are; `tried` = how often the entities that are
    to be tried again have failed before.
    """

    entities: Sequence[Entity]
    whole: bool
    tried: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class Output:
    """What a batch became."""

    entities: list[Entity]
    dropped: int = 0


class Transforms:
    """A pipe's chain of transforms. `systems` have their variables filled in; `requests` counts the posts."""

    def __init__(self, pipe: Config, systems: Mapping[str, Config]) -> None:
        self._pipe = pipe
        self._systems = systems
        self._session = requests.Session()
        self._session.trust_env = False  # the stand-ins are on this machine: no proxy
        self.requests = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._session.close()

    def __call__(self, batch: Iterable[Entity]) -> Output:
        """Send a batch through. Raises TransformFailed."""
        output = Output(list(batch))
        for transform in transforms(self._pipe):
            output = self._apply(transform, output)
        if remove_namespaces(self._pipe):
            return Output([without_namespaces(entity) for entity in output.entities], output.dropped)
        return output

    def _apply(self, transform: Config, before: Output) -> Output:
        if transform["type"] == "dtl":
            return Output(self._dtl(transform["rules"]["default"], before.entities), before.dropped)
        if transform["type"] == "http":
            readings = [
                self._post(transform, part)
                for part in batched(before.entities, transform.get("batch_size", BATCH_SIZE), strict=False)
            ]
            entities = [entity for reading in readings for entity in reading.entities]
            return Output(entities, before.dropped + sum(reading.dropped for reading in readings))
        raise ConfigurationError(f"{transform['type']!r} transforms are not known to the stand-in node")

    def _dtl(self, rules: Sequence[object], entities: Sequence[Entity]) -> list[Entity]:
        """Apply DTL. Before a dataset sink what is filtered goes on, marked, to the transforms that follow.

        So says the reference of `filter`; the page on transforms has it that they pass it by. The stand-in
        takes the harder of the two.
        """
        try:
            results = [dtl.transform(rules, entity, self._pipe["_id"]) for entity in entities]
        except dtl.DtlError as error:
            raise TransformFailed(str(error)) from None
        if sink(self._pipe)["type"] == "dataset":
            return results
        return [entity for entity in results if "_filtered" not in entity]

    def _post(self, transform: Config, entities: Sequence[Entity]) -> Reading:
        system = {**SYSTEM_DEFAULTS, **self._systems[transform["system"]]}
        self.requests += 1
        try:
            response = self._session.post(
                _address(system["url_pattern"], transform["url"]),
                data=_streamed(entities),
                headers={"Content-Type": "application/json", **system["headers"]},
                timeout=(system["connect_timeout"], system["read_timeout"]),
                verify=system["verify_ssl"],
            )
        except requests.RequestException as error:
            raise _failed(f"no answer: {type(error).__name__}", None, system) from None
        status = response.status_code
        if not response.ok:
            raise _failed(response.text, status, system)
        try:
            reading = read(response.content)
        except UnreadableError as error:
            raise _failed(str(error), status, system) from None
        if any(not isinstance(entity.get("_id"), str) for entity in reading.entities):
            raise _failed("the reply has an entity without an _id that is a string", status, system)
        return reading


def _failed(text: str, status: int | None, system: Config) -> TransformFailed:
    return TransformFailed(text, status, strategy_of(system["retry_strategy"], status))


def strategy_of(strategy: Mapping[str, Any], status: int | None) -> Mapping[str, Any]:
    """Give what a `retry_strategy` says of a status: by `"400-428"`, `"429"`, `"500,502"` or `"default"`."""
    for key, given in strategy.items():
        if key != "default" and status is not None and _covers(key, status):
            return dict(given)
    return dict(strategy.get("default", {}))


def _covers(key: str, status: int) -> bool:
    ranges = (part.partition("-") for part in key.split(","))
    return any(int(first) <= status <= int(last or first) for first, _, last in ranges)


def remove_namespaces(pipe: Config) -> bool:
    """Say whether namespaces go after the last transform: by default for the publishing sinks (§1.3)."""
    return bool(pipe.get("remove_namespaces", sink(pipe)["type"] != "dataset"))


def pump(pipe: Config, given: Input, through: Transforms, target: Dataset) -> Run:
    """Run a pipe once over what it is given."""
    own = pipe.get("pump", {})
    settings = {**PUMP_DEFAULTS, **own}
    run, seen, consecutive = Run(pipe["_id"]), set[str](), 0
    batches = batched(given.entities, pipe.get("batch_size", BATCH_SIZE), strict=False)
    fallback = settings["fallback_to_single_entities_on_batch_fail"]
    for batch, result in chain.from_iterable(
        _attempts(batch, through, fallback=fallback) for batch in batches
    ):
        run.read += len(batch)
        if isinstance(result, Output):
            consecutive = 0
            _write(result, target, run, seen)
            continue
        consecutive += 1
        # What the pipe says itself goes before what its system says of the status.
        borne = {**PUMP_DEFAULTS, **result.strategy, **own}
        _note(batch, result, run, given.tried, borne["max_retries_per_entity"])
        if (
            consecutive >= borne["max_consecutive_write_errors"]
            or len(run.failed) - len(run.dead) > borne["max_write_errors_in_retry_dataset"]
        ):
            break
    else:
        run.completed = True
        if given.whole and sink(pipe).get("deletion_tracking", True):
            # What failed is retried from the execution log, hence not gone.
            run.deleted += target.delete_all_but(seen | {failed.id for failed in run.failed})
    run.requests = through.requests
    return run


def _attempts(
    batch: Sequence[Entity], through: Transforms, *, fallback: bool
) -> Iterator[tuple[Sequence[Entity], Output | TransformFailed]]:
    """Give what became of a batch, or of each of its entities where the batch failed."""
    try:
        yield batch, through(batch)
    except TransformFailed as failure:
        if len(batch) == 1 or not fallback:
            yield batch, failure
            return
        for entity in batch:
            yield from _attempts((entity,), through, fallback=fallback)


def _write(output: Output, target: Dataset, run: Run, seen: set[str]) -> None:
    run.dropped += output.dropped
    for entity in output.entities:
        entity_id = str(entity["_id"])
        if entity.get("_filtered") is not True:
            run.written += 1
            run.changed += target.write(entity)
            seen.add(entity_id)
            continue
        run.filtered += 1
        before = target.get(entity_id)
        if before is not None and target.write(before | {"_deleted": True}):
            run.deleted.append(entity_id)


def _note(
    batch: Sequence[Entity], failure: TransformFailed, run: Run, tried: Mapping[str, int], most: int
) -> None:
    for entity in batch:
        entity_id = str(entity["_id"])
        run.failed.append(FailedEntity(entity_id, failure.status, failure.text))
        if tried.get(entity_id, 0) >= most:
            run.dead.append(entity_id)


def _address(pattern: str, url: str) -> str:
    if "://" in url:
        return url
    return pattern.replace("%s", url) if "%s" in pattern else pattern + url


def _streamed(entities: Sequence[Entity]) -> Iterator[bytes]:
    """Give the array in pieces: requests then sends it chunked, without a Content-Length."""
    before = b"["
    for entity in entities:
        yield before + json.dumps(encode(entity), ensure_ascii=False).encode()
        before = b","
    yield b"]"
