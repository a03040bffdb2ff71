"""The OpenAPI document: true to the routes that are registered, and sound as a document."""

import re
import runpy
from collections.abc import Iterator
from typing import Any

import jsonschema
import pytest

import errors
from errors import Failure, Overloaded, SnapshotFailed, TooLarge, UnderWay
from local.bootstrap import ROOT
from openapi import OPERATIONS, Operation, document

PREFIX = "/api/"


def registered() -> set[tuple[str, str, bool]]:
    """Method, path and whether it needs no key, of every HTTP function of the app."""
    app = runpy.run_path(str(ROOT / "function_app.py"))["app"]  # of its own, for functions are told once
    triggers = [
        binding.get_dict_repr()
        for function in app.get_functions()
        for binding in function.get_bindings()
        if binding.get_dict_repr()["type"] == "httpTrigger"
    ]
    return {
        (method.value, PREFIX + trigger["route"], str(trigger["authLevel"]).lower() == "anonymous")
        for trigger in triggers
        for method in trigger["methods"]
    }


def test_the_document_holds_every_route_and_method_and_nothing_else() -> None:
    told = {(it.method, it.path, it.anonymous) for it in OPERATIONS}
    assert told == registered()
    assert len(told) == len(OPERATIONS)
    paths = document()["paths"]
    assert {
        (m.upper(), path, it["security"] == [] if "security" in it else False)
        for path, methods in paths.items()
        for m, it in methods.items()
    } == told


def test_every_parameter_of_a_path_is_told() -> None:
    for path, methods in document()["paths"].items():
        for operation in methods.values():
            told = {each["name"] for each in operation["parameters"] if each["in"] == "path"}
            assert told == set(re.findall(r"{(\w+)}", path)), path


def test_every_failure_that_an_answer_can_be_stands_at_some_route() -> None:
    """Only a run's own failures never leave as an answer: the export tells of them."""
    met = {Failure, TooLarge, Overloaded} | {failure for it in OPERATIONS for failure in it.failures}
    known = {it for it in vars(errors).values() if isinstance(it, type) and issubclass(it, Failure)}
    assert {it for it in known - met if not issubclass(it, SnapshotFailed)} == {UnderWay}


@pytest.mark.parametrize("operation", OPERATIONS, ids=lambda it: f"{it.method} {it.path}")
def test_every_route_tells_its_answer_and_every_failure_by_status(operation: Operation) -> None:
    responses = document()["paths"][operation.path][operation.method.lower()]["responses"]
    assert "application/json" in responses[str(operation.status)]["content"]
    wanted = {str(operation.status)} | {str(it.status) for it in operation.failures}
    assert wanted <= responses.keys()
    assert operation.anonymous or {"401", "413", "500"} <= responses.keys()
    for failure in operation.failures:
        schema = responses[str(failure.status)]["content"]["application/problem+json"]["schema"]
        assert f"urn:sesam-azureml:{failure.slug}" in str(schema)


def test_every_schema_is_sound_and_every_reference_leads_somewhere() -> None:
    schemas = document()["components"]["schemas"]
    for schema in schemas.values():
        jsonschema.Draft202012Validator.check_schema(schema)
    names = {reference.removeprefix("#/components/schemas/") for reference in references(document())}
    assert names == schemas.keys()


def test_a_problem_document_fits_its_schema() -> None:
    failure = errors.EntitiesDoNotFit("…", entities=["a"], entity_count=3, features=["Age"])
    problem = document()["components"]["schemas"]["Problem"]
    jsonschema.validate(failure.problem("x"), problem | {"additionalProperties": False})


def references(part: Any) -> Iterator[str]:
    if isinstance(part, dict):
        yield from (value for key, value in part.items() if key == "$ref")
        part = list(part.values())
    if isinstance(part, list):
        for each in part:
            yield from references(each)
