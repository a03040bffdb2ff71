"""What speaks against publishing a whole version: then it is held, for a person to decide. Pure."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from typing import Any

from contract.documents import Manifest
from errors import DataRefused
from sections import ExportSettings
from training_export.csv_dialect import Dialect
from training_export.csv_scan import Scanned, header_difference

_LINE_TERMINATORS = ("\r\n", "\n", "\r")


def reasons_to_hold(
    settings: ExportSettings,
    scanned: Scanned,
    headers: Mapping[str, str],
    trouble: Sequence[str],
    previous: Manifest | None,
) -> Iterator[str]:
    """Say what speaks against it (statements 35 and 40)."""
    yield from trouble
    populated = {name.lower(): value for name, value in headers.items()}.get("x-dataset-populated", "")
    if populated.strip().lower() == "false":
        yield "the node says that the dataset is not populated (X-Dataset-Populated: false)"
    if scanned.rows < settings.min_rows:
        yield f"{scanned.rows} rows; min_rows is {settings.min_rows}"
    if previous is None:
        return
    if scanned.rows < settings.max_shrink * previous.rows:
        yield f"rows fell from {previous.rows} to {scanned.rows}; max_shrink is {settings.max_shrink}"
    # Names that the settings ask for are a person's decision already, and were compared in the scan.
    names, before = [column.name for column in scanned.columns], [c.name for c in previous.columns]
    if names != before and not settings.columns:
        yield f"the header changed: {header_difference(before, names)}"


def dialect_of(settings: ExportSettings, sink: Mapping[str, Any]) -> Dialect:
    """Choose each word of the dialect: the export's own, else the pipe's, else Sesam's default.

    Raises:
        DataRefused: a line terminator that no reader of training data knows.
    """
    default = asdict(Dialect())
    chosen: dict[str, Any] = {}
    for word, usual in default.items():
        own, given = getattr(settings, word), sink.get(word)
        known = isinstance(given, bool if isinstance(usual, bool) or word == "byte_order_mark" else str)
        chosen[word] = own if own is not None else given if known else usual
    if not chosen["quotechar"] or (settings.quotechar is None and _quotes_nothing(sink)):
        chosen["quotechar"] = None
    if chosen["lineterminator"] not in _LINE_TERMINATORS:
        raise DataRefused("The csv sink's lineterminator is none of \\r\\n, \\n, \\r: change it in the pipe.")
    return Dialect(**chosen)


def _quotes_nothing(sink: Mapping[str, Any]) -> bool:
    """Say whether the sink writes no quotes, so that a quotation mark in its data is text."""
    return sink.get("quoting") == "none" or ("quotechar" in sink and sink["quotechar"] is None)


def expected_columns(settings: ExportSettings, sink: Mapping[str, Any], dialect: Dialect) -> tuple[str, ...]:
    """Give the names the header must have, where they are known (statement 34).

    Raises:
        DataRefused: neither the data nor the settings nor the pipe say what the columns are.
    """
    told = sink.get("columns")
    names = tuple(told) if isinstance(told, list) and all(isinstance(name, str) for name in told) else ()
    expected = settings.columns or names
    if not dialect.include_header and not expected:
        raise DataRefused("There is no header (include_header is false): set the export's columns.")
    return expected
