"""What a process has seen is written now and then, by itself, and hinders nobody."""

import logging
import threading
from collections.abc import Callable
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from typing import Any

import msgspec
import pytest

from contract.documents import Manifest
from contract.facts import Category, ColumnFacts
from contract.seen import Observation, SeenColumn
from errors import NotFound, StorageDown
from scoring import seen
from scoring.seen import (
    BLIND_S,
    MOST_WAITING,
    WRITE_AFTER_ENTITIES,
    WRITE_AFTER_S,
    Observer,
)
from tests.fakes import Clock, MemoryContainer
from tests.unit.contract.test_differences import manifest

FIRST, SECOND = "20261123T020000Z-00000001", "20261124T020000Z-00000002"
COLUMNS = ("City", "Source")
PLACES = ColumnFacts(
    name="City",
    type="string",
    empties=0,
    categories=(Category(value="Oslo", count=60), Category(value="Bergen", count=40)),
)


class Inline(Executor):
    """Does work where it is handed over."""

    def submit(self, work: Callable[..., Any], /, *args: Any, **named: Any) -> Future[Any]:
        done: Future[Any] = Future()
        done.set_result(work(*args, **named))
        return done


@pytest.fixture(autouse=True)
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Count each call by itself."""
    monkeypatch.setattr(seen, "COUNT_AT_ONCE", 1)


class World:
    """An observer of the model churn on a clock of its own, and the storage it writes to."""

    def __init__(self, thread: Executor | None = None) -> None:
        self.clock = Clock()
        self.container = MemoryContainer(self.clock)
        self.asked: list[str] = []
        self.failing: Exception | None = None
        self.observer = Observer(
            "churn",
            {"Source"},
            manifest=self._manifest,
            write=self._write,
            thread=thread or Inline(),
            clock=self.clock.monotonic,
            now=self.clock.now,
        )

    def _manifest(self, version: str) -> Manifest:
        self.asked.append(version)
        if self.failing:
            raise self.failing
        return manifest(PLACES, version=version)

    def _write(self, name: str, data: bytes) -> None:
        if self.failing:
            raise self.failing
        assert self.container.create(name, data)

    def see(self, *cities: str | None, version: str = FIRST, outside: int = 0) -> None:
        self.observer(version, COLUMNS, [[city, "constant"] for city in cities], outside)

    def written(self) -> list[Observation]:
        blobs = [self.container.read(listed.name) for listed in self.container.list("observed/")]
        return [msgspec.json.decode(blob.data, type=Observation) for blob in blobs if blob]


def test_nothing_is_written_before_its_time_and_then_all_that_was_seen() -> None:
    world = World()
    world.see("Oslo", "Bergen", "Secret street 1")
    world.clock.pass_(WRITE_AFTER_S - 1)
    world.see("Oslo", None, outside=2)
    assert world.written() == []
    world.clock.pass_(1)
    world.see("Oslo")
    (listed,) = world.container.list("observed/")
    assert listed.name.startswith("observed/churn/2026/11/23/02/")
    assert listed.name.endswith(".json")
    assert world.written() == [
        Observation(
            schema_version=1,
            model="churn",
            version=FIRST,
            started="2026-11-23T02:00:00Z",
            finished="2026-11-23T02:05:00Z",
            entities=6,
            outside=2,
            columns=(SeenColumn(name="City", counts=(3, 1), nulls=1, unseen=1),),
        )
    ]
    blob = world.container.read(listed.name)
    assert blob
    assert b"Secret" not in blob.data
    assert b"Oslo" not in blob.data


def test_many_entities_are_written_without_waiting() -> None:
    world = World()
    world.see(*["Oslo"] * (WRITE_AFTER_ENTITIES - 1))
    assert world.written() == []
    world.see("Oslo", "Oslo")
    assert [each.entities for each in world.written()] == [WRITE_AFTER_ENTITIES + 1]


def test_each_observation_begins_where_the_last_one_ended() -> None:
    world = World()
    for _ in range(3):
        world.clock.pass_(WRITE_AFTER_S)
        world.see("Oslo", "Bergen")
    written = sorted(world.written(), key=lambda each: each.finished)
    assert [each.entities for each in written] == [2, 2, 2]
    assert [each.finished for each in written[:-1]] == [each.started for each in written[1:]]
    assert world.asked == [FIRST]


def test_the_end_of_the_process_writes_the_rest_and_nothing_where_nothing_is_left() -> None:
    world = World()
    world.observer.finish(5)
    assert world.written() == []
    world.see("Oslo")
    world.observer.finish(5)
    world.observer.finish(5)
    assert [each.entities for each in world.written()] == [1]


def test_when_the_thread_has_ended_the_rest_is_written_all_the_same() -> None:
    thread = ThreadPoolExecutor(1)
    world = World(thread)
    world.see("Oslo")
    thread.shutdown()
    world.observer.finish(5)
    assert [each.entities for each in world.written()] == [1]


def test_another_version_is_counted_by_its_own_bins_and_the_first_ones_rest_is_written() -> None:
    world = World()
    world.see("Oslo")
    world.see("Bergen", version=SECOND)
    world.observer.finish(5)
    written = sorted(world.written(), key=lambda each: each.version)
    assert [(each.version, each.entities, each.columns[0].counts) for each in written] == [
        (FIRST, 1, (1, 0)),
        (SECOND, 1, (0, 1)),
    ]


@pytest.mark.fault(25)
def test_what_cannot_be_written_is_told_kept_and_tried_again_as_late(
    caplog: pytest.LogCaptureFixture,
) -> None:
    world = World()
    world.see("Oslo")
    world.failing = StorageDown("Storage failed: no connection. Try again.")
    world.clock.pass_(WRITE_AFTER_S)
    with caplog.at_level(logging.WARNING):
        world.see("Oslo")
        world.see("Oslo")
    assert caplog.text.count("not-observed") == 1
    assert "no connection" in caplog.text
    world.failing = None
    world.see("Oslo")
    assert world.written() == []
    world.clock.pass_(WRITE_AFTER_S)
    world.see("Oslo")
    assert [each.entities for each in world.written()] == [5]


@pytest.mark.fault(25)
@pytest.mark.parametrize("failure", [StorageDown("away"), NotFound("gone"), TypeError("a bug")], ids=str)
def test_without_its_manifest_nothing_is_counted_and_storage_is_left_alone(
    failure: Exception, caplog: pytest.LogCaptureFixture
) -> None:
    world = World()
    world.failing = failure
    with caplog.at_level(logging.WARNING):
        for _ in range(5):
            world.see("Oslo")
    assert world.asked == [FIRST]
    assert caplog.text.count("not-observed") == 1
    world.failing = None
    world.clock.pass_(BLIND_S)
    world.see("Oslo", "Oslo")
    world.observer.finish(5)
    assert [each.entities for each in world.written()] == [2]


def test_a_call_never_waits_for_storage_and_rows_do_not_pile_up() -> None:
    answering = threading.Event()
    with ThreadPoolExecutor(1) as thread:
        world = World(thread)
        thread.submit(answering.wait, 10)
        for _ in range(3):
            world.see(*["Oslo"] * (MOST_WAITING // 2))
        assert world.asked == []
        answering.set()
    assert [each.entities for each in world.written()] == [MOST_WAITING]


def test_small_calls_are_counted_together(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(seen, "COUNT_AT_ONCE", 5)
    world = World()
    world.see("Oslo", "Oslo")
    world.see("Bergen", version=SECOND)
    assert world.asked == []
    world.see("Oslo", "Oslo", version=SECOND)
    assert world.asked == [FIRST, SECOND]
    world.see("Bergen", version=SECOND)
    world.observer.finish(5)
    assert sorted((each.version, each.columns[0].counts) for each in world.written()) == [
        (FIRST, (2, 0)),
        (SECOND, (2, 2)),
    ]


def test_few_rows_wait_no_longer_than_until_it_is_time_to_write(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(seen, "COUNT_AT_ONCE", 1000)
    world = World()
    world.see("Oslo")
    world.clock.pass_(WRITE_AFTER_S)
    world.see("Oslo")
    assert [each.entities for each in world.written()] == [2]


def test_one_call_larger_than_what_may_wait_is_counted() -> None:
    world = World()
    world.see(*["Oslo"] * (MOST_WAITING + 1))
    assert [each.entities for each in world.written()] == [MOST_WAITING + 1]


@pytest.mark.fault(25)
def test_storage_that_hangs_holds_the_end_up_for_a_while_and_no_longer(
    caplog: pytest.LogCaptureFixture,
) -> None:
    answering = threading.Event()
    with ThreadPoolExecutor(1) as thread, caplog.at_level(logging.WARNING):
        world = World(thread)
        thread.submit(answering.wait, 10)
        world.observer.finish(0.01)
        answering.set()
    assert "storage is too slow" in caplog.text
