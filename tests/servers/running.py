"""The real servers, started once for all tests of a run that want them and stopped with it.

    with running_servers(folder) as servers:
        servers["automl"].url        # the endpoint of that deployment, behind its front

Their environment is built at first use (tests/environments.py), their models are trained into `folder`.
"""

import os
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from socket import create_connection, socket

from local.services.front import Front, running_front
from local.serving import LOOPBACK
from tests.environments import environment

HERE = Path(__file__).parent
REQUIREMENTS = HERE / "requirements.txt"
KEY = "key-of-the-servers"
NAMES = ("plain", "automl", "automl-v1", "mlflow", "mlflow-unsigned", "mlflow-server")

# Cold, on two busy cores, with nothing compiled yet.
SECONDS_TO_START = 180.0


class ServerDied(Exception):
    """A server ended instead of answering; the message ends with its log."""


@contextmanager
def running_servers(folder: Path) -> Iterator[Mapping[str, Front]]:
    """Run every server of NAMES, each behind a front of its own."""
    python = environment("servers", REQUIREMENTS)
    ports = dict(zip(NAMES, _free_ports(len(NAMES)), strict=True))
    with ExitStack() as stack:
        process = stack.enter_context(_serving(python, folder, ports))
        for name, port in ports.items():
            _await_port(port, process, [folder / "all.log", folder / f"{name}.log"])
        fronts = {}
        for name, port in ports.items():
            path = "invocations" if name == "mlflow-server" else "score"
            front = running_front(f"http://{LOOPBACK}:{port}/{path}", key=KEY, timeout_s=60)
            fronts[name] = stack.enter_context(front)
        yield fronts


@contextmanager
def _serving(python: Path, folder: Path, ports: Mapping[str, int]) -> Iterator[subprocess.Popen[bytes]]:
    words = [f"{name}={port}" for name, port in ports.items()]
    # One thread each for arithmetic: a library's own threads do not live through a fork.
    threads = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1")
    with (folder / "all.log").open("wb") as log:
        process = subprocess.Popen(
            [python, HERE / "serve.py", folder, *words],
            cwd=folder,
            env={**os.environ, **threads},
            stdin=subprocess.PIPE,
            stdout=log,
            stderr=log,
        )
    with process:  # closing its input stops it, as does our own death
        yield process


def _free_ports(count: int) -> list[int]:
    with ExitStack() as stack:
        sockets = [stack.enter_context(socket()) for _ in range(count)]
        for each in sockets:
            each.bind((LOOPBACK, 0))
        return [each.getsockname()[1] for each in sockets]


def _await_port(port: int, process: subprocess.Popen[bytes], logs: Sequence[Path]) -> None:
    deadline = time.monotonic() + SECONDS_TO_START
    while time.monotonic() < deadline and process.poll() is None:
        try:
            create_connection((LOOPBACK, port), 1).close()
            return
        except OSError:
            time.sleep(0.05)  # the only sign of life is that it listens
    said = "\n".join(log.read_text(errors="replace")[-2000:] for log in logs if log.exists())
    raise ServerDied(f"{logs[-1].stem} does not answer:\n{said}")
