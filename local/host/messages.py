"""The message classes that the engine wants injected (facts/functions.md §2.3).

In Azure they are protobuf messages; the engine only ever sets and reads attributes, so plain objects do. The
module itself is handed over as the engine's `protos`.
"""

from collections.abc import Mapping
from datetime import datetime
from typing import Any


class Message:
    """Fields given by keyword; a field that was not given reads as None."""

    def __init__(self, **fields: object) -> None:
        self.__dict__.update(fields)

    def __getattr__(self, name: str) -> Any:
        # The engine asks each message for `TypedData` and takes any answer for one.
        if name[:1].isupper() or name.startswith("__"):
            raise AttributeError(name)
        return None


class TypedData(Message):
    """One value, in the one field that is set: `string`, `json`, `bytes` or `http`."""

    def WhichOneof(self, _group: str) -> str | None:  # noqa: N802  # protobuf's name for it
        """Name the field that is set."""
        return next((name for name, value in vars(self).items() if value is not None), None)


class ParameterBinding(Message):
    """A function's parameter: `name` and `data`."""

    def WhichOneof(self, _group: str) -> str:  # noqa: N802  # protobuf's name for it
        """Say that the value is in `data`, never in shared memory."""
        return "data"


class BindingInfo(Message):
    """`type`, `data_type` and `direction` of a binding."""

    undefined, string, binary, stream = range(4)
    # In the engine's protobuf these are another enum that also starts at 0.
    out, inout = 1, 2


class StatusResult(Message):
    """`status` and `exception` of an answer."""

    Failure, Success, Cancelled = range(3)


class RpcHttp(Message):
    """A request as the trigger's converter reads it: method, url, headers, query, params, body."""


class RpcException(Message):
    """`message` and `stack_trace` of what a function or the app raised."""


class RpcRetryOptions(Message):
    """A retry policy."""


class RpcFunctionMetadata(Message):
    """What the engine says of one function; see `functions`."""


class WorkerMetadata(Message):
    """The engine's name and version."""


class WorkerInitResponse(Message):
    """`result`, `capabilities` and `worker_metadata`."""


class FunctionMetadataResponse(Message):
    """`result` and `function_metadata_results`."""


class InvocationResponse(Message):
    """`result` of a call; the answer to an HTTP call travels by HTTP."""


def text(value: str) -> TypedData:
    """Make a text value."""
    return TypedData(string=value)


def when(time: datetime | None) -> TypedData:
    """Make a time value, in ISO 8601; unknown stays unset."""
    return TypedData(string=None if time is None else time.isoformat())


def http_input(method: str, url: str, params: Mapping[str, str]) -> TypedData:
    """Make an HTTP trigger's input: the route parameters; all else the function reads from the request."""
    return TypedData(
        http=RpcHttp(method=method, url=url, headers={}, query={}, params=dict(params), body=TypedData())
    )
