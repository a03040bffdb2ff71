"""The MLTable file of a version: how Azure ML reads its data, every type explicit. Pure.

What the real engine does decides (facts/azureml.md §5; tests/integration/training_export proves it with
mltable 1.7.0): without `support_multi_line` a quoted line break splits a row in silence; a cell that does not
convert becomes None in silence, a time beyond nanoseconds included; an int column with an empty cell becomes
a double; names are trimmed; a table without header keeps the names Column1, Column2 …
"""

import codecs
import json
from collections.abc import Sequence
from typing import Any

import msgspec

from contract.documents import Manifest
from contract.facts import ColumnFacts
from contract.values import LARGEST_EXACT
from training_export.csv_dialect import Dialect

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


def mltable(manifest: Manifest) -> str | None:
    """Write the MLTable (YAML, of which JSON is a part); None where the engine would not read the data right.

    With Parquet beside the CSV it points there, and there is always one.
    """
    if "parquet" in manifest.formats:
        # The file itself keeps every integer; a data frame has no integers with gaps.
        steps = [{"read_parquet": {"include_path_column": False}}]
        texts = [c.name for c in manifest.columns if c.type == "integer" and _type(c) == "string"]
        texts_only: list[dict[str, Any]] = [{"columns": [name], "column_type": "string"} for name in texts]
        return _document(
            "./data.parquet", [*steps, *([{"convert_column_types": texts_only}] if texts else [])]
        )
    dialect = msgspec.convert(manifest.dialect, Dialect)
    encoding = _ENCODINGS.get(_codec(dialect.encoding))
    if encoding is None or not _is_readable(dialect, manifest.columns):
        return None
    read = {
        "delimiter": dialect.delimiter,
        "encoding": encoding,
        "header": "all_files_same_headers",
        "empty_as_string": False,
        "infer_column_types": False,
        "support_multi_line": True,
    }
    conversions = [{"columns": [column.name], "column_type": _type(column)} for column in manifest.columns]
    return _document("./data.csv", [{"read_delimited": read}, {"convert_column_types": conversions}])


def _is_readable(dialect: Dialect, columns: Sequence[ColumnFacts]) -> bool:
    return (
        dialect.quotechar == '"'
        and dialect.doublequote
        and dialect.escapechar is None
        and dialect.lineterminator != "\r"
        and dialect.include_header
        and all(column.name == column.name.strip() for column in columns)
    )


def _document(path: str, transformations: list[dict[str, Any]]) -> str:
    lines = [f"$schema: {SCHEMA}", "type: mltable", "paths:", f"  - file: {path}", "transformations:"]
    lines += [f"  - {json.dumps(step, ensure_ascii=False)}" for step in transformations]
    return "\n".join(lines) + "\n"


def _codec(encoding: str) -> str:
    return codecs.lookup(encoding).name.removesuffix("-sig")


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
        case "date" | "datetime" if not fits_nanoseconds(column):
            return "string"
        case "date":
            return {"datetime": {"formats": ["%Y-%m-%d"]}}
        case "datetime":
            return {"datetime": {"formats": _DATETIME_FORMATS}}
    return "string"


def fits_nanoseconds(column: ColumnFacts) -> bool:
    """Say whether 64 bits of nanoseconds since 1970, which pandas and Arrow hold, reach all its times."""
    return str(column.minimum) >= "1678" and str(column.maximum) < "2262"
