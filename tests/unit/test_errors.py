"""The taxonomy is complete, and says no more than it should."""

import inspect
import re

import azure.core.exceptions
import azure.identity
import pytest
import requests.exceptions

import errors
from errors import AZURE_FAULTS, REQUESTS_FAULTS, Failure, Fault, azure_fault, requests_fault


def failures(root: type[Failure] = Failure) -> list[type[Failure]]:
    return [root, *(found for child in root.__subclasses__() for found in failures(child))]


def exceptions_of(module: object) -> set[str]:
    return {
        name
        for name, value in vars(module).items()
        if inspect.isclass(value)
        and issubclass(value, Exception)
        and not issubclass(value, Warning)
        and value.__module__ == getattr(module, "__name__", "")
    }


def test_every_exception_of_requests_has_a_row() -> None:
    assert exceptions_of(requests.exceptions) == set(REQUESTS_FAULTS)


def test_every_exception_of_azure_core_has_a_row() -> None:
    assert exceptions_of(azure.core.exceptions) == set(AZURE_FAULTS)


def test_an_exception_is_judged_by_its_nearest_class() -> None:
    assert requests_fault(requests.exceptions.ConnectTimeout()) is Fault.SILENT
    assert requests_fault(requests.exceptions.ConnectionError()) is Fault.UNREACHABLE
    assert azure_fault(azure.core.exceptions.ResourceNotFoundError()) is Fault.ABSENT
    assert azure_fault(azure.identity.CredentialUnavailableError("no identity")) is Fault.REFUSED
    assert azure_fault(ValueError()) is requests_fault(ValueError()) is Fault.BUG
    assert requests_fault(ConnectionError()) is Fault.BUG, "Python's own, of the same name"


def test_storage_is_judged_by_its_status_before_its_class() -> None:
    error = azure.core.exceptions.HttpResponseError("busy")
    error.status_code = 503
    assert azure_fault(error) is Fault.BUSY


@pytest.mark.parametrize(
    ("status", "fault"),
    [
        *((status, Fault.BUSY) for status in (408, 429, 500, 502, 503, 504)),
        *((status, Fault.REFUSED) for status in (401, 403)),
        *((status, Fault.CONFLICT) for status in (409, 412)),
        (404, Fault.ABSENT),
        *((status, Fault.BUG) for status in (400, 402, 405, 407, 410, 413, 416, 501, None)),
    ],
)
def test_each_status_of_storage_means_what_its_documentation_says(status: int | None, fault: Fault) -> None:
    error = azure.core.exceptions.HttpResponseError("x")
    error.status_code = status
    assert azure_fault(error) is fault


@pytest.mark.parametrize("kind", failures())
def test_every_failure_is_drawn_in_the_tree_of_the_module(kind: type[Failure]) -> None:
    assert errors.__doc__ is not None
    assert kind.__name__ in errors.__doc__
    assert kind.__doc__
    assert 400 <= kind.status <= 504


@pytest.mark.parametrize("kind", failures())
def test_a_failure_has_the_status_and_is_worth_another_try_as_it_is_drawn(kind: type[Failure]) -> None:
    assert errors.__doc__ is not None
    if kind in (Failure, errors.SnapshotFailed):
        assert (kind.status, kind.transient) == (500 if kind is Failure else 502, False)
        return
    drawn = re.search(rf"─ {kind.__name__} +([0-9]{{3}}) +(.+)", errors.__doc__)
    assert drawn
    assert kind.status == int(drawn[1])
    # Who is to mend these may have done so by the next try.
    too = kind in (errors.ServiceDown, errors.Silence, errors.NoContract)
    assert kind.transient is (drawn[2].startswith("time") or too)


def test_no_two_failures_share_a_slug() -> None:
    slugs = [kind.slug for kind in failures()]
    assert len(slugs) == len(set(slugs))


def test_a_problem_document_names_at_most_twenty_entities_and_counts_all() -> None:
    failure = errors.EntitiesDoNotFit("why", entities=[str(n) for n in range(30)], features=["Age"])
    assert failure.problem("abc") == {
        "type": "urn:sesam-azureml:entities-do-not-fit",
        "title": "Entities do not fit the contract",
        "status": 422,
        "detail": "why",
        "request_id": "abc",
        "entities": [str(n) for n in range(20)],
        "entity_count": 30,
        "features": ["Age"],
    }


def test_an_entity_without_an_id_is_counted_and_not_named() -> None:
    told = errors.EntitiesDoNotFit("x", entities=["", "c:1"], entity_count=2).problem("call-7")
    assert (told["entities"], told["entity_count"]) == (["c:1"], 2)
    assert "entities" not in errors.EntitiesDoNotFit("x", entities=[""]).problem("call-7")
