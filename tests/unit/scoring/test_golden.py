"""Golden rows: adoption only where the live endpoint answers as the trained model did."""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import msgspec
import pytest

from contract.contract import Column, Contract
from contract.documents import Golden, Manifest, encode
from contract.features import Encoder, Row
from errors import BadAnswer, Conflict, EntitiesDoNotFit, Failure, InvalidRequest, NotFound, ServiceDown
from scoring import golden, probe
from scoring.adoption import adopt
from scoring.batch import Model
from scoring.contracts import Contracts
from scoring.deadline import Deadline
from scoring.dialects import Results
from scoring.models import encoder_of
from scoring.rows import RowRefused, Scores
from scoring.scores import scores_of
from sections import LimitSettings, ModelSettings
from storage import adoption_blob, contract_blob, golden_blob, manifest_blob
from tests.fakes import MemoryContainer

VERSION = "20261123T020000Z-00000000"
TAUGHT = Contract(
    schema_version=1,
    label="Churn",
    columns=(
        Column(name="_id", type="string"),
        Column(name="Complaints", type="integer"),
        Column(name="Tenure", type="integer", nullable=True),
        Column(name="Churn", type="boolean"),
    ),
)

type Answer = Callable[[Row], Scores | RowRefused]


def trained(row: Row) -> Scores:
    complaints, tenure = int(row[0] or 0), int(row[1] or 0)
    return {
        "churn:Scored-Labels": complaints > 2,
        "churn:Scored-Probabilities": 0.1 * complaints + 0.001 * tenure,
    }


def swapped(row: Row) -> Scores:
    return trained([row[1], row[0]])


ENTITIES: list[dict[str, Any]] = [
    {"_id": "a", "Complaints": "1", "Tenure": "84"},
    {"_id": "b", "crm:Complaints": 5, "crm:Tenure": None},
    {"_id": "c", "Complaints": 2, "Tenure": 2},
]
PREDICTIONS: list[dict[str, Any]] = [
    {"Scored Labels": False, "Scored Probabilities": 0.184},
    {"Scored Labels": True, "Scored Probabilities": 0.5},
    {"Scored-Probabilities": 0.202},
]


def rows(**change: Any) -> Golden:
    content = {"version": VERSION, "entities": ENTITIES, "scores": PREDICTIONS} | change
    return msgspec.convert(content, Golden)


class World:
    """A published version in storage, and a model whose endpoint answers as told."""

    def __init__(self, answer: Answer = trained, **settings: Any) -> None:
        self.container = MemoryContainer()
        self.contracts = Contracts(self.container, clock=lambda: 0.0, now=lambda: "2026-11-23T03:00:00Z")
        self.container.create(contract_blob(TAUGHT.id), TAUGHT.to_json())
        self.container.create(manifest_blob("customers", VERSION), encode(manifest()))
        self.sent: list[Row] = []
        self.answer = answer
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
            send=self._send,
            left_alone_for=lambda: 0.0,
            threads=ThreadPoolExecutor(1),
        )

    def _send(self, encoder: Encoder, rows: Sequence[Row], deadline: Deadline) -> list[Scores | RowRefused]:
        self.sent += rows
        return [self.answer(row) for row in rows]

    def keep(self, **change: Any) -> golden.Kept:
        return golden.keep(self.model, rows(**change), self.contracts, self.container)

    def adopt(self) -> str:
        return adopt(self.model, VERSION, self.contracts, self.container, Deadline.after(5)).version

    def refused(self) -> Conflict:
        with pytest.raises(Conflict) as refusal:
            self.adopt()
        assert self.container.read(adoption_blob("churn")) is None
        return refusal.value


def manifest() -> Manifest:
    return Manifest(
        schema_version=1, export="customers", pipe="p", node="n", version=VERSION, state="published",
        started="", finished="", rows=3, bytes=1, sha256="", md5="", contract_id=TAUGHT.id, previous=None,
        differences=(), headers={}, app_version="", columns=(),
    )  # fmt: skip


def test_a_model_that_answers_as_it_was_trained_to_adopts_the_version() -> None:
    world = World()
    assert world.keep() == golden.Kept(VERSION, 3)
    assert world.adopt() == VERSION
    assert world.sent == [[1, 84], [5, None], [2, 2]]
    assert told(world) == {
        "endpoint": (True, "it answers and lets us in: 3 rows scored"),
        "dialect": (True, "classic: one result for each row"),
        "golden rows": (True, f"3 golden rows of {VERSION} are answered as trained"),
    }


def told(world: World) -> dict[str, tuple[bool, str]]:
    """What a look at the endpoint tells, by what was looked at."""
    checks = list(probe.checks(world.model, world.container))
    return {check.check.removesuffix(" of churn"): (check.ok, check.detail) for check in checks}


def test_two_features_swapped_in_the_deployed_model_are_refused_naming_row_and_difference() -> None:
    world = World(swapped)
    world.keep()
    refusal = world.refused()
    assert (refusal.status, refusal.entities, refusal.entity_count) == (409, ("a", "b"), 2)
    assert "2 of 3 golden rows" in refusal.detail
    assert "row 0 (a): Scored-Labels differs, Scored-Probabilities differs by 8.217" in refusal.detail
    assert "row 1 (b): Scored-Labels differs, Scored-Probabilities differs by 0.495" in refusal.detail
    assert "2 features" in refusal.detail
    assert "With Complaints and Tenure swapped they are answered as trained" in refusal.detail
    assert "84" not in refusal.detail


def test_another_model_is_not_taken_for_two_features_swapped() -> None:
    def another(row: Row) -> Scores:
        return {"churn:Scored-Labels": True, "churn:Scored-Probabilities": 0.5}

    world = World(another)
    world.keep()
    assert "swapped" not in world.refused().detail
    assert len(world.sent) == 3 + 1


def test_a_refusal_stands_where_the_endpoint_takes_no_swapped_row() -> None:
    def choosy(row: Row) -> Scores:
        if row == [84, 1]:
            raise ServiceDown("down")
        return swapped(row)

    world = World(choosy)
    world.keep()
    assert world.refused().entity_count == 2
    assert "swapped" not in world.refused().detail


@pytest.mark.parametrize(
    ("off", "decimals", "same"),
    [(0, -1, True), (5e-7, -1, True), (5e-6, -1, False), (4e-4, 3, True), (2e-3, 3, False)],
)
def test_numbers_may_differ_by_the_stated_tolerance_and_what_the_settings_round(
    off: float, decimals: int, same: bool
) -> None:
    def shaken(row: Row) -> Scores:
        scores = trained(row)
        return {
            **scores,
            "churn:Scored-Probabilities": float(str(scores["churn:Scored-Probabilities"])) + off,
        }

    world = World(shaken, decimals=decimals)
    world.keep()
    if same:
        assert world.adopt() == VERSION
    else:
        assert "Scored-Probabilities differs by" in world.refused().detail


@pytest.mark.parametrize(
    ("said", "answered"),
    [
        ("yes", "Yes"),
        ("1", 1),
        (True, 1),
        (1, True),
        (None, 0.0),
        (0.5, float("nan")),
        ([1.0], [2.0]),
        ([1.0], [1.0, 2.0]),
        ({"a": 1}, {"b": 1}),
    ],
)
def test_anything_but_numbers_must_be_equal(said: object, answered: object) -> None:
    world = World(lambda row: {"churn:label": answered})
    world.keep(scores=[{"label": said}] * 3)
    assert "row 0 (a): label differs" in world.refused().detail


def test_the_tolerance_holds_within_lists_and_objects() -> None:
    world = World(lambda row: {"churn:probabilities": [{"no": 0.7, "yes": 0.3 + 1e-9}]})
    world.keep(scores=[{"probabilities": [{"no": 0.7, "yes": 0.3}]}] * 3)
    assert world.adopt() == VERSION


def test_a_score_that_the_endpoint_does_not_give_is_named_beside_those_it_gives() -> None:
    world = World(lambda row: {"churn:prediction": 1})
    world.keep()
    assert "Scored-Probabilities is not answered (the answer has prediction)" in world.refused().detail


def test_a_row_that_the_endpoint_refuses_is_a_difference() -> None:
    world = World(lambda row: RowRefused(422, "no") if row[0] == 5 else trained(row))
    world.keep()
    assert world.refused().entities == ("b",)


def test_an_endpoint_that_cannot_be_asked_proves_nothing_and_nothing_is_adopted() -> None:
    def down(row: Row) -> Scores:
        raise ServiceDown("down")

    world = World(down)
    world.keep()
    with pytest.raises(ServiceDown):
        world.adopt()
    assert world.container.read(adoption_blob("churn")) is None


def test_without_golden_rows_a_version_is_adopted_on_trust_and_readiness_says_so() -> None:
    world = World(swapped)
    assert world.adopt() == VERSION
    assert world.sent == []
    ok, detail = told(world)["golden rows"]
    assert ok
    assert "PUT /api/models/churn/golden" in detail


def test_without_golden_rows_the_endpoint_is_asked_with_a_row_made_up_from_the_contract() -> None:
    world = World()
    world.adopt()
    assert [ok for ok, _ in told(world).values()] == [True, True, True]
    assert world.sent == [[0, None]]


def test_a_row_made_up_from_a_contract_fits_it() -> None:
    columns = (
        Column(name="City", type="string", categories=("Bergen", "Oslo")),
        Column(name="Note", type="string"),
        Column(name="Since", type="datetime", minimum="2026-01-02T03:04:05Z", maximum="2026-01-02T03:04:05Z"),
        Column(name="Born", type="date", nullable=True),
        Column(name="Big", type="integer", minimum=10**15, maximum=10**15),
        Column(name="Spend", type="number", minimum=-1.5, maximum=2.0),
        Column(name="Left", type="boolean"),
    )
    contract = Contract(schema_version=1, label="", columns=columns)
    encoded = Encoder(contract).encode(probe.sample(contract, contract.features))
    assert encoded.outside == ()
    assert encoded.row[0] == "Bergen"


MAPPED = {"Complaints": "crm:Complaints", "Tenure": "MonthsWithUs"}


@pytest.mark.parametrize(
    "entity",
    [
        {"_id": "a", "Complaints": "1", "Tenure": "84"},
        {"_id": "a", "crm:Complaints": 1, "erp:Complaints": 5, "erp:MonthsWithUs": 84},
        {"_id": "a", "crm:Complaints": 1, "Complaints": 5, "MonthsWithUs": 84, "Tenure": 2},
        {"_id": "a", "crm:Complaints": 1, "crm:MonthsWithUs": 84, "Tenure": 2},
    ],
    ids=str,
)
def test_with_a_map_the_cells_of_a_csv_row_and_the_entity_as_posted_are_the_same_row(
    entity: dict[str, Any],
) -> None:
    world = World(map=MAPPED)
    world.keep(entities=[entity], scores=PREDICTIONS[:1])
    assert world.adopt() == VERSION
    assert world.sent == [[1, 84]]


def test_with_a_map_a_row_can_be_made_up_from_the_contract_all_the_same() -> None:
    world = World(map=MAPPED)
    world.adopt()
    assert [ok for ok, _ in told(world).values()] == [True, True, True]
    assert world.sent == [[0, None]]


def test_a_label_and_a_name_that_a_node_would_misread_are_compared_as_an_entity_gets_them() -> None:
    def tiers(row: Row) -> Scores:
        label = "~tier2" if row[0] == 5 else "~tier1"
        results = Results(("~label", "by tier"), [(label, {label: [label]})])
        scored = scores_of(results, (), [row], prefix="churn:")
        return dict(zip(scored.names, *scored.rows, strict=True))

    world = World(tiers)
    world.keep(scores=[{"~label": "~tier1", "by tier": {"~tier1": ["~tier1"]}}] * 3)
    assert "1 of 3 golden rows" in world.refused().detail
    assert "row 1 (b): -~label differs, by-tier differs" in world.refused().detail
    world.keep(entities=ENTITIES[:1], scores=[{"~label": "~tier1", "by-tier": {" ~tier1": [" ~tier1"]}}])
    assert world.adopt() == VERSION


def test_whole_numbers_beyond_all_doubles_are_compared_digit_by_digit() -> None:
    world = World(lambda row: {"churn:p": 10**400 if row[0] == 1 else 0.5})
    world.keep(scores=[{"p": 10**400}] * 3)
    assert "2 of 3 golden rows" in world.refused().detail
    assert "row 1 (b): p differs by more than a double holds" in world.refused().detail


def test_stored_scores_that_fall_on_one_name_cannot_be_compared() -> None:
    world = World()
    world.keep(scores=[{"a b": 1, "a-b": 1}] * 3)
    assert "its stored scores cannot be compared: two of" in world.refused().detail


def test_an_endpoint_that_does_not_speak_the_dialect_is_told_from_one_that_is_not_there() -> None:
    def nonsense(row: Row) -> Scores:
        raise BadAnswer("no Results in the answer. Check dialect.")

    def down(row: Row) -> Scores:
        raise ServiceDown("no connection")

    def refusing(row: Row) -> RowRefused:
        return RowRefused(422, "bad row")

    world = World()
    world.adopt()
    world.answer = nonsense
    assert told(world) == {
        "endpoint": (True, "it answers"),
        "dialect": (False, "no Results in the answer. Check dialect."),
    }
    world.answer = down
    assert told(world) == {"endpoint": (False, "no connection")}
    world.answer = refusing
    ok, detail = told(world)["dialect"]
    assert not ok
    assert "golden rows" in detail


def test_a_model_that_has_adopted_nothing_is_told_of_and_its_endpoint_not_asked() -> None:
    world = World()
    assert told(world).keys() == {"endpoint"}
    assert not told(world)["endpoint"][0]
    assert world.sent == []


def test_a_model_that_drifts_off_after_its_adoption_is_found_by_readiness() -> None:
    world = World()
    world.keep()
    world.adopt()
    world.answer = swapped
    found = told(world)
    assert [ok for ok, _ in found.values()] == [True, True, False]
    assert "2 of 3 golden rows" in found["golden rows"][1]


def test_later_rows_take_the_place_of_earlier_ones() -> None:
    world = World()
    world.keep()
    assert world.keep(entities=ENTITIES[:1], scores=PREDICTIONS[:1]).rows == 1
    world.adopt()
    assert len(world.sent) == 1


@pytest.mark.parametrize(
    ("change", "failure", "told"),
    [
        ({"entities": [], "scores": []}, InvalidRequest, "1 to 200"),
        ({"entities": ENTITIES * 67, "scores": PREDICTIONS * 67}, InvalidRequest, "201 entities"),
        ({"scores": PREDICTIONS[:2]}, InvalidRequest, "3 entities and 2 scores"),
        ({"scores": [{"x": 1}, {}, {"x": 1}]}, InvalidRequest, r"scores\[1\] is empty"),
        (
            {"entities": [ENTITIES[0], {"_id": "b"}, ENTITIES[2]]},
            EntitiesDoNotFit,
            "Golden row 1 .* Complaints",
        ),
        ({"version": "20200101T000000Z-00000000"}, NotFound, "no version"),
    ],
    ids=["none", "too many", "not one each", "no scores", "a misfit", "no such version"],
)
def test_rows_that_could_prove_nothing_are_not_stored(
    change: dict[str, Any], failure: type[Failure], told: str
) -> None:
    world = World()
    with pytest.raises(failure, match=told):
        world.keep(**change)
    assert list(world.container.list("golden/")) == []
    assert world.sent == []


def test_a_model_without_an_export_has_nothing_to_prove() -> None:
    with pytest.raises(NotFound, match="no contract in its settings"):
        World(contract="", features=["Complaints"]).keep()


def test_rows_that_no_longer_suit_the_settings_refuse_the_adoption() -> None:
    world = World()
    world.keep()
    narrower = World(map={"Complaints": "erp:Complaints"})
    stored = world.container.read(golden_blob("churn", VERSION))
    assert stored
    narrower.container.put(golden_blob("churn", VERSION), stored.data)
    assert narrower.refused().features == ("Complaints",)


@pytest.mark.fault(25)
@pytest.mark.parametrize("data", [b'{"version":', b"", b'{"version": "\xff"}', b'{"rows": []}'], ids=repr)
def test_damaged_rows_are_no_proof_and_say_where_they_lie(data: bytes) -> None:
    world = World()
    world.container.put(golden_blob("churn", VERSION), data)
    assert world.refused().detail == (f"golden/churn/{VERSION}.json is damaged: store the golden rows again.")
