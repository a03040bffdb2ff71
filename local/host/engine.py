"""The real engine in this process: its coroutines, and what they leave to the caller (facts/functions.md §2).

The engine is an internal contract of Azure's, so its version is pinned. It is loaded once per process, and
all its coroutines run on one event loop.
"""

import asyncio
import importlib.metadata
import logging
import secrets
import time
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol
from urllib.parse import urlsplit

import azure_functions_runtime as runtime
from azure_functions_runtime.http_v2 import AsyncContextReference, http_coordinator

from local.host import messages
from local.host.configuration import CannotStart
from local.host.functions import Function
from local.host.messages import Message, TypedData

PINNED = "1.3.0"
LOOPBACK = "127.0.0.1"
LISTENING_TIMEOUT = 15.0

log = logging.getLogger("host")


@dataclass(frozen=True)
class Outcome:
    """How a run ended; `error` is the function's own, empty when it succeeded."""

    succeeded: bool
    error: str = ""


@dataclass(frozen=True)
class Call:
    """One run to be made: the trigger's input and metadata, the caller's trace, an id of its own."""

    function: Function
    data: TypedData
    metadata: Mapping[str, TypedData] = field(default_factory=dict)
    trace_parent: str = ""
    trace_state: str = ""
    id: str = field(default_factory=lambda: str(uuid.uuid4()))


class Runs(Protocol):
    """Runs functions: the engine, or a test's own."""

    async def run(self, call: Call) -> Outcome:
        """Run a function and say how it ended."""
        ...


class Engine:
    """The engine with an app in it.

    `timeout`: seconds that a run may take (`functionTimeout`), None for no limit.
    """

    def __init__(self, timeout: float | None) -> None:
        self._timeout = timeout
        self.http_address = ""

    async def load(self, directory: Path) -> list[messages.RpcFunctionMetadata]:
        """Import the app, start the engine's own HTTP server, and give the functions' metadata.

        `CannotStart` holds the app's own error. The directory must be on `sys.path` already.
        """
        _check_version()
        _silence_inner_server()
        runtime.start_threadpool_executor()
        started = await runtime.worker_init_request(
            Message(
                request=Message(
                    worker_init_request=Message(capabilities={}, function_app_directory=str(directory))
                ),
                properties={"host": LOOPBACK, "protos": messages},
            )
        )
        if started.result.status != messages.StatusResult.Success:
            raise CannotStart(_told(directory, started.result.exception))
        answer = await runtime.functions_metadata_request(Message(properties={}))
        found: list[messages.RpcFunctionMetadata] | None = answer.function_metadata_results
        if found is None:
            raise CannotStart(f"there is no function_app.py in {directory}")
        self.http_address = started.capabilities.get("HttpUri", "")
        if self.http_address:
            await _listening(self.http_address)
        return found

    async def run(self, call: Call) -> Outcome:
        """Run a function and say how it ended, in the log too. It never raises, but can be cancelled."""
        started = time.monotonic()
        outcome = Outcome(False, "cancelled")
        try:
            outcome = await self._run(call)
        finally:
            if not outcome.succeeded:
                _answer_waiting_request(call, outcome.error)
            how = "Succeeded" if outcome.succeeded else "Failed"
            milliseconds = round((time.monotonic() - started) * 1000)
            log.info(
                "Executed 'Functions.%s' (%s, Id=%s, Duration=%dms)",
                call.function.name,
                how,
                call.id,
                milliseconds,
            )
            if not outcome.succeeded:
                log.error("%s: %s", call.function.name, outcome.error)
        return outcome

    async def _run(self, call: Call) -> Outcome:
        try:
            async with asyncio.timeout(self._timeout):
                answer = await runtime.invocation_request(_invocation(call))
        except TimeoutError:
            return Outcome(False, f"functionTimeout: the run took longer than {self._timeout:g} s")
        except Exception as error:  # noqa: BLE001  # of whatever kind: the run failed, the host lives on
            return Outcome(False, f"the engine failed: {type(error).__name__}: {error}")
        if answer.result.status == messages.StatusResult.Success:
            return Outcome(True)
        raised = answer.result.exception
        return Outcome(False, f"{raised.message}\n{raised.stack_trace}".strip())

    @staticmethod
    def has_request(call_id: str) -> bool:
        """Say whether the HTTP half of a call has reached the engine."""
        half = http_coordinator._context_references.get(call_id)
        return half is not None and half.http_request_available_event.is_set()

    @staticmethod
    def forget(call_id: str) -> None:
        """Drop what the engine keeps of an HTTP call that is over: it never does so itself."""
        http_coordinator._context_references.pop(call_id, None)


def _check_version() -> None:
    found = importlib.metadata.version("azure-functions-runtime")
    if found != PINNED:
        raise CannotStart(
            f"azure-functions-runtime {found} is installed, this host drives {PINNED}: "
            "pip install -r requirements-dev.txt"
        )


def _silence_inner_server() -> None:
    # uvicorn replaces the handlers of its loggers when it starts, but leaves their filters. It would print a
    # line for each request, and each error a second time: the run's outcome tells it.
    for name in ("uvicorn.access", "uvicorn.error", "uvicorn.asgi"):
        logging.getLogger(name).addFilter(lambda _: False)


async def _listening(address: str) -> None:
    port = urlsplit(address).port
    try:
        async with asyncio.timeout(LISTENING_TIMEOUT):
            while True:
                try:
                    _, writer = await asyncio.open_connection(LOOPBACK, port)
                except ConnectionRefusedError:
                    await asyncio.sleep(0.01)
                else:
                    writer.close()
                    await writer.wait_closed()
                    return
    except TimeoutError:
        raise CannotStart("the engine's own HTTP server did not start: start again") from None


def _invocation(call: Call) -> Message:
    trace_parent = call.trace_parent or f"00-{secrets.token_hex(16)}-{secrets.token_hex(8)}-00"
    return Message(
        request=Message(
            invocation_request=Message(
                invocation_id=call.id,
                function_id=call.function.id,
                input_data=[messages.ParameterBinding(name=call.function.parameter, data=call.data)],
                trigger_metadata=dict(call.metadata),
                trace_context=Message(trace_parent=trace_parent, trace_state=call.trace_state, attributes={}),
                retry_context=Message(retry_count=0, max_retry_count=0),
            )
        ),
        properties={},
    )


def _answer_waiting_request(call: Call, error: str) -> None:
    # The HTTP half waits without end for a run that died before it answered. One that has not arrived yet
    # finds this answer when it does.
    if call.function.kind != "http":
        return
    half = http_coordinator._context_references.setdefault(call.id, AsyncContextReference())
    if not half.http_response_available_event.is_set():
        half.http_response = RuntimeError(error)


def _told(directory: Path, raised: Message) -> str:
    trace = str(raised.stack_trace or "").strip()
    return f"the app in {directory} cannot be loaded: {raised.message}\n{trace}"
