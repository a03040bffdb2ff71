"""Azurite, Microsoft's storage emulator, as a real storage server for local runs and tests.

    with running_azurite() as azurite:
        BlobServiceClient.from_connection_string(azurite.connection_string)

It listens on loopback only, on ports the system chose or on given ones, keeps its data in a fresh folder that
is removed after, and never outlives the program that started it. `python -m local.azurite` runs it alone.
Flags and traps: facts/functions.md §5.
"""

import argparse
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

from local.bootstrap import NODE_MODULES, find_node

# Every Azurite has this one account; its key is published in Azurite's documentation and guards nothing.
ACCOUNT = "devstoreaccount1"
ACCOUNT_KEY = "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw=="

LOOPBACK = "127.0.0.1"
DEFAULT_PORT = 10000
HIGHEST_PORT = 65535

# Without the third, today's SDKs are answered 400: they speak a newer API version than Azurite 3.35.0 knows.
FLAGS = ("--silent", "--disableTelemetry", "--skipApiVersionCheck")

SECONDS_TO_START = 60.0  # about 1 on an idle machine
SECONDS_TO_END = 5.0

_PROGRAM = NODE_MODULES / "azurite" / "dist" / "src" / "azurite.js"
_END_WITH_PARENT = Path(__file__).with_name("end_with_parent.mjs")
_LISTENING = re.compile(r"^Azurite (\w+) service is successfully listening at \S+:(\d+)\s*$", re.MULTILINE)


class AzuriteFailed(Exception):
    """Why Azurite does not run and what to do; with what it said itself, if it said something."""


@dataclass(frozen=True)
class Azurite:
    """A running Azurite: its ports on loopback, the folder with its data, its process."""

    blob_port: int
    queue_port: int
    table_port: int
    folder: Path
    process: subprocess.Popen[bytes] = field(repr=False, compare=False)

    @property
    def connection_string(self) -> str:
        """What Azure's SDKs and the setting `AzureWebJobsStorage` take."""
        ports = {"Blob": self.blob_port, "Queue": self.queue_port, "Table": self.table_port}
        endpoints = (f"{name}Endpoint=http://{LOOPBACK}:{port}/{ACCOUNT}" for name, port in ports.items())
        account = f"DefaultEndpointsProtocol=http;AccountName={ACCOUNT};AccountKey={ACCOUNT_KEY}"
        return ";".join([account, *endpoints])


@contextmanager
def running_azurite(*, blob_port: int = 0, folder: Path | None = None) -> Iterator[Azurite]:
    """Run Azurite until the block ends.

    `blob_port` 0 lets the system choose three free ports; with another, queue and table get the next two.
    A given `folder` is kept, otherwise the data is removed. Raises AzuriteFailed when it cannot start or has
    failed by itself; not when somebody ended its process.
    """
    ports = [blob_port + offset if blob_port else 0 for offset in range(3)]
    _refuse_bad_ports(ports)
    with _data_folder(folder) as data, tempfile.TemporaryFile() as said:
        process = _start(ports, data, said, remove_data=folder is None)
        try:
            chosen = _ports_once_listening(process, said)
            try:
                yield Azurite(chosen["Blob"], chosen["Queue"], chosen["Table"], data, process)
            finally:
                if (process.poll() or 0) > 0:
                    raise AzuriteFailed(_last_words(process, said))
        finally:
            _end(process)


@contextmanager
def _data_folder(given: Path | None) -> Iterator[Path]:
    if given is not None:
        yield given
        return
    fresh = Path(tempfile.mkdtemp(prefix="azurite-"))
    try:
        yield fresh
    finally:
        shutil.rmtree(fresh, ignore_errors=True)  # most often Azurite has removed it at its own end


def _refuse_bad_ports(ports: Sequence[int]) -> None:
    if not 0 <= ports[0] <= ports[-1] <= HIGHEST_PORT:
        raise AzuriteFailed(
            f"Azurite needs three ports in a row, the first one from 1 to {HIGHEST_PORT - 2}."
        )
    taken = [port for port in ports if port and not _is_free(port)]
    if taken:
        raise AzuriteFailed(
            f"Port {taken[0]} is in use, perhaps by another Azurite: end that, or choose other ports, "
            f"such as PORT={ports[0] + 100}."
        )


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        # As Azurite does, so that only a listener is in the way and not the remains of an ended connection.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((LOOPBACK, port))
        except OSError:
            return False
        return True


def _start(ports: Sequence[int], data: Path, said: BinaryIO, *, remove_data: bool) -> subprocess.Popen[bytes]:
    node = find_node()
    if node is None or not _PROGRAM.is_file():
        raise AzuriteFailed("Azurite is not installed: run `make setup`.")
    services = [
        word
        for name, port in zip(("blob", "queue", "table"), ports, strict=True)
        for word in (f"--{name}Host", LOOPBACK, f"--{name}Port", str(port))
    ]
    return subprocess.Popen(
        [
            node.program,
            "--import",
            _END_WITH_PARENT.as_uri(),
            _PROGRAM,
            *FLAGS,
            "--location",
            data,
            *services,
        ],
        stdin=subprocess.PIPE,  # never written to: its end is what ends Azurite
        stdout=said,
        stderr=said,
        env=os.environ | ({"REMOVE_AT_END": str(data)} if remove_data else {}),
        start_new_session=True,  # Ctrl-C is for the program that started it, which then ends it in order
    )


def _ports_once_listening(process: subprocess.Popen[bytes], said: BinaryIO) -> dict[str, int]:
    give_up = time.monotonic() + SECONDS_TO_START
    while True:
        ports = {name: int(port) for name, port in _LISTENING.findall(_read(said))}
        if ports.keys() >= {"Blob", "Queue", "Table"}:
            return ports
        if process.poll() is not None:
            raise AzuriteFailed(_last_words(process, said))
        if time.monotonic() > give_up:
            raise AzuriteFailed(f"Azurite did not start within {SECONDS_TO_START:.0f} s:\n{_read(said)}")
        time.sleep(0.01)  # between two looks at what it said


def _last_words(process: subprocess.Popen[bytes], said: BinaryIO) -> str:
    return f"Azurite failed (status {process.returncode}). It said:\n{_read(said).strip()}"


def _read(said: BinaryIO) -> str:
    # pread, because Azurite writes through the same file description: a seek would move its writing, too.
    return os.pread(said.fileno(), 1_000_000, 0).decode(errors="replace")


def _end(process: subprocess.Popen[bytes]) -> None:
    if process.stdin:
        process.stdin.close()
    try:
        process.wait(SECONDS_TO_END)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def main() -> int:
    """Run Azurite alone until Ctrl-C; 0, or 2 after one line that says why not."""
    parser = argparse.ArgumentParser(prog="azurite", usage=argparse.SUPPRESS)
    parser.add_argument(
        "--port", type=int, default=DEFAULT_PORT, help="of blob; queue and table get the next two"
    )
    port: int = parser.parse_args().port
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        with running_azurite(blob_port=port) as azurite:
            print(_how_to_use(azurite), flush=True)
            azurite.process.wait()
    except AzuriteFailed as failure:
        print(failure, file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("\nAzurite has ended; its data is removed.")
    return 0


def _how_to_use(azurite: Azurite) -> str:
    return f"""\
Azurite runs on {LOOPBACK}: blob {azurite.blob_port}, queue {azurite.queue_port}, table {azurite.table_port}.
Its data is in a fresh folder that is removed at the end. Ctrl-C ends it.

For local.settings.json:
  "AzureWebJobsStorage": "{azurite.connection_string}"
"""


if __name__ == "__main__":
    sys.exit(main())
