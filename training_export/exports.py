"""What the triggers ask for, on the concrete wires: the one place that knows them."""

import time
import uuid
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from functools import cache
from typing import Any

import msgspec

from contract.differences import differences
from contract.documents import Latest, Manifest, decode
from contract.drift import drifts
from errors import Failure, InvalidRequest, NotFound
from sections import ExportSettings
from settings import host_storage, settings
from storage import BlobContainer, app_identity, open_container, open_export_queue
from telemetry import warn
from training_export import measured
from training_export.asset import SCOPE, DataAssets
from training_export.publisher import SesamNode
from training_export.runs import Run, RunRecord
from training_export.snapshot import Export, run_export, tell_of
from training_export.versions import Versions

# host.json's maxDequeueCount; a test holds that both are the same.
MOST_TRIES = 3


class Message(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A message on the queue: one run of one export."""

    export: str
    run: str


def request_all() -> None:
    """Queue a run of every configured export (the timer): one that fails keeps back no other.

    Raises:
        Failure: the last one, after all were tried.
    """
    failed: Failure | None = None
    for name in settings().exports:
        try:
            request_run(name)
        except Failure as failure:
            warn("not-queued", export=name, reason=failure.detail)
            failed = failure
    if failed:
        raise failed


def request_run(name: str) -> Message:
    """Queue a run of an export and note it in its record.

    Raises:
        NotFound: it is not configured. StorageDown, StorageRefused: it could not be queued.
    """
    _settings_of(name)
    message = Message(export=name, run=uuid.uuid4().hex)
    container = _container()
    container.ensure()
    RunRecord(container, name, _now).queue(message.run)
    _queue()(msgspec.json.encode(message).decode())
    return message


def run_message(body: bytes, tries: int) -> Run:
    """Run what a message asks for; `tries` counts this one.

    Raises:
        Failure: a transient one, for the platform to try again. InvalidRequest, NotFound: the message asks
            for nothing that there is; it ends on the poison queue.
    """
    try:
        message = decode(body, Message)
    except msgspec.DecodeError:
        raise InvalidRequest('A message on the queue is no {"export", "run"}: it was not ours.') from None
    export = _export(message.export)
    with measured.run(export, message.run, tries) as told:
        _container().ensure()
        told.ended = run_export(export, message.run, last_try=tries >= MOST_TRIES)
    return told.ended


def describe_all() -> list[dict[str, Any]]:
    """Describe every configured export."""
    return [describe(name) for name in settings().exports]


def describe(name: str) -> dict[str, Any]:
    """Describe an export: latest, last run, versions newest first (design §5)."""
    versions = _versions(name)
    latest = versions.latest()
    return {
        "name": name,
        "latest": latest.version if latest else None,
        "pinned": bool(latest and latest.pinned),
        "run": RunRecord(_container(), name, _now).last(),
        "versions": list(_listed(versions)),
    }


def manifest(name: str, version: str) -> Manifest:
    """Give a version's manifest."""
    return _versions(name).manifest(version)


def latest(name: str) -> Manifest | None:
    """Give the manifest of the version that training reads; None before the first one."""
    versions = _versions(name)
    found = versions.latest()
    return versions.find(found.version) if found else None


def compare(name: str, version: str, other: str) -> dict[str, Any]:
    """Say how a version differs from another one, in words and in how far each column has moved."""
    versions = _versions(name)
    old, new = versions.manifest(other), versions.manifest(version)
    return {
        "version": version,
        "against": other,
        "differences": differences(old, new),
        "drift": drifts(old.columns, new.columns),
    }


def move_latest(name: str, version: str | None, pin: bool | None) -> Latest:
    """Roll back, roll forward, pin or unpin (design §5), and tell those who wait for a version.

    Raises:
        NotFound, Conflict: see Versions.move.
    """
    export = _export(name)
    moved = export.versions.move(version, pin)
    for note in tell_of(export, export.versions.manifest(moved.version)):
        warn("not-registered", export=name, version=moved.version, reason=note)
    return moved


def _listed(versions: Versions) -> Iterator[dict[str, Any]]:
    for version in reversed(versions.ids()):
        found = versions.find(version)
        if found:  # retention may be at work
            yield {"version": version, "state": found.state, "rows": found.rows, "bytes": found.bytes}


def _export(name: str) -> Export:
    given = settings()
    return Export(
        name=name,
        settings=_settings_of(name),
        node=node(),
        versions=_versions(name),
        record=RunRecord(_container(), name, _now),
        monotonic=time.monotonic,
        sleep=time.sleep,
        models=[model for model, its in given.models.items() if its.contract == name],
        register=_assets().register if given.azure_ml else None,
    )


@cache
def _assets() -> DataAssets:
    given = settings()
    assert given.azure_ml  # noqa: S101  # asked only where it is set
    identity = app_identity(given.storage.client_id)
    return DataAssets(given.azure_ml, lambda: identity.get_token(SCOPE).token, time.monotonic)


def _settings_of(name: str) -> ExportSettings:
    found = settings().exports.get(name)
    if found is None:
        raise NotFound(f"No export {name[:63]!r} is configured: GET /api/exports lists them.")
    return found


def _versions(name: str) -> Versions:
    _settings_of(name)
    return Versions(_container(), name, _now)


def _now() -> datetime:
    return datetime.now(UTC)


@cache
def _container() -> BlobContainer:
    return open_container(settings().storage)


@cache
def _queue() -> Callable[[str], None]:
    return open_export_queue(host_storage())


def node() -> SesamNode:
    """Give the node of the settings."""
    return SesamNode(settings().sesam, time.monotonic)
