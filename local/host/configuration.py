"""host.json and local.settings.json, read once and strictly, in the shapes that the other parts take."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import msgspec

DEFAULT_PORT = 7071

# The real host hides a message for about ten minutes. Shorter, it comes back sooner after a host was killed.
HIDDEN_SECONDS = 30
# Begins the line that says that calls are taken; the address follows.
READY = "ready: "
DEFAULT_TIMEOUT = timedelta(minutes=30)

_TIMESPAN = re.compile(r"(?:(\d+)\.)?(\d{1,2}):(\d{2}):(\d{2})(?:\.(\d{1,7}))?")


class CannotStart(Exception):
    """The app cannot be served; the message says what is wrong and where."""


@dataclass(frozen=True)
class QueueSettings:
    """`extensions.queues` of host.json (facts/functions.md §3.7); times in seconds."""

    batch_size: int
    new_batch_threshold: int
    max_polling_interval: float
    visibility_timeout: float
    max_dequeue_count: int
    base64: bool


@dataclass(frozen=True)
class HostSettings:
    """What host.json says to this host; None is unbounded, times are in seconds."""

    route_prefix: str
    max_concurrent_requests: int | None
    max_outstanding_requests: int | None
    function_timeout: float | None
    queues: QueueSettings


@dataclass(frozen=True)
class LocalSettings:
    """What local.settings.json says: the app's settings, and the port if it names one."""

    values: Mapping[str, str]
    port: int | None

    def unportable(self) -> list[str]:
        """Name the settings that are no environment variables everywhere: those with `:`."""
        return sorted(name for name in self.values if ":" in name)


class _Http(msgspec.Struct, rename="camel"):
    route_prefix: str = "api"
    max_concurrent_requests: int = -1
    max_outstanding_requests: int = -1


class _Queues(msgspec.Struct, rename="camel"):
    batch_size: int = 16
    new_batch_threshold: int | None = None
    max_polling_interval: str = "00:01:00"
    visibility_timeout: str = "00:00:00"
    max_dequeue_count: int = 5
    message_encoding: str = "base64"


class _Extensions(msgspec.Struct, rename="camel"):
    http: _Http = msgspec.field(default_factory=_Http)
    queues: _Queues = msgspec.field(default_factory=_Queues)


class _HostJson(msgspec.Struct, rename="camel"):
    version: str
    function_timeout: str | None = None
    extensions: _Extensions = msgspec.field(default_factory=_Extensions)


class _LocalHost(msgspec.Struct, rename="pascal"):
    local_http_port: int | None = None


class _LocalSettingsJson(msgspec.Struct, rename="pascal"):
    is_encrypted: bool = False
    values: dict[str, str] = msgspec.field(default_factory=dict)
    host: _LocalHost = msgspec.field(default_factory=_LocalHost)


def read_host_settings(directory: Path) -> HostSettings:
    """Read the app's host.json; `CannotStart` when it is missing or wrong."""
    file = directory / "host.json"
    if not file.is_file():
        raise CannotStart(f"there is no host.json in {directory}: is this the app's directory?")
    read = _decode(file, _HostJson)
    if read.version != "2.0":
        raise CannotStart(f'{file}: "version" must be "2.0"')
    try:
        return HostSettings(
            route_prefix=read.extensions.http.route_prefix.strip("/"),
            max_concurrent_requests=_limit(read.extensions.http.max_concurrent_requests),
            max_outstanding_requests=_limit(read.extensions.http.max_outstanding_requests),
            function_timeout=_function_timeout(read.function_timeout),
            queues=_queue_settings(read.extensions.queues),
        )
    except ValueError as error:
        raise CannotStart(f"{file}: {error}") from None


def read_local_settings(directory: Path) -> LocalSettings:
    """Read the app's local.settings.json, which need not be there; `CannotStart` when it is wrong."""
    file = directory / "local.settings.json"
    if not file.is_file():
        return LocalSettings({}, None)
    read = _decode(file, _LocalSettingsJson)
    if read.is_encrypted:
        raise CannotStart(f"{file} is encrypted: decrypt it with `func settings decrypt`")
    return LocalSettings(read.values, read.host.local_http_port)


def seconds(timespan: str) -> float:
    """Read a TimeSpan, `[d.]hh:mm:ss[.fffffff]`; ValueError when it is none."""
    match = _TIMESPAN.fullmatch(timespan)
    if match is None:
        raise ValueError(f'"{timespan}" is no time span like 00:05:00')
    days, hours, minutes, whole, fraction = match.groups()
    parts = timedelta(days=int(days or 0), hours=int(hours), minutes=int(minutes), seconds=int(whole))
    return parts.total_seconds() + float(f"0.{fraction or 0}")


def _decode[T](file: Path, shape: type[T]) -> T:
    try:
        return msgspec.json.decode(file.read_bytes(), type=shape)
    except msgspec.DecodeError as error:
        # msgspec names the place and the type found there, never the value.
        raise CannotStart(f"{file}: {error}") from None


def _limit(count: int) -> int | None:
    if count == -1:
        return None
    if count < 1:
        raise ValueError("a limit on requests is -1 (none) or at least 1")
    return count


def _function_timeout(timespan: str | None) -> float | None:
    if timespan is None:
        return DEFAULT_TIMEOUT.total_seconds()
    return None if timespan == "-1" else seconds(timespan)


def _queue_settings(read: _Queues) -> QueueSettings:
    if not 1 <= read.batch_size <= 32:
        raise ValueError("batchSize is 1 to 32")
    if read.max_dequeue_count < 1:
        raise ValueError("maxDequeueCount is at least 1")
    if read.message_encoding not in {"base64", "none"}:
        raise ValueError("messageEncoding is base64 or none")
    threshold = read.batch_size // 2 if read.new_batch_threshold is None else read.new_batch_threshold
    if threshold < 0:
        raise ValueError("newBatchThreshold is at least 0")
    return QueueSettings(
        batch_size=read.batch_size,
        new_batch_threshold=threshold,
        max_polling_interval=seconds(read.max_polling_interval),
        visibility_timeout=seconds(read.visibility_timeout),
        max_dequeue_count=read.max_dequeue_count,
        base64=read.message_encoding == "base64",
    )
