"""Classic's table: `{"value": {"ColumnNames", "ColumnTypes", "Values"}}`, every cell a string.

Cells are typed by `ColumnTypes` (statement 23, facts/azureml.md §1.2):

    Double, Single, Decimal, Numeric     number; NaN and infinities are null
    Int16 … UInt64, Byte                 integer, all its digits
    Boolean                              true for True, true, 1; false likewise
    DateTime, String, anything else      the text: dates come in the service's own spelling

A null, an empty cell, and outside texts the words NaN and null, are null. Without `ColumnTypes` cells stay
texts. Without `ColumnNames` (a URL without details=true) a row is a list, like any answer of rows of numbers.
"""

import math
import re
from collections.abc import Callable, Mapping, Sequence
from typing import TypeGuard

from contract import numerals
from contract.columns import SLICE
from scoring.dialects.protocol import AnswerUnusable, Results

type Reader = Callable[[str], object]

_NUMBER = re.compile(r"[+-]?[0-9]+(\.[0-9]+)?([eE][+-]?[0-9]+)?", re.ASCII)
_INTEGER = re.compile(r"[+-]?[0-9]{1,400}", re.ASCII)
_NOTHING = frozenset({"nan", "inf", "-inf", "infinity", "-infinity", "∞", "-∞", "null"})
_BOOLEANS = {"true": True, "1": True, "false": False, "0": False}


def is_table(answer: object) -> TypeGuard[Mapping[str, Mapping[str, object]]]:
    """Say whether an output is classic's table."""
    return isinstance(answer, dict) and isinstance(answer.get("value"), dict) and "Values" in answer["value"]


def read_table(answer: Mapping[str, Mapping[str, object]]) -> Results:
    """Read a table, its cells typed.

    Raises:
        AnswerUnusable: ragged rows, names or types that are not as wide, a cell that is not of its type.
    """
    table = answer["value"]
    rows = [_list(row, "a row of Values") for row in _list(table["Values"], "Values")]
    names = [str(name) for name in _list(table.get("ColumnNames") or [], "ColumnNames")]
    types = _list(table.get("ColumnTypes") or [], "ColumnTypes")
    widths = {len(part) for part in (names, types) if part} | {len(row) for row in rows}
    if len(widths) > 1:
        raise AnswerUnusable("the table's rows, ColumnNames and ColumnTypes are not of one width")
    if len(set(names)) != len(names):
        raise AnswerUnusable("the table has two columns of one name")
    width = widths.pop() if widths else 0
    labels = names or [f"number {position + 1}" for position in range(width)]
    typed = _typed(rows, labels, types or [None] * width)
    if names:
        return Results(tuple(names), typed)
    return Results(("prediction",), [(list(row),) for row in typed], unnamed=True)


def read_column(cells: Sequence[object], kind: str) -> Sequence[object]:
    """Read a column of a declared type: at once where JSON's own grammar fits all its cells, else one by one.

    Raises:
        ValueError: a text that is not of the type.
    """
    read = _READERS.get(kind, str)
    kinds = set(map(type, cells))
    if kinds <= {str, type(None)}:
        has_empty = type(None) in kinds or "" in cells
        texts: Sequence[str] = [cell for cell in cells if cell] if has_empty else cells  # type: ignore[assignment, misc]  # just seen: texts
        told = _AT_ONCE[read](texts) if texts else ()
        if told is not None:
            following = iter(told)
            return [next(following) if cell else None for cell in cells] if has_empty else told
    return [_cell(cell, read) for cell in cells]


def number(cell: str) -> float | None:
    """Read a number cell; None where it is NaN or infinite.

    Raises:
        ValueError: not a number.
    """
    if _NUMBER.fullmatch(cell):
        value = float(cell)
        return value if math.isfinite(value) else None
    _expect_nothing(cell)
    return None


def _list(part: object, name: str) -> list[object]:
    if not isinstance(part, list):
        raise AnswerUnusable(f"the table's {name} is no list")
    return part


def _typed(
    rows: Sequence[Sequence[object]], labels: Sequence[str], types: Sequence[object]
) -> list[tuple[object, ...]]:
    typed: list[tuple[object, ...]] = []
    for start in range(0, len(rows), SLICE):
        columns = []
        for label, kind, cells in zip(
            labels, types, zip(*rows[start : start + SLICE], strict=True), strict=True
        ):
            try:
                columns.append(read_column(cells, kind if isinstance(kind, str) else ""))
            except ValueError:
                raise AnswerUnusable(
                    f"column {label} of the table is declared {kind} and holds other cells"
                ) from None
        typed += zip(*columns, strict=True)
    return typed


def _numbers(cells: Sequence[str]) -> list[float] | None:
    values = numerals.numbers(cells)
    if values is None or not math.isfinite(sum(values)):
        return None
    # JSON's -0 is a whole number, and loses its sign.
    return None if 0.0 in values and "-0" in cells else values


def _booleans(cells: Sequence[str]) -> list[bool | None]:
    told = {cell: _boolean(cell) for cell in set(cells)}
    return [told[cell] for cell in cells]


def _cell(cell: object, read: Reader) -> object:
    if cell is None or cell == "":
        return None
    return read(cell) if isinstance(cell, str) else cell


def _integer(cell: str) -> int | None:
    if _INTEGER.fullmatch(cell):
        return int(cell)
    _expect_nothing(cell)
    return None


def _boolean(cell: str) -> bool | None:
    if cell.lower() not in _BOOLEANS:
        _expect_nothing(cell)
    return _BOOLEANS.get(cell.lower())


def _expect_nothing(cell: str) -> None:
    if cell.lower() not in _NOTHING:
        raise ValueError


_AT_ONCE: Mapping[Reader, Callable[[Sequence[str]], Sequence[object] | None]] = {
    number: _numbers,
    _integer: numerals.integers,
    _boolean: _booleans,
    str: lambda cells: cells,
}

_READERS: Mapping[str, Reader] = {
    **dict.fromkeys(("Double", "Single", "Float", "Decimal", "Numeric"), number),
    **dict.fromkeys(
        ("Int16", "Int32", "Int64", "UInt16", "UInt32", "UInt64", "Byte", "SByte", "Integer"), _integer
    ),
    **dict.fromkeys(("Boolean", "Bool"), _boolean),
}
