"""Sesam's values in memory, and their transit form in JSON (facts/sesam.md §1.1).

    decimal   Decimal         "~f7.7000"   trailing zeros kept
    date      datetime.date   "~t2015-12-31"
    datetime  Moment          "~t2015-01-02T03:04:05.123Z"   0 to 9 digits, always UTC
    identifier  NI            "~:crm-customer:100"
    URI       URI             "~rhttp://www.sesam.io/"
    UUID      uuid.UUID       "~u531a379e-31bb-4ce1-8690-158dceb64be6"
    bytes     bytes           "~bAAEC"
    others    as in JSON; an unknown tag is text as it stands, and keys are never decoded

Written apart from the product's own `contract/wire.py` on purpose: the stand-in judges what the app answers.
"""

import base64
import json
import re
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal, InvalidOperation
from uuid import UUID

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
NANOSECONDS = 10**9

_MOMENT = re.compile(
    r"([0-9]{4}-[0-9]{2}-[0-9]{2})(?:T([0-9]{2}:[0-9]{2}:[0-9]{2})(?:\.([0-9]{1,9}))?Z)?", re.ASCII
)


class TransitError(ValueError):
    """A tagged text that Sesam cannot read; it fails the whole stream (facts/sesam.md §1.4)."""


@dataclass(frozen=True, slots=True)
class NI:
    """A namespaced identifier, such as `crm-customer:100`."""

    text: str

    @property
    def bare(self) -> str:
        """The identifier without its namespace; namespaces themselves may hold colons, identifiers not."""
        return self.text.rpartition(":")[2]


@dataclass(frozen=True, slots=True)
class URI:
    """A URI or phone number."""

    text: str


@dataclass(frozen=True, slots=True, order=True)
class Moment:
    """A datetime: nanoseconds since 1970-01-01T00:00:00Z."""

    nanoseconds: int

    @property
    def rounded_down(self) -> datetime:
        """To the microsecond, which is all that DTL's datetime-format knows."""
        return EPOCH + timedelta(microseconds=self.nanoseconds // 1000)

    def __str__(self) -> str:
        whole = self.rounded_down.replace(microsecond=0, tzinfo=None).isoformat()
        fraction = f"{self.nanoseconds % NANOSECONDS:09}".rstrip("0")
        return f"{whole}.{fraction}Z" if fraction else f"{whole}Z"


type Value = (
    bool | int | float | str | Decimal | date | Moment | NI | URI | UUID | bytes
    | list[Value] | dict[str, Value] | None
)  # fmt: skip
type Entity = dict[str, Value]


def decode(value: object) -> Value:
    """Read one JSON value, lists and dicts all the way down. Raises TransitError."""
    match value:
        case str():
            return _decode_text(value)
        case list():
            return [decode(item) for item in value]
        case dict():
            return decode_entity(value)
        case None | bool() | int() | float() | Decimal():
            return value
    raise TypeError(f"{type(value).__name__} is no JSON value")


def decode_entity(entity: dict[str, object]) -> Entity:
    """Read one JSON object. Raises TransitError."""
    return {key: decode(item) for key, item in entity.items()}


def encode(value: Value) -> object:
    """Write a value as JSON has it, lists and dicts all the way down."""
    match value:
        case list():
            return [encode(item) for item in value]
        case dict():
            return {key: encode(item) for key, item in value.items()}
        case Decimal():
            return f"~f{value}"
        case date() | Moment():
            return f"~t{plain(value)}"
        case NI():
            return f"~:{value.text}"
        case URI():
            return f"~r{value.text}"
        case UUID():
            return f"~u{value}"
        case bytes():
            return f"~b{base64.b64encode(value).decode()}"
    return value


def plain(value: Value) -> str:
    """Write a value as text without a tag, as DTL's `string` does; null is empty."""
    match value:
        case None:
            return ""
        case bool():
            return "true" if value else "false"
        case date():
            return value.isoformat()
        case NI() | URI():
            return value.text
        case bytes():
            return value.decode(errors="replace")
        case list() | dict():
            return json.dumps(value, ensure_ascii=False, default=plain)
    return str(value)


def _decode_text(text: str) -> Value:
    body = text[2:]
    try:
        match text[:2]:
            case "~f":
                return Decimal(body)
            case "~t":
                return _decode_moment(body)
            case "~:":
                return NI(body)
            case "~r":
                return URI(body)
            case "~u":
                return UUID(body)
            case "~b":
                return base64.b64decode(body, validate=True)
    except (ValueError, InvalidOperation):
        raise TransitError(f"{text[:40]!r} is not what its tag {text[:2]} promises") from None
    return text


def _decode_moment(text: str) -> date | Moment:
    match = _MOMENT.fullmatch(text)
    if not match:
        raise TransitError("no date or UTC datetime")
    day, time, fraction = match.groups()
    if time is None:
        return date.fromisoformat(day)
    seconds = (datetime.fromisoformat(f"{day}T{time}+00:00") - EPOCH) // timedelta(seconds=1)
    return Moment(seconds * NANOSECONDS + int((fraction or "").ljust(9, "0")))
