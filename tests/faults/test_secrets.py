"""Secrets stay where they belong: planted ones are searched for in all that a run with every failure writes.

Searched are the log of host and app at debug level, every answer with its headers, every blob and message,
and the repr of settings and wires. Beside them: what a caller sends decides no address, and no redirect is
followed.
"""

import re
import time
import traceback
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import chain, repeat
from pathlib import Path
from urllib.parse import parse_qs, quote, urlsplit

import pytest
import requests
from azure.storage.blob import (
    AccountSasPermissions,
    BlobServiceClient,
    ResourceTypes,
    generate_account_sas,
)
from azure.storage.queue import QueueServiceClient

import settings
from local.azurite import ACCOUNT, ACCOUNT_KEY, Azurite
from local.bootstrap import ROOT
from local.host.process import RunningApp, running_app
from scoring import models
from tests.exports import rows
from tests.rogue import Rogue, Scene, Visit, answer, chunked, reset, short, silent
from training_export.publisher import SesamNode

JWT = "eyJhbGciOiJSUzI1NiJ9.eyJleHAiOjE4MDAwMDAwMDB9.planted-signature-of-the-token"
KEY = "planted-endpoint-key-0123456789"
URL_SECRET = "planted-secret-of-the-url"  # planted
CONTAINER = "secrets"

# The app as it is, with every logger of the process at its most talkative.
DEBUG_APP = """
import logging, runpy
logging.getLogger().setLevel(logging.DEBUG)
for name in ("azure", "asyncio", "host"):
    logging.getLogger(name).setLevel(logging.DEBUG)
app = runpy.run_path({path!r})["app"]
"""


def echo(status: int) -> Scene:
    """Answer with all that came, as a careless service does."""

    def scene(visit: Visit) -> None:
        told = f"{visit.received.target} {dict(visit.received.headers)}".replace('"', "'")
        head = {"x-request-id": visit.received.headers.get("authorization", "")[7:]}
        answer(status, f'{{"error": "{told}"}}'.encode(), head)(visit)

    return scene


def once(first: Scene, then: Scene) -> Scene:
    """Play one scene, then the other for good: what is tried again goes well."""
    scenes = chain([first], repeat(then))

    def scene(visit: Visit) -> None:
        next(scenes)(visit)

    return scene


def elsewhere(port: int) -> Scene:
    return answer(307, b"", {"Location": f"http://127.0.0.1:{port}/?code={URL_SECRET}"})


def service_scenes(evil: int) -> dict[str, Scene]:
    return {
        "right": answer(200, b"[0.5]"),
        "key": lambda visit: answer(200, f'["{visit.received.headers["authorization"]}"]'.encode())(visit),
        "inside": echo(200),
        "refused": answer(401),
        "forbidden": echo(403),
        "bad_request": echo(400),
        "model_error": echo(424),
        "down": echo(500),
        "redirect": elsewhere(evil),
        "page": answer(200, b"<html>login</html>"),
        "cut": short(b"[0.5]"),
        "reset": reset(),
        "silent": silent,
    }


def node_scenes(evil: int) -> dict[str, Scene]:
    good = chunked(rows(10), headers={"Content-Type": "text/csv"})
    return {
        "right": good,
        "unauthorized": echo(401),
        "forbidden": echo(403),
        "absent": echo(404),
        "teapot": echo(418),
        "redirect": elsewhere(evil),
        "page": answer(200, b"<html>", {"Content-Type": "text/html"}),
        "cut": once(chunked(rows(10), whole=False, headers={"Content-Type": "text/csv"}), good),
        "ragged": chunked(b"a,b\r\n1\r\n", headers={"Content-Type": "text/csv"}),
    }


def by_name(scenes: Mapping[str, Scene], position: int) -> Scene:
    """Play the scene that a segment of the path names; a pipe's configuration may not be read."""

    def scene(visit: Visit) -> None:
        _, *segments = urlsplit(visit.received.target).path.split("/")
        known = scenes.get("/".join(segments[position : position + 1]), answer(403))
        (answer(403) if segments[1:2] == ["pipes"] else known)(visit)

    return scene


@dataclass
class World:
    """An app among careless parts, and all that was answered."""

    app: RunningApp
    service: Rogue
    node: Rogue
    evil: Rogue
    secrets: Mapping[str, str]
    answers: list[str] = field(default_factory=list)

    def call(self, method: str, path: str, **sent: object) -> requests.Response:
        headers = {"x-functions-key": self.app.key} | dict(sent.pop("headers", {}))  # type: ignore[call-overload]  # a dict or pairs
        url = self.app.base_url + path
        told = requests.request(method, url, headers=headers, timeout=60, **sent)  # type: ignore[arg-type]  # as requests has them
        self.answers.append(f"{told.status_code} {dict(told.headers)} {told.text}")
        return told

    def ended(self, export: str) -> None:
        """Wait until an export's last run has ended."""
        give_up = time.monotonic() + 60
        while time.monotonic() < give_up:
            if self.call("GET", f"/api/exports/{export}").json()["run"]["finished"]:
                return
            time.sleep(0.05)  # between two looks: the run is another process's
        raise AssertionError(f"{export} did not end")


def sas_connection(azurite: Azurite) -> str:
    sas = generate_account_sas(
        ACCOUNT,
        ACCOUNT_KEY,
        ResourceTypes(service=True, container=True, object=True),
        AccountSasPermissions(
            read=True, write=True, delete=True, list=True, create=True, add=True, update=True
        ),
        datetime.now(UTC) + timedelta(hours=1),
    )
    return f"BlobEndpoint=http://127.0.0.1:{azurite.blob_port}/{ACCOUNT};SharedAccessSignature={sas}"


def config(service: Rogue, models: Mapping[str, Scene], pipes: Mapping[str, Scene]) -> str:
    told = [f'[storage]\ncontainer = "{CONTAINER}"\n']
    told += [f'[exports.{name}]\npipe = "{name}"\n' for name in pipes]
    told += [
        f'[models.{name}]\nurl = "http://localhost:{service.port}/{name}?code={URL_SECRET}"\nkey = "{KEY}"\n'
        'dialect = "score-script"\nfeatures = ["x"]\nattempts = 2\ntimeout_s = 0.5\ndeadline_s = 1\n'
        for name in models
    ]
    return "\n".join(told)


@pytest.fixture(scope="module")
def world(azurite: Azurite, tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    folder = tmp_path_factory.mktemp("app")
    (folder / "function_app.py").write_text(DEBUG_APP.format(path=str(ROOT / "function_app.py")))
    (folder / "host.json").write_bytes((ROOT / "host.json").read_bytes())
    with ExitStack() as stack:
        evil = stack.enter_context(Rogue(answer(200, b"[0.5]")))
        scenes, pipes = service_scenes(evil.port), node_scenes(evil.port)
        service = stack.enter_context(Rogue(by_name(scenes, 0)))
        node = stack.enter_context(Rogue(by_name(pipes, 2)))
        (folder / "bridge.toml").write_text(config(service, scenes, pipes))
        by_sas = sas_connection(azurite)
        environment = {
            "AzureWebJobsStorage": azurite.connection_string,
            "STORAGE__CONNECTION_STRING": by_sas,
            "BRIDGE_CONFIG": str(folder / "bridge.toml"),
            "SESAM__URL": f"http://localhost:{node.port}",
            "SESAM__JWT": JWT,
        }
        app = stack.enter_context(running_app(folder, settings=environment, auth=True))
        (signature,) = parse_qs(by_sas.partition("SharedAccessSignature=")[2])["sig"]
        planted = {
            "function key": app.key,
            "master key": app.master_key,
            "Sesam token": JWT,
            "the token's signature": JWT.rpartition(".")[2],
            "endpoint key": KEY,
            "query of a URL": URL_SECRET,
            "account key": ACCOUNT_KEY,
            "SAS": signature,
            "SAS, as a URL has it": quote(signature, safe=""),
        }
        yield World(app, service, node, evil, planted)


@pytest.fixture(scope="module")
def run(world: World, azurite: Azurite) -> str:
    """Let everything happen once, well and badly; give all that was written of it."""
    for model in service_scenes(0):
        world.call("POST", f"/api/score/{model}", data=b'[{"_id": "a", "x": 1}]')
        world.call("GET", f"/api/models/{model}")
    for pipe in node_scenes(0):
        world.call("POST", f"/api/exports/{pipe}")
    for pipe in node_scenes(0):
        world.ended(pipe)
    for path in (
        "health",
        "health/ready",
        "health/ready?deep=1",
        "models",
        "exports",
        "openapi.json",
        "none",
    ):
        world.call("GET", f"/api/{path}")
    world.call("POST", "/api/score/right", headers={"x-functions-key": "wrong"})
    world.call("POST", f"/api/score/right?code={world.app.key}", data=b"no JSON")
    return "\n".join([world.app.output(), *world.answers, *stored(azurite)])


def stored(azurite: Azurite) -> Iterator[str]:
    """All blobs and messages of the account, as text."""
    with BlobServiceClient.from_connection_string(azurite.connection_string) as blobs:
        for container in blobs.list_containers():
            with blobs.get_container_client(container.name) as client:
                for blob in client.list_blobs():
                    data = client.download_blob(blob.name).readall()
                    yield f"{blob.name} {blob.metadata} {data.decode('utf-8', 'replace')}"
    with QueueServiceClient.from_connection_string(azurite.connection_string) as queues:
        for queue in queues.list_queues():
            with queues.get_queue_client(queue.name) as messages:
                yield from (str(message.content) for message in messages.peek_messages(32))


@pytest.mark.statement("azureml-17", "sesam-39", "P12")
def test_no_secret_stands_in_anything_that_was_written(world: World, run: str) -> None:
    found = {what for what, secret in world.secrets.items() if secret in run}
    assert found == set(), [
        line for line in run.splitlines() if any(world.secrets[w] in line for w in found)
    ][:5]


def test_the_run_met_what_it_was_to_meet(world: World, run: str) -> None:
    """Else nothing would be proven: the log is at debug level, both sides failed, and both worked."""
    statuses = {told.split()[0] for told in world.answers}
    assert {"200", "202", "400", "401", "404", "502", "503", "504"} <= statuses
    assert '"outcome":"published"' in run
    assert run.count('"outcome":"failed"') >= 6
    assert "DEBUG" in run or "azure.core" in run or "Request URL" in run
    assert {received.headers.get("authorization") for received in world.service.received} == {f"Bearer {KEY}"}
    assert {received.headers.get("authorization") for received in world.node.received} == {f"Bearer {JWT}"}
    assert all(URL_SECRET in received.target for received in world.service.received)


@pytest.mark.statement("azureml-17")
@pytest.mark.fault(22)
def test_no_redirect_was_followed_with_or_without_credentials(world: World, run: str) -> None:
    assert world.evil.received == []


HOSTILE = (
    "http://127.0.0.1:{port}/",
    "//127.0.0.1:{port}",
    "..%2F..%2Fevil",
    "@127.0.0.1:{port}",
    "right/../evil",
)


def test_what_a_caller_sends_decides_no_address(world: World, run: str) -> None:
    names = [text.format(port=world.evil.port) for text in HOSTILE]
    for name in names:
        quoted = quote(name, safe="%")
        spoken = {
            "X-Forwarded-Host": name,
            "X-Original-URL": name,
            "Forwarded": f"host={name}",
            "Referer": name,
        }
        for method, path in (
            ("POST", f"/api/score/{quoted}"),
            ("POST", f"/api/score/right?url={quoted}&model={quoted}"),
            ("PUT", f"/api/models/{quoted}/contract"),
            ("PUT", f"/api/exports/{quoted}/latest"),
            ("POST", f"/api/exports/{quoted}"),
            ("GET", f"/api/exports/right?pipe={quoted}&url={quoted}"),
            ("GET", f"/api/exports/right/versions/{quoted}?against={quoted}"),
        ):
            body = (
                f'[{{"_id": "{name}", "x": "{name}", "url": "{name}"}}]'
                if "score" in path
                else f'{{"version": "{name}"}}'
            )
            world.call(method, path, data=body.encode(), headers=spoken)
    assert world.evil.received == []
    asked = {urlsplit(received.target).path for received in world.service.received}
    assert asked == {f"/{name}" for name in service_scenes(0)}
    pipes = {
        f"/api/{kind}" for name in node_scenes(0) for kind in (f"pipes/{name}", f"publishers/{name}/csv")
    }
    assert {urlsplit(received.target).path for received in world.node.received} == pipes | {"/api/health"}


def test_every_answer_of_ours_is_json_and_none_is_html(world: World, run: str) -> None:
    kinds = {kind for told in world.answers for kind in re.findall(r"'content-type': '([^']*)'", told, re.I)}
    assert kinds <= {"application/json", "application/problem+json", "application/octet-stream"}


@pytest.mark.statement("P12")
def test_no_secret_stands_in_a_repr_or_in_the_traceback_of_a_failure(
    azurite: Azurite, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Rogue(echo(400)) as service:
        (tmp_path / "bridge.toml").write_text(config(service, {"churn": echo(400)}, {"customers": echo(400)}))
        for name, value in {
            "AzureWebJobsStorage": azurite.connection_string,
            "STORAGE__CONNECTION_STRING": sas_connection(azurite),
            "BRIDGE_CONFIG": str(tmp_path / "bridge.toml"),
            "SESAM__URL": f"http://localhost:{service.port}",
            "SESAM__JWT": JWT,
        }.items():
            monkeypatch.setenv(name, value)
        given = settings.load_settings()
        node = SesamNode(given.sesam, time.monotonic)
        wires: list[object] = [given, given.models["churn"], given.storage, settings.host_storage()]
        wires += [node, models.model_of("churn", given.models["churn"], given)]
        told = [f"{wire!r} {wire}" for wire in wires]
        with (
            pytest.raises(Exception, match="answered 400") as raised,
            node.published("x"),
        ):
            pass
        told.append("".join(traceback.format_exception(raised.value)))
    for secret in (JWT, KEY, URL_SECRET, ACCOUNT_KEY, "SharedAccessSignature"):
        assert not any(secret in text for text in told), secret
