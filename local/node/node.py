"""The stand-in Sesam node: its datasets, its configuration, its runs and its tokens."""

import secrets
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import batched, islice
from typing import Any

import jwt

from local.node.configuration import Config, Configuration, ConfigurationError, resolved, sink, transforms
from local.node.datasets import Dataset, merge
from local.node.dtl import qualified
from local.node.publisher import csv_chunks
from local.node.pump import BATCH_SIZE, Input, Run, Transforms, pump
from local.node.transit import Entity, Value, decode_entity, encode

READ_DATA = "read_data"
READ_CONFIG = "read_config"
# Sesam's documentation says that the roles Admin and Developer may manage pipes, not what permission that is.
MANAGE_PIPES = "manage_pipes"
SECONDS_OF_A_TOKEN = 24 * 60 * 60


@dataclass
class Pump:
    """What a node keeps of a pipe from run to run.

    `last_seen`: of its source dataset every `_updated` below it was read; None is the beginning. `retries`:
    how often each entity that is to be tried again has failed.
    """

    last_seen: int | None = None
    retries: dict[str, int] = field(default_factory=dict)


class Node:
    """A node with one configuration.

    `environment` and `secrets` fill `$ENV()` and `$SECRET()` whenever a pipe runs; both may change meanwhile.
    `microservices` says where those run that a real node would start from their images.
    `unavailable` makes every route answer 503. `log` has a line for every request: method, path, status.
    """

    def __init__(
        self,
        configuration: Configuration,
        environment: Mapping[str, object],
        secrets_: Mapping[str, str],
        now: Callable[[], float] = time.time,
    ) -> None:
        self.configuration = configuration
        self.environment = dict(environment)
        self.secrets = dict(secrets_)
        self.microservices: dict[str, str] = {}
        self.datasets: dict[str, Dataset] = defaultdict(lambda: Dataset(now))
        self.pumps: dict[str, Pump] = defaultdict(Pump)
        self.url = ""
        self.unavailable = False
        self.log: list[str] = []
        self._signing_key = secrets.token_hex(32)

    @property
    def jwt(self) -> str:
        """A token that may do everything here."""
        return self.token()

    def token(
        self,
        seconds: int = SECONDS_OF_A_TOKEN,
        permissions: Iterable[str] = (READ_DATA, READ_CONFIG, MANAGE_PIPES),
    ) -> str:
        """Sign a token that is valid for some seconds from now; fewer than 0 make an expired one."""
        now = int(time.time())
        claims = {"iat": now, "exp": now + seconds, "permissions": list(permissions)}
        return jwt.encode(claims, self._signing_key, algorithm="HS256")

    def permissions(self, token: str) -> list[str]:
        """Give what a token permits. Raises jwt.InvalidTokenError, also when it has expired."""
        claims = jwt.decode(token, self._signing_key, algorithms=["HS256"], options={"require": ["exp"]})
        return list(claims["permissions"])

    def load(self, dataset: str, entities: Iterable[Mapping[str, Any]]) -> None:
        """Write entities, as they are in JSON, into a dataset."""
        for entity in entities:
            self.datasets[dataset].write(decode_entity(dict(entity)))

    def entities(self, dataset: str) -> list[Any]:
        """Give a dataset's entities as they are in JSON, reserved fields included."""
        return [encode(entity) for entity in self.datasets[dataset]] if dataset in self.datasets else []

    def run_pipe(self, pipe_id: str) -> Run:
        """Run a pipe once over what is new in its source, and what failed before.

        The first time and after `reset` that is everything. A run that ended early has read nothing: the next
        one begins where it began. Sources that are no datasets are always read whole.

        Raises:
            ConfigurationError: the pipe cannot be run.
        """
        pipe, kept = self.pipe(pipe_id), self.pumps[pipe_id]
        target = sink(pipe)
        if target["type"] != "dataset":
            raise ConfigurationError(f"{pipe_id} is not pumped: its sink is read by GET")
        source = self.datasets[pipe["source"]["dataset"]] if pipe["source"]["type"] == "dataset" else None
        end = source.end if source is not None else None
        with Transforms(pipe, self._systems(pipe)) as through:
            run = pump(pipe, self._input(pipe, source, kept), through, self.datasets[target["dataset"]])
        if run.completed:
            again = {failed.id for failed in run.failed}.difference(run.dead)
            self.pumps[pipe_id] = Pump(end, {id_: kept.retries.get(id_, 0) + 1 for id_ in again})
            self._bury(pipe, run)
        return run

    def reset(self, pipe_id: str) -> None:
        """Have the pipe's next run begin at the beginning. Raises ConfigurationError."""
        self.pumps[self.pipe(pipe_id)["_id"]] = Pump()

    def _input(self, pipe: Config, source: Dataset | None, kept: Pump) -> Input:
        if source is None or kept.last_seen is None:
            return Input(self.source(pipe), whole=True, tried={})
        new = source.since(kept.last_seen)
        ids = {entity["_id"] for entity in new}
        again = (source.get(id_) for id_ in kept.retries if id_ not in ids)
        return Input([*(entity for entity in again if entity), *new], whole=False, tried=kept.retries)

    def _bury(self, pipe: Config, run: Run) -> None:
        """Keep the entities that will not be tried again where the pipe says."""
        place = pipe.get("pump", {}).get("dead_letter_dataset")
        for failed in run.failed:
            if place and failed.id in run.dead:
                self.datasets[place].write({"_id": failed.id, "status": failed.status, "error": failed.text})

    def run_internal_pipes(self) -> None:
        """Run the pipes that merge datasets, as a node by itself does soon after data has come."""
        for pipe in self.configuration.pipes.values():
            if pipe["source"]["type"] == "merge":
                self.run_pipe(pipe["_id"])

    def run_all_pipes(self, most_rounds: int = 20) -> int:
        """Run every pipe that is pumped, round after round, until a round changes nothing; give the rounds.

        So does `sesam test` (`/pipes/run-all-pipes`).

        Raises:
            ConfigurationError: a pipe cannot be run, or the pipes never come to rest.
        """
        pumped = [pipe for pipe in self.configuration.pipes.values() if sink(pipe)["type"] == "dataset"]
        for number in range(most_rounds):
            runs = [self.run_pipe(pipe["_id"]) for pipe in pumped]
            if not any(run.changed or run.deleted for run in runs):
                return number
        raise ConfigurationError(f"after {most_rounds} rounds the pipes still make changes: a loop")

    def publish(self, pipe: Config, limit: int | None = None) -> Iterator[bytes]:
        """Give a publisher's CSV in pieces; the pipe's transforms run while it is read."""
        yield from csv_chunks(islice(self.transformed(pipe), limit), sink(pipe))

    def transformed(self, pipe: Config) -> Iterator[Entity]:
        """Give what a pipe's transforms make of its whole source, as it would enter the sink."""
        with Transforms(pipe, self._systems(pipe)) as through:
            for batch in batched(self.source(pipe), BATCH_SIZE, strict=False):
                yield from through(batch).entities

    def pipe(self, pipe_id: str) -> Config:
        """Give a pipe with its variables filled in. Raises ConfigurationError where there is none."""
        if pipe_id not in self.configuration.pipes:
            raise ConfigurationError(f"there is no pipe {pipe_id!r}")
        return resolved(self.configuration.pipes[pipe_id], self.environment, {})

    def source(self, pipe: Config) -> list[Entity]:
        """Read a pipe's source from its beginning. Raises ConfigurationError for an unknown kind."""
        source = pipe["source"]
        match source["type"]:
            case "dataset":
                return list(self.datasets.get(source["dataset"], ()))
            case "merge":
                return merge(source, self.datasets)
            case "embedded":
                return [_with_namespaces(entity, pipe["_id"]) for entity in source["entities"]]
        raise ConfigurationError(f"{source['type']!r} sources are not known to the stand-in node")

    def _systems(self, pipe: Config) -> dict[str, Config]:
        """Give the systems that a pipe's transforms use, with their variables filled in."""
        names = {transform["system"] for transform in transforms(pipe) if "system" in transform}
        return {name: self._system(name, pipe["_id"]) for name in names}

    def _system(self, name: str, pipe_id: str) -> Config:
        if name not in self.configuration.systems:
            raise ConfigurationError(f"{pipe_id}: there is no system {name!r}")
        system = resolved(self.configuration.systems[name], self.environment, self.secrets)
        if system["type"] != "system:microservice":
            return system
        if name not in self.microservices:
            raise ConfigurationError(f"{pipe_id}: the microservice {name!r} does not run")
        return system | {"url_pattern": f"{self.microservices[name]}/%s"}


def _with_namespaces(entity: Mapping[str, Any], namespace: str) -> Entity:
    """Give what enters the hub its namespace: `_id` and every property (facts/sesam.md §1.3)."""
    return _named(decode_entity(dict(entity)), namespace) | {"_id": f"{namespace}:{entity['_id']}"}


def _named(properties: Entity, namespace: str) -> Entity:
    return {qualified(name, namespace): _nested(value, namespace) for name, value in properties.items()}


def _nested(value: Value, namespace: str) -> Value:
    if isinstance(value, list):
        return [_nested(item, namespace) for item in value]
    return _named(value, namespace) if isinstance(value, dict) else value
