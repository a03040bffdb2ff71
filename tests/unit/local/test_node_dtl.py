import pytest

from local.node.dtl import DtlError, transform
from local.node.transit import Entity, Value, decode

SOURCE: Entity = {
    "_id": "crm:1",
    "_deleted": False,
    "_updated": 7,
    "$ids": [decode("~:crm:1")],
    "crm:Name": ["Øyvind"],
    "crm:Spend": decode("~f7.7000"),
    "crm:Nothing": None,
    "web:Login": decode("~t2015-01-02T03:04:05.123456789Z"),
    "web:Manager": decode("~:crm-employee:KN-07"),
    "web:Name": "oyvind77",
    "web:Optin": False,
}


def _added(expression: object) -> Value:
    target = transform([["add", "p", expression]], SOURCE, "own")
    assert target is not None
    return target["own:p"]


@pytest.mark.parametrize(
    ("expression", "value"),
    [
        (["first", "_S.crm:Name"], "Øyvind"),
        (["first", "_S.web:Name"], "oyvind77"),
        (["first", ["first", "_S.crm:Nothing"]], None),
        (["string", "_S.crm:Spend"], "7.7000"),
        (["string", "_S.crm:Name"], ["Øyvind"]),
        (["string", "_S.crm:Nothing"], None),
        (["string", "_S.crm:Absent"], None),
        (["datetime-format", "%Y-%m-%dT%H:%M:%S.%fZ", "_S.web:Login"], "2015-01-02T03:04:05.123456Z"),
        (["datetime-format", "%Y", "_S.crm:Spend"], None),
        (["ni-id", "_S.web:Manager"], "KN-07"),
        (["case-eq", "_S.web:Optin", True, "true", False, "false"], "false"),
        (["case-eq", "_S.crm:Nothing", True, "true", False, "false"], None),
        (["case-eq", "_S.web:Name", "a", 1, 2], 2),
        (["case-eq", 0, False, "false", "other"], "other"),
        (["eq", "_S._updated", 7], True),
        (["neq", "_S._deleted", True], True),
        ("text with. a dot", "text with. a dot"),
        (None, None),
    ],
)
def test_an_expression_gives_its_value(expression: object, value: Value) -> None:
    assert _added(expression) == value


@pytest.mark.parametrize("condition", [False, None, "_S.web:Optin", ["eq", "_S._id", "crm:2"]])
def test_what_a_filter_lets_not_pass_goes_no_further_and_is_marked(condition: object) -> None:
    bare = {"_id": "crm:1", "_deleted": False}
    assert transform([["filter", condition], ["copy", "*"]], SOURCE, "own") == bare | {"_filtered": True}


def test_copy_takes_everything_reserved_fields_too() -> None:
    assert transform([["copy", "*"]], SOURCE, "own") == SOURCE


@pytest.mark.parametrize(
    ("copy", "names"),
    [
        (["copy", "Name"], {"crm:Name", "web:Name"}),
        (["copy", "crm:*"], {"crm:Name", "crm:Spend", "crm:Nothing"}),
        (["copy", ["list", "crm:S*", "web:?ame"]], {"crm:Spend", "web:Name"}),
        (["copy", "crm:*", ["list", "*:N*"]], {"crm:Spend"}),
        (["copy", "$ids"], {"$ids"}),
    ],
)
def test_copy_knows_namespaces(copy: list[object], names: set[str]) -> None:
    target = transform([copy], SOURCE, "own")
    assert target is not None
    assert target.keys() - {"_id", "_deleted"} == names


def test_add_puts_a_property_into_the_pipes_namespace_unless_it_has_one_or_is_escaped() -> None:
    target = transform([["add", name, 1] for name in ("a", "x:a", "::a", "$ids")], {"_id": "1"}, "own")
    assert target == {"_id": "1", "own:a": 1, "x:a": 1, "a": 1, "$ids": 1}


def test_the_source_stays_as_it_was() -> None:
    before = dict(SOURCE)
    transform([["copy", "*"], ["add", "crm:Name", 1]], SOURCE, "own")
    assert before == SOURCE


@pytest.mark.parametrize(
    ("step", "named"),
    [
        (["merge-union", "_S."], "merge-union"),
        (["add", "p", ["hops", {}]], "hops"),
        (["add", "p", "_S.Name"], "namespace"),
        (["add", "p", "_P.crm:Name"], "_P.crm:Name"),
        (["add", ["concat", "a", "b"], 1], "add"),
        ("copy", "copy"),
    ],
)
def test_what_is_not_known_is_an_error_that_names_it(step: object, named: str) -> None:
    with pytest.raises(DtlError, match=named):
        transform([["comment", "not this"], step], SOURCE, "own")
