"""Every failure a person can meet, and what each exception of our libraries means.

    Failure                        status  who can mend it
    ├─ InvalidRequest                 400  the caller
    ├─ NotFound                       404  the caller
    ├─ Conflict                       409  the caller: the state has moved on, or forbids this
    ├─ TooLarge                       413  the caller: send less at a time
    ├─ UnsupportedMediaType           415  the caller
    ├─ EntitiesDoNotFit               422  whoever owns the data: refused by the contract
    ├─ EntitiesRefused                422  whoever owns the data: refused by the model
    ├─ Throttled                      429  time
    ├─ BadAnswer                      502  whoever owns the web service
    ├─ CredentialsRefused             502  the operator: key, token or role
    ├─ Overloaded                     503  time, or the operator
    ├─ ServiceDown                    503  whoever owns the web service
    ├─ SettingsWrong                  503  the operator
    ├─ NoContract                     503  the operator: export and adopt a version
    ├─ StorageDown                    503  time, or the operator
    │  └─ UnderWay                    503    time: another try of the same run has not ended
    ├─ StorageRefused                 503  the operator: role or network rule
    ├─ Silence                        504  whoever owns the web service
    └─ SnapshotFailed                      a run of an export that published nothing:
       ├─ NodeRefused                 502    the operator: token or permission
       ├─ NodeUnavailable             503    time: tried again
       └─ DataRefused                 502    whoever owns the pipe: truncated, ragged, not CSV …

A message says what happened, where, and what to do; it never holds an entity's value, a key, a token, a
URL's query or a stack trace. Statuses follow facts/sesam.md §7 statement 17 and RFC 9457.
"""

from collections.abc import Mapping, Sequence
from enum import Enum
from typing import ClassVar

MOST_ENTITIES_NAMED = 20


class Failure(Exception):
    """A failure with a status, a title and advice; `transient` says whether waiting can mend it."""

    slug: ClassVar[str] = "failure"
    title: ClassVar[str] = "Something failed"
    status: ClassVar[int] = 500
    transient: ClassVar[bool] = False

    def __init__(
        self,
        detail: str,
        *,
        entities: Sequence[str] = (),
        entity_count: int | None = None,
        features: Sequence[str] = (),
        retry_after: float | None = None,
    ) -> None:
        super().__init__(detail)
        self.detail = detail
        named = [id_ for id_ in entities if id_]  # one that is sent alone may have no id
        self.entities = tuple(named[:MOST_ENTITIES_NAMED])
        self.entity_count = len(entities) if entity_count is None else entity_count
        self.features = tuple(features)
        self.retry_after = retry_after

    def problem(self, request_id: str) -> dict[str, object]:
        """Give the body of an `application/problem+json` answer (RFC 9457)."""
        body: dict[str, object] = {
            "type": f"urn:sesam-azureml:{self.slug}",
            "title": self.title,
            "status": self.status,
            "detail": self.detail,
            "request_id": request_id,
        }
        if self.entity_count:
            body["entity_count"] = self.entity_count
        if self.entities:
            body["entities"] = list(self.entities)
        if self.features:
            body["features"] = list(self.features)
        return body


class InvalidRequest(Failure):
    """The body is not what the route takes; the place is named."""

    slug, title, status = "invalid-request", "The request cannot be read", 400


class NotFound(Failure):
    """No such model, export or version."""

    slug, title, status = "not-found", "Not found", 404


class Conflict(Failure):
    """The state has moved on, or forbids what was asked."""

    slug, title, status = "conflict", "Refused in the present state", 409


class TooLarge(Failure):
    """A limit was passed; it is named."""

    slug, title, status = "too-large", "Over a limit", 413


class UnsupportedMediaType(Failure):
    """A content type or content encoding that the route does not take."""

    slug, title, status = "unsupported-media-type", "Content type not supported", 415


class EntitiesDoNotFit(Failure):
    """Entities that cannot be encoded through the contract; the model was not asked about them."""

    slug, title, status = "entities-do-not-fit", "Entities do not fit the contract", 422


class EntitiesRefused(Failure):
    """Entities that the model refuses, though they fit the contract."""

    slug, title, status = "entities-refused", "The model refuses entities", 422


class Throttled(Failure):
    """The web service still asked for patience at the deadline."""

    slug, title, status, transient = "throttled", "The web service is throttling", 429, True


class BadAnswer(Failure):
    """The web service answered something that cannot be matched to the rows sent."""

    slug, title, status = "bad-answer", "The web service answered nonsense", 502


class CredentialsRefused(Failure):
    """The web service refused our key, token or role."""

    slug, title, status = "credentials-refused", "The web service refused our credentials", 502


class Overloaded(Failure):
    """This instance cannot start another thread, or is shutting down."""

    slug, title, status, transient = "overloaded", "This instance can take on no more", 503, True


class ServiceDown(Failure):
    """The web service cannot be reached or keeps failing."""

    slug, title, status, transient = "service-down", "The web service is down", 503, True


class SettingsWrong(Failure):
    """Settings are unknown, missing or wrong; all of them are listed by name, never by value."""

    slug, title, status = "settings-wrong", "The settings are wrong", 503

    def __init__(self, problems: Sequence[str]) -> None:
        super().__init__("; ".join(problems))
        self.problems = tuple(problems)


class NoContract(Failure):
    """The model has adopted no version yet, or the adopted contract cannot be used."""

    slug, title, status, transient = "no-contract", "The model has no usable contract", 503, True


class StorageDown(Failure):
    """Blob or queue storage does not answer, or asks for patience."""

    slug, title, status, transient = "storage-down", "Storage is not available", 503, True


class UnderWay(StorageDown):
    """This very run is under way elsewhere, or was killed less than a lease ago. Trying again settles it."""

    slug, title = "under-way", "The run is under way elsewhere"


class StorageRefused(Failure):
    """Storage refuses the app: a role, a network rule or the account is missing."""

    slug, title, status = "storage-refused", "Storage refuses the app", 503


class Silence(Failure):
    """The web service did not answer before the deadline."""

    slug, title, status, transient = "silence", "The web service did not answer in time", 504, True


class SnapshotFailed(Failure):
    """A run of an export that published nothing."""

    slug, title, status = "snapshot-failed", "The export published nothing", 502


class NodeRefused(SnapshotFailed):
    """The Sesam node refuses: token, permission, pipe or publisher. Trying again does not help."""

    slug, title = "node-refused", "The Sesam node refuses"


class NodeUnavailable(SnapshotFailed):
    """The Sesam node cannot be reached, is busy, or broke off. Trying again may help."""

    slug, title, status, transient = "node-unavailable", "The Sesam node is not available", 503, True


class DataRefused(SnapshotFailed):
    """What the node sent is no whole, rectangular CSV, or not the columns expected."""

    slug, title = "data-refused", "The data was refused"


class Fault(Enum):
    """What an exception of a library means to us."""

    SILENT = "no answer in time"
    UNREACHABLE = "no connection"
    UNTRUSTED = "TLS could not be verified"
    BROKEN = "the connection or the body broke off"
    GARBLED = "the answer cannot be decoded"
    MISCONFIGURED = "the address or a header is wrong"
    BUSY = "the service asks for patience"
    REFUSED = "credentials or role refused"
    ABSENT = "there is no such thing"
    CONFLICT = "a condition did not hold"
    BUG = "we used the library wrongly"


# requests' own exceptions, each (tests/unit/test_errors.py proves that none is missing).
REQUESTS_FAULTS: Mapping[str, Fault] = {
    "ConnectTimeout": Fault.SILENT,
    "ReadTimeout": Fault.SILENT,
    "Timeout": Fault.SILENT,
    "SSLError": Fault.UNTRUSTED,
    "ProxyError": Fault.UNREACHABLE,
    "ConnectionError": Fault.UNREACHABLE,
    "ChunkedEncodingError": Fault.BROKEN,
    "ContentDecodingError": Fault.GARBLED,
    "InvalidJSONError": Fault.GARBLED,
    "JSONDecodeError": Fault.GARBLED,
    "URLRequired": Fault.MISCONFIGURED,
    "MissingSchema": Fault.MISCONFIGURED,
    "InvalidSchema": Fault.MISCONFIGURED,
    "InvalidURL": Fault.MISCONFIGURED,
    "InvalidProxyURL": Fault.MISCONFIGURED,
    "InvalidHeader": Fault.MISCONFIGURED,
    "TooManyRedirects": Fault.MISCONFIGURED,
    "HTTPError": Fault.BUG,
    "RetryError": Fault.BUG,
    "StreamConsumedError": Fault.BUG,
    "UnrewindableBodyError": Fault.BUG,
    "RequestException": Fault.BUG,
}

# azure-core's, each; HttpResponseError itself is judged by its status, see `azure_fault`.
AZURE_FAULTS: Mapping[str, Fault] = {
    "ServiceRequestTimeoutError": Fault.SILENT,
    "ServiceResponseTimeoutError": Fault.SILENT,
    "ServiceRequestError": Fault.UNREACHABLE,
    "ServiceResponseError": Fault.BROKEN,
    "IncompleteReadError": Fault.BROKEN,
    "StreamClosedError": Fault.BROKEN,
    "DecodeError": Fault.GARBLED,
    "ODataV4Error": Fault.GARBLED,
    "DeserializationError": Fault.GARBLED,
    "ClientAuthenticationError": Fault.REFUSED,
    "ResourceNotFoundError": Fault.ABSENT,
    "ResourceExistsError": Fault.CONFLICT,
    "ResourceModifiedError": Fault.CONFLICT,
    "ResourceNotModifiedError": Fault.CONFLICT,
    "TooManyRedirectsError": Fault.MISCONFIGURED,
    "HttpResponseError": Fault.BUG,
    "SerializationError": Fault.BUG,
    "StreamConsumedError": Fault.BUG,
    "ResponseNotReadError": Fault.BUG,
    "AzureError": Fault.BUG,
}

# Storage answers these whatever class azure-core raises for them (Common REST API error codes).
STATUS_FAULTS: Mapping[int, Fault] = {
    401: Fault.REFUSED,
    403: Fault.REFUSED,
    404: Fault.ABSENT,
    408: Fault.BUSY,
    409: Fault.CONFLICT,
    412: Fault.CONFLICT,
    429: Fault.BUSY,
    500: Fault.BUSY,
    502: Fault.BUSY,
    503: Fault.BUSY,
    504: Fault.BUSY,
}


def requests_fault(error: BaseException) -> Fault:
    """Say what an exception of requests means, by its nearest class that has a row."""
    return _fault(error, "requests.exceptions", REQUESTS_FAULTS)


def azure_fault(error: BaseException) -> Fault:
    """Say what an exception of azure-core (storage, identity) means: by status, else by class."""
    status = getattr(error, "status_code", None)
    if isinstance(status, int) and status in STATUS_FAULTS:
        return STATUS_FAULTS[status]
    return _fault(error, "azure.core.exceptions", AZURE_FAULTS)


def _fault(error: BaseException, module: str, rows: Mapping[str, Fault]) -> Fault:
    # By name, so that this module, which everything imports, imports neither library.
    for cls in type(error).__mro__:
        if cls.__module__ == module and cls.__name__ in rows:
            return rows[cls.__name__]
    return Fault.BUG
