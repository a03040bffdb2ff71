"""What this process sees of a model's entities: counted beside the calls and written now and then (issue 5).

A call hands over the rows that were scored, as they were sent, and goes on. They are counted on a thread of
their own, many at a time: no answer waits for a count or a blob, and nothing that fails here can fail one.
Every row is counted, except while storage is slow (more than MOST_WAITING wait) or after the manifest could
not be read (for BLIND_S). So an observation informs people and is no account: what cannot be written is told
in the log and tried again later, and what a process that is killed had not written is lost.
"""

import threading
import uuid
from collections.abc import Callable, Collection, Sequence
from concurrent.futures import Executor
from datetime import datetime
from itertools import groupby
from typing import NamedTuple

import msgspec

from contract.documents import Manifest, timestamp
from contract.features import Row
from contract.seen import SCHEMA_VERSION, Observation, Tally
from errors import Failure
from storage import observed_blob
from telemetry import warn

# Whichever comes first: instances on Flex live for minutes, and a blob is to be worth reading.
WRITE_AFTER_S = 300.0
WRITE_AFTER_ENTITIES = 10_000

# Rows are counted so many at a time, which costs half of what counting each small batch would.
COUNT_AT_ONCE = 1000

# A manifest that could not be read is left alone for so long; what is seen meanwhile is not counted.
BLIND_S = 60.0

# Rows that wait to be counted while storage is slow; more are left out.
MOST_WAITING = 20_000


class _Seen(NamedTuple):
    """The rows of one call."""

    version: str
    columns: Sequence[str]
    rows: Sequence[Row]
    outside: int


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
        self._waiting: list[_Seen] = []
        self._rows_waiting = 0
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
            if self._rows_waiting and self._rows_waiting + len(rows) > MOST_WAITING:
                return
            self._waiting.append(_Seen(version, columns, rows, outside))
            self._rows_waiting += len(rows)
            wait = self._rows_waiting < COUNT_AT_ONCE and not self._long_since_written()
        if not wait:
            self._thread.submit(self._logging_failures, self._count)

    def finish(self, seconds: float) -> None:
        """Write what is not yet written, at the end of the process, in so many seconds."""
        try:
            self._thread.submit(self._logging_failures, self._count_and_write).result(seconds)
        except TimeoutError:
            warn("not-observed", model=self._model, reason="storage is too slow for the end of the process")
        except RuntimeError:  # the interpreter is ending, and the thread has ended before it
            self._logging_failures(self._count_and_write)

    def _logging_failures(self, work: Callable[[], None]) -> None:
        try:
            work()
        except Failure as failure:
            warn("not-observed", model=self._model, reason=failure.detail)
        except Exception as error:  # noqa: BLE001  # nobody waits for this thread: it must tell by itself
            warn("not-observed", model=self._model, reason=type(error).__name__)

    def _count_and_write(self) -> None:
        self._logging_failures(self._count)
        self._write()

    def _long_since_written(self) -> bool:
        return self._clock() - self._last >= WRITE_AFTER_S

    def _count(self) -> None:
        with self._lock:
            waiting, self._waiting, self._rows_waiting = self._waiting, [], 0
        for (version, columns), calls in groupby(waiting, key=lambda seen: (seen.version, seen.columns)):
            if version != self._version:
                if self._clock() < self._blind_until:
                    continue
                self._begin(version, columns)
            seen = list(calls)
            self._tally.add([row for call in seen for row in call.rows], sum(call.outside for call in seen))
        if self._tally.entities >= self._enough or self._long_since_written():
            self._write()

    def _begin(self, version: str, columns: Sequence[str]) -> None:
        """Count in another version's bins from now on; what was seen through the earlier one is written."""
        self._logging_failures(self._write)
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
            started=timestamp(self._started),
            finished=timestamp(finished),
            entities=self._tally.entities,
            outside=self._tally.outside,
            columns=self._tally.columns(),
        )
        self._create(observed_blob(self._model, finished, uuid.uuid4().hex), msgspec.json.encode(observation))
        self._tally.clear()
        self._started = finished
        self._enough = WRITE_AFTER_ENTITIES
