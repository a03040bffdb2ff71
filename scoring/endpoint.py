"""The wire: one body posted to a model's web service, one answer read whole, by a point in time.

It never follows a redirect, never tries again by itself, and takes nothing from its environment, no proxy and
no .netrc, but a private authority's certificates (REQUESTS_CA_BUNDLE). What came back is a `Reply` or a
`Trouble`; what that means is judged elsewhere (verdicts.py).
"""

import http.client
import logging
import time
import zlib
from collections.abc import Iterable
from dataclasses import replace
from email.utils import formatdate
from typing import Any
from urllib.parse import parse_qsl, urlsplit
from weakref import WeakKeyDictionary

import requests
import urllib3
from urllib3.connection import HTTPConnection
from urllib3.connectionpool import ConnectionPool, HTTPConnectionPool

from cutoff import Exchange, WatchedAdapter, cut_at
from errors import BadAnswer, Fault, SettingsWrong, requests_fault
from scoring.deadline import Deadline
from scoring.identity import Identity
from scoring.verdicts import Outcome, Reply, Trouble
from sections import HEADER_BYTES, ModelSettings
from settings import trusted_roots
from whole_head import is_framed

# Of an answer that is no 200, only codes are read; a stack trace of megabytes is not.
ERROR_BYTES = 64 * 1024
CHUNK_BYTES = 64 * 1024

OUR_ID = "x-ms-client-request-id"

# A shorter one would be found in what is none.
SHORTEST_SECRET = 8


log = logging.getLogger("sesam-azureml.endpoint")


class _OneService(WatchedAdapter):
    """The transport to one web service, whose pool is looked up once: url and trust are those of settings.

    A transport alone, without a session, follows no redirect, with which the key would leave for another
    address, and keeps no cookies, which could only tie us to one instance of the service.
    """

    _pool: ConnectionPool | None = None

    @property
    def kept(self) -> bool:
        """Say whether the pool has a living connection; it may be another thread's a moment later."""
        pool = self._pool
        idle = pool.pool if isinstance(pool, HTTPConnectionPool) else None
        # A pool hands out what came back last; where none ever came back, it has None in its place.
        return idle is not None and any(last and last.looks_alive for last in idle.queue[-1:])

    def get_connection_with_tls_context(self, *args: Any, **options: Any) -> ConnectionPool:
        """See HTTPAdapter."""
        pool = self._pool
        if pool is None:
            pool = self._pool = super().get_connection_with_tls_context(*args, **options)
        return pool

    def build_response(self, req: requests.PreparedRequest, resp: Any) -> requests.Response:
        """See HTTPAdapter: without what nobody reads, as cookies and a text's encoding."""
        response = requests.Response()
        response.status_code, response.raw, response.request = resp.status, resp, req
        return response

    def close(self) -> None:
        """See HTTPAdapter."""
        self._pool = None
        super().close()


class Endpoint:
    """One model's web service.

    Args:
        model: the model's name, for messages.
        settings: its url, identity, deployment, timeouts.
        identity: who we are to it.
        answer_bytes: the largest answer taken.
        header_bytes: the most that all headers of an answer may weigh.

    Raises:
        SettingsWrong: no request can be sent to the url.
    """

    def __init__(
        self,
        model: str,
        settings: ModelSettings,
        identity: Identity,
        *,
        answer_bytes: int,
        header_bytes: int = HEADER_BYTES,
    ) -> None:
        self.model = model
        self._settings = settings
        self._identity = identity
        self._answer_bytes = answer_bytes
        self._header_bytes = header_bytes
        self.whom = f"The web service of {model} ({urlsplit(settings.url).hostname})"
        self._transport = _OneService(pool_connections=1, pool_maxsize=settings.in_flight, max_retries=0)
        self._verify = settings.verify_tls and trusted_roots()
        self._template = self._prepared(model)
        self._asked: WeakKeyDictionary[HTTPConnection, str] = WeakKeyDictionary()
        self._query_values = [value for _, value in parse_qsl(urlsplit(settings.url).query)]
        if not settings.verify_tls:
            # Said at the start and by name (settings.py), rather than by a warning at every request.
            urllib3.disable_warnings(urllib3.exceptions.InsecureRequestWarning)

    def __repr__(self) -> str:
        return f"<Endpoint: {self.whom}>"

    @property
    def renewable(self) -> bool:
        """Say whether a 401 may be mended by a fresh token."""
        return self._identity.renewable

    @property
    def kept(self) -> bool:
        """Say whether a connection and a token are kept, as far as can be told while others use them too."""
        return self._transport.kept and self._identity.at_hand

    def post(
        self, body: bytes, deadline: Deadline, request_id: str, *, fresh: bool = False, kept: bool = False
    ) -> Outcome:
        """Post a body and read the answer, in `timeout_s` and never beyond the deadline.

        Args:
            body: JSON in UTF-8.
            deadline: of the whole call.
            request_id: goes out as x-ms-client-request-id, by which the service's log is searched.
            fresh: with a token fetched anew, the last one having been refused.
            kept: on a connection that is kept, with a token at hand. All of a request can be cut at the
                deadline, but neither a token that is being fetched nor a connection that is being made: a
                name is resolved, and each of its addresses tried for as long.

        Raises:
            BadAnswer: the answer is larger than allowed.
            Failure: no token can be had (scoring/identity.py).
            NotKept: one of both is not; nothing was sent.
        """
        request = self._request(body, deadline, request_id, fresh, kept)
        seconds = min(self._settings.timeout_s, deadline.left())
        if seconds <= 0:
            return Trouble(Fault.SILENT)
        began = time.monotonic()
        with cut_at(began + seconds, kept_only=kept) as exchange:
            outcome = self._exchange(request, seconds, exchange)
        self._tell(outcome, request_id, time.monotonic() - began)
        return outcome

    def close(self) -> None:
        """Let go of the connections kept."""
        self._transport.close()

    def _prepared(self, model: str) -> requests.PreparedRequest:
        """Make once what all requests share; that also proves that it can be made."""
        headers = {
            "Content-Type": "application/json",
            "Accept": "application/json",
            # A gzip answer that is cut inside a whole HTTP answer looks complete (engineering.md C-M2).
            "Accept-Encoding": "identity",
            "User-Agent": "sesam-azure-ml",
        }
        if self._settings.deployment:
            headers["azureml-model-deployment"] = self._settings.deployment
        try:
            prepared = requests.Request("POST", self._settings.url, headers=headers).prepare()
        except requests.exceptions.RequestException:
            raise SettingsWrong(
                [f"models.{model}.url: is no address that a request can be sent to"]
            ) from None
        return prepared

    def _request(
        self, body: bytes, deadline: Deadline, request_id: str, fresh: bool, kept: bool
    ) -> requests.PreparedRequest:
        request = self._template.copy()
        request.body = body
        request.headers["Content-Length"] = str(len(body))
        request.headers[OUR_ID] = request_id
        authorization = self._identity.authorization(deadline, fresh=fresh, kept=kept)
        if authorization is not None:
            request.headers["Authorization"] = authorization
        return request

    def _exchange(self, request: requests.PreparedRequest, seconds: float, exchange: Exchange) -> Outcome:
        try:
            response = self._transport.send(request, stream=True, timeout=seconds, verify=self._verify)
            try:
                self._refuse_late(response)
                reply = _without(self._secrets(request), self._read(response))
            finally:
                response.close()
        except (requests.exceptions.RequestException, urllib3.exceptions.HTTPError, zlib.error) as error:
            if not exchange.cut and _is_oversized_head(error):
                raise self._too_large_head() from None
            fault = Fault.SILENT if exchange.cut else _fault(error)
            # What is no HTTP on a kept connection is the rest of an earlier answer.
            return Trouble(Fault.BROKEN if fault is Fault.GARBLED and exchange.on_kept else fault)
        # A body that ends with the connection looks whole when it is we who cut it.
        return Trouble(Fault.SILENT) if exchange.cut else reply

    def _secrets(self, request: requests.PreparedRequest) -> list[str]:
        """Give what must not come back: our key or token, and what the query of the url may hold."""
        return [request.headers.get("Authorization", "").removeprefix("Bearer "), *self._query_values]

    def _too_large_head(self) -> BadAnswer:
        return BadAnswer(
            f"{self.whom}: the answer's headers are over {self._header_bytes} bytes (limits.header_bytes), "
            "or too many. Look at what stands before the deployment."
        )

    def _refuse_late(self, response: requests.Response) -> None:
        """Refuse the answer to what the same connection was asked before, where it came twice and late.

        An inference server sends our id back (statement 14); each of ours goes out once.
        """
        connection, ours = response.raw.connection, response.request.headers[OUR_ID]
        if connection is None:
            return
        before, self._asked[connection] = self._asked.get(connection), ours
        if before not in (None, ours) and response.raw.headers.get(OUR_ID) == before:
            raise urllib3.exceptions.ProtocolError("An answer came twice.")

    def _read(self, response: requests.Response) -> Reply:
        raw: urllib3.response.BaseHTTPResponse = response.raw
        headers = {name.lower(): value for name, value in raw.headers.itermerged()}
        if sum(map(len, headers)) + sum(map(len, headers.values())) > self._header_bytes:
            raise self._too_large_head()
        limit = self._answer_bytes if response.status_code == 200 else ERROR_BYTES
        parts: list[bytes] = []
        size = 0
        framed = is_framed(raw)
        for part in raw.stream(CHUNK_BYTES, decode_content=False):
            parts.append(part)
            size += len(part)
            if size > limit:
                break
        if "retry-after" in headers:
            headers.setdefault("date", formatdate(usegmt=True))
        body = _inflated(b"".join(parts), headers.get("content-encoding", ""), limit)
        if len(body) > limit:
            if response.status_code == 200:
                raise BadAnswer(
                    f"{self.whom}: the answer is over {limit} bytes (limits.answer_bytes). Lower batch_rows."
                )
            body = b""
        return Reply(response.status_code, headers, body, framed)

    def _tell(self, outcome: Outcome, request_id: str, seconds: float) -> None:
        """Log the two ids by which the service's log is searched (statement 14), and never content."""
        theirs, what = "", "no answer"
        if isinstance(outcome, Reply):
            theirs, what = outcome.request_id, str(outcome.status)
        elif isinstance(outcome, Trouble):
            what = outcome.fault.value
        # Of a good answer the batch's own line tells the ids (measured.py).
        log.log(
            logging.DEBUG if isinstance(outcome, Reply) and outcome.status == 200 else logging.INFO,
            "%s: %s after %.0f ms; x-ms-client-request-id %s, x-request-id %s",
            self.whom,
            what,
            seconds * 1000,
            request_id,
            theirs or "-",
        )


def _without(secrets: Iterable[str], reply: Reply) -> Reply:
    """Blot out our secrets where an answer echoes them: they must reach neither an answer nor a log."""
    headers, body = reply.headers, reply.body
    for secret in secrets:
        if len(secret) >= SHORTEST_SECRET:
            headers = {name: value.replace(secret, "…") for name, value in headers.items()}
            body = body.replace(secret.encode(), "…".encode())
    return replace(reply, headers=headers, body=body)


def _inflated(body: bytes, encoding: str, limit: int) -> bytes:
    """Undo a content encoding that was not asked for; one that ends too early is an error."""
    if encoding.strip().lower() in ("", "identity"):
        return body
    if encoding.strip().lower() not in ("gzip", "x-gzip"):
        raise requests.exceptions.ContentDecodingError(encoding)
    inflate = zlib.decompressobj(wbits=31)
    content = inflate.decompress(body, limit + 1)
    if len(content) <= limit and not inflate.eof:
        raise urllib3.exceptions.ProtocolError("gzip ends too early")
    return content


def _fault(error: Exception) -> Fault:
    """Say what an exception of requests, urllib3 or zlib means."""
    if isinstance(error, requests.exceptions.ConnectionError) and _is_nonsense(error):
        return Fault.GARBLED
    if isinstance(error, requests.exceptions.SSLError) and "SSLEOFError" in repr(error):
        return Fault.BROKEN  # the connection ended amid the handshake; nothing is said about trust
    if isinstance(error, requests.exceptions.ConnectionError) and isinstance(_inner(error), ConnectionError):
        return Fault.BROKEN  # there was one
    if isinstance(error, requests.exceptions.RequestException):
        return requests_fault(error)
    if isinstance(error, zlib.error):
        return Fault.GARBLED
    if isinstance(error, urllib3.exceptions.TimeoutError):
        return Fault.SILENT
    return Fault.BROKEN


def _is_oversized_head(error: Exception) -> bool:
    """Say whether Python itself gave up on the headers: one of 64 KiB, or more than 100."""
    inner = _inner(error)
    return isinstance(inner, http.client.LineTooLong) or "headers" in str(inner)


def _is_nonsense(error: Exception) -> bool:
    """Say whether something came back that is no HTTP: a strange status line, endless headers."""
    inner = _inner(error)
    return isinstance(inner, http.client.HTTPException) and not isinstance(
        inner, http.client.RemoteDisconnected | http.client.IncompleteRead
    )


def _inner(error: Exception) -> object:
    """Give what http.client raised, from under requests' and urllib3's own exceptions."""
    cause = error.args[0] if error.args else None
    return cause.args[1] if isinstance(cause, urllib3.exceptions.ProtocolError) and cause.args[1:] else None
