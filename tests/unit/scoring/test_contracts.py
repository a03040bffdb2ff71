"""The adoption that a model follows: by ETag, on storage that may be away, for no longer than a call."""

import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from contract.contract import Column, Contract
from contract.documents import Adoption, encode
from errors import Conflict, NoContract, NotFound, StorageDown, StorageRefused
from scoring.contracts import AWAY_S, REFRESH_S, Adopted, Contracts
from scoring.deadline import Deadline
from storage import JSON, Blob, adoption_blob, contract_blob, manifest_blob
from tests.exports import Bench, rows
from tests.fakes import Clock, MemoryContainer

FIRST, SECOND = "20261123T020000Z-00000001", "20261124T020000Z-00000002"


class Storage(MemoryContainer):
    """Storage that can be away or silent; counts what it is asked."""

    def __init__(self, clock: Clock) -> None:
        super().__init__(clock)
        self.asked: list[str] = []
        self.failure: Exception | None = None
        self.answering = threading.Event()
        self.answering.set()

    def read(self, name: str, unless: str = "") -> Blob | None:
        self.asked.append(name)
        self.answering.wait(10)
        if self.failure:
            raise self.failure
        return super().read(name, unless)


class World:
    """Storage with two contracts, and the adoptions that a process follows."""

    def __init__(self) -> None:
        self.clock = Clock()
        self.storage = Storage(self.clock)
        self.contracts = Contracts(self.storage, clock=self.clock.monotonic, now=lambda: "now")
        self.first, self.second = (self.store(contract_of(name)) for name in "ab")

    def store(self, contract: Contract) -> str:
        self.storage.put(contract_blob(contract.id), contract.to_json())
        return contract.id

    def adopt(self, version: str, contract_id: str) -> None:
        adoption = Adoption(version=version, contract_id=contract_id, adopted="then")
        self.storage.put(adoption_blob("churn"), encode(adoption))

    def look(self, seconds: float = 5.0) -> Adopted:
        return self.contracts.adopted("churn", "customers", Deadline.after(seconds))


def contract_of(column: str, version: int = 1) -> Contract:
    return Contract(schema_version=version, label="y", columns=(Column(name=column, type="string"),))


@pytest.fixture
def world() -> Iterator[World]:
    world = World()
    yield world
    world.storage.answering.set()


def at_once(count: int, work: Callable[[], Any]) -> list[Any]:
    found: list[Any] = []

    def one() -> None:
        try:
            found.append(work())
        except StorageDown as failure:
            found.append(failure)

    threads = [threading.Thread(target=one) for _ in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(10)
    return found


def test_an_adoption_is_asked_for_once_and_followed_within_its_time(world: World) -> None:
    world.adopt(FIRST, world.first)
    assert [world.look().version for _ in range(100)] == [FIRST] * 100
    assert len(world.storage.asked) == 2  # the adoption and its contract
    world.adopt(SECOND, world.second)
    assert world.look().version == FIRST
    world.clock.pass_(REFRESH_S)
    assert world.look().contract.columns[0].name == "b"


@pytest.mark.fault(25)
def test_nothing_adopted_yet_is_no_contract_and_looked_for_at_every_call(world: World) -> None:
    with pytest.raises(NoContract, match="has adopted no version of customers yet") as error:
        world.look()
    assert error.value.retry_after == 60
    world.adopt(FIRST, world.first)
    assert world.look().version == FIRST


@pytest.mark.fault(25)
@pytest.mark.parametrize(
    ("spoil", "told"),
    [
        (lambda data: None, "it is not there"),
        (lambda data: data[:40], "does not match its id"),
        (lambda data: b"", "does not match its id"),
        (lambda data: data.replace(b'"a"', b'"z"'), "does not match its id"),
    ],
    ids=["missing", "cut", "empty", "another column"],
)
def test_a_contract_that_was_lost_or_altered_is_told_and_never_encoded_through(
    world: World, spoil: Callable[[bytes], bytes | None], told: str
) -> None:
    name = contract_blob(world.first)
    spoilt = spoil(world.storage.blobs[name].data)
    world.storage.delete(name)
    if spoilt is not None:
        world.storage.put(name, spoilt)
    world.adopt(FIRST, world.first)
    with pytest.raises(NoContract, match=told):
        world.look()


@pytest.mark.fault(25)
def test_a_contract_of_a_newer_app_is_told(world: World) -> None:
    world.adopt(FIRST, world.store(contract_of("a", version=2)))
    with pytest.raises(NoContract, match="deploy a newer app"):
        world.look()


@pytest.mark.fault(25)
def test_a_damaged_adoption_or_manifest_is_told(world: World) -> None:
    world.storage.put(adoption_blob("churn"), b"{")
    with pytest.raises(NoContract, match="damaged: adopt a version"):
        world.look()
    world.storage.put(manifest_blob("customers", FIRST), b"{}")
    with pytest.raises(NoContract, match="is damaged"):
        world.contracts.manifest("customers", FIRST)
    with pytest.raises(NotFound):
        world.contracts.manifest("customers", "../../secret")


@pytest.mark.parametrize("failure", [StorageDown("away"), StorageRefused("no role")], ids=str)
def test_while_storage_is_away_the_adoption_serves_on_and_says_so(world: World, failure: Exception) -> None:
    world.adopt(FIRST, world.first)
    world.look()
    world.storage.failure = failure
    for _ in range(5):
        world.clock.pass_(REFRESH_S)
        assert world.look().version == FIRST
        assert world.contracts.trouble("churn") == str(failure)
    world.storage.failure = None
    world.clock.pass_(REFRESH_S)
    world.look()
    assert world.contracts.trouble("churn") == ""


def test_a_call_of_a_cold_start_waits_for_silent_storage_no_longer_than_its_deadline(world: World) -> None:
    world.adopt(FIRST, world.first)
    world.storage.answering.clear()
    first = threading.Thread(target=world.look)
    first.start()
    while not world.storage.asked:
        time.sleep(0)
    began = time.monotonic()
    found = at_once(20, lambda: world.look(seconds=0.1))
    assert time.monotonic() - began < 1
    assert {type(each) for each in found} == {StorageDown}
    world.storage.answering.set()
    first.join(5)
    assert world.look().version == FIRST


def test_storage_that_is_away_at_a_cold_start_is_asked_once_for_all_who_wait(world: World) -> None:
    world.storage.failure = StorageDown("away")
    found = at_once(20, world.look)
    assert [each.detail for each in found] == ["away"] * 20
    assert [each.retry_after for each in found].count(AWAY_S) == 19
    with pytest.raises(StorageDown, match="away"):
        world.contracts.adopted("another", "customers", Deadline.after(5))
    assert len(world.storage.asked) == 1
    world.storage.failure = None
    world.adopt(FIRST, world.first)
    world.clock.pass_(AWAY_S)
    assert world.look().version == FIRST


def test_calls_beside_one_that_looks_go_on_with_what_is_known(world: World) -> None:
    world.adopt(FIRST, world.first)
    world.look()
    world.clock.pass_(REFRESH_S)
    world.storage.answering.clear()
    asked = len(world.storage.asked)
    looking = threading.Thread(target=world.look)
    looking.start()
    while len(world.storage.asked) == asked:
        time.sleep(0)
    assert [each.version for each in at_once(20, world.look)] == [FIRST] * 20
    world.storage.answering.set()
    looking.join(5)
    assert len(world.storage.asked) == asked + 1


def test_the_process_that_adopts_follows_at_once() -> None:
    bench = Bench(models=("churn",))
    first, second = (str(bench.run(rows(count)).version) for count in (10, 11))
    contracts = Contracts(bench.container, clock=bench.clock.monotonic, now=lambda: "now")
    assert contracts.adopted("churn", "customers", Deadline.after(5)).version == first
    contracts.adopt("churn", "customers", second)
    assert contracts.adopted("churn", "customers", Deadline.after(5)).version == second


@pytest.mark.parametrize("before", [True, False], ids=["another before", "none before"])
@pytest.mark.fault(46)
def test_a_version_that_retention_removes_meanwhile_takes_no_adoptions_place(before: bool) -> None:
    class Retired(MemoryContainer):
        """The version goes between the look at it and its adoption."""

        def create(self, name: str, data: bytes, content_type: str = JSON) -> str | None:
            self._retire(name)
            return super().create(name, data, content_type)

        def replace(self, name: str, data: bytes, etag: str) -> str | None:
            self._retire(name)
            return super().replace(name, data, etag)

        def _retire(self, name: str) -> None:
            if name == adoption_blob("churn") and retiring:
                self.delete(manifest_blob("customers", retiring.pop()))

    retiring: list[str] = []
    bench = Bench(container=Retired(), models=("churn",) if before else ())
    first, second = (str(bench.run(rows(count)).version) for count in (10, 11))
    contracts = Contracts(bench.container, clock=bench.clock.monotonic, now=lambda: "now")
    retiring.append(second)
    with pytest.raises(Conflict, match=f"{second} was removed meanwhile: adopt another"):
        contracts.adopt("churn", "customers", second)
    if before:
        assert contracts.adopted("churn", "customers", Deadline.after(5)).version == first
    assert contracts.adopt("churn", "customers", first).version == first
