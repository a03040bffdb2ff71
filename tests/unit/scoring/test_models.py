"""Models as the process makes them: each once, described and checked one by one, its calls ended in time."""

import asyncio
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest

from contract.contract import Column, Contract
from contract.documents import Adoption, Latest, encode
from errors import NoContract, ServiceDown, Silence, StorageDown
from scoring import description, models, routes
from scoring.batch import Model
from scoring.contracts import REFRESH_S, Contracts
from scoring.deadline import Deadline
from scoring.routes import _on_a_thread_of
from sections import ModelSettings
from settings import Settings
from storage import Blob, adoption_blob, contract_blob, latest_blob
from tests.fakes import Clock, MemoryContainer

VERSION = "20261123T020000Z-00000001"
TAUGHT = Contract(schema_version=1, label="y", columns=(Column(name="Age", type="integer"),))


class Storage(MemoryContainer):
    """Storage that can be away."""

    away = False

    def read(self, name: str, unless: str = "") -> Blob | None:
        if self.away:
            raise StorageDown("Storage failed at x: no answer in time.")
        return super().read(name, unless)


@pytest.fixture
def storage(monkeypatch: pytest.MonkeyPatch) -> Storage:
    """Storage in which `churn` has adopted a version."""
    container = Storage(Clock())
    container.put(contract_blob(TAUGHT.id), TAUGHT.to_json())
    adoption = Adoption(version=VERSION, contract_id=TAUGHT.id, adopted="then")
    container.put(adoption_blob("churn"), encode(adoption))
    contracts = Contracts(container, clock=container.clock.monotonic, now=lambda: "now")
    monkeypatch.setattr(models, "contracts", lambda: contracts)
    return container


@pytest.fixture
def made(monkeypatch: pytest.MonkeyPatch, storage: Storage) -> Iterator[dict[str, Model]]:
    """Two models: `churn` on a contract, `plain` by features alone."""
    given = {"url": "http://127.0.0.1/", "auth": "none"}
    chosen = {"churn": given | {"contract": "customers"}, "plain": given | {"features": ["x"]}}
    found = {
        name: models.model_of(name, ModelSettings.model_validate(each), Settings.model_construct())
        for name, each in chosen.items()
    }
    monkeypatch.setattr(models, "all_models", lambda: found)
    yield found


def test_of_threads_that_come_at_once_one_makes_and_all_get_the_same() -> None:
    made: list[object] = []

    def make() -> object:
        time.sleep(0.02)
        made.append(object())
        return made[-1]

    once = models._once(make)
    with ThreadPoolExecutor(16) as pool:
        got = set(pool.map(lambda _: once(), range(64)))
    assert len(made) == len(got) == 1


def test_what_could_not_be_made_is_tried_again() -> None:
    tries = iter([NoContract("not yet"), None])

    def make() -> str:
        if failure := next(tries):
            raise failure
        return "made"

    once = models._once(make)
    with pytest.raises(NoContract):
        once()
    assert once() == "made"


def test_readiness_binds_the_model_and_tells_that_storage_cannot_be_asked(
    made: dict[str, Model], storage: Storage
) -> None:
    assert description.readiness(made["churn"]) == f"version {VERSION}"
    storage.away = True
    storage.clock.pass_(REFRESH_S)
    told = description.readiness(made["churn"])
    assert told.startswith(f"version {VERSION}; storage cannot be asked for news: Storage failed at x")
    assert "bound by features alone" in description.readiness(made["plain"])


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({"features": ["Shoe"]}, "features names Shoe, which is no column"),
        ({"map": {"Shoe": "crm:Shoe"}}, "map names Shoe, which is no feature"),
        ({"prefix": "A"}, "the prefix A covers Age"),
    ],
    ids=str,
)
def test_a_model_that_cannot_be_bound_is_not_ready_and_is_described_with_the_reason(
    storage: Storage, given: dict[str, object], told: str
) -> None:
    fixed = {"url": "http://127.0.0.1/", "auth": "none", "contract": "customers"}
    found = models.model_of("churn", ModelSettings.model_validate(fixed | given), Settings.model_construct())
    with pytest.raises(NoContract, match=told):
        description.readiness(found)
    described = description.describe(found)
    assert told in described["detail"]
    assert described["columns"] is None
    assert described["adopted"] is not None
    assert described["adopted"]["version"] == VERSION


def test_a_service_that_is_left_alone_is_not_ready(made: dict[str, Model]) -> None:
    assert description.service_readiness(made["churn"]) == "no repeated failures"
    alone = replace(made["churn"], left_alone_for=lambda: 4.2)
    with pytest.raises(ServiceDown, match="left alone for 4 s more") as error:
        description.service_readiness(alone)
    assert error.value.retry_after == 4.2


def test_a_model_that_cannot_be_described_hides_none_of_the_others(
    made: dict[str, Model], storage: Storage
) -> None:
    storage.away = True
    churn, plain = description.describe_all()
    assert churn == {
        "name": "churn",
        "dialect": "classic",
        "prefix": "churn:",
        "export": "customers",
        "detail": "Storage failed at x: no answer in time.",
    }
    assert plain["columns"] == ["x"]


def test_a_latest_version_that_cannot_be_read_does_not_hide_what_is_adopted(
    made: dict[str, Model], storage: Storage
) -> None:
    newer = "20261124T020000Z-00000002"
    storage.put(latest_blob("customers"), encode(Latest(version=newer, pinned=False)))
    described = description.describe(made["churn"])
    adopted, latest = described["adopted"], described["latest"]
    assert adopted is not None
    assert latest is not None
    assert (adopted["version"], latest["version"]) == (VERSION, newer)
    assert "has no version" in latest["detail"]


def test_a_damaged_latest_does_not_hide_what_is_adopted(made: dict[str, Model], storage: Storage) -> None:
    storage.put(latest_blob("customers"), b"no JSON")
    described = description.describe(made["churn"])
    assert described["columns"] == ["Age"]
    assert described["latest"] == {
        "detail": "latest/customers.json is damaged: restore the blob, or remove it."
    }


def test_a_call_that_does_not_come_back_is_given_up_soon_after_its_deadline(
    made: dict[str, Model], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(routes, "GRACE_S", 0.05)
    stuck = threading.Event()
    one = replace(made["plain"], threads=ThreadPoolExecutor(1))
    began: list[str] = []

    def work() -> None:
        began.append("work")
        stuck.wait(10)

    async def calls() -> None:
        for _ in range(2):  # the second never gets a thread
            with pytest.raises(Silence, match="did not end by its deadline"):
                await _on_a_thread_of(one, Deadline.after(0.05), work)
        await asyncio.sleep(0)  # the loop's turn, to tell the pool
        stuck.set()
        assert await _on_a_thread_of(one, Deadline.after(5), lambda: "next") == "next"

    asyncio.run(calls())
    assert began == ["work"]


def test_all_models_together_hold_the_end_up_no_longer_than_one(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock()

    class Hanging:
        finish = staticmethod(clock.sleep)

    monkeypatch.setattr(time, "monotonic", clock.monotonic)
    monkeypatch.setattr(models, "_observers", dict.fromkeys("abc", Hanging()))
    models.finish()
    assert clock.slept == [models.LAST_WORD_S, 0, 0]
