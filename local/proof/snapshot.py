"""Exports large tables from a node to Azurite, beside a plain copy of the same bytes, and measures both.

    python -m local.proof.snapshot --megabytes 200 2000

For each size: is the blob byte-identical, how far does memory rise above the idle process, how many MB/s.
Node, Azurite and each measured run are processes of their own; the plain copy checks, hashes and scans
nothing.
"""

import argparse
import hashlib
import json
import os
import random
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import uuid4

from pydantic import SecretStr

from local.azurite import running_azurite
from sections import ExportSettings, SesamSettings, StorageSettings
from storage import Container, data_blob, open_container

EXPORT = "large"
MOST_MIB = 60
# What one run of the same size differs from the next by: the scan's arrays meet in the heap by chance.
SAME_MIB = 8
ROWS_A_BLOCK = 20_000
COLUMNS = (
    "_id,Name,Location,CustStatus,CustSegment,PostCode,Address,BirthDate,CustomerSince,Tenure,Complaints,"
    "Newsletter,MonthlySpend,Income,Satisfaction,LastOrder,LastLogin,AccountManager,LoyaltyId,Homepage,"
    "ChurnFlag"
)
# Changed from block to block, so that ids stay apart; as long as what takes its place.
_PLACEHOLDER = b"@@@@@@@"


@dataclass(frozen=True)
class Measured:
    """One run: seconds, MiB of memory of the idle process and at the highest, and seconds of CPU.

    Attributes:
        cpu: of the run's own process.
        busy: of all cores, whoever kept them busy: node and storage too, and what else ran.
    """

    seconds: float
    cpu: float
    busy: float
    idle: float
    peak: float
    outcome: str
    version: str = ""

    @property
    def mib(self) -> float:
        """Give the MiB above the idle process."""
        return self.peak - self.idle


@dataclass(frozen=True)
class SnapshotProof:
    """What came of one size."""

    megabytes: float
    rows: int
    identical: bool
    copied: Measured
    exported: Measured

    @property
    def copy_mb_s(self) -> float:
        """Give the MB/s of the plain copy."""
        return self.megabytes / self.copied.seconds

    @property
    def export_mb_s(self) -> float:
        """Give the MB/s of the export."""
        return self.megabytes / self.exported.seconds


def table(size: int) -> Iterator[bytes]:
    """Make a table of about so many bytes, always the same one, a block of rows at a time."""
    yield COLUMNS.encode() + b"\r\n"
    block, made, number = _block(), 0, 0
    while made < size:
        yield block.replace(_PLACEHOLDER, b"%07d" % number)
        made, number = made + len(block), number + 1


def _block() -> bytes:
    source = random.Random(2026)
    return "".join(_row(source, number) for number in range(ROWS_A_BLOCK)).encode()


def _row(source: random.Random, number: int) -> str:
    day = f"20{source.randrange(10, 26)}-{source.randrange(1, 13):02}-{source.randrange(1, 29):02}"
    address = source.choice(
        [f"Storgata {number}", f'"Åsveien {number}, 2. etg."', f'"Sjøgata {number}\nBodø"']
    )
    cells = (
        f"{_PLACEHOLDER.decode()}-{number}",
        f"Name {source.randrange(100_000)}",
        source.choice(["Oslo", "Bergen", "Tromsø", "Ålesund"]),
        source.choice(["Active", "New", "Passive"]),
        source.choice(["Private", "Student", ""]),
        f"{source.randrange(10_000):04}",
        address,
        day if source.random() < 0.9 else "",
        day,
        source.randrange(120),
        source.randrange(4),
        source.choice(["true", "false"]),
        f"{source.uniform(50, 7000):.2f}",
        source.randrange(150_000, 2_500_000),
        f"{source.uniform(1, 5):.1f}",
        f"{day}T{source.randrange(24):02}:{source.randrange(60):02}:00Z",
        f"{day}T10:00:{source.randrange(60):02}.{source.randrange(1000):03}Z",
        source.choice(["KN-07", "TR-11", ""]),
        f"{source.getrandbits(64):016x}",
        source.choice(["", "", "https://example.org/"]),
        source.choice(["true", "false"]),
    )
    return ",".join(map(str, cells)) + "\r\n"


# ---- the node


def serve(size: int) -> None:
    """Publish the table at whatever path is asked for, chunked, until the process is ended."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        print(listener.getsockname()[1], flush=True)
        while True:
            client, _ = listener.accept()
            with client:
                _answer(client, size)


def _answer(client: socket.socket, size: int) -> None:
    received = b""
    while b"\r\n\r\n" not in received:
        received += client.recv(65_536)
    if b"/csv" not in received.split(b"\r\n")[0]:
        client.sendall(b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
        return
    client.sendall(
        b"HTTP/1.1 200 OK\r\nContent-Type: text/csv\r\nTransfer-Encoding: chunked\r\n"
        b"Connection: close\r\n\r\n"
    )
    for block in table(size):
        client.sendall(b"%x\r\n%b\r\n" % (len(block), block))
    client.sendall(b"0\r\n\r\n")


# ---- what is measured


def copy(settings: StorageSettings, port: int) -> Measured:
    """Copy the node's bytes into a blob by the same wires, checking nothing."""
    from training_export.publisher import SesamNode
    from training_export.staging import Staging

    def work(container: Container, node: Any, name: str) -> str:
        staging = Staging(container, f"copies/{name}", "copycopy")
        staging._sha256 = staging._md5 = _NoHash()  # type: ignore[assignment]  # that is the point
        with staging, node.published("large") as published:
            for chunk in published.chunks:
                staging.write(chunk)
            staging.commit("text/csv")
        return "copied"

    node = SesamNode(_sesam(port), time.monotonic)
    container = open_container(settings)
    return _measured(lambda: (work(container, node, uuid4().hex), ""))


class _NoHash:
    def update(self, data: bytes) -> None:
        del data

    def copy(self) -> "_NoHash":
        return self

    def digest(self) -> bytes:
        return bytes(16)


def export(settings: StorageSettings, port: int) -> Measured:
    """Export the table: scanned, hashed, staged, published."""
    from training_export.publisher import SesamNode
    from training_export.runs import RunRecord
    from training_export.snapshot import Export, run_export
    from training_export.versions import Versions

    container = open_container(settings)
    wires = Export(
        name=EXPORT,
        settings=ExportSettings(pipe="large"),
        node=SesamNode(_sesam(port), time.monotonic),
        versions=Versions(container, EXPORT, _now),
        record=RunRecord(container, EXPORT, _now),
        monotonic=time.monotonic,
        sleep=time.sleep,
    )

    def work() -> tuple[str, str]:
        run = run_export(wires, uuid4().hex, last_try=True)
        return f"{run.outcome} {run.detail}".strip(), run.version or ""

    return _measured(work)


def _measured(work: Callable[[], tuple[str, str]]) -> Measured:
    import azure.storage.blob  # noqa: F401  # the idle process has loaded what it needs

    idle = _status("VmRSS")
    Path("/proc/self/clear_refs").write_text("5")  # from here on the peak is counted anew
    begun, cpu, busy = time.perf_counter(), time.process_time(), _busy()
    outcome, version = work()
    seconds, cpu, busy = time.perf_counter() - begun, time.process_time() - cpu, _busy() - busy
    return Measured(seconds, cpu, busy, idle, _status("VmHWM"), outcome, version)


def _busy() -> float:
    """Give the seconds that this machine's cores have worked since it started (proc(5), /proc/stat)."""
    user, nice, system, _idle, _iowait, irq, softirq = map(
        int, Path("/proc/stat").read_text().split(maxsplit=8)[1:8]
    )
    return (user + nice + system + irq + softirq) / os.sysconf("SC_CLK_TCK")


def _status(field: str) -> float:
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) / 1024 for line in lines if line.startswith(f"{field}:"))


def _sesam(port: int) -> SesamSettings:
    return SesamSettings(url=f"http://localhost:{port}", jwt=SecretStr("none"))


def _now() -> datetime:
    return datetime.now(UTC)


# ---- the proof


def prove(connection_string: str, megabytes: float) -> SnapshotProof:
    """Copy and export one size, each in a process of its own."""
    size = int(megabytes * 1_000_000)
    settings = StorageSettings(
        container=f"proof-{uuid4().hex}", connection_string=SecretStr(connection_string)
    )
    container = open_container(settings)
    container.ensure()
    command = [sys.executable, "-m", "local.proof.snapshot", "--size", str(size)]
    with subprocess.Popen([*command, "--role", "node"], stdout=subprocess.PIPE, text=True) as node:
        try:
            assert node.stdout is not None  # noqa: S101  # it is a pipe
            port = node.stdout.readline().strip()
            copied, exported = (
                _child([*command, "--role", role, "--port", port], settings) for role in ("copy", "export")
            )
        finally:
            node.terminate()
    if not exported.outcome.startswith("published"):
        raise RuntimeError(f"the export was not published: {exported.outcome}")
    sent, stored = hashlib.sha256(), hashlib.sha256()
    length = lines = 0
    for block in table(size):
        sent.update(block)
        length, lines = length + len(block), lines + block.count(b"\r\n")
    for chunk in container.download(data_blob(EXPORT, exported.version)):
        stored.update(chunk)
    return SnapshotProof(
        megabytes=length / 1e6,
        rows=lines - 1,
        identical=sent.digest() == stored.digest(),
        copied=copied,
        exported=exported,
    )


def _child(command: list[str], settings: StorageSettings) -> Measured:
    command = [*command, "--container", settings.container]
    done = subprocess.run(
        [*command, "--connection-string", settings.connection_string.get_secret_value()],
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise RuntimeError(done.stderr[-2000:])
    return Measured(**json.loads(done.stdout))


def report(proofs: list[SnapshotProof]) -> str:
    """Lay out the figures."""
    lines = ["     MB       rows  identical  copy MB/s  export MB/s  ratio  copy +MiB  export +MiB"]
    lines += [
        f"{p.megabytes:7.0f}  {p.rows:9,}  {'yes' if p.identical else 'NO':>9}  {p.copy_mb_s:9.0f}"
        f"  {p.export_mb_s:11.0f}  {p.export_mb_s / p.copy_mb_s:5.2f}"
        f"  {p.copied.mib:9.0f}  {p.exported.mib:11.0f}"
        for p in proofs
    ]
    return "\n".join(lines)


def broken(proofs: list[SnapshotProof]) -> list[str]:
    """Say which promises did not hold."""
    told = [f"{p.megabytes:.0f} MB: the blob differs from what was sent" for p in proofs if not p.identical]
    told += [
        f"{p.megabytes:.0f} MB: {p.exported.mib:.0f} MiB above the idle process, over {MOST_MIB}"
        for p in proofs
        if p.exported.mib > MOST_MIB
    ]
    memory = [p.exported.mib for p in proofs]
    if max(memory) - min(memory) > SAME_MIB:
        told.append(f"memory is not the same at every size: {min(memory):.0f} to {max(memory):.0f} MiB")
    return told


def main() -> int:
    """Run it for every size; 1 where a blob differs from what was sent, or memory is not bounded."""
    parser = argparse.ArgumentParser(prog="snapshot")
    parser.add_argument("--megabytes", type=float, nargs="+", default=[200, 2000])
    for hidden in ("--role", "--port", "--size", "--container", "--connection-string"):
        parser.add_argument(hidden, default="", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.role == "node":
        serve(int(given.size))
    if given.role:
        settings = StorageSettings(
            container=given.container, connection_string=SecretStr(given.connection_string)
        )
        measured = {"copy": copy, "export": export}[given.role](settings, int(given.port))
        print(json.dumps(asdict(measured)))
        return 0
    proofs = []
    for megabytes in given.megabytes:
        with running_azurite() as azurite:
            proofs.append(prove(azurite.connection_string, megabytes))
    print(report(proofs))
    told = broken(proofs)
    print("\n".join(told or [f"Byte-identical, within {MOST_MIB} MiB of the idle process at every size."]))
    return 1 if told else 0


if __name__ == "__main__":
    sys.exit(main())
