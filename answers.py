"""HTTP of every route: bodies in, JSON out, and failures as problem documents (design §5, RFC 9457).

A failure becomes its status in this one place. What an answer tells is what `errors.py` allows: an exception
nobody foresaw is told as a bare 500 with the id under which the log names its kind and its place.
"""

import asyncio
import logging
import math
import re
import uuid
from collections.abc import Callable, Coroutine
from typing import TYPE_CHECKING, Any

import msgspec
from azurefunctions.extensions.http.fastapi import Request, Response
from starlette.requests import ClientDisconnect

import telemetry
from errors import Failure, InvalidRequest, Overloaded, SettingsWrong, TooLarge

if TYPE_CHECKING:
    from sections import LimitSettings

PROBLEM = "application/problem+json"

_CALLER_ID = re.compile(r"[A-Za-z0-9_-]{1,40}")

# How Python says that a thread cannot be had, now or any more (threading, concurrent.futures).
_NO_THREAD = ("can't start new thread", "cannot schedule new futures")
_TOO_MUCH = (
    "This instance cannot start another thread, or is shutting down. Send fewer calls at a time, or lower "
    "in_flight."
)

log = logging.getLogger("sesam-azureml.answers")


def request_id(request: Request) -> str:
    """Give the caller's own `x-ms-client-request-id` where it is harmless, else a new id."""
    given = request.headers.get("x-ms-client-request-id", "")
    return given if _CALLER_ID.fullmatch(given) else uuid.uuid4().hex


async def read_body(request: Request, limits: "LimitSettings") -> bytes:
    """Read a body, counting while it streams: Sesam sends it chunked, without a Content-Length.

    Raises:
        TooLarge: it is over `limits.body_bytes`; no more of it is read.
        InvalidRequest: the caller broke off.
    """
    parts: list[bytes] = []
    size = 0
    try:
        async for part in request.stream():
            size += len(part)
            if size > limits.body_bytes:
                raise TooLarge(
                    f"The body is over {limits.body_bytes} bytes (limits.body_bytes): send less at a time."
                )
            parts.append(part)
    except ClientDisconnect:
        raise InvalidRequest("The body broke off before its end: send it again.") from None
    return b"".join(parts)


def decode_body[T](body: bytes, kind: type[T], shape: str, limits: "LimitSettings") -> T:
    """Read a body as the document that a route takes, written like `shape`.

    Raises:
        InvalidRequest: it is another. TooLarge: it nests too deep.
    """
    from contract.documents import NestedTooDeep, decode  # with the first call: cold start counts

    try:
        return decode(body, kind)
    except NestedTooDeep:
        raise TooLarge(f"The body is nested deeper than {limits.depth} levels (limits.depth).") from None
    except msgspec.DecodeError as error:
        raise InvalidRequest(f"Send {shape}: {error}.") from None


async def answer_from_thread(work: Callable[[], Any]) -> Response:
    """Answer with what some work gives, done on a thread of asyncio's: it may wait for storage."""
    return json_answer(200, await asyncio.to_thread(work))


def json_answer(status: int, body: Any, headers: dict[str, str] | None = None) -> Response:
    """Answer with a body that msgspec can encode: structs, dicts, lists, or ready `msgspec.Raw`."""
    return Response(msgspec.json.encode(body), status, headers, media_type="application/json")


def problem_answer(failure: Failure, request_id: str) -> Response:
    """Answer with a failure: its status, its problem document, and when to come again where it says so."""
    headers = {}
    if failure.retry_after is not None:
        headers["Retry-After"] = str(math.ceil(failure.retry_after))
    body = msgspec.json.encode(failure.problem(request_id))
    return Response(body, failure.status, headers, media_type=PROBLEM)


async def answered(request: Request, work: Coroutine[Any, Any, Response]) -> Response:
    """Await a route's answer; a failure becomes a problem document, and one line in the log."""
    id_ = request_id(request)
    try:
        _refuse_large_headers(request)
        with telemetry.request(id_):
            return await work
    except Failure as failure:
        log.warning("%s %s: %s (%s)", id_, failure.status, failure.slug, failure.title)
        return problem_answer(failure, id_)
    except Exception as error:  # noqa: BLE001  # the last door: a stack trace must not pass it
        if isinstance(error, RuntimeError) and str(error).startswith(_NO_THREAD):
            log.warning("%s 503: %s", id_, error)
            return problem_answer(Overloaded(_TOO_MUCH, retry_after=1.0), id_)
        log.error("%s 500: %s at %s", id_, type(error).__name__, _place(error))  # noqa: TRY400  # likewise
        return problem_answer(Failure(f"An error nobody foresaw; the log names it under {id_}."), id_)
    finally:
        work.close()  # what was refused before it began


def _refuse_large_headers(request: Request) -> None:
    from sections import HEADER_BYTES  # with the first call: cold start counts
    from settings import settings

    try:
        most = settings().limits.header_bytes
    except SettingsWrong:
        most = HEADER_BYTES  # the route itself tells what is wrong
    if sum(len(name) + len(value) for name, value in request.headers.raw) > most:
        raise TooLarge(
            f"The headers are over {most} bytes (limits.header_bytes): send fewer or shorter ones."
        )


def _place(error: Exception) -> str:
    step = error.__traceback__
    while step and step.tb_next:
        step = step.tb_next
    return f"{step.tb_frame.f_code.co_filename.rpartition('/')[2]}:{step.tb_lineno}" if step else "?"
