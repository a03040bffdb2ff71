"""What the stand-in's data promises is there, counted."""

import re
from collections import Counter
from collections.abc import Iterator
from itertools import chain

import pytest

from local import customers
from local.customers import Entity

CRM = "crm-customer:"
WEBSHOP = "webshop-customer:"


@pytest.fixture(scope="module")
def datasets() -> dict[str, list[Entity]]:
    return customers.datasets()


@pytest.fixture(scope="module")
def everyone(datasets: dict[str, list[Entity]]) -> list[Entity]:
    return [*datasets["crm-customer"], *datasets["webshop-customer"]]


def test_there_are_5000_customers_and_most_of_them_shop_on_the_web(
    datasets: dict[str, list[Entity]],
) -> None:
    assert len(datasets["crm-customer"]) == len({each["_id"] for each in datasets["crm-customer"]}) == 5000
    assert 4000 < len(datasets["webshop-customer"]) < 4600


def test_the_same_seed_makes_the_same_customers_and_another_makes_others() -> None:
    assert customers.datasets(20) == customers.datasets(20)
    assert customers.datasets(20, seed=1) != customers.datasets(20)


def test_the_order_of_properties_is_the_same_every_time_too() -> None:
    assert repr(customers.datasets(20)) == repr(customers.datasets(20))


def test_fewer_customers_are_the_first_of_more(datasets: dict[str, list[Entity]]) -> None:
    few = customers.datasets(30)
    assert few["crm-customer"] == datasets["crm-customer"][:30]


def test_every_property_has_the_namespace_of_its_system(datasets: dict[str, list[Entity]]) -> None:
    for namespace, entities in datasets.items():
        names = {name for entity in entities for name in entity} - {"_id", "_deleted", "rdf:type"}
        assert all(name.startswith(f"{namespace}:") for name in names)
        assert all(str(entity["_id"]).startswith(f"{namespace}:") for entity in entities)


def test_names_never_fall_together_without_their_namespaces(everyone: list[Entity]) -> None:
    names = {name for entity in everyone for name in entity}
    bare = Counter(name.rpartition(":")[2] for name in names)
    assert set(bare.values()) == {1}


@pytest.mark.parametrize(
    "tagged",
    [
        r"~f\d+\.\d*0",  # a decimal with a trailing zero
        r"~t\d{4}-\d\d-\d\d",
        r"~:crm-employee:\S+",
        r"~rhttps://\S+",
        r"~u[0-9a-f-]{36}",
        r"~b[A-Za-z0-9+/]+=*",
    ],
)
def test_every_kind_of_transit_value_occurs_often(tagged: str, everyone: list[Entity]) -> None:
    assert sum(bool(re.fullmatch(tagged, text)) for text in _texts(everyone)) > 300


@pytest.mark.parametrize("digits", range(10))
def test_datetimes_have_0_to_9_digits_of_the_second(digits: int, everyone: list[Entity]) -> None:
    fraction = rf"\.\d{{{digits}}}" if digits else ""
    wanted = rf"~t\d{{4}}-\d\d-\d\dT\d\d:\d\d:\d\d{fraction}Z"
    assert sum(bool(re.fullmatch(wanted, text)) for text in _texts(everyone)) > 100


@pytest.mark.parametrize("name", [CRM + "Location", CRM + "Complaints", WEBSHOP + "Income"])
def test_a_property_is_a_scalar_here_a_list_of_one_there_null_and_absent(
    name: str, datasets: dict[str, list[Entity]]
) -> None:
    entities = datasets[name.partition(":")[0]]
    values = [entity[name] for entity in entities if name in entity]
    assert sum(isinstance(value, list) and len(value) == 1 for value in values) > 30
    assert sum(value is None for value in values) > 50
    assert len(entities) - len(values) > 50
    assert sum(isinstance(value, str | int) for value in values) > 1000


@pytest.mark.parametrize(
    "name",
    ["Name", "CustStatus", "CustSegment", "PostCode", "CustomerSince", "Tenure", "MonthlySpend", "ChurnFlag"],
)
def test_some_properties_are_never_empty(name: str, datasets: dict[str, list[Entity]]) -> None:
    assert all(entity[CRM + name] not in (None, [None]) for entity in datasets["crm-customer"])


def test_properties_come_in_other_orders_from_entity_to_entity(datasets: dict[str, list[Entity]]) -> None:
    assert len({tuple(entity) for entity in datasets["crm-customer"]}) > 4900


def test_names_are_norwegian_postcodes_have_leading_zeros_and_addresses_quotes_and_newlines(
    everyone: list[Entity],
) -> None:
    texts = list(_texts(everyone))
    assert sum(bool(re.search("[æøåÆØÅ]", text)) for text in texts) > 3000
    assert sum(bool(re.fullmatch(r"0\d{3}", text)) for text in texts) > 500
    assert sum('"' in text and "\n" in text for text in texts) > 200


def test_some_values_are_nested_or_beyond_64_bits(datasets: dict[str, list[Entity]]) -> None:
    assert all(isinstance(entity[WEBSHOP + "Preferences"], dict) for entity in datasets["webshop-customer"])
    assert sum(CRM + "LegacyKey" in entity for entity in datasets["crm-customer"]) == 5000
    assert max(_integers(datasets["crm-customer"])) > 2**64


def test_some_customers_were_deleted_in_both_systems(datasets: dict[str, list[Entity]]) -> None:
    deleted = {entity[CRM + "CustomerNo"] for entity in datasets["crm-customer"] if entity["_deleted"]}
    shops = {entity[WEBSHOP + "CrmNo"] for entity in datasets["webshop-customer"] if entity["_deleted"]}
    assert 50 < len(deleted) < 150
    assert shops < deleted


def test_churn_follows_from_the_features_but_not_wholly(datasets: dict[str, list[Entity]]) -> None:
    crm = datasets["crm-customer"]

    def churned(entities: list[Entity]) -> float:
        return sum(entity[CRM + "ChurnFlag"] in (True, [True]) for entity in entities) / len(entities)

    def of(name: str, value: object) -> float:
        return churned([entity for entity in crm if entity.get(CRM + name) in (value, [value])])

    assert 0.2 < churned(crm) < 0.4
    assert 0.05 < of("CustStatus", "Active") < 0.2 < 0.5 < of("CustStatus", "OnHold") < 0.9
    assert of("CustSegment", "Business") < of("CustSegment", "Private") < of("CustSegment", "Student")
    assert of("Complaints", 0) < of("Complaints", 1) < of("Complaints", 2)


def _texts(entities: list[Entity]) -> Iterator[str]:
    values = chain.from_iterable(entity.values() for entity in entities)
    for value in values:
        for item in value if isinstance(value, list) else [value]:
            if isinstance(item, str):
                yield item


def _integers(entities: list[Entity]) -> Iterator[int]:
    values = chain.from_iterable(entity.values() for entity in entities)
    return (value for value in values if isinstance(value, int))
