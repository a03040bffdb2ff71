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

from collections.abc import Sequence

from contract.values import Value
from scoring.dialects.answers import ReadsAllShapes
from scoring.dialects.bodies import encoded
from scoring.dialects.protocol import Options, Row, SentColumn


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


def cells(columns: Sequence[SentColumn], rows: Sequence[Row]) -> list[list[str | None]]:
    """Write rows as strings, in the form above."""
    true, false = zip(*(_booleans(column) for column in columns), strict=True) if columns else ((), ())
    return [[_cell(*cell) for cell in zip(row, true, false, strict=True)] for row in rows]


def global_parameters(options: Options) -> dict[str, str | None]:
    """Write the parameters as the flat texts that a classic web service takes; none: `{}` (statement 5)."""
    return {name: _cell(value, "true", "false") for name, value in options.parameters.items()}


def _cell(value: Value | object, true: str, false: str) -> str | None:
    if value is None or isinstance(value, str):
        return value
    if isinstance(value, bool):
        return true if value else false
    return str(value) if isinstance(value, int | float) else encoded(value).decode()


def _booleans(column: SentColumn) -> tuple[str, str]:
    return ("True", "False") if column.spelling == "True" else ("true", "false")
