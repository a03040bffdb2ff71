"""Everything that runs in a soak, with a toxic proxy at every joint.

callers → (app) → the Function App → (service) → the web service
                      ↓ (blob, queue)   ↓ (node)
                    Azurite           the stand-in node
"""

import json
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from urllib.parse import urlsplit

import requests
from pydantic import SecretStr

from local.azurite import Azurite, running_azurite
from local.bootstrap import ROOT
from local.host.process import RunningApp, running_app
from local.node import Node, running_node
from local.node.datasets import Dataset
from sections import StorageSettings
from storage import Container, open_container
from tests.soak.service import FINE
from tests.soak.world import FEATURES, Entity, customers
from tests.toxics import ToxicProxy, toxic_proxy

EXPORTS = ("customers", "north", "south", "west")
MODEL = "churn"
CONTAINER = "soak"
ROWS = 200
JOINTS = ("app", "service", "node", "blob", "queue")
GRACE_S = 15.0

CONFIG = """
[storage]
container = "soak"

[models.churn]
dialect = "score-script"
auth = "none"
contract = "customers"
on_bad_entity = "mark"
on_outside_contract = "ignore"
provenance = true
batch_rows = 250
timeout_s = 3
deadline_s = 12
"""
EXPORT = """
[exports.{name}]
pipe = "{pipe}"
label = "ChurnFlag"
keep_versions = 10
"""


@dataclass
class Parts:
    """What runs. `app` changes at every restart; `started` counts them."""

    azurite: Azurite
    node: Node
    proxies: Mapping[str, ToxicProxy]
    service_url: str
    settings: Mapping[str, str]
    container: Container
    app: RunningApp | None = None
    started: int = 0
    _running: ExitStack = field(default_factory=ExitStack)

    @property
    def base_url(self) -> str:
        """Where callers reach the app: through its proxy, whichever process serves it."""
        return f"http://127.0.0.1:{self.proxies['app'].port}/api"

    def start_app(self) -> None:
        """Start the Function App anew."""
        self.app = self._running.enter_context(running_app(ROOT, settings=self.settings, grace=GRACE_S))
        self.proxies["app"].upstream = urlsplit(self.app.base_url).port or 0
        self.started += 1

    def stop_app(self, *, kill: bool = False) -> None:
        """End the app: in order, or as a crash would."""
        if self.app and kill:
            self.app.kill()
        self._running.close()

    def publish(self, export: str, entities: list[Entity]) -> bytes:
        """Have the node publish these; give the CSV that it answers from now on."""
        dataset = Dataset(lambda: 0.0)
        self.node.datasets[export] = dataset
        self.node.load(export, entities)
        return b"".join(self.node.publish(self.node.pipe(pipe_of(export))))

    def set_mood(self, mood: str = FINE) -> None:
        """Tell the web service its mood."""
        requests.post(self.service_url.replace("/score", "/mood"), data=mood, timeout=10)


def pipe_of(export: str) -> str:
    """Name the pipe that an export reads."""
    return f"{export}-csv"


@contextmanager
def running_parts(more: Mapping[str, str] | None = None) -> Iterator[Parts]:
    """Start all of it, with `more` settings of the app, and end all of it."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(TemporaryDirectory()))
        azurite = stack.enter_context(running_azurite())
        first = {export: customers(f"{export} first", ROWS) for export in EXPORTS}
        node = stack.enter_context(running_node(first, folder=_node_folder(folder)))
        service_url = stack.enter_context(_service())
        ports = {
            "app": 9,  # until there is one: nobody listens at the port of `discard`
            "service": urlsplit(service_url).port or 0,
            "node": urlsplit(node.url).port or 0,
            "blob": azurite.blob_port,
            "queue": azurite.queue_port,
        }
        proxies = {joint: stack.enter_context(toxic_proxy(ports[joint])) for joint in JOINTS}
        container = open_container(
            StorageSettings(container=CONTAINER, connection_string=SecretStr(azurite.connection_string))
        )
        settings = _settings(folder, azurite, node, proxies) | dict(more or {})
        parts = Parts(azurite, node, proxies, service_url, settings, container)
        stack.callback(parts.stop_app)
        parts.start_app()
        yield parts


def _settings(
    folder: Path, azurite: Azurite, node: Node, proxies: Mapping[str, ToxicProxy]
) -> dict[str, str]:
    config = folder / "bridge.toml"
    config.write_text(CONFIG + "".join(EXPORT.format(name=name, pipe=pipe_of(name)) for name in EXPORTS))
    storage = azurite.connection_string
    for joint, port in (("blob", azurite.blob_port), ("queue", azurite.queue_port)):
        storage = storage.replace(f":{port}/", f":{proxies[joint].port}/")
    return {
        "AzureWebJobsStorage": storage,
        "BRIDGE_CONFIG": str(config),
        "SESAM__URL": f"http://localhost:{proxies['node'].port}",
        "SESAM__JWT": node.jwt,
        "MODELS__CHURN__URL": f"http://localhost:{proxies['service'].port}/score",
    }


def _node_folder(folder: Path) -> Path:
    """Write the node's pipes: a dataset each, published as CSV."""
    pipes = folder / "node" / "pipes"
    pipes.mkdir(parents=True)
    for export in EXPORTS:
        pipe = {
            "_id": pipe_of(export),
            "type": "pipe",
            "source": {"type": "dataset", "dataset": export},
            "sink": {"type": "csv_endpoint", "columns": ["_id", *FEATURES, "ChurnFlag"]},
        }
        (pipes / f"{pipe_of(export)}.conf.json").write_text(json.dumps(pipe))
    return folder / "node"


@contextmanager
def _service() -> Iterator[str]:
    """Run the web service in a process of its own, so that it costs the callers nothing."""
    command = [sys.executable, "-m", "tests.soak.service"]
    with subprocess.Popen(
        command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout and process.stdin
        try:
            yield process.stdout.readline().strip()
        finally:
            process.stdin.close()  # its end ends the service
            process.wait(10)
