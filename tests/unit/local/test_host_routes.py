"""Which function answers a path, facts/functions.md §3.2."""

import pytest

from local.host.routes import find, route

ROUTES = [
    route("score", "api/score/{model}", ["POST"]),
    route("models", "/api/models", ["GET"]),
    route("model", "api/models/{model}", ["GET"]),
    route("contract", "api/models/{model}/contract", ["PUT"]),
    route("health", "api/health", ["GET"]),
    route("version", "api/exports/{name}/versions/{version}", []),
    route("latest", "api/exports/{name}/versions/latest", []),
    route("number", "api/things/{id:int}", []),
    route("thing", "api/things/{id}", []),
    route("things", "api/things/{id?}", ["DELETE"]),
    route("rest", "api/files/{*path}", []),
    route("file", "api/files/{name}", []),
]


def found(method: str, path: str) -> tuple[str, dict[str, str]] | None:
    hit = find(ROUTES, method, path)
    return None if hit is None else (hit[0].function, hit[1])


@pytest.mark.parametrize(
    ("method", "path", "expected"),
    [
        ("POST", "/api/score/churn", ("score", {"model": "churn"})),
        ("post", "/API/Score/Churn/", ("score", {"model": "Churn"})),
        ("GET", "/api/models", ("models", {})),
        ("GET", "/api/models/churn", ("model", {"model": "churn"})),
        ("PUT", "/api/models/churn/contract", ("contract", {"model": "churn"})),
        ("PATCH", "/api/exports/a/versions/1", ("version", {"name": "a", "version": "1"})),
        ("GET", "/api/exports/a/versions/latest", ("latest", {"name": "a"})),
        ("GET", "/api/things/42", ("number", {"id": "42"})),
        ("GET", "/api/things/x", ("thing", {"id": "x"})),
        ("DELETE", "/api/things", ("things", {})),
        ("GET", "/api/files/a", ("file", {"name": "a"})),
        ("GET", "/api/files/a/b/c", ("rest", {"path": "a/b/c"})),
        ("GET", "/api/files", ("rest", {})),
        ("GET", "/api/models/f%C3%B8rste%20mai", ("model", {"model": "første mai"})),
        ("GET", "/api/models/a%2Fb", ("model", {"model": "a%2Fb"})),
    ],
)
def test_the_most_exact_route_answers(method: str, path: str, expected: tuple[str, dict[str, str]]) -> None:
    assert found(method, path) == expected


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/api/score/churn"),
        ("POST", "/api/score"),
        ("POST", "/api/score/churn/more"),
        ("POST", "/score/churn"),
        ("GET", "/api/modelsx"),
        ("GET", "/"),
        ("POST", "/api/score//churn"),
    ],
)
def test_an_unknown_path_or_method_is_nobodys(method: str, path: str) -> None:
    assert found(method, path) is None


def test_an_empty_prefix_leaves_the_route_alone() -> None:
    hit = find([route("score", "/score/{model}", [])], "GET", "/score/churn")
    assert hit is not None
    assert hit[1] == {"model": "churn"}


@pytest.mark.parametrize(
    ("constraint", "good", "bad"),
    [
        ("int", "-7", "seven"),
        ("long", "9007199254740993", "1.5"),
        ("alpha", "abc", "ab1"),
        ("bool", "True", "1"),
        ("guid", "2f5a4a0e-1c5f-4c3a-9b64-6b0d8f3f5a11", "2f5a4a0e"),
    ],
)
def test_a_constraint_that_fails_is_no_match(constraint: str, good: str, bad: str) -> None:
    routes = [route("f", f"api/{{p:{constraint}}}", [])]
    assert find(routes, "GET", f"/api/{good}") is not None
    assert find(routes, "GET", f"/api/{bad}") is None


@pytest.mark.parametrize(
    "template", ["api/a{p}b", "api/{p:even}", "api/{p=1}", "api/{*rest}/more", "api/{p?}/more", "api/{}"]
)
def test_a_template_that_this_host_does_not_know_is_refused(template: str) -> None:
    with pytest.raises(ValueError, match="route"):
        route("f", template, [])
