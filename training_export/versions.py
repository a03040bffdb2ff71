"""The wire: an export's versions in Blob storage (design §6).

A version exists when its manifest does, and its manifest is written last; `latest` moves by compare-and-swap,
forward only unless a person says otherwise. So a process killed at any call leaves readers with the old
version or the new one, and nothing here needs a lock.
"""

import secrets
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from datetime import UTC, datetime, timedelta
from itertools import groupby

import msgspec

import telemetry
from contract.contract import Contract
from contract.documents import Adoption, Latest, Manifest, decode, encode, is_version, timestamp
from contract.schema import json_schema
from errors import Conflict, NotFound, SnapshotFailed, StorageDown
from storage import (
    GOLDEN_PREFIX,
    Blob,
    Container,
    adoption_blob,
    contract_blob,
    data_blob,
    latest_blob,
    manifest_blob,
    manifests_prefix,
    mltable_blob,
    schema_blob,
    snapshots_prefix,
)
from training_export.staging import Staging

YAML = "application/yaml"
MOST_TRIES = 20
ORPHAN_AGE = timedelta(hours=24)
_TIME = "%Y%m%dT%H%M%SZ"


class _State(msgspec.Struct, frozen=True):
    """Of a manifest, all that retention asks."""

    state: str


class Versions:
    """The versions of one export.

    Args:
        container: Where they lie.
        export: The export's name.
        now: The present time, UTC.
    """

    def __init__(self, container: Container, export: str, now: Callable[[], datetime]) -> None:
        self._container = container
        self._export = export
        self._now = now

    def ids(self) -> list[str]:
        """List the versions that exist, oldest first."""
        prefix = manifests_prefix(self._export)
        names = (
            blob.name.removeprefix(prefix).removesuffix(".json") for blob in self._container.list(prefix)
        )
        return sorted(filter(is_version, names))

    def manifest(self, version: str) -> Manifest:
        """Read a version's manifest.

        Raises:
            NotFound: there is no such version.
        """
        found = self.find(version)
        if found is None:
            raise NotFound(
                f"The export {self._export} has no version {version}: "
                f"GET /api/exports/{self._export} lists them."
            )
        return found

    def find(self, version: str) -> Manifest | None:
        """Read a version's manifest; None where there is no such version."""
        name = manifest_blob(self._export, version)
        return document(self._container.read(name), name, Manifest) if is_version(version) else None

    def latest(self) -> Latest | None:
        """Read which version training reads; None before the first one."""
        name = latest_blob(self._export)
        return document(self._container.read(name), name, Latest)

    def age(self) -> timedelta | None:
        """Say how old the data is that training reads; None before the first version."""
        latest = self.latest()
        return None if latest is None else self._now() - _time_of(latest.version)

    def new_id(self) -> str:
        """Make an id later than every version's, even when the clock has been set back."""
        moment = self._now().astimezone(UTC).replace(microsecond=0)
        known = self.ids()
        latest = self.latest()
        last = max([*known[-1:], *([latest.version] if latest else [])], default="")
        if last:
            moment = max(moment, _time_of(last) + timedelta(seconds=1))
        return f"{moment:{_TIME}}-{secrets.token_hex(4)}"

    def stage(self, version: str, format: str = "csv") -> Staging:
        """Begin the data of a version."""
        return Staging(self._container, data_blob(self._export, version, format), secrets.token_hex(4))

    def data(self, version: str) -> Iterator[bytes]:
        """Stream a version's committed CSV."""
        return self._container.download(data_blob(self._export, version))

    @telemetry.WRITE
    def write(self, manifest: Manifest, contract: Contract, mltable: str | None) -> None:
        """Make a version of committed data: MLTable, contract, its JSON Schema, and the manifest last.

        Raises:
            StorageDown: there is such a version already.
            SnapshotFailed: its manifest could not be read again.
        """
        told = _readable(manifest)
        if mltable is not None:
            self._container.create(mltable_blob(self._export, manifest.version), mltable.encode(), YAML)
        self._container.create(contract_blob(contract.id), contract.to_json())
        self._container.create(schema_blob(self._export, manifest.version), json_schema(contract))
        if self._container.create(manifest_blob(self._export, manifest.version), told) is None:
            raise StorageDown(there_already(f"the manifest of {manifest.version}"))

    @telemetry.ADVANCE
    def advance(self, version: str) -> bool:
        """Move `latest` forward to a version; False where it is pinned or further already."""
        for _ in range(MOST_TRIES):
            blob = self._container.read(latest_blob(self._export))
            present = document(blob, latest_blob(self._export), Latest)
            if present and (present.pinned or present.version >= version):
                return False
            if self._swap(Latest(version=version), blob.etag if blob else None):
                return True
        raise StorageDown(f"{latest_blob(self._export)} kept changing: try again.")

    def move(self, version: str | None, pin: bool | None) -> Latest:
        """Move `latest` where a person wants it: to a version, or (None) unpinned to the newest published.

        `pin` None pins an older version, so that the next run does not undo the move. A held version is
        published from now on.

        Raises:
            NotFound: there is no such version, or none published.
            Conflict: somebody else moved it meanwhile, or retention removed the version.
        """
        blob = self._container.read(latest_blob(self._export))
        present = document(blob, latest_blob(self._export), Latest)
        wanted = self._wanted(version, pin, present)
        self.publish(wanted.version)
        etag = self._swap(wanted, blob.etag if blob else None)
        if etag is None:
            raise Conflict(f"The latest of {self._export} was moved meanwhile: look, then try again.")
        if self.find(wanted.version) is None:
            if present:
                # Undone only where nobody has moved on from it: a run may be further by now. A first one
                # stays, for a removal has no condition; the next published version moves on from it.
                self._swap(present, etag)
            raise Conflict(f"The version {wanted.version} was removed meanwhile: choose another.")
        return wanted

    def _wanted(self, version: str | None, pin: bool | None, present: Latest | None) -> Latest:
        if version is not None:
            state = self.manifest(version).state
            older = present is not None and version < present.version and state == "published"
            return Latest(version=version, pinned=older if pin is None else pin)
        for known in reversed(self.ids()):
            manifest = self.find(known)
            if manifest and manifest.state == "published":
                return Latest(version=known, pinned=bool(pin))
        raise NotFound(f"The export {self._export} has no published version yet.")

    def publish(self, version: str) -> None:
        """Make a held version a published one; any other is left as it is."""
        name = manifest_blob(self._export, version)
        blob = self._container.read(name)
        manifest = document(blob, name, Manifest)
        if blob and manifest and manifest.state == "held":
            # Somebody else may do the same at this moment: once is enough.
            self._container.replace(
                name, encode(msgspec.structs.replace(manifest, state="published")), blob.etag
            )

    def _swap(self, wanted: Latest, etag: str | None) -> str | None:
        """Move `latest` on from an ETag (None: there is none yet), give its new one; None where it moved."""
        name = latest_blob(self._export)
        if etag is None:
            return self._container.create(name, encode(wanted))
        return self._container.replace(name, encode(wanted), etag)

    def adopt_first(self, models: Iterable[str], manifest: Manifest) -> list[str]:
        """Let each model that has adopted nothing yet adopt this version; give their names (design §5)."""
        adopted = timestamp(self._now())
        wanted = Adoption(version=manifest.version, contract_id=manifest.contract_id, adopted=adopted)
        return [
            model
            for model in models
            if self._container.create(adoption_blob(model), encode(wanted)) is not None
        ]

    @telemetry.RETIRE
    def retire(self, keep: int) -> list[str]:
        """Remove the oldest versions beyond `keep`, and what killed runs left; give the ids removed.

        `keep` counts published and held versions separately. `latest` (pinned or not) and every model's
        adopted version stay, whatever their age. The manifest goes first: data without a manifest is no
        version, and the next run removes it (an orphan).
        """
        removed = []
        for version in self._beyond(keep):
            if version in self._in_use():
                continue
            blob = self._container.read(manifest_blob(self._export, version))
            if blob is None:
                continue
            self._container.delete(manifest_blob(self._export, version))
            if version in self._in_use():
                # Somebody moved to it between look and removal: it was a version, and is one again.
                self._container.create(manifest_blob(self._export, version), blob.data)
                self.publish(version)  # what is referred to is published, whatever was read before
                continue
            self._remove_data(version)
            removed.append(version)
        self._remove_orphans()
        return sorted(removed)

    def _beyond(self, keep: int) -> Iterator[str]:
        """Give the versions that have so many newer ones of their kind.

        One is removed before the next is looked at: runs that are killed on the way get on all the same.
        """
        known = self.ids()
        seen: Counter[bool] = Counter()
        for version in reversed(known if len(known) > keep else []):
            held = self._is_held(version)
            seen[held] += 1
            if seen[held] > keep:
                yield version

    def _is_held(self, version: str) -> bool:
        blob = self._container.read(manifest_blob(self._export, version))
        try:
            return blob is not None and decode(blob.data, _State).state == "held"
        except msgspec.DecodeError:
            return False  # a damaged manifest keeps no run from its work: it goes by its age

    def _in_use(self) -> set[str]:
        latest = self.latest()
        used = {latest.version} if latest else set()
        for listed in self._container.list(adoption_blob("").removesuffix(".json")):
            blob = self._container.read(listed.name)
            try:
                used |= {decode(blob.data, Adoption).version} if blob else set()
            except msgspec.DecodeError:
                continue  # readiness names a damaged adoption; it protects nothing
        return used

    def _remove_orphans(self) -> None:
        prefix, known = snapshots_prefix(self._export), set(self.ids())
        too_old = self._now() - ORPHAN_AGE
        blobs = groupby(self._container.list(prefix), lambda b: b.name.removeprefix(prefix).partition("/")[0])
        for version, parts in blobs:
            newest = max(part.modified for part in parts)
            if version not in known and newest < too_old:
                self._remove_data(version)

    def _remove_data(self, version: str) -> None:
        self._container.delete(schema_blob(self._export, version))
        # Golden rows are of the version's own customers: they leave with it.
        for blob in list(self._container.list(GOLDEN_PREFIX)):
            if blob.name.endswith(f"/{version}.json"):
                self._container.delete(blob.name)
        # The data last: as long as there is some, the next run finds what a killed one has left.
        for blob in list(self._container.list(f"{snapshots_prefix(self._export)}{version}/")):
            self._container.delete(blob.name)


def _readable(manifest: Manifest) -> bytes:
    """Write a manifest as JSON, and see that it can be read: every later run reads it."""
    told = encode(manifest)
    try:
        decode(told, Manifest)
    except msgspec.DecodeError as error:
        raise SnapshotFailed(
            f"The manifest of {manifest.version} could not be read again, so nothing was published. "
            f"This is a fault of the app; report it: {error}."
        ) from None
    return told


def there_already(what: str) -> str:
    """Explain a create that found its blob: ids are random, so it is this run's own.

    Its first answer was lost, and the run is tried again.
    """
    return f"Storage has {what} already, as after an answer that was lost: trying again."


def document[T](blob: Blob | None, name: str, kind: type[T]) -> T | None:
    """Read a stored document; None where there is none.

    Raises:
        Conflict: it is damaged; `name` is the blob's.
    """
    try:
        return None if blob is None else decode(blob.data, kind)
    except msgspec.DecodeError:
        raise Conflict(f"{name} is damaged: restore the blob, or remove it.") from None


def _time_of(version: str) -> datetime:
    return datetime.strptime(version.partition("-")[0], _TIME).replace(tzinfo=UTC)
