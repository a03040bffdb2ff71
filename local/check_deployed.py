"""`make check-deployed BASE_URL=… KEY=…`: what our tests ask of the routes, asked of a running app.

It speaks plain HTTP with the given address and with nobody else. It changes nothing and asks no web service,
unless told: ENTITIES=file.json scores the entities of that file (MODEL= names the model where there are
several), EXPORT=name starts that export and waits for its end.
"""

import json
import os
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import requests

from checks import Check
from local.doctor import print_checks
from sections import is_loopback

PROBLEM = "application/problem+json"
# An answer of the app comes within 230 s, for then the platform cuts it.
ANSWER_S = 240.0
EXPORT_S = 1800.0
POLL_S = 2.0

GONE = [{"_id": "check-deployed", "_deleted": True, "Tenure": "~f1.50"}]


class Wrong(Exception):
    """What is not as it should be, and what to do."""


@dataclass(frozen=True)
class Site:
    """The app to ask. `key` goes out in `x-functions-key`, and nowhere else."""

    base: str
    key: str = field(repr=False)
    sleep: Callable[[float], None] = time.sleep
    clock: Callable[[], float] = time.monotonic

    def ask(
        self, method: str, route: str, body: Any = None, *, key: str | None = None, **headers: str
    ) -> requests.Response:
        """Ask a route under /api; `key` in place of the right one. Raises Wrong where no answer comes."""
        own = {"x-functions-key": self.key if key is None else key}
        sent = {name.replace("_", "-"): value for name, value in (own | headers).items() if value}
        try:
            return requests.request(
                method,
                f"{self.base}/api/{route}",
                data=body,
                headers=sent,
                timeout=ANSWER_S,
                allow_redirects=False,
            )
        except requests.RequestException as error:
            raise Wrong(
                f"no answer ({type(error).__name__}): see that BASE_URL is right and the app runs"
            ) from None

    def names(self, route: str) -> list[str]:
        """Give the names that `models` or `exports` lists."""
        answer = self.ask("GET", route)
        _expect(answer, 200, "see that KEY is the app's host key, and what health/ready says")
        return [each["name"] for each in answer.json()]


@dataclass(frozen=True)
class Wanted:
    """What more may be done than looking."""

    entities: Sequence[Mapping[str, Any]] = ()
    model: str = ""
    export: str = ""


def checks(site: Site, wanted: Wanted) -> Iterator[Check]:
    """Look at one thing after the other; where the app does not answer at all, at nothing more."""
    alive = _checked("alive", lambda: _alive(site))
    yield alive
    if not alive.ok:
        return
    yield _checked("keys are asked for", lambda: _keys(site))
    listed = _checked("this key is taken", lambda: _listed(site))
    yield listed
    if not listed.ok:
        return
    yield _checked("ready", lambda: _ready(site))
    yield _checked("what is not there", lambda: _absent(site))
    for model in site.names("models"):
        yield _checked(f"{model}: in chunks", partial(_chunks, site, model))
        yield _checked(f"{model}: one object", partial(_object, site, model))
        yield _checked(f"{model}: refusals", partial(_refusals, site, model))
    yield _checked("nothing tells the key", lambda: _silence(site))
    if wanted.entities:
        yield _checked("scores", lambda: _scores(site, wanted))
    if wanted.export:
        yield _checked(f"export {wanted.export}", lambda: _export(site, wanted.export))


def _checked(name: str, look: Callable[[], str]) -> Check:
    try:
        return Check(name, True, look())
    except Wrong as wrong:
        return Check(name, False, str(wrong))
    except (ValueError, LookupError, TypeError, AttributeError):
        return Check(name, False, "an answer of another shape than this app's: see what BASE_URL leads to")


def _alive(site: Site) -> str:
    answer = site.ask("GET", "health", key="")
    _expect(answer, 200, "see that BASE_URL is the app's, and that its deployment has ended well")
    if _json(answer) != {"status": "alive"}:
        raise Wrong("something else than this app answers at BASE_URL")
    return "without a key, as load balancers ask"


def _keys(site: Site) -> str:
    found = {site.ask("GET", "models", key=key).status_code for key in ("", "wrong")}
    if found == {401}:
        return "none and a wrong one are 401"
    if is_loopback(site.base):
        return "not on this machine: func start asks for none"
    raise Wrong(
        f"none or a wrong one gave {_listed_of(found)}: everybody can score. Deploy function_app.py as "
        "it is, with FUNCTION as its auth level"
    )


def _listed(site: Site) -> str:
    return f"models: {_listed_of(site.names('models'))}; exports: {_listed_of(site.names('exports'))}"


def _ready(site: Site) -> str:
    answer = site.ask("GET", "health/ready")
    told = _json(answer)
    if answer.status_code not in (200, 503) or "checks" not in told:
        raise Wrong(f"status {answer.status_code}: see the app's log")
    wrong = [f"{check['check']}: {check['detail']}" for check in told["checks"] if not check["ok"]]
    if wrong:
        raise Wrong("; ".join(wrong))
    return f"{len(told['checks'])} checks"


def _absent(site: Site) -> str:
    for method, route, body in (("POST", "score/nobody", b"[]"), ("GET", "exports/nobody", None)):
        _expect_problem(site.ask(method, route, body), 404)
    return "404, as problem documents"


def _chunks(site: Site, model: str) -> str:
    """Send as Sesam probably does: in chunks, without a length, a deleted entity that no model sees."""
    advice = "the body did not arrive: deploy with Python 3.13 and the requirements.txt as it is"
    for body in (json.dumps(GONE).encode(), b"[]"):
        answer = site.ask("POST", f"score/{model}", iter((body[:9], body[9:])))
        _expect(answer, 200, advice)
        if _json(answer) != json.loads(body):
            raise Wrong(f"{len(body)} bytes sent in chunks did not come back as they went: {advice}")
    return "arrive whole; a deleted entity and none come back as they went"


def _object(site: Site, model: str) -> str:
    answer = site.ask("POST", f"score/{model}", json.dumps(GONE[0]).encode())
    _expect(answer, 200, "a rest transform needs this")
    if _json(answer) != GONE[0]:
        raise Wrong("one object did not come back as one object: a rest transform needs this; deploy anew")
    return "comes back as one, as a rest transform wants it"


REFUSALS: Sequence[tuple[int, bytes, dict[str, str]]] = (
    (400, b"{", {}),
    (400, b'["x"]', {}),
    (400, b'[{"_id": 5}]', {}),
    (415, b"[]", {"Content_Type": "text/csv"}),
    (415, b"[]", {"Content_Encoding": "gzip"}),
)


def _refusals(site: Site, model: str) -> str:
    for status, body, headers in REFUSALS:
        _expect_problem(site.ask("POST", f"score/{model}", body, **headers), status)
    return "400 and 415, each says why"


def _silence(site: Site) -> str:
    for route in ("models", "exports", "health/ready", "exports/nobody"):
        if site.key and site.key in site.ask("GET", route).text:
            raise Wrong(f"GET /api/{route} shows the function key: make a new one, and report this as a bug")
    return "in models, exports, health and failures"


def _scores(site: Site, wanted: Wanted) -> str:
    models = site.names("models")
    model = wanted.model or models[0]
    if model not in models or (not wanted.model and len(models) > 1):
        raise Wrong(f"name one of {_listed_of(models)} with MODEL=")
    given = list(wanted.entities)
    body = json.dumps(given).encode()
    whole = _scored(site, model, body)
    if [entity.get("_id") for entity in whole] != [entity.get("_id") for entity in given]:
        raise Wrong("other entities came back than went: report this as a bug")
    prefix = site.ask("GET", f"models/{model}").json()["prefix"]
    new = sum(any(n.startswith(prefix) and n != f"{prefix}error" for n in entity) for entity in whole)
    again = {
        "a second time": _scored(site, model, body),
        "in chunks": _scored(site, model, iter((body[:50], body[50:]))),
        "with their scores": _scored(site, model, json.dumps(whole).encode()),
        "one by one": [_scored(site, model, json.dumps([entity]).encode())[0] for entity in given[:3]],
    }
    for how, answered in again.items():
        if answered != whole[: len(answered)]:
            raise Wrong(
                f"sent {how} they are scored otherwise. Does the model itself give the same twice? Else "
                f"set models.{model}.decimals, so that a last digit that trembles is no news"
            )
    return f"{new} of {len(given)} entities have scores; the same {', '.join(again)}"


def _scored(site: Site, model: str, body: Any) -> list[dict[str, Any]]:
    answer = site.ask("POST", f"score/{model}", body)
    _expect(answer, 200, "mend what it says")
    scored: list[dict[str, Any]] = answer.json()
    return scored


def _export(site: Site, name: str) -> str:
    started = site.ask("POST", f"exports/{name}")
    _expect(started, 202, "mend what it says")
    end = site.clock() + EXPORT_S
    while site.clock() < end:
        run = site.ask("GET", f"exports/{name}").json()["run"]
        if run and run["id"] == started.json()["run"] and run["outcome"] not in ("queued", "running"):
            told = f"{run['outcome']}: {run['version'] or ''} {run['detail']}".strip()
            if run["outcome"] in ("published", "unchanged", "joined"):
                return told
            raise Wrong(told)
        site.sleep(POLL_S)
    raise Wrong(f"no end within {EXPORT_S:.0f} s: is the queue trigger running? See the app's log")


def _expect(answer: requests.Response, status: int, advice: str) -> None:
    if answer.status_code != status:
        raise Wrong(f"status {answer.status_code}, not {status}: {_detail(answer) or advice}")


def _expect_problem(answer: requests.Response, status: int) -> None:
    advice = "deploy the app anew; another one, or a front, answers in its place"
    _expect(answer, status, advice)
    if answer.headers.get("Content-Type", "") != PROBLEM or not _detail(answer):
        raise Wrong(f"the {status} is no problem document: {advice}")


def _json(answer: requests.Response) -> Any:
    try:
        return answer.json()
    except ValueError:
        return {}


def _detail(answer: requests.Response) -> str:
    told = _json(answer)
    return str(told.get("detail", "")) if isinstance(told, dict) else ""


def _listed_of(names: Any) -> str:
    return ", ".join(str(name) for name in sorted(names)) or "none"


def main(environment: Mapping[str, str]) -> int:
    """Check and tell; 0 where all is right, 2 where something is wrong or cannot be asked."""
    base = environment.get("BASE_URL", "").rstrip("/").removesuffix("/api")
    if urlsplit(base).scheme not in ("http", "https"):
        return _usage("name the app: make check-deployed BASE_URL=https://my-app.azurewebsites.net KEY=…")
    if base.startswith("http:") and not is_loopback(base):
        return _usage("BASE_URL must be https: over plain http the key could be read on the way")
    try:
        wanted = Wanted(
            _entities(environment.get("ENTITIES", "")),
            environment.get("MODEL", ""),
            environment.get("EXPORT", ""),
        )
    except (OSError, ValueError) as error:
        return _usage(f"ENTITIES cannot be read: {error}")
    print(f"{base}, over HTTP:\n", flush=True)
    return print_checks(checks(Site(base, environment.get("KEY", "")), wanted))


def _entities(file: str) -> Sequence[Mapping[str, Any]]:
    read = json.loads(Path(file).read_text("utf-8")) if file else []
    if not isinstance(read, list) or not all(isinstance(entity, dict) for entity in read):
        raise ValueError("it must hold an array of entities")
    return read


def _usage(text: str) -> int:
    print(f"make check-deployed: {text}", file=sys.stderr)
    return 2


if __name__ == "__main__":
    sys.exit(main(os.environ))
