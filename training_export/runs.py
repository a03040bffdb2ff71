"""The wire: the record of an export's last run, and the leases that spare the node a second one (design §6).

Correctness rests on conditional writes alone (versions.py): a lost lease costs a download, never a version.
"""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import datetime
from typing import Literal

import msgspec

from contract.documents import encode, timestamp
from errors import Failure, UnderWay
from storage import Container, Lease, run_blob, turn_blob
from training_export.versions import document

LEASE_S = 60
RENEW_S = 20.0

type Outcome = Literal["queued", "running", "published", "unchanged", "held", "joined", "failed"]


class Run(msgspec.Struct, frozen=True, kw_only=True):
    """One run of an export, as `runs/{export}.json` and the route tell it."""

    id: str
    outcome: Outcome
    started: str | None = None
    finished: str | None = None
    version: str | None = None
    detail: str = ""


class RunRecord:
    """The record of one export's last run."""

    def __init__(self, container: Container, export: str, now: Callable[[], datetime]) -> None:
        self._container = container
        self._name = run_blob(export)
        self._now = now
        self._lease: Lease | None = None

    def last(self) -> Run | None:
        """Read the last run; None before the first."""
        return document(self._container.read(self._name), self._name, Run)

    def queue(self, run: str) -> None:
        """Record that a run is queued.

        While another runs, its lease refuses the write and the record keeps telling of that one.
        """
        data = encode(Run(id=run, outcome="queued"))
        blob = self._container.read(self._name)
        if blob is None:
            self._container.create(self._name, data)
        else:
            self._container.replace(self._name, data, blob.etag)

    @contextmanager
    def lease(self, run: str) -> Iterator[bool]:
        """Hold the export for a run; False where another run holds it.

        Raises:
            UnderWay: the one that holds it is this same run.
        """
        self._container.create(self._name, encode(Run(id=run, outcome="queued")))
        with _held(self._container, self._name) as lease:
            if lease is None:
                last = self.last()
                if last and last.id == run:
                    raise UnderWay(f"The run {run} has an earlier try that has not ended: trying again.")
            self._lease = lease
            try:
                yield lease is not None
            finally:
                self._lease = None

    @contextmanager
    def turn(self, pipe: str) -> Iterator[None]:
        """Hold a pipe: the node is asked for it by one run at a time, whatever exports share it.

        Raises:
            UnderWay: another export's run holds it.
        """
        name = turn_blob(pipe)
        self._container.create(name, b"{}")
        with _held(self._container, name) as lease:
            if lease is None:
                raise UnderWay(f"The pipe {pipe} is being read for another export: waiting for a turn.")
            yield

    def write(self, run: Run) -> None:
        """Replace the record, under the lease."""
        self._container.put(self._name, encode(run), lease=self._lease)

    def time(self) -> str:
        """Give the present time as records tell it."""
        return timestamp(self._now())


@contextmanager
def _held(container: Container, name: str) -> Iterator[Lease | None]:
    """Lease a blob and renew the lease until the end; None where another holds it."""
    lease = container.lease(name, LEASE_S)
    if lease is None:
        yield None
        return
    ended = threading.Event()
    keeper = threading.Thread(target=_keep, args=(lease, ended), daemon=True)
    keeper.start()
    try:
        yield lease
    finally:
        ended.set()
        keeper.join()
        with suppress(Failure):  # it ends by itself soon, and the run is done
            lease.release()


def _keep(lease: Lease, ended: threading.Event) -> None:
    while not ended.wait(RENEW_S):
        try:
            if not lease.renew():
                return
        except Failure:
            continue  # storage is away for a moment: the next renewal may still be in time
