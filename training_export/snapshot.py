"""The use case: one run of an export, from the publisher to a version that training follows (design §5, §6).

The bytes pass once: hashed, staged and scanned together. Only a whole, rectangular body is committed, only a
committed one gets a manifest, only a manifest is published. What speaks against a version holds it; what
speaks against its data fails the run.
"""

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import asdict, dataclass
from typing import Protocol

import msgspec
from tenacity import RetryCallState, Retrying, retry_if_exception, wait_random_exponential

from contract.contract import Contract, contract_of
from contract.differences import differences
from contract.documents import SCHEMA_VERSION, Manifest
from contract.drift import drifts
from errors import Failure, StorageDown, UnderWay
from sections import ExportSettings
from training_export import parquet
from training_export.csv_dialect import Dialect, csv_dialect, expected_columns
from training_export.csv_scan import Scanned, scan
from training_export.guards import reasons_to_hold
from training_export.mltable import mltable
from training_export.publisher import PipeFacts, Published
from training_export.runs import Outcome, Run, RunRecord
from training_export.staging import Staging
from training_export.versions import Versions, there_already
from version import APP_VERSION

RETRY_S = 30.0
# To wait for another export that reads the same pipe; a run that has waited so long still ends in time.
TURN_S = 120.0


class Node(Protocol):
    """What is asked of a Sesam node; see publisher.py."""

    @property
    def host(self) -> str:
        """The node's host."""

    def pipe(self, pipe: str) -> PipeFacts:
        """Say what the pipe is, where that can be known."""

    def published(self, pipe: str, *, allow_unframed: bool = False) -> AbstractContextManager[Published]:
        """Open the pipe's CSV publisher."""


@dataclass(frozen=True)
class Export:
    """An export and the wires it runs on.

    `models` are those whose contract is this export; `register` tells Azure ML of a published version, gives
    a note where that failed and raises nothing; `monotonic` and `sleep` time the retries.
    """

    name: str
    settings: ExportSettings
    node: Node
    versions: Versions
    record: RunRecord
    monotonic: Callable[[], float]
    sleep: Callable[[float], None]
    models: Sequence[str] = ()
    register: Callable[[Manifest], str] | None = None


@dataclass
class _Pass:
    """What one passing of the bytes has given."""

    version: str
    started: str
    pipe: PipeFacts
    headers: Mapping[str, str]
    dialect: Dialect
    scanned: Scanned
    staging: Staging
    notes: list[str]


def run_export(export: Export, run: str, *, last_try: bool) -> Run:
    """Run an export once and record how it went.

    Args:
        export: What to run, and on what.
        run: The run's id, the same for every try of it.
        last_try: Whether nobody will try again after a transient failure.

    Raises:
        Failure: a transient one that another try may mend. On the last try, and one that is not transient,
            only where the record itself could not be leased or written.
        Exception: an error nobody foresaw. It stands in the record all the same.
    """
    with export.record.lease(run) as held:
        if not held:
            return Run(id=run, outcome="joined", detail="Another run of this export is under way.")
        started = export.record.time()
        export.record.write(Run(id=run, outcome="running", started=started))
        try:
            done = _with_retries(export, lambda: _snapshot(export, run, started))
        except Failure as failure:
            again = failure.transient and not last_try
            done = _ended(export, run, started, "queued" if again else "failed", detail=failure.detail)
            export.record.write(done)
            if again:
                raise
            return done
        except Exception as error:
            told = f"An error nobody foresaw ({type(error).__name__}): see the log."
            export.record.write(_ended(export, run, started, "failed", detail=told))
            raise
        export.record.write(done)
        return done


def _with_retries(export: Export, attempt: Callable[[], Run]) -> Run:
    """Try again for RETRY_S; what lasts longer is for the queue's own retries (design §3)."""
    begun = export.monotonic()

    def over(state: RetryCallState) -> bool:
        longest = TURN_S if isinstance(_error(state), UnderWay) else RETRY_S
        return export.monotonic() - begun + state.upcoming_sleep > longest

    def pause(state: RetryCallState) -> float:
        asked = getattr(_error(state), "retry_after", None)
        return max(asked or 0.0, wait_random_exponential(multiplier=1, max=8)(state))

    return Retrying(
        retry=retry_if_exception(lambda error: isinstance(error, Failure) and error.transient),
        stop=over,
        wait=pause,
        sleep=export.sleep,
        reraise=True,
    )(attempt)


def _error(state: RetryCallState) -> BaseException | None:
    return state.outcome.exception() if state.outcome else None


def _snapshot(export: Export, run: str, started: str) -> Run:
    if "parquet" in export.settings.formats:
        parquet.require_pyarrow()
    version = export.versions.new_id()
    with export.versions.stage(version) as staging:
        with export.record.turn(export.settings.pipe):
            passed = _pass(export, version, started, staging)
        return _settle(export, run, passed)


def _pass(export: Export, version: str, started: str, staging: Staging) -> _Pass:
    settings = export.settings
    pipe = export.node.pipe(settings.pipe)
    dialect = csv_dialect(settings, pipe.sink)
    expected = expected_columns(settings, pipe.sink, dialect)
    with export.node.published(settings.pipe, allow_unframed=settings.allow_unframed) as published:
        scanned = scan(staging.passing(published.chunks), dialect, expected, settings.label)
    notes = [pipe.note] if pipe.note else []
    return _Pass(version, started, pipe, published.headers, dialect, scanned, staging, notes)


def _settle(export: Export, run: str, passed: _Pass) -> Run:
    contract = contract_of(passed.scanned.columns, export.settings.label)
    latest = export.versions.latest()
    previous = export.versions.find(latest.version) if latest else None
    manifest = _manifest(export, passed, contract, previous)
    same = _same_content(export, manifest, previous)
    if same:
        return _settled_before(export, run, passed, same, manifest.held_because)
    if passed.staging.commit("text/csv") is None:
        raise StorageDown(there_already(f"data of {manifest.version}"))
    if "parquet" in manifest.formats:
        _write_parquet(export, manifest, passed.dialect)
    table = mltable(manifest)
    export.versions.write(manifest, contract, table)
    if table is None:
        passed.notes.append(
            "no MLTable: Azure ML's engine would misread this dialect; add parquet to formats"
        )
    return _publish(export, run, passed, manifest)


def _write_parquet(export: Export, manifest: Manifest, dialect: Dialect) -> None:
    with export.versions.stage(manifest.version, "parquet") as sink:
        parquet.write_parquet(export.versions.data(manifest.version), manifest, dialect, sink)
        sink.commit(parquet.CONTENT_TYPE)


def _settled_before(
    export: Export, run: str, passed: _Pass, same: Manifest, held_because: Sequence[str]
) -> Run:
    """End a run whose content is a version already; `held_because` is what speaks against it now."""
    if same.state == "held" and not held_because:
        export.versions.publish(same.version)
        return _publish(export, run, passed, msgspec.structs.replace(same, state="published"))
    if same.state == "held":
        export.versions.retire(export.settings.keep_versions)
        detail = "; ".join(["The same content is held already", *held_because, _how_to_publish(same)])
        return _ended(export, run, passed.started, "held", version=same.version, detail=detail)
    notes = passed.notes + _spread(export, same)
    return _ended(export, run, passed.started, "unchanged", version=same.version, detail="; ".join(notes))


def _same_content(export: Export, manifest: Manifest, previous: Manifest | None) -> Manifest | None:
    """Find the version (latest or newest) with the same bytes and contract and at least these formats."""
    newest = [export.versions.find(version) for version in export.versions.ids()[-1:]]
    for known in filter(None, [previous, *newest]):
        same = (known.sha256, known.contract_id) == (manifest.sha256, manifest.contract_id)
        if same and set(manifest.formats) <= set(known.formats):
            return known
    return None


def _publish(export: Export, run: str, passed: _Pass, manifest: Manifest) -> Run:
    notes = passed.notes
    if manifest.state == "held":
        export.versions.retire(export.settings.keep_versions)
        detail = "; ".join([*manifest.held_because, *manifest.differences, _how_to_publish(manifest), *notes])
        return _ended(export, run, passed.started, "held", version=manifest.version, detail=detail)
    notes += _spread(export, manifest)
    detail = "; ".join([*manifest.differences, *notes])
    return _ended(export, run, passed.started, "published", version=manifest.version, detail=detail)


def _spread(export: Export, manifest: Manifest) -> list[str]:
    """Make a published version known to all who wait for it; a run that was killed before is made up for."""
    notes = []
    if not export.versions.advance(manifest.version):
        latest = export.versions.latest()
        if latest and latest.version != manifest.version:
            notes.append(
                f"latest stays at {latest.version}, which is {'pinned' if latest.pinned else 'newer'}"
            )
    notes += tell_of(export, manifest)
    export.versions.retire(export.settings.keep_versions)
    return notes


def tell_of(export: Export, manifest: Manifest) -> list[str]:
    """Let models that have adopted nothing adopt a published version, and register it; give what failed."""
    export.versions.adopt_first(export.models, manifest)
    return list(filter(None, [export.register(manifest)])) if export.register else []


def _manifest(export: Export, passed: _Pass, contract: Contract, previous: Manifest | None) -> Manifest:
    scanned, settings = passed.scanned, export.settings
    held = tuple(reasons_to_hold(settings, scanned, passed.headers, passed.pipe.trouble, previous))
    manifest = Manifest(
        schema_version=SCHEMA_VERSION,
        export=export.name,
        pipe=settings.pipe,
        node=export.node.host,
        version=passed.version,
        state="held" if held else "published",
        started=passed.started,
        finished=export.record.time(),
        rows=scanned.rows,
        bytes=passed.staging.size,
        sha256=passed.staging.sha256,
        md5=passed.staging.md5.hex(),
        contract_id=contract.id,
        previous=previous.version if previous else None,
        differences=(),
        headers=dict(passed.headers),
        app_version=APP_VERSION,
        columns=scanned.columns,
        label=settings.label,
        dialect=asdict(passed.dialect) | {"byte_order_mark": scanned.byte_order_mark},
        formats=settings.formats,
        held_because=held,
        lines_digest=scanned.digest,
    )
    if previous is None:
        return manifest
    return msgspec.structs.replace(
        manifest,
        differences=differences(previous, manifest),
        drift=tuple(drifts(previous.columns, manifest.columns)),
    )


def _how_to_publish(held: Manifest) -> str:
    return f'PUT /api/exports/{held.export}/latest {{"version": "{held.version}"}} publishes it all the same'


def _ended(
    export: Export, run: str, started: str, outcome: Outcome, *, version: str | None = None, detail: str = ""
) -> Run:
    return Run(
        id=run,
        outcome=outcome,
        started=started,
        finished=export.record.time(),
        version=version,
        detail=detail,
    )
