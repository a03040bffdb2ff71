"""An export on its bench: the use case with its wires, on any container, from a node told what to say."""

import hashlib
import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

import msgspec

from contract.contract import Contract
from contract.documents import Latest, Manifest
from errors import Failure
from sections import ExportSettings
from storage import Container, contract_blob, data_blob, manifest_blob, mltable_blob
from tests.fakes import Clock, MemoryContainer
from training_export.publisher import PipeFacts, Published
from training_export.runs import Run, RunRecord
from training_export.snapshot import Export, Node, run_export
from training_export.versions import Versions

HEADER = b"_id,Name,Income,ChurnFlag\r\n"


def rows(count: int, income: int = 1000) -> bytes:
    """A small published table."""
    lines = (f"{n},Name{n},{income + n},{'true' if n % 3 else 'false'}\r\n" for n in range(count))
    return HEADER + "".join(lines).encode()


@dataclass
class FakeNode:
    """A node that publishes `body`, or raises what stands in `failures`, one at a time."""

    body: bytes = rows(10)
    headers: Mapping[str, str] = field(default_factory=dict)
    facts: PipeFacts = field(default_factory=PipeFacts)
    failures: list[Failure] = field(default_factory=list)
    asked: int = 0
    host: str = "node.example"

    def pipe(self, pipe: str) -> PipeFacts:
        return self.facts

    @contextmanager
    def published(self, pipe: str, *, allow_unframed: bool = False) -> Iterator[Published]:
        self.asked += 1
        if self.failures:
            raise self.failures.pop(0)
        yield Published(self.headers, iter([self.body[:50], self.body[50:]]))


@dataclass
class Bench:
    """One export named `customers`, with a model `churn` trained on it."""

    container: Container = field(default_factory=MemoryContainer)
    clock: Clock = field(default_factory=Clock)
    node: Node = field(default_factory=FakeNode)
    settings: ExportSettings = field(default_factory=lambda: ExportSettings(pipe="customers-csv"))
    models: Sequence[str] = ("churn",)
    register: Callable[[Manifest], str] | None = None
    _ids: Iterator[int] = field(default_factory=itertools.count)

    def __post_init__(self) -> None:
        if isinstance(self.container, MemoryContainer):
            self.container.clock = self.clock

    @property
    def fake(self) -> FakeNode:
        assert isinstance(self.node, FakeNode)
        return self.node

    @property
    def versions(self) -> Versions:
        return Versions(self.container, "customers", self.clock.now)

    @property
    def record(self) -> RunRecord:
        return RunRecord(self.container, "customers", self.clock.now)

    def set(self, **changed: object) -> None:
        self.settings = self.settings.model_copy(update=changed)

    def run(self, body: bytes | None = None, *, run: str = "", last_try: bool = True) -> Run:
        """Run the export once, half a minute after the last time."""
        if body is not None:
            self.fake.body = body
        self.clock.pass_(30)
        return run_export(self.export, run or f"run-{next(self._ids)}", last_try=last_try)

    @property
    def export(self) -> Export:
        return Export(
            name="customers",
            settings=self.settings,
            node=self.node,
            versions=self.versions,
            record=self.record,
            monotonic=self.clock.monotonic,
            sleep=self.clock.sleep,
            models=self.models,
            register=self.register,
        )

    def latest(self) -> Latest:
        latest = self.versions.latest()
        assert latest is not None
        return latest

    def names(self, prefix: str = "") -> list[str]:
        return [blob.name for blob in self.container.list(prefix)]


def whole_version(container: Container, version: str, export: str = "customers") -> Manifest:
    """Read a version as a careful reader does, proving every part by the manifest."""
    blob = container.read(manifest_blob(export, version))
    assert blob, f"{version} has no manifest"
    manifest = msgspec.json.decode(blob.data, type=Manifest)
    data = b"".join(container.download(data_blob(export, version)))
    assert len(data) == manifest.bytes
    assert hashlib.sha256(data).hexdigest() == manifest.sha256
    assert hashlib.md5(data, usedforsecurity=False).hexdigest() == manifest.md5
    stored = container.read(contract_blob(manifest.contract_id))
    assert stored, "the contract is missing"
    contract = Contract.from_json(stored.data, manifest.contract_id)
    assert [column.name for column in contract.columns] == [column.name for column in manifest.columns]
    assert container.read(mltable_blob(export, version)), "the MLTable is missing"
    return manifest
