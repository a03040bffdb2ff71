"""`classic`: a web service of Azure ML Studio (classic), table form (facts/azureml.md §1).

Request, posted to a URL without `format=swagger`, better with `details=true`:

    {"Inputs": {"input1": {"ColumnNames": ["Age", "City"], "Values": [["30", "Oslo"], ["41", null]]}},
     "GlobalParameters": {}}

Every cell is a string, in one form (statement 7):

    integer, number    as in JSON: 42, 0.5, 7.0, 1e+22
    boolean            in the spelling of the column's training data, True or true; true without a contract
    date, datetime     their canonical text: 2026-11-23, 2026-11-23T02:00:00Z (or without Z: `datetimes`)
    null               null, which no text can be mistaken for

Answer: a table of strings, typed by its ColumnTypes (table.py).

`input_name` (default input1) and `output_name` (default: the only output) are the names of the experiment's
ports; `parameters` are its GlobalParameters, sent as texts.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from contract import numerals
from contract.columns import SLICE
from contract.values import Value
from scoring.dialects.answers import ReadsAllShapes
from scoring.dialects.bodies import encoded
from scoring.dialects.protocol import Maker, Options, Row, SentColumn

# Beyond, Python writes an exponent.
MOST_PLAIN = 1e16


class Classic(ReadsAllShapes):
    """A classic web service, table form."""

    def request(self, columns: Sequence[SentColumn], rows: Sequence[Row]) -> bytes:
        """Write the table of strings."""
        table = {"ColumnNames": [column.name for column in columns], "Values": cells(columns, rows)}
        return encoded(
            {
                "Inputs": {self.options.input_name or "input1": table},
                "GlobalParameters": global_parameters(self.options),
            }
        )


DIALECT: Maker = Classic


def cells(columns: Sequence[SentColumn], rows: Sequence[Row]) -> list[tuple[str | None, ...]]:
    """Write rows as strings, in the form above; column by column, as this is most of a request's work."""
    if not columns:
        return [()] * len(rows)
    written: list[tuple[str | None, ...]] = []
    for start in range(0, len(rows), SLICE):
        of_slice = zip(*rows[start : start + SLICE], strict=True)
        written += zip(*map(_written, columns, of_slice), strict=True)
    return written


def global_parameters(options: Options) -> dict[str, str | None]:
    """Write the parameters as the flat texts that a classic web service takes; none: `{}` (statement 5)."""
    return {
        name: value if value is None or isinstance(value, str) else encoded(value).decode()
        for name, value in options.parameters.items()
    }


def _written(column: SentColumn, values: Sequence[Value | None]) -> Sequence[str | None]:
    kinds = set(map(type, values))
    if kinds <= {str, type(None)}:
        return values  # type: ignore[return-value]  # just seen: texts and nulls
    if type(None) in kinds:
        following = iter(_written(column, [value for value in values if value is not None]))
        return [None if value is None else next(following) for value in values]
    words = {True: "True", False: "False"} if column.spelling == "True" else {True: "true", False: "false"}
    write: Mapping[type, Callable[[Any], str]] = {bool: words.__getitem__, int: str, float: str, str: str}
    if len(kinds) > 1:
        return [write[type(value)](value) for value in values]
    (kind,) = kinds
    at_once = _AT_ONCE[kind](values) if kind in _AT_ONCE else None
    return at_once if at_once is not None else list(map(write[kind], values))


def _floats(values: Sequence[float]) -> list[str] | None:
    """Write doubles as Python does, by the much faster JSON encoder; None where the two might differ."""
    if not -MOST_PLAIN < min(values) <= max(values) < MOST_PLAIN:
        return None
    texts = encoded(values)
    # Shortest digits are shortest digits; but small numbers get exponents at different sizes.
    return None if b"e" in texts or b"0.0000" in texts else texts[1:-1].decode().split(",")


_AT_ONCE: Mapping[type, Callable[[Any], list[str] | None]] = {int: numerals.written, float: _floats}
