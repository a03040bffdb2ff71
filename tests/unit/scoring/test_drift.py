"""What was lately scored beside what the adopted version taught: the window, what is left out, the words."""

import json
import random
import re
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import pytest

from contract.contract import Contract, contract_of
from contract.documents import Adoption, Manifest, encode
from contract.facts import ColumnFacts
from contract.seen import Observation, SeenColumn, Tally
from errors import NoContract, NotFound
from local.bootstrap import ROOT
from scoring import drift as use_case
from scoring.batch import Model
from scoring.contracts import Contracts
from scoring.deadline import Deadline
from scoring.drift import DriftReport, drift
from scoring.models import encoder_of
from sections import LimitSettings, ModelSettings
from storage import adoption_blob, contract_blob, manifest_blob, observed_blob
from tests.fakes import MemoryContainer
from tests.unit.contract.test_differences import manifest
from training_export.cells import Cells
from training_export.column_facts import ColumnScan

PAGE = ROOT / "docs" / "contract.md"
VERSION, OTHER = "20261123T020000Z-00000001", "20261124T020000Z-00000002"
NOW = datetime(2026, 11, 24, 12, 34, 56, tzinfo=UTC)


def scanned(name: str, cells: Sequence[str]) -> ColumnFacts:
    column = ColumnScan(name)
    column.add(Cells.of(list(cells)))
    return column.facts()


INCOME = scanned("Income", [str(n % 100) for n in range(1000)])
CITY = scanned("City", ["Oslo", "Bergen"] * 500)
TAUGHT: Manifest = manifest(INCOME, CITY, version=VERSION, rows=1000)
CONTRACT: Contract = contract_of(TAUGHT.columns, "")


def observation(
    *columns: SeenColumn, version: str = VERSION, entities: int = 1, outside: int = 0
) -> Observation:
    return Observation(
        schema_version=1,
        model="churn",
        version=version,
        started="",
        finished="",
        entities=entities,
        outside=outside,
        columns=columns,
    )


class World:
    """A model that has adopted VERSION, and the observations of its processes."""

    def __init__(self, **settings: Any) -> None:
        self.container = MemoryContainer()
        self.contracts = Contracts(self.container, clock=lambda: 0.0, now=lambda: "")
        self.container.create(contract_blob(CONTRACT.id), CONTRACT.to_json())
        for version in (VERSION, OTHER):
            known = msgspec.structs.replace(TAUGHT, version=version, contract_id=CONTRACT.id)
            self.container.create(manifest_blob("customers", version), encode(known))
        self.adopt(VERSION)
        given = ModelSettings.model_validate(
            {"url": "http://127.0.0.1/x", "auth": "none", "contract": "customers"} | settings
        )
        self.model = Model(
            name="churn",
            settings=given,
            prefix="churn:",
            limits=LimitSettings(),
            adopted=lambda deadline: self.contracts.adopted("churn", "customers", deadline),
            encoder=lambda adopted: encoder_of(given, "churn:", adopted.contract if adopted else None),
            send=lambda encoder, rows, deadline: [],
            left_alone_for=lambda: 0.0,
            threads=ThreadPoolExecutor(1),
        )

    def adopt(self, version: str) -> None:
        adoption = Adoption(version=version, contract_id=CONTRACT.id, adopted="")
        self.container.put(adoption_blob("churn"), encode(adoption))

    def seen(
        self, rows: Sequence[Sequence[Any]], hours_ago: float = 1, version: str = VERSION, outside: int = 0
    ) -> str:
        tally = Tally([INCOME, CITY])
        tally.add(rows, outside)
        told = observation(*tally.columns(), version=version, entities=tally.entities, outside=tally.outside)
        return self.put(encode(told), hours_ago)

    def put(self, data: bytes, hours_ago: float = 1) -> str:
        id_ = f"{len(self.container.blobs):08}"
        name = observed_blob("churn", NOW - timedelta(hours=hours_ago), id_)
        assert self.container.create(name, data)
        return name

    def report(self, days: int = 7) -> DriftReport:
        return drift(self.model, days, self.contracts, self.container, NOW, Deadline.after(5))


def like_training(count: int = 600) -> list[list[Any]]:
    chance = random.Random(count)
    return [[chance.randrange(100), chance.choice(["Oslo", "Bergen"])] for _ in range(count)]


def test_what_several_processes_saw_is_added_up_and_has_not_moved() -> None:
    world = World()
    world.seen(like_training(600), hours_ago=1, outside=2)
    world.seen(like_training(400), hours_ago=30)
    report = world.report()
    assert (report.entities, report.outside) == (1000, 2)
    assert (report.version, report.since, report.until) == (
        VERSION,
        "2026-11-17T12:00:00Z",
        "2026-11-24T12:34:56Z",
    )
    assert [feature.moved for feature in report.features] == ["little", "little"]
    assert report.told == ("No feature has moved: 1000 entities look like the 1000 rows trained on.",)


def test_a_feature_that_has_moved_comes_first_with_what_to_do() -> None:
    world = World()
    world.seen([[income + 95, city] for income, city in like_training()])
    report = world.report()
    assert [feature.feature for feature in report.features] == ["Income", "City"]
    assert report.features[0].moved == "much"
    assert report.told[0].startswith("Income has moved much: ")
    assert "lie above 99, in training 0.0%" in report.told[0]
    assert report.told[-1] == (
        "If this is not a fault in a pipe, train on a newer version and adopt it: "
        "Income no longer looks like the 1000 rows that the model was trained on."
    )


def test_the_answer_in_the_documentation_is_the_answer() -> None:
    found = re.search(
        r"<!-- drift-answer -->\n```json\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL
    )
    assert found
    world = World()
    seen = [[income % 40 + 70, city] for income, city in like_training(1200)]
    seen[:36] = [[income, "Narvik"] for income, _ in seen[:36]]
    seen[50:54] = [[None, city] for _, city in seen[50:54]]
    world.seen(seen, outside=412)
    world.put(b"{", hours_ago=2)
    assert json.loads(msgspec.json.encode(world.report())) == json.loads(found[1])


def test_only_the_window_is_read() -> None:
    world = World()
    inside = [world.seen(like_training(10), hours_ago=hours) for hours in (0, 12, 24.5)]
    for hours in (26, 48, 24 * 30):
        world.seen(like_training(10), hours_ago=hours)
    report = world.report(days=1)
    assert report.entities == 30
    assert report.observations.found == len(inside)
    assert world.report(days=2).entities == 50
    assert world.report(days=90).entities == 60


def test_without_any_observation_the_answer_says_when_there_will_be_one() -> None:
    report = World().report()
    assert (report.entities, report.features) == (0, ())
    assert "Nothing was seen through" in report.told[0]
    assert "10,000 entities" in report.told[0]


def test_what_other_versions_saw_is_counted_and_left_out() -> None:
    world = World()
    world.seen(like_training(50))
    world.seen([[500, "Narvik"]] * 50, version=OTHER)
    report = world.report()
    assert (report.entities, report.observations.other_versions) == (50, 1)
    world.adopt(OTHER)
    world.contracts = Contracts(world.container, clock=lambda: 0.0, now=lambda: "")
    assert world.report().features[0].moved == "much"


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"{",
        b"[]",
        b'{"version": 7}',
        b"\xff\xfe",
        encode(observation(SeenColumn(name="Income", counts=(1, 2)))),
        encode(observation(SeenColumn(name="Gone", counts=(1,)))),
    ],
    ids=["empty", "cut", "a list", "wrong types", "no UTF-8", "other bins", "another column"],
)
def test_a_damaged_observation_is_named_and_spoils_nothing(data: bytes) -> None:
    world = World()
    world.seen(like_training(50))
    name = world.put(data)
    report = world.report()
    assert report.entities == 50
    assert report.observations.damaged == (name,)


def test_of_very_many_observations_a_part_is_read_over_the_whole_window(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(use_case, "MOST_READ", 10)
    world = World()
    for hour in range(25):
        world.seen(like_training(4), hours_ago=hour)
    read = world.report().observations
    assert (read.found, read.read) == (25, 9)
    assert use_case._spread_over([str(n) for n in range(25)]) == [str(n) for n in range(0, 25, 3)]
    assert use_case._spread_over(["a"]) == ["a"]


def test_a_model_without_an_export_or_an_adoption_has_nothing_to_compare() -> None:
    world = World()
    unbound = replace(world.model, adopted=lambda deadline: None)
    with pytest.raises(NotFound, match="nothing to compare"):
        drift(unbound, 7, world.contracts, world.container, NOW, Deadline.after(5))
    world.container.delete(adoption_blob("churn"))
    with pytest.raises(NoContract, match="has adopted no version"):
        world.report()
