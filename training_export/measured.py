"""What one run of an export did, told: its span, its metrics and one log line a try."""

import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass

import msgspec

import telemetry
from errors import Failure
from training_export.runs import Run
from training_export.snapshot import Export


@dataclass
class Try:
    """One try of a run; `ended` says how, where it did not raise."""

    ended: Run


@contextmanager
def run(export: Export, id_: str, tries: int) -> Iterator[Try]:
    """Tell of one try of a run: `ended` is set by the block, and a failure says that it is queued again."""
    began = time.monotonic()
    told = Try(Run(id=id_, outcome="failed"))
    try:
        with telemetry.RUN.open(export=export.name, run=id_, tries=tries):
            yield told
    except Failure as failure:
        told.ended = Run(id=id_, outcome="queued" if failure.transient else "failed", detail=failure.detail)
        raise
    except Exception as error:
        told.ended = Run(id=id_, outcome="failed", detail=telemetry.kind_of(error))
        raise
    finally:
        _tell(export, told.ended, tries, time.monotonic() - began)


def _tell(export: Export, ended: Run, tries: int, seconds: float) -> None:
    fields = msgspec.structs.asdict(ended)
    telemetry.tell("run", export=export.name, tries=tries, ms=round(seconds * 1000), **fields)
    telemetry.RUNS.tell(1, export=export.name, outcome=ended.outcome)
    with suppress(Failure):  # storage is away: numbers must not undo a run
        _measure(export, ended)


def _measure(export: Export, ended: Run) -> None:
    manifest = export.versions.find(ended.version or "")
    if manifest:
        telemetry.ROWS.tell(manifest.rows, export=export.name)
        telemetry.BYTES.tell(manifest.bytes, export=export.name)
    age = export.versions.age()
    if age is not None:
        telemetry.LATEST_AGE.tell(age.total_seconds(), export=export.name)
