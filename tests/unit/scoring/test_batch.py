"""The use case of scoring, with a wire that answers at once: every entity back, in order, untouched."""

import json
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contract.columns import SLICE
from contract.contract import Column, Contract
from contract.features import Encoder, Row
from errors import EntitiesDoNotFit, EntitiesRefused, InvalidRequest, ServiceDown, TooLarge
from scoring.batch import Model, score
from scoring.contracts import Adopted
from scoring.deadline import Deadline
from scoring.rows import RowRefused, Scores
from sections import LimitSettings, ModelSettings

CONTRACT = Contract(
    schema_version=1,
    label="Churn",
    columns=(
        Column(name="_id", type="string"),
        Column(name="Age", type="integer", minimum=18, maximum=90),
        Column(name="City", type="string", nullable=True),
        Column(name="Churn", type="boolean"),
    ),
)


class Service:
    """Scores every row by its age, and counts what it was asked."""

    def __init__(self, refuses: Sequence[int] = ()) -> None:
        self.asked: list[Row] = []
        self.refuses = refuses

    def __call__(
        self, encoder: Encoder, rows: Sequence[Row], deadline: Deadline
    ) -> list[Scores | RowRefused]:
        self.asked += rows
        return [self._one(row) for row in rows]

    def _one(self, row: Row) -> Scores | RowRefused:
        if row[0] in self.refuses:
            return RowRefused(422, "the model refuses the rows")
        return {"churn:Scored-Labels": "yes", "churn:Scored-Probabilities": float(row[0] or 0) / 100}


class Broken(Service):
    """Is down."""

    def __call__(
        self, encoder: Encoder, rows: Sequence[Row], deadline: Deadline
    ) -> list[Scores | RowRefused]:
        raise ServiceDown("down")


def model(service: Service, contract: Contract | None = CONTRACT, **settings: Any) -> Model:
    given = ModelSettings(
        url="http://127.0.0.1/x", auth="none", contract="customers", features=(), **settings
    )
    adopted = Adopted("20261123T020000Z-0", "abc", contract, "") if contract else None
    encoder = Encoder(contract, prefix="churn:")
    return Model(
        name="churn",
        settings=given,
        prefix="churn:",
        limits=LimitSettings(entities=1000, depth=10),
        adopted=lambda _: adopted,
        encoder=lambda _: encoder,
        send=service,
        left_alone_for=lambda: 0.0,
        threads=ThreadPoolExecutor(1),
    )


def scored(body: str | bytes, service: Service | None = None, **settings: Any) -> Any:
    raw = body.encode() if isinstance(body, str) else body
    answer = score(raw, model(service or Service(), **settings), Deadline.after(5))
    return json.loads(answer.body)


def raw_scored(body: str, **settings: Any) -> str:
    return score(body.encode(), model(Service(), **settings), Deadline.after(5)).body.decode()


@pytest.mark.statement("sesam-1", "sesam-5")
def test_every_entity_comes_back_in_order_with_its_own_bytes_and_its_scores() -> None:
    body = (
        '[{"_id":"b","crm:Age":30,"price":"~f7.7000","big":123456789012345678901234567890,"x":1.0,"_ts":1},'
        ' {"crm:Age" : 40, "_id":"a"}]'
    )
    assert raw_scored(body) == (
        '[{"_id":"b","crm:Age":30,"price":"~f7.7000","big":123456789012345678901234567890,"x":1.0,"_ts":1,'
        '"churn:Scored-Labels":"yes","churn:Scored-Probabilities":0.3},'
        '{"crm:Age" : 40, "_id":"a","churn:Scored-Labels":"yes","churn:Scored-Probabilities":0.4}]'
    )


def an_entity(number: int) -> str:
    """One of many kinds, by its number: some pass, some do not fit, some lie outside, some were scored."""
    id_, age = f'"_id":"e{number}"', f'"crm:Age":{20 + number % 70}'
    return {
        0: f'{{{id_},"_deleted":true,{age}}}',
        1: f'{{{id_},{age},"_filtered":true,"churn:old":1}}',
        2: f'{{ {id_}, "crm:Age": "seven" }}',
        3: f'{{"churn:Scored-Labels":"no",{id_},{age},"n":1.0}}',
        4: f'{{{id_},"crm:Age":{100 + number}}}',
        5: f'{{{age},{id_},"crm:City":["Oslo"],"deep":{{"a":[1]}}}}',
        6: f'{{{id_},"churn:older":2,{age}}}',
    }.get(number % 13, f'{{{id_},{age},"crm:City":"Oslo","big":{10**30 + number}}}')


MANY = [an_entity(number) for number in range(2 * SLICE + 7)]


@pytest.mark.statement("sesam-1", "sesam-5")
@pytest.mark.parametrize("return_", ["all", "scores"])
@pytest.mark.parametrize("policy", ["warn", "fail", "ignore"])
def test_an_entity_is_answered_among_many_as_it_is_alone(policy: str, return_: str) -> None:
    given: dict[str, Any] = {"on_bad_entity": "mark", "on_outside_contract": policy, "provenance": True}
    given["return"] = return_
    one_after_another = f"[{','.join(raw_scored(f'[{entity}]', **given)[1:-1] for entity in MANY)}]"
    used = model(Service(), **given)
    for _ in range(2):  # while the names of its entities are new, and when they are known
        answer = score(f"[{','.join(MANY)}]".encode(), used, Deadline.after(5))
        assert answer.body.decode() == one_after_another


@pytest.mark.statement("sesam-12")
def test_what_only_the_last_of_many_slices_tells_to_be_odd_is_read_as_in_a_single_one() -> None:
    last = '{"_id":"z","Age":30,"x":1e999,"y":1.50}'
    told = raw_scored(f"[{','.join(MANY)},{last}]", on_bad_entity="mark")
    assert (
        told
        == f"{raw_scored(f'[{chr(44).join(MANY)}]', on_bad_entity='mark')[:-1]},{raw_scored(f'[{last}]')[1:]}"
    )
    service = Service()
    for wrong, why in (('{"_id":"z","x":"\\ud800"}', "surrogate"), ('{"_id":7}', "_id"), ("7", "no object")):
        with pytest.raises(InvalidRequest, match=rf"Element {len(MANY)} .*{why}"):
            scored(f"[{','.join(MANY)},{wrong}]", service, on_bad_entity="mark")
    with pytest.raises(TooLarge, match=rf"Element {len(MANY)} .*limits\.depth"):
        scored(f"[{','.join(MANY)},{nested(11)}]", service, on_bad_entity="mark")
    assert service.asked == []


def nested(levels: int) -> str:
    return '{"_id":"a","Age":30,"x":' + "[" * (levels - 1) + "]" * (levels - 1) + "}"


@pytest.mark.parametrize("before", [0, 3 * SLICE])
def test_depth_is_counted_by_entity_however_many_there_are(before: int) -> None:
    others = [nested(4)] * before
    assert len(scored(f"[{','.join([*others, nested(10)])}]", on_bad_entity="mark")) == before + 1
    with pytest.raises(TooLarge, match=rf"Element {before} .*limits\.depth"):
        scored(f"[{','.join([*others, nested(11)])}]")


def test_what_is_wrong_with_the_body_is_told_before_what_is_wrong_with_the_model() -> None:
    def unknown(_: Deadline) -> Adopted:
        raise ServiceDown("no contract can be had")

    broken = replace(model(Service()), adopted=unknown)
    for body, failure in ((MANY, ServiceDown), ([*MANY, '{"_id":7}'], InvalidRequest)):
        with pytest.raises(failure):
            score(f"[{','.join(body)}]".encode(), broken, Deadline.after(5))
    passing = f"[{MANY[0]}]"
    assert score(passing.encode(), broken, Deadline.after(5)).body.decode() == passing


@pytest.mark.statement("sesam-2", "azureml-12")
@pytest.mark.fault(4)
def test_an_empty_batch_is_an_empty_batch_and_asks_nobody() -> None:
    service = Service()
    assert scored("[]", service) == []
    assert service.asked == []


@pytest.mark.statement("sesam-4")
@pytest.mark.fault(1, 2, 3)
@pytest.mark.parametrize(
    ("body", "told"),
    [
        (b"", "not JSON"), (b"{", "not JSON"), (b"[1", "not JSON"), (b"null", "neither"), (b"3", "neither"),
        (b"[1]", "Element 0"), (b'[{"_id":"a","Age":1},"x"]', "Element 1"), (b"[[]]", "Element 0"),
        (b'[{"Age":1}]', "Element 0"), (b'[{"_id":"a","Age":1},{"_id":7}]', "Element 1"),
        ("[]".encode("utf-16"), "UTF-8"), (b"\xef\xbb\xbf[]", "BOM"), (b'{"_id":"a"},{"_id":"b"}', "JSON"),
        (b'[{"_id":"a","x":"\\ud800"}]', "Element 0"), (b"[\xff]", "UTF-8"),
    ],
    ids=repr,
)  # fmt: skip
def test_a_body_that_is_no_batch_is_refused_and_its_place_named(body: bytes, told: str) -> None:
    service = Service()
    with pytest.raises(InvalidRequest, match=told):
        scored(body, service)
    assert service.asked == []


def test_limits_are_named() -> None:
    with pytest.raises(TooLarge, match=r"limits\.entities"):
        scored("[" + ",".join(['{"_id":"a","Age":30}'] * 1001) + "]")
    for nested in (
        '{"_id":"a","x":' + "[" * 20 + "]" * 20 + "}",
        '{"_id":"a","x":' + "[" * 9999 + "]" * 9999 + "}",
    ):
        with pytest.raises(TooLarge, match=r"limits\.depth"):
            scored(f"[{nested}]")


@pytest.mark.statement("sesam-12")
@pytest.mark.fault(8)
def test_a_bare_nan_is_null_and_odd_numbers_pass_untouched() -> None:
    body = '[{"_id":"a","Age":30,"City":NaN,"x":1e400,"y":-0.0,"z":18446744073709551616,"w":1.10}]'
    back = raw_scored(body)
    for kept in ('"City":null', '"y":-0.0', '"z":18446744073709551616', '"w":1.10', "1E+400"):
        assert kept in back


@pytest.mark.statement("sesam-13")
@pytest.mark.fault(9)
@pytest.mark.parametrize("mark", ['"_deleted":true', '"_filtered":true'])
def test_deleted_and_filtered_entities_come_back_unscored_and_untouched(mark: str) -> None:
    entity = f'{{"_id":"a",{mark},"churn:Scored-Labels":"old"}}'
    service = Service()
    assert scored(f"[{entity}]", service) == [json.loads(entity)]
    assert service.asked == []


@pytest.mark.parametrize("deleted", ['"true"', "1", "false", "null"])
def test_nothing_but_true_counts_as_deleted(deleted: str) -> None:
    (entity,) = scored(f'[{{"_id":"a","Age":30,"_deleted":{deleted}}}]')
    assert entity["churn:Scored-Labels"] == "yes"


@pytest.mark.statement("sesam-18", "sesam-21")
def test_scoring_a_scored_entity_gives_the_same_answer() -> None:
    once = raw_scored('[{"_id":"a","Age":30,"churn:stale":"gone","other:stale":"kept"}]')
    assert raw_scored(once) == once
    assert "churn:stale" not in once
    assert "other:stale" in once


@pytest.mark.statement("sesam-24")
def test_one_object_gives_one_object_with_plain_json_values() -> None:
    assert scored('{"Age":"30","City":"Oslo"}') == {
        "Age": "30",
        "City": "Oslo",
        "churn:Scored-Labels": "yes",
        "churn:Scored-Probabilities": 0.3,
    }


@pytest.mark.parametrize("body", ["{}", "{ }", '{"churn:old":1}'])
def test_an_object_without_properties_is_answered_with_what_is_added_alone(body: str) -> None:
    assert list(scored(body, on_bad_entity="mark")) == ["churn:error"]


def test_an_entity_that_does_not_fit_fails_the_batch_and_is_named_without_its_values() -> None:
    service = Service()
    with pytest.raises(EntitiesDoNotFit) as error:
        scored('[{"_id":"a","Age":30},{"_id":"b","Age":"secret"},{"_id":"c"}]', service)
    assert (error.value.entities, error.value.entity_count) == (("b", "c"), 2)
    assert error.value.features == ("Age",)
    assert "secret" not in error.value.detail
    assert service.asked == []


@pytest.mark.statement("sesam-25")
def test_mark_returns_the_bad_entity_with_its_error_and_scores_the_others() -> None:
    good, bad, refused = scored(
        '[{"_id":"a","Age":30},{"_id":"b","Age":[1,2]},{"_id":"c","Age":50}]',
        Service(refuses=[50]),
        on_bad_entity="mark",
    )
    assert good["churn:Scored-Labels"] == "yes"
    assert bad == {
        "_id": "b",
        "Age": [1, 2],
        "churn:error": {
            "transform_succeeded": False,
            "status_code": 422,
            "message": "Age: a list of 2, where one value is wanted",
        },
    }
    assert refused["churn:error"]["message"] == "the model refuses the rows"


def test_a_refused_entity_fails_the_batch_unless_marked() -> None:
    with pytest.raises(EntitiesRefused) as error:
        scored('[{"_id":"a","Age":30},{"_id":"c","Age":50}]', Service(refuses=[50]))
    assert error.value.entities == ("c",)


@pytest.mark.parametrize("policy", ["ignore", "warn", "fail"])
def test_what_the_model_has_not_seen_is_ignored_told_or_refused(policy: str) -> None:
    body = '[{"_id":"a","Age":17}]'
    if policy == "fail":
        with pytest.raises(EntitiesDoNotFit, match="outside the range"):
            scored(body, on_outside_contract=policy)
        return
    (entity,) = scored(body, on_outside_contract=policy)
    remarks = [{"feature": "Age", "reason": "outside the range the model has seen"}]
    assert entity.get("churn:outside-contract") == (remarks if policy == "warn" else None)


@pytest.mark.parametrize("policy", ["ignore", "warn"])
def test_the_report_counts_the_entities_that_lie_outside_whatever_is_told(policy: str) -> None:
    body = b'[{"_id":"a","Age":17},{"_id":"b","Age":30},{"_id":"c","Age":null}]'
    found = model(Service(), on_outside_contract=policy)
    assert score(body, found, Deadline.after(5)).report.outside == 2


def test_what_fails_for_lying_outside_is_marked_and_not_counted_as_scored() -> None:
    found = model(Service(), on_outside_contract="fail", on_bad_entity="mark")
    report = score(b'[{"_id":"a","Age":17},{"_id":"b","Age":30}]', found, Deadline.after(5)).report
    assert (report.scored, report.marked, report.outside) == (1, 1, 0)


def observed(body: bytes, service: Service | None = None, **settings: Any) -> list[tuple[Any, ...]]:
    """Score, whatever comes of it, and give what was noted."""
    noted: list[tuple[Any, ...]] = []
    found = model(service or Service(), **settings)
    with suppress(EntitiesDoNotFit, EntitiesRefused, ServiceDown):
        score(body, replace(found, observe=lambda *seen: noted.append(seen)), Deadline.after(5))
    return noted


def test_what_was_scored_is_noted_as_it_was_sent() -> None:
    body = b'[{"_id":"a","Age":17},{"_id":"d","_deleted":true},{"_id":"b","crm:Age":"30","City":"Oslo"}]'
    for policy in ("ignore", "warn"):
        assert observed(body, on_outside_contract=policy) == [
            ("20261123T020000Z-0", ("Age", "City"), [[17, None], [30, "Oslo"]], 1)
        ]


@pytest.mark.parametrize(
    ("body", "service"),
    [
        (b"[]", Service()),
        (b'[{"_id":"d","_deleted":true}]', Service()),
        (b'[{"_id":"a","Age":30},{"_id":"b"}]', Service()),
        (b'[{"_id":"a","Age":30},{"_id":"b","Age":50}]', Service(refuses=[50])),
        (b'[{"_id":"a","Age":30}]', Broken()),
    ],
    ids=["nothing", "deleted", "a misfit", "refused", "down"],
)
def test_what_was_not_answered_is_not_noted(body: bytes, service: Service) -> None:
    assert observed(body, service) == []


def test_without_a_contract_nothing_is_noted() -> None:
    noted: list[object] = []
    untyped = Encoder(None, features=["Age"])
    found = replace(model(Service(), None), encoder=lambda _: untyped, observe=lambda *s: noted.append(s))
    assert json.loads(score(b'[{"_id":"a","Age":30}]', found, Deadline.after(5)).body)
    assert noted == []


def test_scores_alone_are_the_predecessors_shape() -> None:
    settings: dict[str, Any] = {"return": "scores"}
    (entity,) = scored('[{"_id":"a","Age":30,"_deleted":false,"x":1}]', **settings)
    assert set(entity) == {"_id", "_deleted", "churn:Scored-Labels", "churn:Scored-Probabilities"}


def test_scores_alone_keep_the_mark_by_which_the_sink_takes_a_filtered_entity_away() -> None:
    settings: dict[str, Any] = {"return": "scores"}
    filtered = {"_id": "a", "_deleted": False, "_filtered": True}
    assert scored(json.dumps([filtered | {"x": 1}]), **settings) == [filtered]


def test_the_same_batch_twice_is_the_same_answer_to_the_byte_with_all_that_can_be_added() -> None:
    body = '[{"_id":"a","Age":17,"City":"Oslo"},{"_id":"b","Age":[1,2]},{"_id":"c","Age":30,"_deleted":true}]'
    everything: dict[str, Any] = {"provenance": True, "on_outside_contract": "warn", "on_bad_entity": "mark"}
    once = raw_scored(body, **everything)
    assert all(f"churn:{name}" in once for name in ("model", "snapshot", "outside-contract", "error"))
    assert raw_scored(body, **everything) == once
    assert raw_scored(once, **everything) == once


def test_provenance_names_model_contract_and_snapshot_and_nothing_that_changes() -> None:
    (entity,) = scored('[{"_id":"a","Age":30}]', provenance=True)
    assert entity["churn:model"] == "churn"
    assert entity["churn:contract"] == "abc"
    assert entity["churn:snapshot"] == "20261123T020000Z-0"


@pytest.mark.fault(26)
def test_a_call_uses_one_contract_though_another_is_adopted_meanwhile() -> None:
    other = (*CONTRACT.columns[:1], Column(name="Renamed", type="integer"))
    versions = [
        Adopted("20261123T020000Z-0", "abc", CONTRACT, ""),
        Adopted("20261124T020000Z-0", "def", Contract(schema_version=1, label="Churn", columns=other), ""),
    ]
    looks = iter(versions)
    used: list[tuple[str, ...]] = []

    class Adopting(Service):
        """By the time the rows are sent, the second version has been adopted."""

        def __call__(self, encoder: Encoder, *rest: Any) -> list[Scores | RowRefused]:
            used.append(encoder.columns)
            return super().__call__(encoder, *rest)

    service = Adopting()
    changing = replace(
        model(service, provenance=True),
        adopted=lambda _: next(looks),
        encoder=lambda adopted: Encoder(adopted.contract if adopted else None),
    )
    answer = score(b'[{"_id":"a","Age":30},{"_id":"b","Age":40}]', changing, Deadline.after(5))
    assert used == [("Age", "City")]
    assert next(looks) is versions[1]
    for entity in json.loads(answer.body):
        assert (entity["churn:contract"], entity["churn:snapshot"]) == ("abc", "20261123T020000Z-0")


ENTITY = st.fixed_dictionaries(
    {"_id": st.text(st.characters(codec="utf-8"), max_size=5), "Age": st.integers(18, 90)},
    optional={
        "City": st.none() | st.text(st.characters(codec="utf-8", exclude_characters="~"), max_size=5),
        "_deleted": st.booleans(),
    },
)


@pytest.mark.statement("sesam-11")
@given(st.lists(ENTITY, max_size=20), st.randoms())
def test_the_order_of_entities_and_keys_changes_no_score(entities: list[dict[str, Any]], random: Any) -> None:
    shuffled = []
    for entity in entities:
        keys = list(entity)
        random.shuffle(keys)
        shuffled.append({key: entity[key] for key in keys})
    random.shuffle(shuffled)
    plain, mixed = scored(json.dumps(entities)), scored(json.dumps(shuffled))
    assert [e["_id"] for e in plain] == [e["_id"] for e in entities]

    def key(entity: dict[str, Any]) -> str:
        return json.dumps(entity, sort_keys=True)

    assert sorted(plain, key=key) == sorted(mixed, key=key)


@pytest.mark.fault(1, 8)
@pytest.mark.parametrize(
    "body",
    [
        b'[{"_id":"a\xff","Age":30}]',
        b'[{"_id":"a","Age":' + b"9" * 5000 + b"}]",
        b'[{"_id":"a","Age":30,"n":1e9999999999999999999}]',
        b'[{"_id":"a","Age":30,"n":' + b"[" * 2000 + b"]" * 2000 + b"}]",
        b'[{"_id":"a","Age":30,"n":' + b'{"a":' * 3000 + b"1" + b"}" * 3000 + b"}]",
    ],
    ids=["invalid UTF-8", "endless integer", "endless exponent", "deep list", "deep object"],
)
def test_odd_json_is_refused_in_words_and_never_a_crash(body: bytes) -> None:
    with pytest.raises((InvalidRequest, TooLarge)):
        scored(body)


@pytest.mark.statement("sesam-21")
@pytest.mark.parametrize("policy", ["fail", "mark"])
def test_a_property_of_the_hub_under_the_prefix_is_never_lost_but_refused(policy: str) -> None:
    service = Service()
    with pytest.raises(EntitiesDoNotFit, match="set another prefix") as error:
        scored(
            '[{"_id":"a","Age":30},{"_id":"b","Age":30,"churn:City":"Oslo"}]', service, on_bad_entity=policy
        )
    assert (error.value.entities, error.value.features) == (("b",), ("City",))
    assert "mark" not in error.value.detail
    assert service.asked == []


def test_where_none_of_several_fits_nothing_is_marked() -> None:
    body = '[{"_id":"a","Renamed":30},{"_id":"b","Renamed":40}]'
    with pytest.raises(EntitiesDoNotFit, match="Age: required"):
        scored(body, on_bad_entity="mark")
    (alone,) = scored('[{"_id":"a","Renamed":30}]', on_bad_entity="mark")
    assert alone["churn:error"]["status_code"] == 422
