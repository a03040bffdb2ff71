"""The MLTable file of a version: how Azure ML reads its data, every type explicit. Pure.

What the real engine does decides (facts/azureml.md §5; tests/integration/training_export proves it with
mltable 1.7.0): without `support_multi_line` a quoted line break splits a row in silence; a cell that does not
convert becomes None in silence; an int column with an empty cell becomes a double.
"""

import json
from collections.abc import Sequence
from typing import Any

from contract.facts import ColumnFacts
from contract.values import LARGEST_EXACT
from training_export.csv_scan import Dialect

SCHEMA = "https://azuremlschemas.azureedge.net/latest/MLTable.schema.json"

_ENCODINGS = {
    "utf-8": "utf8",
    "ascii": "ascii",
    "iso8859-1": "iso88591",
    "cp1252": "windows1252",
    "utf-16": "utf16",
    "utf-32": "utf32",
}
_DATETIME_FORMATS = [
    f"%Y-%m-%d{between}%H:%M:%S{fraction}{zone}"
    for between in ("T", " ")
    for fraction in ("", ".%f")
    for zone in ("Z", "", "%z")
]


def mltable(columns: Sequence[ColumnFacts], dialect: Dialect, formats: Sequence[str]) -> str | None:
    """Write the MLTable (YAML, of which JSON is a part); None where the engine cannot read the dialect."""
    if "parquet" in formats:
        return _document("./data.parquet", [{"read_parquet": {"include_path_column": False}}])
    encoding = _ENCODINGS.get(_codec(dialect.encoding))
    if encoding is None or dialect.quotechar != '"' or dialect.escapechar or not dialect.doublequote:
        return None
    read = {
        "delimiter": dialect.delimiter,
        "encoding": encoding,
        "header": "all_files_same_headers" if dialect.include_header else "no_header",
        "empty_as_string": False,
        "infer_column_types": False,
        "support_multi_line": True,
    }
    steps: list[dict[str, Any]] = [{"read_delimited": read}]
    if not dialect.include_header:
        names = [{"source": f"Column{at}", "new_name": column.name} for at, column in enumerate(columns, 1)]
        steps.append({"rename_columns": names})
    steps.append({"convert_column_types": _conversions(columns)})
    return _document("./data.csv", steps)


def _document(path: str, transformations: list[dict[str, Any]]) -> str:
    lines = [f"$schema: {SCHEMA}", "type: mltable", "paths:", f"  - file: {path}", "transformations:"]
    lines += [f"  - {json.dumps(step, ensure_ascii=False)}" for step in transformations]
    return "\n".join(lines) + "\n"


def _codec(encoding: str) -> str:
    import codecs

    return codecs.lookup(encoding).name.removesuffix("-sig")


def _conversions(columns: Sequence[ColumnFacts]) -> list[dict[str, Any]]:
    return [{"columns": [column.name], "column_type": _type(column)} for column in columns]


def _type(column: ColumnFacts) -> Any:
    match column.type:
        case "integer" if not column.empties:
            return "int"
        case "integer":
            # A double: exact up to 2^53; beyond, only text keeps every digit.
            low, high = column.minimum, column.maximum
            exact = isinstance(low, int) and isinstance(high, int) and max(-low, high) <= LARGEST_EXACT
            return "float" if exact else "string"
        case "number":
            return "float"
        case "boolean":
            true, false = ("true", "false") if column.spelling == "true" else ("True", "False")
            return {"boolean": {"mismatch_as": "error", "true_values": [true], "false_values": [false]}}
        case "date":
            return {"datetime": {"formats": ["%Y-%m-%d"]}}
        case "datetime":
            return {"datetime": {"formats": _DATETIME_FORMATS}}
    return "string"
