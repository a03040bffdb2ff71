"""What the requests of several dialects share: rows written as records or as a frame."""

from collections.abc import Sequence

import msgspec

from scoring.dialects.protocol import Row, SentColumn


def encoded(body: object) -> bytes:
    """Write a request body: UTF-8 JSON; a number that is not finite becomes null (statement 8)."""
    return msgspec.json.encode(body)


def records(columns: Sequence[SentColumn], rows: Sequence[Row]) -> list[dict[str, object]]:
    """Write rows as objects; a null is there as null, so every object has every column."""
    names = [column.name for column in columns]
    return [dict(zip(names, row, strict=True)) for row in rows]


def frame(columns: Sequence[SentColumn], rows: Sequence[Row]) -> dict[str, object]:
    """Write rows as pandas' `split`, its index 0…n−1 of this request.

    The index is always there: without it Microsoft's MLflow script takes the frame of a model without
    signature for named tensors (facts/azureml.md §3, statement 4).
    """
    return {
        "columns": [column.name for column in columns],
        "index": list(range(len(rows))),
        "data": rows,
    }
