"""Kills writers with SIGKILL at every call to storage while a reader follows `latest`.

    python -m local.proof.crash --times 10 [--connection-string …] [--container …]

One process forks a child for each run; the n-th child dies before its n-th call, until one lives to the end:
then every call has been met. Meanwhile a reader follows `latest` to its manifest and data, and proves them;
now and then the newest version that is listed, too.
"""

import argparse
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from uuid import uuid4

from pydantic import SecretStr

from local.azurite import running_azurite
from sections import ExportSettings, StorageSettings
from storage import (
    Container,
    data_blob,
    latest_blob,
    manifest_blob,
    manifests_prefix,
    open_container,
    run_blob,
    turn_blob,
)

EXPORT = "customers"
PIPE = "made-up"
FEWEST_READS = 1000
LIST_EVERY = 10
KEEP = 3


@dataclass(frozen=True)
class CrashProof:
    """What came of it; `torn` reads are those that did not see one whole version."""

    rounds: int
    calls: int
    kills: int
    reads: int
    torn: int
    versions_seen: int


def crash_proof(connection_string: str, container: str, *, times: int) -> CrashProof:
    """Run the proof in a process of its own, which has no threads and so may fork."""
    command = [sys.executable, "-m", "local.proof.crash", "--times", str(times), "--json"]
    command += ["--connection-string", connection_string, "--container", container]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(done.stderr[-2000:])
    return CrashProof(**json.loads(done.stdout))


class _Killing:
    """A container at whose n-th call the process is killed."""

    def __init__(self, inner: Container, at: int) -> None:
        self._inner, self._left = inner, at

    def __getattr__(self, name: str) -> Callable[..., Any]:
        self._left -= 1
        if self._left == 0:
            os.kill(os.getpid(), signal.SIGKILL)
        method: Callable[..., Any] = getattr(self._inner, name)
        return method


class _Node:
    """A node that publishes a table of so many rows."""

    host = "node.local"

    def __init__(self, rows: int) -> None:
        self._rows = rows

    def pipe(self, pipe: str) -> Any:
        from training_export.publisher import PipeFacts

        return PipeFacts(note=f"{pipe} is made up")

    @contextmanager
    def published(self, pipe: str, *, allow_unframed: bool = False) -> Iterator[Any]:
        from training_export.publisher import Published

        del pipe, allow_unframed
        body = "_id,Income\r\n" + "".join(f"{n},{n * 7}\r\n" for n in range(self._rows))
        yield Published({}, iter([body.encode()]))


def _write(settings: StorageSettings, rows: int, die_at: int) -> None:
    from training_export.runs import RunRecord
    from training_export.snapshot import Export, run_export
    from training_export.versions import Versions

    container: Any = _Killing(open_container(settings), die_at)
    run_export(
        Export(
            name=EXPORT,
            settings=ExportSettings(pipe=PIPE, keep_versions=KEEP),
            node=_Node(rows),
            versions=Versions(container, EXPORT, _now),
            record=RunRecord(container, EXPORT, _now),
            monotonic=time.monotonic,
            sleep=time.sleep,
        ),
        uuid4().hex,
        last_try=True,
    )


def _now() -> datetime:
    return datetime.now(UTC)


def _read(settings: StorageSettings, stop: int, out: int) -> None:
    """Follow `latest` until `stop` is written to, at least FEWEST_READS times; write what was seen."""
    os.set_blocking(stop, False)
    container = open_container(settings)
    seen: set[str] = set()
    reads = torn = 0
    while reads < FEWEST_READS or not _told(stop):
        version = json.loads(_data(container, latest_blob(EXPORT)))["version"]
        torn += not _is_whole(container, version) or max(seen, default="") > version
        seen.add(version)
        reads += 1
        if reads % LIST_EVERY == 0:
            names = [blob.name for blob in container.list(manifests_prefix(EXPORT))]
            torn += not _is_whole(container, Path(max(names)).stem)
    os.write(out, json.dumps({"reads": reads, "torn": torn, "versions_seen": len(seen)}).encode())


def _is_whole(container: Container, version: str) -> bool:
    manifest = json.loads(_data(container, manifest_blob(EXPORT, version)) or b"{}")
    data = _data(container, data_blob(EXPORT, version))
    return bool(manifest.get("sha256") == sha256(data).hexdigest())


def _data(container: Container, name: str) -> bytes:
    blob = container.read(name)
    return blob.data if blob else b""


def _told(pipe: int) -> bool:
    try:
        return bool(os.read(pipe, 1))
    except BlockingIOError:
        return False


def _forked(work: Callable[[], None]) -> int:
    """Do work in a child and give its process id; the child ends with it."""
    pid = os.fork()
    if pid:
        return pid
    try:
        work()
        os._exit(0)
    except BaseException as error:  # noqa: BLE001  # the child has nobody else to tell
        print(f"{type(error).__name__}: {error}", file=sys.stderr, flush=True)
        os._exit(1)


def _killed(settings: StorageSettings, rows: int, die_at: int) -> bool:
    """Run a writer in a child; say whether it was killed."""
    _, status = os.waitpid(_forked(lambda: _write(settings, rows, die_at)), 0)
    if os.WIFEXITED(status) and os.WEXITSTATUS(status) == 0:
        return False
    if not (os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGKILL):
        raise RuntimeError("a writer failed by itself")
    # A dead writer's leases last a minute; nobody here waits for them.
    os.waitpid(_forked(lambda: _break_leases(settings)), 0)
    return True


def _break_leases(settings: StorageSettings) -> None:
    from azure.core.exceptions import AzureError
    from azure.storage.blob import BlobLeaseClient, BlobServiceClient

    service = BlobServiceClient.from_connection_string(settings.connection_string.get_secret_value())
    for name in (run_blob(EXPORT), turn_blob(PIPE)):
        blob = service.get_blob_client(settings.container, name)
        with suppress(AzureError):  # it died before it had one
            BlobLeaseClient(blob).break_lease(lease_break_period=0)


def prove(settings: StorageSettings, times: int) -> CrashProof:
    """Kill a writer at every call, so many times, under the eyes of a reader."""
    # Imported before the forks, not in each of them.
    import azure.storage.blob  # noqa: F401  # see above

    import training_export.snapshot  # noqa: F401  # see above

    rows = 10
    _run(lambda: open_container(settings).ensure())
    _killed(settings, rows, -1)
    stop, out = os.pipe(), os.pipe()
    reader = _forked(lambda: _read(settings, stop[0], out[1]))
    kills = calls = 0
    for _ in range(times):
        die_at = 1
        while True:
            rows += 1
            if not _killed(settings, rows, die_at):
                break
            die_at += 1
        kills, calls = kills + die_at - 1, max(calls, die_at - 1)
    os.write(stop[1], b".")
    os.waitpid(reader, 0)
    seen = json.loads(os.read(out[0], 10_000))
    return CrashProof(rounds=times, calls=calls, kills=kills, **seen)


def _run(work: Callable[[], None]) -> None:
    os.waitpid(_forked(work), 0)


def main() -> int:
    """Run it, on an Azurite of its own unless one is named; 1 where a read was torn."""
    parser = argparse.ArgumentParser(prog="crash")
    parser.add_argument("--times", type=int, default=10, help="how often at each call")
    parser.add_argument("--connection-string", default="")
    parser.add_argument("--container", default=f"crash-{uuid4().hex}")
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args()
    azurite = nullcontext(SimpleNamespace(connection_string=given.connection_string))
    with azurite if given.connection_string else running_azurite() as storage:
        settings = StorageSettings(
            container=given.container, connection_string=SecretStr(storage.connection_string)
        )
        proof = prove(settings, given.times)
    if given.json:
        print(json.dumps(asdict(proof)))
    else:
        print(
            f"{proof.kills} writers killed, {proof.rounds} at each of {proof.calls} calls to storage; "
            f"latest followed {proof.reads} times to {proof.versions_seen} versions, {proof.torn} torn."
        )
    return 1 if proof.torn else 0


if __name__ == "__main__":
    sys.exit(main())
