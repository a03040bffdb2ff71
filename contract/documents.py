"""The JSON documents in Blob storage that one side writes and the other reads (design §6)."""

import re
from datetime import UTC, datetime
from typing import Annotated, Any, Literal

import msgspec

from contract.drift import Drift
from contract.facts import ColumnFacts

SCHEMA_VERSION = 1

_FORM = r"[0-9]{8}T[0-9]{6}Z-[0-9a-f]{8}"
_VERSION = re.compile(_FORM, re.ASCII)


class Manifest(msgspec.Struct, frozen=True, kw_only=True):
    """A version: written last, and a version exists when its manifest does."""

    schema_version: int
    export: str
    pipe: str
    node: str
    """The node's host; never its token."""
    version: str
    state: Literal["published", "held"]
    started: str
    finished: str
    rows: int
    bytes: int
    sha256: str
    md5: str
    contract_id: str
    previous: str | None
    differences: tuple[str, ...]
    """How the version differs from `previous`, in words."""
    drift: tuple[Drift, ...] = ()
    """How far each column has moved since `previous`, the farthest first."""
    headers: dict[str, str]
    """The X-Dataset-* headers seen."""
    app_version: str
    columns: tuple[ColumnFacts, ...]
    label: str = ""
    dialect: dict[str, str | bool | None] = {}
    """The csv dialect of data.csv: delimiter, quotechar, escapechar, doublequote, lineterminator, encoding,
    byte_order_mark, include_header."""
    formats: tuple[str, ...] = ("csv",)
    held_because: tuple[str, ...] = ()
    lines_digest: str = ""
    """The same for the same rows in any order: it tells a reordering from a change."""


class Latest(msgspec.Struct, frozen=True, kw_only=True):
    """The version that training reads."""

    version: Annotated[str, msgspec.Meta(pattern=f"^{_FORM}$")]
    pinned: bool = False


class Adoption(msgspec.Struct, frozen=True, kw_only=True):
    """The version that a model has adopted, and its contract."""

    version: str
    contract_id: str
    adopted: str


class Golden(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Rows of a version with the trained model's own predictions; also what the route takes."""

    version: str
    entities: tuple[dict[str, Any], ...]
    """As Sesam would post them: a CSV row's cells by their columns' names will do, null where empty."""
    scores: tuple[dict[str, Any], ...]
    """For each entity what the model says: names of answer columns without the model's prefix → value."""


def is_version(text: str) -> bool:
    """Say whether a text is of a version's form, `20261123T020000Z-` and 8 hex digits.

    Whatever is not must never become part of a blob's name: `..` in it would lead elsewhere.
    """
    return _VERSION.fullmatch(text) is not None


def timestamp(moment: datetime) -> str:
    """Write a moment as documents tell it: UTC, to the second."""
    return f"{moment.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}"


def encode(document: msgspec.Struct) -> bytes:
    """Write a document as JSON a person can read."""
    return msgspec.json.format(msgspec.json.encode(document), indent=2)


class NestedTooDeep(msgspec.DecodeError):
    """The document nests deeper than can be read."""


def decode[T](data: bytes, kind: type[T]) -> T:
    """Read a document.

    Raises:
        msgspec.ValidationError: it is not of this kind.
        msgspec.DecodeError: it is no JSON; NestedTooDeep where it nests too deep.
    """
    try:
        return msgspec.json.decode(data, type=kind)
    except UnicodeDecodeError:
        raise msgspec.DecodeError("it is not UTF-8") from None
    except RecursionError:
        raise NestedTooDeep("it is nested too deep") from None
