"""Sesam's JSON values: the transit-encoded text forms, decoded (facts/sesam.md §1.1, statement 7).

    "~f7.7000"  decimal      "~t2015-12-31"                 date or datetime, always UTC
    "~:ns:id"   identifier   "~rhttp://…"  URI              "~u…" UUID   "~b…" base64   "~d1.5" float

A tag that is none of these is text as it stands, `~~` included: there is no escape.
"""

from dataclasses import dataclass
from decimal import Decimal


@dataclass(frozen=True, slots=True)
class Identifier:
    """A namespaced identifier: `~:crm-customer:100` is the bare id `100` in namespace `crm-customer`."""

    full: str

    @property
    def bare(self) -> str:
        """The identifier without its namespace, as `remove_namespaces` leaves it (§1.3)."""
        return bare_name(self.full)


@dataclass(frozen=True, slots=True)
class Moment:
    """A `~t` value: the text of a UTC date or datetime."""

    text: str


@dataclass(frozen=True, slots=True)
class Tagged:
    """A URI, UUID or bytes value: text that carried a tag."""

    tag: str
    text: str


type Scalar = bool | int | float | str | Decimal | Identifier | Moment | Tagged | None


def nests_within(value: object, levels: int) -> bool:
    """Say whether a decoded JSON value nests at most so many levels; it looks no deeper than that."""
    children = value.values() if isinstance(value, dict) else value if isinstance(value, list) else None
    if children is None:
        return True
    return levels > 0 and all(nests_within(child, levels - 1) for child in children)


def bare_name(name: str) -> str:
    """Strip the namespace of a property name or identifier: what follows the last colon.

    Sesam's documentation has it so (DOCS `features/namespaces.rst`, "How to use"): a namespace may hold
    colons, as one made from a URI does, an identifier may not. `ni-id` and `remove_namespaces` follow it.
    """
    return name.rpartition(":")[2] or name


def decode(text: str) -> Scalar:
    """Decode one JSON string of an entity.

    Raises:
        ValueError: a `~f` or `~d` that holds no finite number.
    """
    match text[:2]:
        case "~f" | "~d":
            return _decimal(text[2:])
        case "~t":
            return Moment(text[2:])
        case "~:":
            return Identifier(text[2:])
        case "~r" | "~u" | "~b":
            return Tagged(text[1], text[2:])
    return text


def _decimal(digits: str) -> Decimal:
    # Decimal() also takes blanks, underscores and digits of other scripts: the wire does not.
    if not digits.isascii() or "_" in digits or digits.strip() != digits:
        raise ValueError("not a decimal")
    try:
        number = Decimal(digits)
    except ArithmeticError:
        raise ValueError("not a decimal") from None
    if not number.is_finite():
        raise ValueError("not a finite decimal")
    return number
