"""What speaks against publishing a whole version: then it is held, for a person to decide. Pure."""

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

from contract.documents import Manifest
from training_export.csv_scan import Scanned, header_difference

if TYPE_CHECKING:
    from sections import ExportSettings


def reasons_to_hold(
    settings: "ExportSettings",
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
