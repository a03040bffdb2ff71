"""What this process sees of a model's entities: counted beside the calls and written now and then (issue 5).

A call hands over the rows that were scored, as they were sent, and goes on. All rows are counted, none is
sampled, on a thread of their own: no answer waits for a count or a blob, and nothing that fails here can fail
one. An observation is a sample for people and not an account: what cannot be written is told in the log and
tried again later, and what a process that is killed had not written is lost.
"""

import threading
import uuid
from collections.abc import Callable, Collection, Sequence
from concurrent.futures import Executor
from datetime import datetime

from contract.documents import Manifest, encode
from contract.features import Row
from contract.seen import SCHEMA_VERSION, Observation, Tally
from errors import Failure
from storage import observed_blob
from telemetry import warn

# Whichever comes first: instances on Flex live for minutes, and a blob is to be worth reading.
WRITE_AFTER_S = 300.0
WRITE_AFTER_ENTITIES = 10_000

# A manifest that could not be read is left alone for so long; what is seen meanwhile is not counted.
BLIND_S = 60.0

# Rows that wait to be counted while storage is slow; more are left out.
MOST_WAITING = 20_000

# How long the end of the process may be held up.
LAST_WORD_S = 10.0


class Observer:
    """Counts what one model is asked, and writes it as observations.

    Args:
        model: its name.
        constants: columns that always are sent with one value, and tell nothing.
        manifest: reads the manifest of a version.
        write: creates a blob of a name that nobody else uses.
        thread: runs one thing at a time, in order.
        clock: seconds, monotonic.
        now: the present time, UTC.
    """

    def __init__(
        self,
        model: str,
        constants: Collection[str],
        *,
        manifest: Callable[[str], Manifest],
        write: Callable[[str, bytes], object],
        thread: Executor,
        clock: Callable[[], float],
        now: Callable[[], datetime],
    ) -> None:
        self._model = model
        self._constants = constants
        self._manifest = manifest
        self._create = write
        self._thread = thread
        self._clock = clock
        self._now = now
        self._lock = threading.Lock()
        self._waiting = 0
        # From here on the one thread's own.
        self._version = ""
        self._tally = Tally(())
        self._started = now()
        self._last = clock()
        self._enough = WRITE_AFTER_ENTITIES
        self._blind_until = clock()

    def __call__(self, version: str, columns: Sequence[str], rows: Sequence[Row], outside: int) -> None:
        """Have rows of these columns counted, encoded through a version; returns at once."""
        with self._lock:
            if self._waiting + len(rows) > max(MOST_WAITING, len(rows)):
                return
            self._waiting += len(rows)
        self._thread.submit(self._told, lambda: self._count(version, columns, rows, outside))

    def finish(self) -> None:
        """Write what is not yet written, at the end of the process."""
        try:
            self._thread.submit(self._told, self._write).result(LAST_WORD_S)
        except TimeoutError:
            warn("not-observed", model=self._model, reason="storage is too slow for the end of the process")
        except RuntimeError:  # the interpreter is ending, and the thread has ended before it
            self._told(self._write)

    def _told(self, work: Callable[[], None]) -> None:
        try:
            work()
        except Failure as failure:
            warn("not-observed", model=self._model, reason=failure.detail)
        except Exception as error:  # noqa: BLE001  # nobody waits for this thread: it must tell by itself
            warn("not-observed", model=self._model, reason=type(error).__name__)

    def _count(self, version: str, columns: Sequence[str], rows: Sequence[Row], outside: int) -> None:
        with self._lock:
            self._waiting -= len(rows)
        if version != self._version:
            if self._clock() < self._blind_until:
                return
            self._begin(version, columns)
        self._tally.add(rows, outside)
        if self._tally.entities >= self._enough or self._clock() - self._last >= WRITE_AFTER_S:
            self._write()

    def _begin(self, version: str, columns: Sequence[str]) -> None:
        """Count in another version's bins from now on; what was seen through the earlier one is written."""
        self._told(self._write)
        self._blind_until = self._clock() + BLIND_S
        taught = {column.name: column for column in self._manifest(version).columns}
        self._blind_until = self._clock()
        self._tally = Tally([None if c in self._constants else taught.get(c) for c in columns])
        self._version = version
        self._started = self._now()

    def _write(self) -> None:
        if not self._tally.entities:
            return
        # Should it fail, all is kept and tried again as late as if it had not.
        self._last = self._clock()
        self._enough = self._tally.entities + WRITE_AFTER_ENTITIES
        finished = self._now()
        observation = Observation(
            schema_version=SCHEMA_VERSION,
            model=self._model,
            version=self._version,
            started=_told_time(self._started),
            finished=_told_time(finished),
            entities=self._tally.entities,
            outside=self._tally.outside,
            columns=self._tally.columns(),
        )
        self._create(observed_blob(self._model, finished, uuid.uuid4().hex), encode(observation))
        self._tally.clear()
        self._started = finished
        self._enough = WRITE_AFTER_ENTITIES


def _told_time(moment: datetime) -> str:
    return f"{moment:%Y-%m-%dT%H:%M:%SZ}"
