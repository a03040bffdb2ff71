"""The wire: the contract that a model has adopted, followed by ETag (design §5).

A call asks once and uses what it got to its end. What is cached is looked at again at most every 15 s; while
storage is away the cached adoption serves on, and readiness says so.
"""

import threading
from collections.abc import Callable
from dataclasses import dataclass

import msgspec

from contract.contract import Contract, ContractUnreadable
from contract.documents import Adoption, Latest, Manifest, decode, encode, is_version
from errors import Conflict, Failure, NoContract, NotFound, StorageDown
from scoring.deadline import Deadline
from storage import Container, adoption_blob, contract_blob, latest_blob, manifest_blob

REFRESH_S = 15.0

# Storage that was away is not asked again for so long, whatever the model: the calls of a cold start, or the
# checks of many models, would queue up behind its silence.
AWAY_S = 2.0
RETRY_AFTER_S = 60.0
MOST_CONTRACTS = 64


@dataclass(frozen=True, slots=True)
class Adopted:
    """What a model has adopted: the version of its export, and that version's contract."""

    version: str
    contract_id: str
    contract: Contract
    adopted: str


@dataclass(slots=True)
class _Cached:
    etag: str
    adopted: Adopted
    looked: float
    failure: str = ""


@dataclass(frozen=True, slots=True)
class _Away:
    failure: Failure
    until: float


class Contracts:
    """Reads and moves adoptions.

    Args:
        container: where versions live.
        clock: seconds, monotonic.
        now: the present time in ISO 8601, UTC, for the record of an adoption.
    """

    def __init__(self, container: Container, *, clock: Callable[[], float], now: Callable[[], str]) -> None:
        self._container = container
        self._clock = clock
        self._now = now
        self._cached: dict[str, _Cached] = {}
        self._contracts: dict[str, Contract] = {}
        self._refreshing: dict[str, threading.Lock] = {}
        self._away: _Away | None = None

    def adopted(self, model: str, export: str, deadline: Deadline) -> Adopted:
        """Give what a model has adopted, at most REFRESH_S old while storage answers.

        Raises:
            NoContract: nothing adopted yet, or the adopted contract is missing or damaged.
            StorageDown, StorageRefused: storage is away, or silent until the deadline, and nothing is cached.
        """
        cached = self._cached.get(model)
        if cached is not None and self._clock() - cached.looked < REFRESH_S:
            return cached.adopted
        lock = self._refreshing.setdefault(model, threading.Lock())
        # One call looks; the others go on with what is known, unless nothing is.
        if not lock.acquire(timeout=deadline.left() if cached is None else 0):
            if cached is None:
                raise StorageDown(
                    f"Storage did not tell in time what {model} has adopted.", retry_after=AWAY_S
                )
            return cached.adopted
        try:
            return self._look(model, export, self._cached.get(model))
        finally:
            lock.release()

    def trouble(self, model: str) -> str:
        """Say why the cached adoption could not be looked at again; empty when it could."""
        cached = self._cached.get(model)
        return cached.failure if cached else ""

    def adopt(self, model: str, export: str, version: str) -> Adoption:
        """Make a version the one that a model's entities are encoded through.

        Raises:
            NotFound: there is no such version.
            NoContract: the version's contract is missing or damaged.
            Conflict: the version is held, another adoption came between, or retention removed the version.
        """
        manifest = self.manifest(export, version)
        if manifest.state == "held":
            raise Conflict(
                f"The version {version} is held, so nobody trains on it yet: publish it first "
                f"(PUT /api/exports/{export}/latest), then adopt it."
            )
        self._contract(manifest.contract_id)
        wanted = Adoption(version=version, contract_id=manifest.contract_id, adopted=self._now())
        name = adoption_blob(model)
        present = self._container.read(name)
        if present is None:
            etag = self._container.create(name, encode(wanted))
        else:
            etag = self._container.replace(name, encode(wanted), present.etag)
        if etag is None:
            raise Conflict(f"Another adoption of {model} happened meanwhile: look at it, then adopt again.")
        gone = self._container.read(manifest_blob(export, version)) is None
        if gone and present:
            # Undone only where nobody has adopted another since. A first one stays, for a removal has no
            # condition; its contract is there, and serves until another is adopted.
            self._container.replace(name, present.data, etag)
        self._cached.pop(model, None)
        if gone:
            raise Conflict(f"The version {version} was removed meanwhile: adopt another.")
        return wanted

    def manifest(self, export: str, version: str) -> Manifest:
        """Read a version's manifest.

        Raises:
            NotFound: there is no such version.
            NoContract: its manifest is damaged.
        """
        blob = self._container.read(manifest_blob(export, version)) if is_version(version) else None
        if blob is None:
            raise NotFound(
                f"The export {export} has no version {version[:40]!r}: GET /api/exports/{export} lists them."
            )
        try:
            return decode(blob.data, Manifest)
        except msgspec.DecodeError:
            raise NoContract(f"{manifest_blob(export, version)} is damaged: adopt another version.") from None

    def contract_of(self, export: str, version: str) -> Contract:
        """Read a version's contract.

        Raises:
            NotFound: there is no such version.
            NoContract: its contract is missing or damaged.
        """
        return self._contract(self.manifest(export, version).contract_id)

    def latest(self, export: str) -> Latest | None:
        """Read which version training reads; None before the first one.

        Raises:
            Conflict: the blob that names it is damaged.
        """
        blob = self._container.read(latest_blob(export))
        try:
            return None if blob is None else decode(blob.data, Latest)
        except msgspec.DecodeError:
            raise Conflict(f"{latest_blob(export)} is damaged: restore the blob, or remove it.") from None

    def _look(self, model: str, export: str, cached: _Cached | None) -> Adopted:
        if cached is not None and self._clock() - cached.looked < REFRESH_S:
            return cached.adopted
        away = self._away
        if cached is None and away is not None and self._clock() < away.until:
            raise type(away.failure)(away.failure.detail, retry_after=AWAY_S)
        try:
            blob = self._container.read(adoption_blob(model), unless=cached.etag if cached else "")
            if blob is None:
                self._cached.pop(model, None)
                raise NoContract(_nothing_adopted(model, export), retry_after=RETRY_AFTER_S)
            if cached is None or blob.etag != cached.etag:
                cached = self._cached[model] = _Cached(blob.etag, self._read(model, blob.data), 0.0)
            cached.failure = ""
        except NoContract:
            raise
        except Failure as failure:
            if cached is None:
                self._away = _Away(failure, self._clock() + AWAY_S)
                raise
            cached.failure = failure.detail
        cached.looked = self._clock()
        return cached.adopted

    def _read(self, model: str, data: bytes) -> Adopted:
        try:
            adoption = decode(data, Adoption)
        except msgspec.DecodeError:
            raise NoContract(
                f"{adoption_blob(model)} is damaged: adopt a version (PUT /api/models/{model}/contract)."
            ) from None
        contract = self._contract(adoption.contract_id)
        return Adopted(adoption.version, adoption.contract_id, contract, adoption.adopted)

    def _contract(self, contract_id: str) -> Contract:
        known = self._contracts.get(contract_id)
        if known is not None:
            return known
        name = contract_blob(contract_id)
        blob = self._container.read(name)
        try:
            if blob is None:
                raise ContractUnreadable("it is not there")
            contract = Contract.from_json(blob.data, contract_id)
        except ContractUnreadable as error:
            raise NoContract(f"{name} cannot be used: {error}. Adopt another version.") from None
        if len(self._contracts) >= MOST_CONTRACTS:
            self._contracts.clear()
        self._contracts[contract_id] = contract
        return contract


def _nothing_adopted(model: str, export: str) -> str:
    return (
        f"The model {model} has adopted no version of {export} yet. The first published version is adopted "
        f"by itself: start the export (POST /api/exports/{export}), or PUT /api/models/{model}/contract."
    )
