"""One value of an entity's JSON → the value that its column is sent. Pure.

What is read here equals what is read from the CSV cell that a node would have written (statement 43): both
ends go through contract/values.py. A value that does not fit is never changed: it is an error.
"""

import math
from collections.abc import Callable
from decimal import Decimal

from contract import values
from contract.contract import Column
from contract.values import INT64, LARGEST_EXACT, Value
from contract.wire import Identifier, Moment, Scalar, Tagged, decode

RARE = "a category that training hardly or never saw"

type Reader = Callable[[object], Value | None]

NOT_OF_TYPE = {
    "integer": "not an integer",
    "number": "not a number",
    "boolean": "not a boolean",
    "date": "not a date",
    "datetime": "not a datetime",
}


class Unfit(ValueError):
    """A value that is not of its column's type."""


def scalar_reader(column: Column | None, *, naive: bool = False) -> Reader:
    """Give what reads one JSON value for a column; for None, a column that no contract describes.

    It gives None for null and an empty text, and raises `Unfit` for what is not of the column's type. `naive`
    gives datetimes without their Z.
    """
    if column is not None and column.type == "string" and column.spelling == "tagged":
        # Its cells are what the wire has, to the last digit: a tag taken off could not be put back as it was.
        return _from_json(lambda value: _text(value, column), decoded=lambda text: text)
    if column is None:
        return _from_json(_plain, decoded=_decoded_if_tagged)
    return _from_json(
        _typed(column, naive), decoded=_decoded_if_tagged if column.type == "string" else _decoded
    )


def outside_of(column: Column) -> Callable[[Value], str | None] | None:
    """Give the check of a value against what the model saw, or None where there is nothing to check."""
    if column.type == "boolean":
        return None
    if column.categories is not None:
        categories = frozenset(column.categories)
        return lambda value: None if value in categories else RARE
    low, high = column.minimum, column.maximum
    if low is None or high is None:
        return None
    if isinstance(low, str) or isinstance(high, str):
        # Canonical texts are in the order of their times, to the last digit; Z is beside the point.
        first, last = str(low).removesuffix("Z"), str(high).removesuffix("Z")
        return lambda value: (
            None if first <= str(value).removesuffix("Z") <= last else "outside the range the model has seen"
        )
    return lambda value: (
        None
        if low <= value <= high  # type: ignore[operator]  # a numeric column's values are numbers
        else "outside the range the model has seen"
    )


def _decoded(text: str) -> Scalar:
    try:
        return decode(text)
    except ValueError as error:
        raise Unfit(str(error)) from None


def _decoded_if_tagged(text: str) -> Scalar:
    return _decoded(text) if values.is_tagged(text) else text


def _from_json(
    read: Callable[[Scalar], Value | None], *, decoded: Callable[[str], Scalar] = _decoded
) -> Reader:
    """Put in front of a reader what holds for every type: null, transit tags, lists, dicts."""

    def from_json(value: object) -> Value | None:
        if type(value) is str:
            if not value:
                return None  # an empty CSV cell is null: the two must encode alike (statement 43)
            return read(value) if value[0] != "~" else read(decoded(value))
        if value is None:
            return None
        if isinstance(value, int | float | Decimal):
            return read(value)
        if isinstance(value, list):
            if len(value) == 1 and not isinstance(value[0], list):
                return from_json(value[0])
            raise Unfit(f"a list of {len(value)}, where one value is wanted")
        raise Unfit("a dict, where one value is wanted")

    return from_json


def _typed(column: Column, naive: bool) -> Callable[[Scalar], Value | None]:
    match column.type:
        case "integer":
            return lambda value: _integer(value, column)
        case "number":
            return lambda value: _number(value, column)
        case "boolean":
            return _boolean
        case "datetime" if naive:
            return lambda value: _moment(value, column).removesuffix("Z")
        case "date" | "datetime":
            return lambda value: _moment(value, column)
        case "string":
            return lambda value: _text(value, column)


def _integer(value: Scalar, column: Column) -> Value:
    if type(value) is int:
        whole: int | None = value
    elif isinstance(value, float):
        whole = int(value) if abs(value) <= LARGEST_EXACT and _is_whole(value) else None
    elif isinstance(value, Decimal):
        whole = int(value) if _is_whole(value) else None
    elif isinstance(value, bool) and _holds_bits(column):
        whole = int(value)
    else:
        whole = values.integer(_cell_of(value))
    if whole is None or whole not in INT64:
        raise Unfit(NOT_OF_TYPE[column.type])
    return whole


def _number(value: Scalar, column: Column) -> Value:
    if type(value) is float:
        real: float | None = value
    elif type(value) is int:
        real = float(value) if -LARGEST_EXACT <= value <= LARGEST_EXACT else None
    elif isinstance(value, Decimal):
        real = values.number(str(value)) if value == value.to_integral_value() else float(value)
    elif isinstance(value, bool) and _holds_bits(column):
        real = float(value)
    else:
        real = values.number(_cell_of(value))
    if real is None or not math.isfinite(real):
        raise Unfit(NOT_OF_TYPE[column.type])
    return real


def _boolean(value: Scalar) -> Value:
    read = value if isinstance(value, bool) else values.boolean(_cell_of(value))
    if read is None:
        raise Unfit(NOT_OF_TYPE["boolean"])
    return read


def _moment(value: Scalar, column: Column) -> str:
    cell = value.text if isinstance(value, Moment) else _cell_of(value)
    read = values.day(cell) if column.type == "date" else values.moment(cell)
    if read is None:
        raise Unfit(NOT_OF_TYPE[column.type])
    return read


def _text(value: Scalar, column: Column) -> Value | None:
    if type(value) is str:
        return value
    if isinstance(value, bool):
        return _spelled_boolean(value, column)
    if isinstance(value, int | float | Decimal):
        _refuse_infinite(value)
        return str(value)
    match value:
        case Identifier():
            return _identifier(value, column)
        case Tagged(_, text):
            return text or None  # no bytes at all are an empty cell
    raise Unfit("a date or datetime for a text column: render the column in DTL (datetime-format)")


def _identifier(value: Identifier, column: Column) -> str:
    if column.spelling != "mixed":
        return value.full if column.spelling == "full" else value.bare
    spelled = {value.full, value.bare}
    known = spelled if len(spelled) == 1 else spelled.intersection(column.categories or ())
    if len(known) != 1:
        raise Unfit(
            "an identifier, in a column of texts with and without namespace: render it in DTL (ni-id)"
        )
    return known.pop()


def _spelled_boolean(value: bool, column: Column) -> str:
    spelled = {str(value), str(value).lower()}
    known = spelled.intersection(column.categories or ())
    if len(known) != 1:
        raise Unfit("a boolean for a text column: render the column in DTL (string)")
    return known.pop()


def _plain(value: Scalar) -> Value | None:
    """Without a contract: the value in plain JSON, tags decoded (statement 7)."""
    if isinstance(value, Decimal):
        if not _is_whole(value):
            _refuse_infinite(float(value))
            return float(value)
        value = int(value)
    if isinstance(value, int) and value not in INT64:
        raise Unfit("a whole number of more digits than a model takes")
    if isinstance(value, float):
        _refuse_infinite(value)
    if isinstance(value, Identifier):
        return value.full
    if isinstance(value, Moment | Tagged):
        return value.text or None
    return value


def _cell_of(value: Scalar) -> str:
    """Give the cell that a node would write for a text, identifier, URI, UUID or bytes; else none."""
    match value:
        case str():
            return value
        case Identifier():
            return value.bare
        case Tagged(_, text):
            return text
    return ""


def _refuse_infinite(value: float | Decimal) -> None:
    if isinstance(value, float) and not math.isfinite(value):
        raise Unfit("a number beyond what a double holds")


def _holds_bits(column: Column) -> bool:
    # A node may have written booleans as 1 and 0 (facts/sesam.md §3.3); only then does true mean 1.
    return column.minimum in (0, 1) and column.maximum in (0, 1)


def _is_whole(value: float | Decimal) -> bool:
    # A decimal's exponent may be in the millions: never make an int of that.
    if isinstance(value, Decimal) and value.adjusted() > 400:
        return False
    return math.isfinite(value) and value == int(value)
