"""The running app held against its own OpenAPI document: hostile requests of every kind, over a socket.

schemathesis makes requests that fit the document and requests that break it, at every route; the app stands
on Azurite, a node and a web service, with a version published, trained and adopted. Nothing may be a 5xx of
ours, and no answer may lie outside its schema. Every run makes the same requests.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest
import requests
import schemathesis
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from schemathesis import GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.schemas import BaseSchema
from schemathesis.specs.openapi import checks

from local import demo
from local.demo import EXPORT, MODEL, Parts
from openapi import OPERATIONS, Operation

CUSTOMERS = 200
EXAMPLES = 20

NAMES = {"model": MODEL, "export": EXPORT}

CHECKS = [
    not_a_server_error,
    checks.status_code_conformance,
    checks.content_type_conformance,
    checks.response_headers_conformance,
    checks.response_schema_conformance,
]

steady = settings(
    max_examples=EXAMPLES,
    derandomize=True,
    database=None,
    deadline=None,
    suppress_health_check=list(HealthCheck),
)


@dataclass(frozen=True)
class Api:
    """The running app, its document, real customers, and the version published."""

    parts: Parts
    schema: BaseSchema
    customers: list[dict[str, Any]]
    version: str

    def call(self, method: str, path: str, **sent: Any) -> requests.Response:
        headers = {"x-functions-key": self.parts.app.key} | sent.pop("headers", {})
        return requests.request(method, self.parts.app.base_url + path, headers=headers, timeout=60, **sent)

    def hold(self, case: schemathesis.Case[Any]) -> None:
        """Send a request, and hold the answer against the document."""
        case.call_and_validate(headers={"x-functions-key": self.parts.app.key}, checks=CHECKS, timeout=60)


@pytest.fixture(scope="module")
def api() -> Iterator[Api]:
    with demo.running_parts(CUSTOMERS, 0) as parts:
        version = demo.export(parts)["version"]
        demo.learn(parts)
        document = requests.get(
            f"{parts.app.base_url}/api/openapi.json", headers={"x-functions-key": parts.app.key}, timeout=60
        )
        assert document.headers["Content-Type"] == "application/json"
        schema = schemathesis.openapi.from_dict(closed(document.json()))
        schema.config.update(base_url=parts.app.base_url)
        customers = [dict(e) for e in parts.node.entities("customers-global") if not e.get("_deleted")]
        yield Api(parts, schema, customers, version)


def closed(document: Any) -> Any:
    """Close the schemas of answers: a property that the document does not tell is a breach as well."""
    open_ = ("Entity", "LoneEntity")
    for name, schema in document["components"]["schemas"].items():
        if "properties" in schema and name not in open_:
            schema["additionalProperties"] = False
    return document


NAMED = pytest.mark.parametrize("operation", OPERATIONS, ids=lambda it: f"{it.method} {it.path}")


@pytest.mark.fault(29)
@pytest.mark.parametrize("mode", GenerationMode, ids=lambda mode: mode.value)
@NAMED
def test_no_request_gets_a_5xx_of_ours_or_an_answer_outside_the_document(
    api: Api, operation: Operation, mode: GenerationMode
) -> None:
    if operation.anonymous and mode is GenerationMode.NEGATIVE:
        return  # it takes nothing that could be wrong
    told = api.schema[operation.path][operation.method]
    known = {name: value for name, value in NAMES.items() if f"{{{name}}}" in operation.path}
    anywhere, here = told.as_strategy(mode), told.as_strategy(mode, path_parameters=known)

    @steady
    @given(case=here | anywhere, of_the_version=st.booleans())
    def holds(case: schemathesis.Case[Any], of_the_version: bool) -> None:
        assume(not re.search(r"\n|%0A", str(case.path_parameters)))  # the engine's own 404, see below
        if of_the_version and isinstance(case.body, dict) and "version" in case.body:
            case.body["version"] = api.version
        if of_the_version and "version" in (case.path_parameters or {}):
            case.path_parameters["version"] = api.version
        api.hold(case)

    holds()


def values() -> st.SearchStrategy[Any]:
    """Any JSON value, and texts as Sesam tags them."""
    texts = st.text() | st.sampled_from(["~f1", "~fNaN", "~t2026-11-24", "~t", "~:a:b", "~b", "~z", "42", ""])
    leaves = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | texts
    return st.recursive(
        leaves, lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner), max_leaves=8
    )


@pytest.mark.fault(6, 7, 29)
def test_customers_with_any_properties_changed_are_scored_or_refused_by_name(api: Api) -> None:
    told = api.schema["/api/score/{model}"]["POST"]
    names = st.sampled_from(sorted(api.customers[0])) | st.text()
    changes = st.dictionaries(names, values(), max_size=3)
    altered = st.builds(lambda e, new: e | new, st.sampled_from(api.customers), changes)

    @settings(steady, max_examples=3 * EXAMPLES)
    @given(body=altered | st.lists(altered | st.sampled_from(api.customers), max_size=5))
    def holds(body: Any) -> None:
        api.hold(told.Case(path_parameters=NAMES, body=body, media_type="application/json"))

    holds()


DEEP = 100_000
HOSTILE = {
    "nothing": b"",
    "half a text": b'{"version": "2026',
    "not UTF-8": b'{"version": "\xff"}',
    "UTF-16": '{"version": "x"}'.encode("utf-16"),
    "a byte order mark": b'\xef\xbb\xbf{"version": "x"}',
    "a lone surrogate": b'{"version": "\\ud800"}',
    "half a surrogate pair in an entity": b'[{"_id": "a", "x": "\\udc00"}]',
    "NaN": b'[{"_id": "a", "x": NaN}]',
    "a number beyond double": b'[{"_id": "a", "x": 1e999}]',
    "an integer of 5,000 digits": b'[{"_id": "a", "x": ' + b"9" * 5000 + b"}]",
    "lists in lists": b"[" * DEEP + b"]" * DEEP,
    "objects in objects": b'{"a":' * DEEP + b"1" + b"}" * DEEP,
    "a deep entity": b'[{"_id": "a", "x": ' + b"[" * DEEP + b"]" * DEEP + b"}]",
    "a deep golden row": b'{"version": "x", "scores": [{"a": 1}], "entities": [{"a": '
    + b"[" * DEEP
    + b"]" * DEEP
    + b"}]}",
    "a deep golden row, within reach": b'{"version": "x", "scores": [{"a": 1}], "entities": [{"a": '
    + b"[" * 500
    + b"]" * 500
    + b"}]}",
    "a version that is a path": b'{"version": "../../latest/customers"}',
    "NUL": b'{"version": "\\u0000"}',
    "words twice": b'{"version": "a", "version": "b"}',
}


def scored_as_null(body: bytes) -> bool:
    """A NaN of an old node is null (sesam-12), and so is a number beyond double: such an entity may pass."""
    return b"NaN" in body or b"1e999" in body


@pytest.mark.fault(1, 8)
@pytest.mark.parametrize("body", HOSTILE.values(), ids=HOSTILE)
@pytest.mark.parametrize(
    "operation", [it for it in OPERATIONS if it.body], ids=lambda it: f"{it.method} {it.path}"
)
def test_a_body_that_is_no_request_is_the_callers_error(api: Api, operation: Operation, body: bytes) -> None:
    path = operation.path.format(**NAMES)
    answer = api.call(operation.method, path, data=body)
    assert 400 <= answer.status_code < 500 or scored_as_null(body), answer.text[:300]
    api.schema[operation.path][operation.method].validate_response(answer)


def test_a_line_break_in_a_name_is_refused_by_the_engine_before_the_app_is_asked(api: Api) -> None:
    """Its own route takes no line break, so this one 404 is not ours, and no problem document."""
    answer = api.call("GET", "/api/models/a%0Ab")
    assert (answer.status_code, answer.json()) == (404, {"detail": "Not Found"})
    assert api.call("GET", "/api/models").status_code == 200


def test_storing_golden_rows_is_answered_by_an_object(api: Api) -> None:
    rows = {"version": api.version, "entities": api.customers[:1], "scores": [{"Scored Labels": True}]}
    answer = api.call("PUT", f"/api/models/{MODEL}/golden", json=rows)
    assert (answer.status_code, answer.json()) == (200, {"version": api.version, "rows": 1})
