"""Types and their canonical values: one meaning for a CSV cell and for a JSON value.

    type      a cell is one when                                   canonical value
    integer   -?(0|[1-9][0-9]*), within 64 bits, not "-0"          int
    number    JSON's number grammar, finite, and a whole number    float: the nearest double
              only up to 2^53, so that no digit of an id is lost
    boolean   true/false or True/False, one spelling a column      bool
    date      YYYY-MM-DD, a day that exists                        the same text
    datetime  that + T or blank + HH:MM:SS[.f{1,9}][zone]          UTC text, …Z, no trailing zeros
    string    anything else                                        the text

Leading zeros, `+1`, `1_000`, ` 12`, `NA`, `NaN`, digits of other scripts are text: a rule by regular
expression, because int() and float() take them all (facts/engineering.md C-M5). An empty cell is null.

A column's `spelling` says how its cells are written where Sesam's documentation leaves it open
(facts/sesam.md §3.3): a boolean column `true` or `True`; a string column `tagged` (a cell carries its transit
tag, `~:crm:100`: the node writes tags, and cells without are texts), `full` (every cell has a namespace,
`crm:100`), `bare` (none has) or `mixed` (some have: identifiers with it, or texts with a colon).
"""

import math
import re
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta

from contract.facts import ColumnType

type Value = int | float | bool | str

INT64 = range(-(2**63), 2**63)
LARGEST_EXACT = 2**53

_INTEGER = re.compile(r"-?(?:0|[1-9][0-9]*)", re.ASCII)
_NUMBER = re.compile(r"-?(?:0|[1-9][0-9]*)(\.[0-9]+)?([eE][+-]?[0-9]+)?", re.ASCII)
_DATE = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}", re.ASCII)
_DATETIME = re.compile(
    r"([0-9]{4}-[0-9]{2}-[0-9]{2})[T ]([0-9]{2}:[0-9]{2}:[0-9]{2})(?:\.([0-9]{1,9}))?"
    r"(Z|[+-][0-9]{2}:[0-9]{2})?",
    re.ASCII,
)


def integer(cell: str) -> int | None:
    """Read an integer cell; None where it is none."""
    if not _INTEGER.fullmatch(cell) or cell == "-0" or len(cell) > 20:
        return None
    value = int(cell)
    return value if value in INT64 else None


def number(cell: str) -> float | None:
    """Read a number cell; None where it is none."""
    match = _NUMBER.fullmatch(cell)
    if not match:
        return None
    if match[1] is None and match[2] is None and (len(cell) > 17 or abs(int(cell)) > LARGEST_EXACT):
        return None
    value = float(cell)
    return value if math.isfinite(value) else None


def boolean(cell: str) -> bool | None:
    """Read a boolean cell; None where it is none."""
    return _BOOLEANS.get(cell)


_BOOLEANS = {"true": True, "True": True, "false": False, "False": False}


def day(cell: str) -> str | None:
    """Read a date cell; None where it is none."""
    if not _DATE.fullmatch(cell):
        return None
    try:
        date.fromisoformat(cell)
    except ValueError:
        return None
    return cell


def moment(cell: str) -> str | None:
    """Read a datetime cell as canonical UTC text; None where it is none.

    Without a zone it is UTC, as every datetime in Sesam is (facts/sesam.md §1.1).
    """
    match = _DATETIME.fullmatch(cell)
    if not match:
        return None
    day_, time, fraction, zone = match.groups()
    digits = (fraction or "").rstrip("0")
    try:
        if zone is None or zone == "Z":
            datetime.fromisoformat(f"{day_}T{time}")
            return f"{day_}T{time}" + (f".{digits}" if digits else "") + "Z"
        instant = datetime.fromisoformat(f"{day_}T{time}{zone}").astimezone(UTC)
    except (ValueError, OverflowError):
        return None
    return f"{instant:%Y-%m-%dT%H:%M:%S}".rjust(19, "0") + (f".{digits}" if digits else "") + "Z"


READERS: dict[ColumnType, Callable[[str], Value | None]] = {
    "integer": integer,
    "number": number,
    "boolean": boolean,
    "date": day,
    "datetime": moment,
    "string": lambda cell: cell,
}
"""How a non-empty cell of each type is read; None where it is not of the type."""


# No two of its parts take the same character one after the other: texts may be as long as a body.
_TAGGED = re.compile(
    r"~(:[^ ].*"
    r"|[fd][+-]?([0-9]+(\.[0-9]*)?|\.[0-9]+)([eE][+-]?[0-9]+)?|[fd][+-]?(NaN|Inf|Infinity)"
    r"|t[0-9]{4}-[0-9]{2}-[0-9]{2}.*"
    r"|u[0-9a-fA-F-]{32,36}"
    r"|r([A-Za-z][A-Za-z0-9+.-]*:.*|[^\s./#?]*[./#?]\S*)"
    r"|b([A-Za-z0-9+/]{4})*([A-Za-z0-9+/]{2}[A-Za-z0-9+/=]{2})?)",
    re.DOTALL | re.ASCII,
)
_FULL = re.compile(r"[A-Za-z_][A-Za-z0-9_.-]*:")


def is_tagged(text: str) -> bool:
    """Say whether a text carries a transit tag: the tag, and behind it what it may stand before.

    The wire has no escape (facts/sesam.md statement 7), so `~bra` could be bytes or a text. Cells and JSON
    are asked alike: a text that only begins like a tag is a text on both ways, and one cell of it does not
    make a column `tagged`.
    """
    return _TAGGED.fullmatch(text) is not None


def text_spelling(cell: str) -> str:
    """Say how one text cell is written: `tagged`, `full` or `bare`."""
    if is_tagged(cell):
        return "tagged"
    return "full" if _FULL.match(cell) else "bare"


def seconds(canonical: str) -> float:
    """Give a canonical date or datetime as seconds since 1970-01-01T00:00:00Z, to compare and to bin."""
    whole, _, fraction = canonical.removesuffix("Z").partition(".")
    since = datetime.fromisoformat(whole).replace(tzinfo=UTC) - datetime(1970, 1, 1, tzinfo=UTC)
    return since / timedelta(seconds=1) + (float(f"0.{fraction}") if fraction else 0.0)
