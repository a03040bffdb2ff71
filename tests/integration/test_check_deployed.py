"""`make check-deployed` against an app that is wrong in every way it looks at."""

import pytest
from aiohttp import web

from checks import Check
from local.check_deployed import Site, Wanted, checks, main
from local.serving import serving

ENTITIES = ({"_id": "a"}, {"_id": "b"})


def nonsense(**alive: object) -> web.Application:
    """An app that lists one model and one export, and else answers everything with the key it was sent."""

    async def health(_: web.Request) -> web.Response:
        return web.json_response(alive)

    async def names(request: web.Request) -> web.Response:
        return web.json_response([{"name": "churn", "key": request.headers.get("x-functions-key")}])

    async def anything(request: web.Request) -> web.Response:
        status = 202 if request.method == "POST" and "exports" in request.path else 200
        run = {"id": "r", "outcome": "failed", "version": None, "detail": "The node refuses the token."}
        body = {"run": "r"} if status == 202 else {"run": run, "checks": [WRONG], "_id": "x"}
        return web.json_response([body] if "score" in request.path else body, status=status)

    app = web.Application()
    app.add_routes(
        [
            web.get("/api/health", health),
            web.get("/api/models", names),
            web.get("/api/exports", names),
            web.route("*", "/{any:.*}", anything),
        ]
    )
    return app


WRONG = {"check": "node", "ok": False, "detail": "See that sesam.url is right."}


def look(app: web.Application, **wanted: object) -> dict[str, Check]:
    with serving(app) as url:
        site = Site(url, "the-key", sleep=lambda _: None)
        found = checks(site, Wanted(**wanted))  # type: ignore[arg-type]  # as given
        return {check.check: check for check in found}


def test_an_app_that_is_wrong_everywhere_is_told_so_everywhere() -> None:
    found = look(nonsense(status="alive"), entities=ENTITIES, export="churn")
    right = [name for name, check in found.items() if check.ok]
    assert right == ["alive", "keys are asked for", "this key is taken"]  # keys: not on this machine
    told = {name: check.detail for name, check in found.items() if not check.ok}
    assert told["ready"] == "node: See that sesam.url is right."
    assert "status 200, not 404" in told["what is not there"]
    assert "did not come back as they went" in told["churn: in chunks"]
    assert "did not come back as one object" in told["churn: one object"]
    assert "status 200, not 400" in told["churn: refusals"]
    assert "shows the function key" in told["nothing tells the key"]
    assert "other entities came back" in told["scores"]
    assert told["export churn"] == "failed:  The node refuses the token."
    assert len(told) == 8


def test_another_app_or_none_is_told_and_nothing_more_is_asked() -> None:
    (alive,) = look(nonsense(status="something else")).values()
    assert alive.detail == "something else than this app answers at BASE_URL"
    (nobody,) = checks(Site("http://127.0.0.1:9", ""), Wanted())
    assert nobody.detail.startswith("no answer (ConnectionError): see that BASE_URL is right")


def test_keys_that_nobody_asks_for_are_wrong_elsewhere_than_on_this_machine(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("local.check_deployed.is_loopback", lambda _: False)
    keys = look(nonsense(status="alive"))["keys are asked for"]
    assert not keys.ok
    assert "everybody can score" in keys.detail


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({}, "name the app"),
        ({"BASE_URL": "my-app.azurewebsites.net"}, "name the app"),
        ({"BASE_URL": "http://my-app.example"}, "must be https"),
        ({"BASE_URL": "https://my-app.example", "ENTITIES": "/none.json"}, "ENTITIES cannot be read"),
    ],
)
def test_what_cannot_be_asked_is_told_before_anything_is_sent(
    given: dict[str, str], told: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(given) == 2
    assert told in capsys.readouterr().err
