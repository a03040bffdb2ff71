"""One soak from start to end."""

import logging
import threading
import time
import traceback
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

from azure.core.exceptions import ResourceNotFoundError
from azure.storage.queue import QueueClient

from storage import EXPORT_QUEUE, latest_blob, snapshots_prefix
from tests.exports import whole_version
from tests.soak.books import Books, Sample
from tests.soak.callers import RUN_PATIENCE_S, Exporter, Hub, follow_latest
from tests.soak.fate import LONG_SOAK_S, rage
from tests.soak.parts import EXPORTS, Parts, running_parts
from training_export.versions import Versions

HUBS = 4
# In a long soak exports take turns with peace between them, so that scoring gets its share of the machine.
EXPORT_PAUSE_S = 3.0
DRAIN_S = RUN_PATIENCE_S


def soak(seconds: float, seed: int, say: Callable[[str], None] = lambda _: None) -> Books:
    """Run the whole road for so long under faults, let it come to rest, and give the books."""
    # A client that is gone is what the toxics are for.
    logging.getLogger("aiohttp.server").disabled = True
    books, stop, given_up = Books(), threading.Event(), threading.Event()
    with running_parts() as parts:
        began = time.monotonic()
        pause = EXPORT_PAUSE_S if seconds >= LONG_SOAK_S else 0.2
        watching = _started(books, lambda: _watch(parts, books, began, given_up))
        reading = _started(books, lambda: follow_latest(parts, books, given_up))
        working = [
            _started(books, lambda: rage(parts, books, str(seed), seconds, stop)),
            *(_started(books, _hub(parts, books, f"{seed}-{n}", stop, given_up)) for n in range(HUBS)),
            *(_started(books, _exporter(parts, books, e, str(seed), stop, given_up, pause)) for e in EXPORTS),
        ]
        while (left := seconds - (time.monotonic() - began)) > 0:
            time.sleep(min(left, 30.0))
            say(_line(books, time.monotonic() - began))
        stop.set()
        end = time.monotonic() + DRAIN_S
        for thread in working:
            thread.join(max(0.0, end - time.monotonic()))
        given_up.set()
        for thread in (*working, watching, reading):
            thread.join()
        _audit(parts, books)
    return books


def _started(books: Books, work: Callable[[], None]) -> threading.Thread:
    def run() -> None:
        try:
            work()
        except Exception:  # noqa: BLE001  # a thread of the soak that dies is a soak that proves nothing
            books.blame(f"the soak itself failed: {traceback.format_exc(limit=-4)}")

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    return thread


def _hub(
    parts: Parts, books: Books, name: str, stop: threading.Event, given_up: threading.Event
) -> Callable[[], None]:
    return lambda: Hub(parts, books, name).send_until(stop, given_up)


def _exporter(
    parts: Parts,
    books: Books,
    export: str,
    seed: str,
    stop: threading.Event,
    given_up: threading.Event,
    pause: float,
) -> Callable[[], None]:
    return lambda: Exporter(parts, books, export, seed).export_until(stop, given_up, pause)


def _watch(parts: Parts, books: Books, began: float, stop: threading.Event) -> None:
    """Look at the app's process once a second."""
    while not stop.wait(1.0):
        life, app = parts.started, parts.app
        try:
            process = Path(f"/proc/{app.pid if app else 0}")
            status = dict(line.split(":", 1) for line in (process / "status").read_text().splitlines())
            books.samples.append(
                Sample(
                    life,
                    time.monotonic() - began,
                    int(status["VmRSS"].split()[0]) / 1024,
                    int(status["Threads"]),
                    sum(1 for _ in (process / "fd").iterdir()),
                )
            )
        except (OSError, KeyError):
            continue  # it is being started again


def _audit(parts: Parts, books: Books) -> None:
    """See that all there is at the end is whole, and that nothing half made can be met."""
    for export in EXPORTS:
        versions = Versions(parts.container, export, lambda: datetime.now(UTC))
        known = versions.ids()
        for version in known:
            try:
                whole_version(parts.container, version, export)
            except AssertionError as error:
                books.blame(f"version {version} of {export}: {error}")
        books.add(books.versions, kept=len(known))
        latest = versions.latest()
        if known and (latest is None or latest.version != known[-1]):
            books.blame(f"{latest_blob(export)} does not name the newest version, {known[-1]}")
        folders = {blob.name.split("/")[2] for blob in parts.container.list(snapshots_prefix(export))}
        books.add(books.versions, orphans=len(folders - set(known)))
    books.add(books.versions, poisoned=_poisoned(parts))


def _poisoned(parts: Parts) -> int:
    with QueueClient.from_connection_string(
        parts.azurite.connection_string, f"{EXPORT_QUEUE}-poison"
    ) as queue:
        try:
            return queue.get_queue_properties().approximate_message_count or 0
        except ResourceNotFoundError:
            return 0  # never needed, never made


def _line(books: Books, seconds: float) -> str:
    return (
        f"{seconds:6.0f} s  {books.entities['sent']:>10,} entities  {books.versions['published']:>5,} "
        f"versions  {sum(books.faults.values()):>4} faults  {len(books.wrong)} wrong"
    )
