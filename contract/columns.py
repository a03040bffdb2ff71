"""A column of JSON values read at once, where all have one usual form. Pure, and only ever a shortcut.

The rules are those of contract/scalars.py, value by value; one call per value would cost ten times as much.
So each reader here knows a few forms that it can prove of a whole column (all whole numbers within the range,
all texts among the categories, …) and gives None for any other: then each value is judged by itself.
tests/unit/contract/test_columns.py proves that both ways always agree.
"""

from collections import deque
from collections.abc import Callable, Sequence
from datetime import date, datetime
from math import inf, isfinite
from typing import Any

from contract import numerals
from contract.contract import Column
from contract.values import INT64, LARGEST_EXACT, Value

type Values = Sequence[Any]
type ReadAll = Callable[[Values, set[type]], Sequence[Value | None] | None]
# Gives the very sequence that it was given where the values stand as they are.
type _Read = Callable[[Values, set[type]], Sequence[Value] | None]

# So many entities or rows at a time stay in the processor's cache (docs/benchmarks.md).
SLICE = 250

_SHAPE = bytes.maketrans(b"123456789", b"000000000")
_DAY = "0000-00-00"
_SECOND = f"{_DAY}T00:00:00"
_FRACTIONS = {f"{_SECOND}Z", *(f"{_SECOND}.{'0' * digits}Z" for digits in range(1, 10))}


def column_reader(column: Column | None, *, naive: bool = False) -> ReadAll:
    """Give the reader of a column of the contract, or of one that no contract knows.

    It takes JSON values and their types, and gives the row values, or None where any of them is not of a
    usual form, is null where no null may be, or lies outside what the model saw.
    """
    read = _plain if column is None else _typed(column, naive)
    nullable = column is None or column.nullable

    def read_all(values: Values, kinds: set[type]) -> Sequence[Value | None] | None:
        if list in kinds:
            values = [v[0] if type(v) is list and len(v) == 1 else v for v in values]
            kinds = set(map(type, values))
        blank = str in kinds and "" in values
        if type(None) not in kinds and not blank:
            return read(values, kinds)
        return _beside_nulls(values, kinds, read, blank=blank) if nullable else None

    return read_all


def _beside_nulls(
    values: Values, kinds: set[type], read: _Read, *, blank: bool
) -> Sequence[Value | None] | None:
    """Read what is no null, nor a blank text, which is one too."""
    if blank:
        filled = [value for value in values if value is not None and value != ""]
        kinds = set(map(type, filled))
    else:
        filled = [value for value in values if value is not None]
        kinds = kinds - {type(None)}
    told = read(filled, kinds) if filled else filled
    if told is None:
        return None
    if told is filled and not blank:
        return values
    following = iter(told)
    return [None if value is None or value == "" else next(following) for value in values]


def _typed(column: Column, naive: bool) -> _Read:
    match column.type:
        case "integer":
            return _integers(column)
        case "number":
            return _numbers(column)
        case "boolean":
            return lambda values, kinds: values if kinds == {bool} else None
        case "date":
            return _days(column)
        case "datetime":
            return _moments(column, naive)
        case "string":
            return _texts(column)


def _integers(column: Column) -> _Read:
    low, high = _bounds(column, INT64[0], INT64[-1])
    return lambda values, kinds: (
        values if kinds == {int} and low <= min(values) <= max(values) <= high else None
    )


def _numbers(column: Column) -> _Read:
    low, high = _bounds(column, -inf, inf)

    def read(values: Values, kinds: set[type]) -> Sequence[float] | None:
        if kinds == {str}:
            numbers = _decimals(values)
        elif kinds == {float}:
            numbers = values
        elif kinds <= {int, float} and -LARGEST_EXACT <= min(values) <= max(values) <= LARGEST_EXACT:
            numbers = [float(value) for value in values]
        else:
            return None
        # The sum is not finite where any number is not; NaN would pass the bounds.
        sound = numbers is not None and isfinite(sum(numbers)) and low <= min(numbers) <= max(numbers) <= high
        return numbers if sound else None

    return read


def _decimals(values: Values) -> Sequence[float] | None:
    """Read `~f` decimals as doubles; those whose digits a double might lose are not for this road."""
    joined = ",".join(values).encode()
    if joined[:2] != b"~f" or joined.count(b",~f") != len(values) - 1:
        return None
    digits = joined[2:].replace(b",~f", b",")
    if digits.translate(None, b"0123456789-.,"):
        return None
    # As many as there are values: a lone ~f, without digits, is none, and a comma inside a text makes two.
    numbers = numerals.read_numbers(digits, len(values))
    # JSON's -0 is a whole number, and loses its sign.
    if numbers is None or (b"-0" in digits and 0.0 in numbers):
        return None
    return numbers if -LARGEST_EXACT < min(numbers) <= max(numbers) < LARGEST_EXACT else None


def _texts(column: Column) -> _Read:
    tagged = column.spelling == "tagged"
    if column.categories is not None:
        # A category with a tag is another text on the wire, or must be decoded first.
        known = frozenset(text for text in column.categories if tagged or text[:1] != "~")
        return lambda values, kinds: values if kinds == {str} and known.issuperset(values) else None
    if tagged:
        return lambda values, kinds: values if kinds == {str} else None
    return lambda values, kinds: values if kinds == {str} and not _any_tagged(values) else None


def _any_tagged(values: Values) -> bool:
    """Say whether any text may begin with a tag."""
    joined = "\n".join(values)
    return joined[0] == "~" or "\n~" in joined


def _days(column: Column) -> _Read:
    low, high = _bounds(column, "", "~")

    def read(values: Values, kinds: set[type]) -> Sequence[str] | None:
        shape, days = _of_one_shape(values) if kinds == {str} else ("", values)
        if shape != _DAY or not low <= min(days) <= max(days) <= high:
            return None
        return days if _exist(date.fromisoformat, set(days)) else None

    return read


def _moments(column: Column, naive: bool) -> _Read:
    low, high = _bounds(column, "", "~")

    def read(values: Values, kinds: set[type]) -> Sequence[str] | None:
        shape, moments = _of_one_shape(values) if kinds == {str} else ("", values)
        if shape not in _FRACTIONS:
            return None
        # Texts of one shape are in the order of their times, and Z is beside the point.
        first, last = min(moments)[:-1], max(moments)[:-1]
        if not (low <= first and last <= high and _exist(datetime.fromisoformat, moments)):
            return None
        if "." in shape:
            moments = [m if m[-2] != "0" else m[:-1].rstrip("0").rstrip(".") + "Z" for m in moments]
        return [moment[:-1] for moment in moments] if naive else moments

    return read


def _of_one_shape(values: Values) -> tuple[str, Sequence[str]]:
    """Give the shape that all texts have, each digit as 0, and the texts, both without `~t`.

    The shape is empty where they have not all the same one. A shape of one line, as those known here are, is
    proven: a line end within a text would make a line more than there are texts.
    """
    shape = values[0].encode().translate(_SHAPE)
    joined = "\n".join(values).encode().translate(_SHAPE)
    if joined + b"\n" != (shape + b"\n") * len(values):
        return "", values
    if shape[:2] != b"~t":
        return shape.decode(), values
    return shape[2:].decode(), [value[2:] for value in values]


def _exist(read: Callable[[str], object], cells: Sequence[str] | set[str]) -> bool:
    try:
        deque(map(read, cells), maxlen=0)
    except ValueError:
        return False
    return True


def _bounds(column: Column, low: Any, high: Any) -> tuple[Any, Any]:
    if column.minimum is None or column.maximum is None:
        return low, high
    if isinstance(low, str):
        return str(column.minimum).removesuffix("Z"), str(column.maximum).removesuffix("Z")
    return max(low, column.minimum), min(high, column.maximum)


def _plain(values: Values, kinds: set[type]) -> Sequence[Value] | None:
    """Without a contract: what JSON itself has a type for, as it is."""
    if kinds == {str}:
        return None if _any_tagged(values) else values
    if kinds == {int}:
        return values if INT64[0] <= min(values) <= max(values) <= INT64[-1] else None
    if kinds == {float}:
        return values if isfinite(sum(values)) else None
    return values if kinds == {bool} else None
