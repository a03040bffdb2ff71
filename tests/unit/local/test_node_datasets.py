from itertools import count

import pytest

from local.node.datasets import Dataset, merge
from local.node.transit import NI, Entity, Value

MERGE = {
    "type": "merge",
    "version": 2,
    "datasets": ["crm c", "webshop w", "churn s"],
    "equality_sets": [["c._id", "s._id"], ["c.crm:No", "w.webshop:CrmNo"]],
    "identity": "first",
}


def _dataset(*entities: Entity) -> Dataset:
    ticks = count(1_000)
    dataset = Dataset(lambda: next(ticks))
    for entity in entities:
        dataset.write(entity)
    return dataset


def test_a_version_carries_what_sesam_puts_on_it() -> None:
    (entity,) = _dataset({"_id": "a", "x": 1, "_own": 2})
    digest = entity.pop("_hash")
    assert entity == {
        "_id": "a",
        "x": 1,
        "_deleted": False,
        "_updated": 0,
        "_previous": None,
        "_ts": 1_000_000_000,
    }
    assert isinstance(digest, str)


def test_a_change_makes_a_version_that_names_the_one_before() -> None:
    dataset = _dataset({"_id": "a", "x": 1}, {"_id": "b"})
    assert dataset.write({"_id": "a", "x": 2})
    assert [(each["_id"], each["_updated"], each["_previous"]) for each in dataset] == [
        ("b", 1, None),
        ("a", 2, 0),
    ]


def test_a_write_that_changes_nothing_makes_no_version() -> None:
    dataset = _dataset({"_id": "a", "x": NI("n:1"), "y": None})
    before = dataset.get("a")
    assert not dataset.write({"y": None, "_ts": 5, "_id": "a", "x": NI("n:1")})
    assert dataset.get("a") == before


@pytest.mark.parametrize("deleted", ["true", 1, None])
def test_only_true_is_deleted(deleted: Value) -> None:
    (entity,) = _dataset({"_id": "a", "_deleted": deleted})
    assert entity["_deleted"] is False


@pytest.mark.parametrize("entity", [{}, {"_id": 1}, {"_id": None}])
def test_an_entity_without_a_text_for_an_id_is_refused(entity: Entity) -> None:
    with pytest.raises(ValueError, match="_id"):
        _dataset(entity)


def test_deletion_tracking_marks_what_was_not_seen_and_says_so_once() -> None:
    dataset = _dataset({"_id": "a"}, {"_id": "b", "x": 1}, {"_id": "c", "_deleted": True})
    assert dataset.delete_all_but({"a"}) == ["b"]
    gone = dataset.get("b")
    assert gone is not None
    assert gone["_deleted"] is True
    assert gone["x"] == 1
    assert dataset.delete_all_but({"a"}) == []


def test_entities_that_are_the_same_by_any_set_become_one() -> None:
    merged = merge(
        MERGE,
        {
            "crm": _dataset({"_id": "crm:1", "crm:No": "1"}, {"_id": "crm:2", "crm:No": "2"}),
            "webshop": _dataset(
                {"_id": "webshop:9", "webshop:CrmNo": "1", "webshop:x": [1]},
                {"_id": "webshop:8", "webshop:CrmNo": None},
            ),
            "churn": _dataset({"_id": "crm:1", "churn:Score": 1}),
        },
    )
    assert merged == [
        {
            "_id": "crm:1",
            "crm:No": "1",
            "webshop:CrmNo": "1",
            "webshop:x": [1],
            "churn:Score": 1,
            "$ids": [NI("crm:1"), NI("webshop:9")],
        },
        {"_id": "crm:2", "crm:No": "2", "$ids": [NI("crm:2")]},
        {"_id": "webshop:8", "webshop:CrmNo": None, "$ids": [NI("webshop:8")]},
    ]


def test_a_property_of_two_of_them_becomes_a_list() -> None:
    merged = merge(
        MERGE,
        {
            "crm": _dataset({"_id": "1", "crm:No": "1", "rdf:type": NI("crm:customer")}),
            "webshop": _dataset({"_id": "9", "webshop:CrmNo": ["1"], "rdf:type": NI("webshop:customer")}),
        },
    )
    assert [entity["rdf:type"] for entity in merged] == [[NI("crm:customer"), NI("webshop:customer")]]


def test_sameness_goes_on_from_one_to_the_next() -> None:
    merged = merge(
        {"datasets": ["all a"], "equality_sets": [["a.p:x"]]},
        {
            "all": _dataset(
                {"_id": "1", "p:x": ["k", "l"]},
                {"_id": "2", "p:x": "m"},
                {"_id": "3", "p:x": ["m", "k"]},
                {"_id": "4", "p:x": "n"},
            )
        },
    )
    assert [entity["$ids"] for entity in merged] == [[NI("1"), NI("2"), NI("3")], [NI("4")]]


def test_a_deleted_entity_comes_by_itself_unless_its_id_lives_on() -> None:
    merged = merge(
        MERGE,
        {
            "crm": _dataset(
                {"_id": "crm:1", "crm:No": "1", "_deleted": True}, {"_id": "crm:2", "crm:No": "2"}
            ),
            "webshop": _dataset({"_id": "webshop:9", "webshop:CrmNo": "1"}),
            "churn": _dataset({"_id": "crm:2", "_deleted": True}, {"_id": "crm:1", "_deleted": True}),
        },
    )
    assert [(entity["_id"], entity.get("_deleted", False)) for entity in merged] == [
        ("crm:2", False),
        ("webshop:9", False),
        ("crm:1", True),
    ]
