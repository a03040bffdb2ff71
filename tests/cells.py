"""A CSV row as the model was taught it, to hold beside what an entity is encoded to."""

from collections.abc import Sequence

from contract.contract import Contract
from contract.values import READERS, Value


def encode_cells(contract: Contract, cells: Sequence[str]) -> dict[str, Value | None]:
    """Column name → value, null where the cell is empty; the cells are of their columns' types."""
    row: dict[str, Value | None] = {}
    for column, cell in zip(contract.columns, cells, strict=True):
        row[column.name] = READERS[column.type](cell) if cell else None
        assert not cell or row[column.name] is not None, f"{column.name}: not of its type, {column.type}"
    return row
