"""The parts of the whole road, each in a process of its own: Azurite, web service, app and client."""

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import quantiles

from pydantic import SecretStr

from bench.customers import contract
from contract.documents import Adoption, encode
from local.azurite import running_azurite
from local.host.process import RunningApp, running_app
from sections import StorageSettings
from storage import adoption_blob, contract_blob, open_container

ROOT = Path(__file__).resolve().parents[1]
VERSION = "20261123T020000Z-0a1b2c3d"


@dataclass(frozen=True)
class Parts:
    """The running app; its model `churn` sends a batch whole, `split` in parts of 250, 4 at once."""

    app: RunningApp
    service: str

    def score_url(self, model: str) -> str:
        """Where entities are posted."""
        return f"{self.app.base_url}/api/score/{model}"


@contextmanager
def running_parts() -> Iterator[Parts]:
    """Start everything, the version adopted; end everything."""
    with ExitStack() as stack:
        azurite = stack.enter_context(running_azurite())
        service = stack.enter_context(_running_service())
        container = open_container(StorageSettings(connection_string=SecretStr(azurite.connection_string)))
        container.ensure()
        container.create(contract_blob(contract().id), contract().to_json())
        settings = {
            "AzureWebJobsStorage": azurite.connection_string,
            "SESAM__URL": "http://localhost:9",
            "SESAM__JWT": "none",
        }
        for model, more in (("churn", {}), ("split", {"PARALLEL": "4", "BATCH_ROWS": "250"})):
            adoption = Adoption(version=VERSION, contract_id=contract().id, adopted="2026-11-23T02:00:00Z")
            container.create(adoption_blob(model), encode(adoption))
            given = {
                "URL": service,
                "DIALECT": "score-script",
                "AUTH": "none",
                "CONTRACT": "customers",
                **more,
            }
            settings |= {f"MODELS__{model.upper()}__{name}": value for name, value in given.items()}
        app = stack.enter_context(running_app(ROOT, settings=settings))
        yield Parts(app, service)


@contextmanager
def _running_service() -> Iterator[str]:
    command = [sys.executable, "-m", "bench.service"]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None  # noqa: S101  # it is a pipe
            yield process.stdout.readline().strip()
        finally:
            process.terminate()


@dataclass(frozen=True)
class Driven:
    """What a client saw: entities a second, and milliseconds at the percentiles."""

    rate: float
    p50: float
    p95: float
    p99: float


def drive(url: str, callers: int, seconds: float, body: bytes, entities: int) -> Driven:
    """Have a client post a body of so many entities."""
    spent, took = json.loads(_client(url, callers, seconds, body))
    cuts = quantiles(took, n=100, method="inclusive") if len(took) > 1 else took * 99
    return Driven(len(took) * entities / spent, *(cuts[at - 1] * 1000 for at in (50, 95, 99)))


def _client(url: str, callers: int, seconds: float, body: bytes) -> bytes:
    command = [sys.executable, "-m", "bench.client", url, str(callers), str(seconds)]
    done = subprocess.run(command, cwd=ROOT, input=body, capture_output=True, check=False)
    if done.returncode:
        raise RuntimeError(done.stderr.decode()[-2000:])
    return done.stdout
