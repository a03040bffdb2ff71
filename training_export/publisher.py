"""The wire: Sesam's CSV publisher (facts/sesam.md §3, statements 28–42).

One GET under one total deadline, in bounded memory, its framing checked: a body that ends before the server
said it would is never taken for whole (facts/engineering.md C-M2). The token travels in a header and stands
in no message; of it only the expiry is ever told.
"""

import base64
import json
import zlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote, urlsplit

import requests
import urllib3
from urllib3.exceptions import HTTPError

import telemetry
from contract.documents import timestamp
from cutoff import Exchange, WatchedAdapter, cut_at
from errors import Fault, NodeRefused, NodeUnavailable, SnapshotFailed, requests_fault
from sections import SesamSettings
from whole_head import is_framed

CHUNK_BYTES = 256 * 1024
CONNECT_S = 10.0
# The pipe's transforms run per request (facts/sesam.md §3.1): the first byte may take its time.
READ_S = 300.0
# Below host.json's functionTimeout of 30 minutes, so that it is us who say what happened.
DEADLINE_S = 1500.0
PIPE_DEADLINE_S = 30.0
LARGEST_PIPE_ANSWER = 8_000_000

# What comes of reading an answer that is not what Sesam's documentation shows.
_NOT_AS_DOCUMENTED = (ValueError, TypeError, AttributeError, LookupError, RecursionError)


@dataclass(frozen=True, slots=True)
class PipeFacts:
    """What the node says of a pipe, where the token may ask.

    `sink` holds the csv sink's own words; `trouble` says why its data should not be trusted; `note` why
    nothing is known; `missing` is "pipe" or "publisher" where that is known to be the case.
    """

    sink: Mapping[str, Any] = field(default_factory=dict)
    trouble: tuple[str, ...] = ()
    note: str = ""
    missing: str = ""


@dataclass(frozen=True, slots=True)
class Published:
    """An answer under way: the X-Dataset-* headers, and the content-decoded bytes, once."""

    headers: Mapping[str, str]
    chunks: Iterator[bytes]


class SesamNode:
    """The node of the settings. `monotonic` is the clock of deadlines."""

    def __init__(self, settings: SesamSettings, monotonic: Callable[[], float]) -> None:
        self._base = settings.url
        self._jwt = settings.jwt.get_secret_value()
        self._monotonic = monotonic
        self._session = requests.Session()
        self._verify = settings.verify_tls
        for scheme in ("http://", "https://"):
            self._session.mount(scheme, WatchedAdapter())
        if not settings.verify_tls:
            # Said at the start and by name (settings.py), rather than by a warning at every request.
            urllib3.disable_warnings(urllib3.exceptions.InsecureRequestWarning)

    @property
    def host(self) -> str:
        """The node's host, as manifests name it."""
        return urlsplit(self._base).netloc

    @telemetry.PIPE
    def pipe(self, pipe: str) -> PipeFacts:
        """Ask what the pipe is. Whatever goes wrong is a note, never a failure (statement 40)."""
        path = f"/api/pipes/{quote(pipe, safe='')}"
        try:
            with cut_at(self._monotonic() + PIPE_DEADLINE_S), self._get(path, PIPE_DEADLINE_S) as answer:
                if answer.status_code != 200:
                    note = f"GET {path} answered {answer.status_code}: pipe not checked"
                    return PipeFacts(note=note, missing="pipe" if answer.status_code == 404 else "")
                body = answer.raw.read(LARGEST_PIPE_ANSWER, decode_content=True)
            return _pipe_facts(json.loads(body))
        except (SnapshotFailed, HTTPError, OSError, *_NOT_AS_DOCUMENTED) as error:
            return PipeFacts(note=f"GET {path} gave nothing to go by ({type(error).__name__})")

    def health(self) -> None:
        """Ask the node whether it is well. Who we are is another question: 401 and 403 will do.

        Raises:
            NodeRefused, NodeUnavailable: it is not well, or is no node.
        """
        path = "/api/health"
        with cut_at(self._monotonic() + PIPE_DEADLINE_S), self._get(path, PIPE_DEADLINE_S) as answer:
            if answer.status_code == 404:
                raise NodeRefused(f"GET {self.host}{path} answered 404: set sesam.url to the node's address.")
            if answer.status_code not in (200, 401, 403):
                raise _refusal(answer, path, "", self._jwt)

    @contextmanager
    def published(
        self, pipe: str, *, allow_unframed: bool = False, limit: int | None = None
    ) -> Iterator[Published]:
        """Open the pipe's CSV publisher; `limit` asks for so many rows only (§3.2).

        Raises:
            NodeRefused: at once, for what waiting cannot mend; NodeUnavailable: for what it can. Reading
                the chunks raises likewise where the body breaks off.
        """
        path = f"/api/publishers/{quote(pipe, safe='')}/csv"
        with (
            telemetry.DOWNLOAD.open(),
            cut_at(self._monotonic() + DEADLINE_S) as exchange,
            self._get(path, READ_S, {} if limit is None else {"limit": str(limit)}) as answer,
        ):
            if answer.status_code == 404:
                missing = _absence(pipe, self.pipe(pipe))
                raise NodeRefused(f"The node answered 404 to GET {path}: {missing}. Check the export's pipe.")
            if answer.status_code != 200:
                raise _refusal(answer, path, pipe, self._jwt)
            _refuse_other_content(answer, path)
            if not allow_unframed:
                _refuse_unframed(answer)
            headers = {k: v for k, v in answer.headers.items() if k.lower().startswith("x-dataset-")}
            yield Published(headers, _decoded(answer, _body(answer, exchange, path)))

    def _get(
        self, path: str, read_s: float, parameters: Mapping[str, str] | None = None
    ) -> requests.Response:
        try:
            return self._session.get(
                self._base + path,
                params=parameters,
                headers={"Accept-Encoding": "identity", "Accept": "text/csv, application/json"},
                auth=self._authorize,
                stream=True,
                verify=self._verify,  # of the session, REQUESTS_CA_BUNDLE in the environment would undo it
                allow_redirects=False,
                timeout=(CONNECT_S, read_s),
            )
        except requests.RequestException as error:
            raise self._unanswered(error, path) from None

    def _authorize(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        # As `auth`, because requests would put a password from ~/.netrc over a plain header.
        request.headers["Authorization"] = f"Bearer {self._jwt}"
        return request

    def _unanswered(self, error: requests.RequestException, path: str) -> SnapshotFailed:
        fault = requests_fault(error)
        where = f"{self.host}{path}"
        if fault is Fault.UNTRUSTED:
            return NodeRefused(
                f"The TLS certificate of {self.host} could not be verified: check sesam.url and the "
                "certificate."
            )
        if fault in (Fault.MISCONFIGURED, Fault.BUG):
            return NodeRefused(f"GET {where} cannot be sent: check sesam.url.")
        return NodeUnavailable(f"GET {where}: {fault.value}.")


def _refusal(answer: requests.Response, path: str, pipe: str, jwt: str) -> SnapshotFailed:
    status = answer.status_code
    if status in (408, 429) or status >= 500:
        deploying = " (a node that is being deployed answers so)" if status == 503 else ""
        retry_after = answer.headers.get("Retry-After", "")
        return NodeUnavailable(
            f"The node answered {status} to GET {path}{deploying}.",
            retry_after=float(retry_after) if retry_after.isascii() and retry_after.isdigit() else None,
        )
    if status in (401, 403):
        what = "the token" if status == 401 else "the permission"
        return NodeRefused(
            f"The node answered {status} to GET {path}: it refuses {what}. {_about_token(jwt)} "
            f"The token (SESAM__JWT) needs the permission read_data on the pipe {pipe}."
        )
    if 300 <= status < 400:
        return NodeRefused(
            f"The node answered {status}, a redirect, to GET {path}: set sesam.url to the end."
        )
    return NodeRefused(f"The node answered {status} to GET {path}: expected 200.")


def _absence(pipe: str, facts: PipeFacts) -> str:
    if facts.missing == "pipe":
        return f"there is no pipe {pipe}"
    if facts.missing == "publisher":
        return f"the pipe {pipe} has no CSV publisher ({facts.note})"
    if facts.sink:
        told = ", ".join(["the pipe is there, with its csv_endpoint", *facts.trouble])
        return f"{told}, but nothing is published"
    return f"there is no pipe {pipe}, or its sink is no csv_endpoint"


def _about_token(jwt: str) -> str:
    expires = expiry(jwt)
    if expires is None:
        return "Its expiry cannot be read: is it a Sesam token?"
    return f"Its expiry (exp) is {timestamp(expires)}."


def expiry(jwt: str) -> datetime | None:
    """Read when a token ends; None where it does not say."""
    try:
        return datetime.fromtimestamp(float(_claims(jwt)["exp"]), UTC)
    except (ValueError, KeyError, TypeError, OverflowError, OSError):
        return None


def is_token(jwt: str) -> bool:
    """Say whether a text is a JSON Web Token at all; its signature is the node's business."""
    try:
        return isinstance(_claims(jwt), dict)
    except ValueError:
        return False


def _claims(jwt: str) -> Any:
    """Read a token's claims. Raises ValueError."""
    _, payload, *_ = f"{jwt}.".split(".")
    return json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))


def _refuse_other_content(answer: requests.Response, path: str) -> None:
    kind = answer.headers.get("Content-Type", "").partition(";")[0].strip().lower()
    if kind not in ("text/csv", "application/csv"):
        told = f"{kind!r}" if kind and len(kind) < 60 else "no Content-Type that can be told"
        raise NodeRefused(
            f"GET {path} answered {told} with status 200, not text/csv: a login or error page? "
            "Check sesam.url and the pipe."
        )


def _refuse_unframed(answer: requests.Response) -> None:
    if not is_framed(answer.raw):
        raise NodeRefused(
            "The answer has neither a length nor chunks: whether it is whole cannot be known. "
            "allow_unframed = true for the export takes it all the same."
        )


def _body(answer: requests.Response, exchange: Exchange, path: str) -> Iterator[bytes]:
    """Give the body as it comes; urllib3 checks lengths and chunks, and inflates nothing."""
    try:
        yield from answer.raw.stream(CHUNK_BYTES, decode_content=False)
    except (HTTPError, OSError) as error:
        if not exchange.cut:
            raise NodeUnavailable(
                f"The answer to GET {path} broke off ({type(error).__name__}): nothing was published."
            ) from None
    # Cut by ourselves, it ends either way: with an error, or as an unframed body that looks whole.
    if exchange.cut:
        raise NodeUnavailable(f"The answer to GET {path} was not whole after {DEADLINE_S:.0f} s.")


def _decoded(answer: requests.Response, body: Iterator[bytes]) -> Iterator[bytes]:
    """Undo a content encoding that was not asked for (statement 41); a cut one is an error (C-M2)."""
    coding = answer.headers.get("Content-Encoding", "identity").strip().lower()
    if coding in ("identity", ""):
        return body
    if coding == "gzip":
        return _inflated(body)
    raise NodeRefused(f"The answer is encoded as {coding!r}, which was not asked for.")


def _inflated(body: Iterator[bytes]) -> Iterator[bytes]:
    inflater = zlib.decompressobj(wbits=31)
    for chunk in body:
        data = chunk
        while data:
            if inflater.eof:  # gzip may be a row of members
                inflater = zlib.decompressobj(wbits=31)
            try:
                yield inflater.decompress(data, CHUNK_BYTES)
            except zlib.error:
                raise NodeUnavailable("The gzip answer is damaged: nothing was published.") from None
            data = inflater.unused_data if inflater.eof else inflater.unconsumed_tail
    if not inflater.eof:
        raise NodeUnavailable("The gzip answer broke off: nothing was published.")


def _pipe_facts(told: Any) -> PipeFacts:
    config = told["config"]
    sink = (config.get("effective") or config["original"])["sink"]
    runtime = told.get("runtime") or {}
    trouble = []
    if runtime.get("is-disabled") is True:
        trouble.append("the pipe is disabled")
    if runtime.get("is-valid-config") is False:
        trouble.append("the pipe's configuration is invalid")
    if sink.get("type") != "csv_endpoint":
        note = f"its sink is a {sink.get('type')!r}, no csv_endpoint"
        return PipeFacts(trouble=tuple(trouble), note=note, missing="publisher")
    return PipeFacts(sink=sink, trouble=tuple(trouble))
