"""The container: its client, where everything lies in it, and the queue of exports (design §6).

Both sides use it. The rules of publishing rest on two primitives alone: a blob created only where there is
none, and a blob replaced only where its ETag still is what was read. Both answer None where the condition
did not hold, so that no caller can forget the case.
"""

from __future__ import annotations

import base64
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date, datetime
from typing import TYPE_CHECKING, Any, Protocol
from urllib.parse import quote

from errors import Failure, Fault, StorageDown, StorageRefused, azure_fault

if TYPE_CHECKING:
    from azure.core.credentials import TokenCredential
    from azure.core.pipeline.transport import RequestsTransport
    from azure.storage.blob import BlobServiceClient, ContainerClient
    from azure.storage.queue import QueueClient, QueueMessage, QueueServiceClient

    from sections import HostStorage, StorageSettings

EXPORT_QUEUE = "training-exports"
JSON = "application/json"

# One staged block; memory while uploading is about this times (UPLOADS_AT_ONCE + 1) (facts/functions.md §5).
BLOCK_BYTES = 6 * 1024 * 1024
UPLOADS_AT_ONCE = 3
READ_BYTES = 256 * 1024

# Storage gives up by itself after 30 s; and Azure cuts an HTTP call at 230 s (facts/functions.md §1), in
# which all tries at storage that is silent must have ended.
TIMEOUT_S = 45.0
RETRIES = 3
LONGEST_CONNECT_S = 10.0
# The SDK's own retries start at 15 s; a scoring call cannot wait for that.
_BACKOFF: Mapping[str, Any] = {"initial_backoff": 1, "increment_base": 2, "random_jitter_range": 1}


def data_blob(export: str, version: str, format: str = "csv") -> str:
    """Name the data of a version; `format` is csv or parquet."""
    return f"snapshots/{export}/{version}/data.{format}"


def mltable_blob(export: str, version: str) -> str:
    """Name the MLTable file beside the data."""
    return f"snapshots/{export}/{version}/MLTable"


def snapshots_prefix(export: str) -> str:
    """Name the folder of an export's versions."""
    return f"snapshots/{export}/"


def contract_blob(contract_id: str) -> str:
    """Name a stored contract."""
    return f"contracts/{contract_id}.json"


def manifest_blob(export: str, version: str) -> str:
    """Name a version's manifest, whose existence is the version's existence."""
    return f"manifests/{export}/{version}.json"


def schema_blob(export: str, version: str) -> str:
    """Name the JSON Schema of a version's contract; not under manifests/, where each name is a version."""
    return f"schemas/{export}/{version}.json"


def manifests_prefix(export: str) -> str:
    """Name the folder of an export's manifests."""
    return f"manifests/{export}/"


def latest_blob(export: str) -> str:
    """Name the pointer to the version that training reads."""
    return f"latest/{export}.json"


def run_blob(export: str) -> str:
    """Name the record of an export's last run."""
    return f"runs/{export}.json"


def turn_blob(pipe: str) -> str:
    """Name what a run leases while it reads a pipe, which may be another export's as well."""
    return f"turns/{quote(pipe, safe='')}.json"


def adoption_blob(model: str) -> str:
    """Name the pointer to the version that a model has adopted."""
    return f"models/{model}.json"


GOLDEN_PREFIX = "golden/"

# Where it is tried whether blobs can be written; nothing stays there.
PROBE_PREFIX = "probes/"


def golden_blob(model: str, version: str) -> str:
    """Name the golden rows of a model and version."""
    return f"{GOLDEN_PREFIX}{model}/{version}.json"


def observed_prefix(model: str, day: date) -> str:
    """Name the folder of what scoring saw of a model's entities in one day, UTC."""
    return f"observed/{model}/{day:%Y/%m/%d}/"


def observed_blob(model: str, moment: datetime, id: str) -> str:
    """Name what one process saw of a model's entities until a moment, UTC."""
    return f"{observed_prefix(model, moment)}{moment:%H}/{id}.json"


@dataclass(frozen=True, slots=True)
class Blob:
    """A blob as read: its bytes, and the ETag to replace it by."""

    data: bytes
    etag: str


@dataclass(frozen=True, slots=True)
class Listed:
    """A blob as listed: full name, bytes, time of last change."""

    name: str
    size: int
    modified: datetime


class Lease(Protocol):
    """A held lease on a blob."""

    def renew(self) -> bool:
        """Hold it for another period; False where it was lost."""

    def release(self) -> None:
        """Give it back; a lease already lost is no error."""


class Container(Protocol):
    """What both sides ask of Blob storage. Raises StorageDown or StorageRefused, nothing else."""

    def ensure(self) -> None:
        """Create the container where there is none."""

    def read(self, name: str, unless: str = "") -> Blob | None:
        """Read a blob; None where there is none. Where its ETag still is `unless`, the data is empty."""

    def create(self, name: str, data: bytes, content_type: str = JSON) -> str | None:
        """Write a blob where there is none and give its ETag; None where there is one."""

    def replace(self, name: str, data: bytes, etag: str) -> str | None:
        """Overwrite a blob whose ETag still is `etag` and give the new one; None where it is not."""

    def put(self, name: str, data: bytes, content_type: str = JSON, lease: Lease | None = None) -> str:
        """Write a blob whatever was there. Only for records that nothing rests on.

        A blob that is leased can be written with that lease alone: any other write is StorageDown.
        """

    def stage(self, name: str, block_id: str, data: bytes | memoryview) -> None:
        """Upload one block (at most BLOCK_BYTES), not yet visible, of a blob to be."""

    def commit(self, name: str, block_ids: Sequence[str], content_type: str, md5: bytes) -> str | None:
        """Make the staged blocks a blob, in this order, where there is none; None where there is one."""

    def list(self, prefix: str) -> Iterator[Listed]:
        """List the blobs whose names begin so, by name."""

    def download(self, name: str) -> Iterator[bytes]:
        """Stream a blob's bytes; a missing blob gives none."""

    def delete(self, name: str) -> None:
        """Remove a blob; a missing one is no error."""

    def lease(self, name: str, seconds: int) -> Lease | None:
        """Lease an existing blob; None where another holds it or there is no such blob."""


class BlobContainer:
    """`Container` on Azure Blob storage (or Azurite)."""

    def __init__(self, client: ContainerClient) -> None:
        self._client = client

    def ensure(self) -> None:
        """See Container."""
        with _as_failures("the container"):
            if not self._client.exists():
                _unless_conflict(self._client.create_container)

    def read(self, name: str, unless: str = "") -> Blob | None:
        """See Container."""
        condition = _if_changed(unless) if unless else {}
        with _as_failures(name):
            try:
                stream = self._client.download_blob(name, **condition)
                return Blob(stream.readall(), stream.properties.etag)
            except Exception as error:
                if unless and getattr(error, "status_code", None) == 304:
                    return Blob(b"", unless)
                if _is_storage_error(error, Fault.ABSENT):
                    return None
                raise

    def create(self, name: str, data: bytes, content_type: str = JSON) -> str | None:
        """See Container."""
        return self._upload(name, data, content_type, overwrite=False)

    def replace(self, name: str, data: bytes, etag: str) -> str | None:
        """See Container."""
        from azure.core import MatchConditions

        return self._upload(
            name, data, JSON, overwrite=True, etag=etag, match_condition=MatchConditions.IfNotModified
        )

    def put(self, name: str, data: bytes, content_type: str = JSON, lease: Lease | None = None) -> str:
        """See Container."""
        held = {"lease": lease.client} if isinstance(lease, _BlobLease) else {}
        etag = self._upload(name, data, content_type, overwrite=True, **held)
        if etag is None:
            raise StorageDown(f"Storage refused to overwrite {name}: it is leased by another. Try again.")
        return etag

    def stage(self, name: str, block_id: str, data: bytes | memoryview) -> None:
        """See Container."""
        with _as_failures(name):
            blob = self._client.get_blob_client(name)
            blob.stage_block(
                block_id,
                data,  # type: ignore[arg-type]  # any buffer will do: it is sent as it lies, and sent again
                length=len(data),
            )

    def commit(self, name: str, block_ids: Sequence[str], content_type: str, md5: bytes) -> str | None:
        """See Container."""
        from azure.core import MatchConditions
        from azure.storage.blob import BlobBlock, ContentSettings

        settings = ContentSettings(content_type=content_type, content_md5=bytearray(md5))
        with _as_failures(name):
            done = _unless_conflict(
                lambda: self._client.get_blob_client(name).commit_block_list(
                    [BlobBlock(block_id) for block_id in block_ids],
                    content_settings=settings,
                    match_condition=MatchConditions.IfMissing,
                )
            )
            return None if done is None else _etag(done)

    def list(self, prefix: str) -> Iterator[Listed]:
        """See Container."""
        with _as_failures(prefix):
            try:
                for blob in self._client.list_blobs(name_starts_with=prefix):
                    yield Listed(blob.name, blob.size, blob.last_modified)
            except Exception as error:
                # Before the first export there is not even the container.
                if not _is_storage_error(error, Fault.ABSENT):
                    raise

    def download(self, name: str) -> Iterator[bytes]:
        """See Container."""
        with _as_failures(name):
            try:
                yield from self._client.download_blob(name).chunks()
            except Exception as error:
                if not _is_storage_error(error, Fault.ABSENT):
                    raise

    def delete(self, name: str) -> None:
        """See Container."""
        with _as_failures(name):
            try:
                self._client.delete_blob(name)
            except Exception as error:
                if not _is_storage_error(error, Fault.ABSENT):
                    raise

    def lease(self, name: str, seconds: int) -> Lease | None:
        """See Container."""
        from azure.storage.blob import BlobLeaseClient

        lease = BlobLeaseClient(self._client.get_blob_client(name))
        with _as_failures(name):
            try:
                lease.acquire(lease_duration=seconds)
            except Exception as error:
                if _is_storage_error(error, Fault.CONFLICT, Fault.ABSENT):
                    return None
                raise
        return _BlobLease(lease, name)

    def _upload(self, name: str, data: bytes, content_type: str, **condition: Any) -> str | None:
        from azure.storage.blob import ContentSettings

        settings = ContentSettings(content_type=content_type)
        with _as_failures(name):
            done = _unless_conflict(
                lambda: self._client.get_blob_client(name).upload_blob(
                    data, content_settings=settings, **condition
                )
            )
            return None if done is None else _etag(done)


class _BlobLease:
    def __init__(self, client: Any, name: str) -> None:
        self.client = client
        self._name = name

    def renew(self) -> bool:
        with _as_failures(self._name):
            return _unless_conflict(lambda: self.client.renew() or True) is not None

    def release(self) -> None:
        with _as_failures(self._name):
            _unless_conflict(self.client.release)


def open_container(
    settings: StorageSettings, *, retries: int = RETRIES, timeout_s: float = TIMEOUT_S
) -> BlobContainer:
    """Connect to the container that the settings name; nothing is sent yet.

    Args:
        settings: which account and container, and as whom.
        retries: how often the SDK tries again by itself, after 1, 2, 4 … seconds.
        timeout_s: how long each part of an answer may take.

    Raises:
        StorageRefused: no storage account is configured.
    """
    from azure.storage.blob import BlobServiceClient, ExponentialRetry

    service = _service(
        BlobServiceClient,
        settings,
        settings.blob_service_uri,
        retry_policy=ExponentialRetry(**_BACKOFF, retry_total=retries),
        max_block_size=BLOCK_BYTES,
        max_single_put_size=BLOCK_BYTES,
        transport=_transport(timeout_s),
    )
    return BlobContainer(service.get_container_client(settings.container))


def open_export_queue(settings: HostStorage) -> Callable[[str], None]:
    """Give a function that puts one message on the queue of exports, creating the queue where needed.

    The message is base64, which is what the queue trigger expects by default (facts/functions.md §3.7).
    """
    queue = _export_queue(settings, RETRIES, TIMEOUT_S)

    def send(message: str) -> None:
        encoded = base64.b64encode(message.encode()).decode()
        with _as_failures(f"the queue {EXPORT_QUEUE}"):
            _sent(queue, encoded)

    return send


# How long a probe of the queue stays unseen, and how long an answer to it may take.
UNSEEN_S = 300
PROBE_S = 5.0


def probe_export_queue(settings: HostStorage) -> None:
    """Write a message that is hidden for UNSEEN_S, and take it back.

    Should it not be taken back, it expires one second after it would be seen: storage wants it to live
    longer than it is hidden. A trigger that catches it in that second fails on it, and nothing is exported.

    Raises:
        StorageDown, StorageRefused: the queue cannot be written.
    """
    queue = _export_queue(settings, retries=0, timeout_s=PROBE_S)
    with _as_failures(f"the queue {EXPORT_QUEUE}"):
        hidden = _sent(queue, "", visibility_timeout=UNSEEN_S, time_to_live=UNSEEN_S + 1)
        queue.delete_message(hidden)


def probe_container(container: Container) -> None:
    """Write a blob, read it and remove it; the container is made where there is none, as an export would.

    Raises:
        StorageDown, StorageRefused: one of them cannot be done.
    """
    name = f"{PROBE_PREFIX}{uuid.uuid4().hex}.json"
    container.ensure()
    container.create(name, b"{}")
    try:
        container.read(name)
    finally:
        container.delete(name)


def _export_queue(settings: HostStorage, retries: int, timeout_s: float) -> QueueClient:
    from azure.storage.queue import ExponentialRetry, QueueServiceClient

    service = _service(
        QueueServiceClient,
        settings,
        settings.queue_service_uri,
        retry_policy=ExponentialRetry(**_BACKOFF, retry_total=retries),
        transport=_transport(timeout_s),
    )
    return service.get_queue_client(EXPORT_QUEUE)


def _sent(queue: QueueClient, content: str, **options: Any) -> QueueMessage:
    """Put a message on the queue, which is made where there is none."""
    try:
        return queue.send_message(content, **options)
    except Exception as error:
        if not _is_storage_error(error, Fault.ABSENT):
            raise
        _unless_conflict(queue.create_queue)
        return queue.send_message(content, **options)


def app_identity(client_id: str) -> TokenCredential:
    """Give the app's own identity; `client_id`, else AZURE_CLIENT_ID, picks its user-assigned one.

    DefaultAzureCredential, so that the same code runs as the developer's own sign-in on a desk.
    """
    from azure.identity import DefaultAzureCredential

    # An empty choice is not passed on: it would override AZURE_CLIENT_ID, which azure-identity reads itself.
    return DefaultAzureCredential(**({"managed_identity_client_id": client_id} if client_id else {}))


def _service[S: (BlobServiceClient, QueueServiceClient)](
    kind: type[S], settings: StorageSettings, uri: str, **options: Any
) -> S:
    """Open a service of the account, by connection string or as the app itself; nothing is sent yet."""
    connection_string = _connection_string(settings)
    try:
        if connection_string:
            return kind.from_connection_string(connection_string, **options)
        if uri:
            return kind(uri, credential=app_identity(settings.client_id), **options)
    except ValueError:
        raise StorageRefused("The storage account's address or key cannot be used: check it.") from None
    raise StorageRefused(_NO_ACCOUNT)


_NO_ACCOUNT = (
    "No storage account is configured: set AzureWebJobsStorage, "
    "or connection_string or blob_service_uri in [storage]."
)

AZURITE_CONNECTION_STRING = (
    "DefaultEndpointsProtocol=http;AccountName=devstoreaccount1;"
    "AccountKey=Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw==;"
    "BlobEndpoint=http://127.0.0.1:10000/devstoreaccount1;QueueEndpoint=http://127.0.0.1:10001/devstoreaccount1;"
)


def _connection_string(settings: StorageSettings) -> str:
    given = settings.connection_string.get_secret_value()
    return AZURITE_CONNECTION_STRING if given.strip() == "UseDevelopmentStorage=true" else given


def _transport(timeout_s: float) -> RequestsTransport:
    """Give the SDK's transport, on connections that take no answer whose head broke off.

    The SDK would take one without its ETag for done, and a list without its body for a fault of its own. What
    it gives a transport of its own, timeouts and the size of what is read at once, it gives no other.
    """
    from azure.core.pipeline.transport import RequestsTransport
    from requests import Session

    from whole_head import WholeHeadAdapter

    session = Session()
    for scheme in ("http://", "https://"):
        session.mount(scheme, WholeHeadAdapter())
    return RequestsTransport(
        session=session,
        connection_timeout=min(LONGEST_CONNECT_S, timeout_s),
        read_timeout=timeout_s,
        connection_data_block_size=READ_BYTES,
    )


def _etag(done: Mapping[str, Any]) -> str:
    if not done["etag"]:
        raise StorageDown(
            "Storage took it and gave no ETag: a proxy may have answered in its place. Try again."
        )
    return str(done["etag"])


def _if_changed(etag: str) -> dict[str, Any]:
    from azure.core import MatchConditions

    return {"etag": etag, "match_condition": MatchConditions.IfModified}


def _unless_conflict[T](call: Callable[[], T]) -> T | None:
    try:
        return call()
    except Exception as error:
        if _is_storage_error(error, Fault.CONFLICT):
            return None
        raise


def _is_storage_error(error: Exception, *faults: Fault) -> bool:
    """Say whether it is one of these, and storage says so: a proxy's own 404 has no code of storage's."""
    return azure_fault(error) in faults and bool(getattr(error, "error_code", None))


@contextmanager
def _as_failures(what: str) -> Iterator[None]:
    """Turn an exception of the SDK into one of ours, naming the blob and never the account's URL."""
    try:
        yield
    except Failure:
        raise
    except Exception as error:  # noqa: BLE001  # the SDK reads an odd answer into errors of any kind
        raise _failure(what, error) from None


def _failure(what: str, error: Exception) -> Failure:
    from azure.core.exceptions import AzureError

    fault = azure_fault(error) if isinstance(error, AzureError) else Fault.GARBLED
    code = getattr(error, "error_code", None) or type(error).__name__
    if fault is Fault.REFUSED:
        return StorageRefused(
            f"Storage refused {what} ({code}). Give the app's identity the role Storage Blob Data Owner "
            "(and Storage Queue Data Contributor) on the account, and check its network rules."
        )
    if fault is Fault.MISCONFIGURED:
        return StorageRefused(f"The storage account's address or key cannot be used ({code}): check it.")
    return StorageDown(f"Storage failed at {what}: {fault.value} ({code}). Try again.")
