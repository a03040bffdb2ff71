"""The stand-in Sesam node: its datasets, its configuration, its runs and its tokens."""

import secrets
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import batched
from typing import Any

import jwt

from local.node.configuration import Config, Configuration, ConfigurationError, resolved, sink, transforms
from local.node.datasets import Dataset, merge
from local.node.dtl import qualified
from local.node.publisher import csv_chunks
from local.node.pump import BATCH_SIZE, Run, Transforms, pump
from local.node.transit import Entity, Value, decode_entity, encode

READ_DATA = "read_data"
READ_CONFIG = "read_config"
SECONDS_OF_A_TOKEN = 24 * 60 * 60


class Node:
    """A node with one configuration.

    `environment` and `secrets` fill `$ENV()` and `$SECRET()` whenever a pipe runs; both may change meanwhile.
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
        self.datasets: dict[str, Dataset] = defaultdict(lambda: Dataset(now))
        self.url = ""
        self.unavailable = False
        self.log: list[str] = []
        self._signing_key = secrets.token_hex(32)

    @property
    def jwt(self) -> str:
        """A token that may read data and configuration."""
        return self.token()

    def token(
        self, seconds: int = SECONDS_OF_A_TOKEN, permissions: Iterable[str] = (READ_DATA, READ_CONFIG)
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
        """Run a pipe once over the whole of its source. Raises ConfigurationError."""
        pipe = self.pipe(pipe_id)
        target = sink(pipe)
        if target["type"] != "dataset":
            raise ConfigurationError(f"{pipe_id} is not pumped: its sink is read by GET")
        with Transforms(pipe, self._systems(pipe)) as through:
            return pump(pipe, self.source(pipe), through, self.datasets[target["dataset"]])

    def run_internal_pipes(self) -> None:
        """Run the pipes that merge datasets, as a node by itself does soon after data has come."""
        for pipe in self.configuration.pipes.values():
            if pipe["source"]["type"] == "merge":
                self.run_pipe(pipe["_id"])

    def publish(self, pipe: Config) -> Iterator[bytes]:
        """Give a publisher's CSV in pieces; the pipe's transforms run while it is read."""
        with Transforms(pipe, self._systems(pipe)) as through:
            batches = batched(self.source(pipe), BATCH_SIZE, strict=False)
            entities = (entity for batch in batches for entity in through(batch).entities)
            yield from csv_chunks(entities, sink(pipe))

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
        missing = names - self.configuration.systems.keys()
        if missing:
            raise ConfigurationError(f"{pipe['_id']}: there is no system {min(missing)!r}")
        return {
            name: resolved(self.configuration.systems[name], self.environment, self.secrets) for name in names
        }


def _with_namespaces(entity: Mapping[str, Any], namespace: str) -> Entity:
    """Give what enters the hub its namespace: `_id` and every property (facts/sesam.md §1.3)."""
    return _named(decode_entity(dict(entity)), namespace) | {"_id": f"{namespace}:{entity['_id']}"}


def _named(properties: Entity, namespace: str) -> Entity:
    return {qualified(name, namespace): _nested(value, namespace) for name, value in properties.items()}


def _nested(value: Value, namespace: str) -> Value:
    if isinstance(value, list):
        return [_nested(item, namespace) for item in value]
    return _named(value, namespace) if isinstance(value, dict) else value
