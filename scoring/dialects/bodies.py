"""What the requests of several dialects share: rows written as records or as a frame."""

from collections.abc import Callable, Sequence
from functools import lru_cache
from itertools import starmap

import msgspec

from scoring.dialects.protocol import Row, SentColumn


def encoded(body: object) -> bytes:
    """Write a request body: UTF-8 JSON; a number that is not finite becomes null (statement 8)."""
    return msgspec.json.encode(body)


def records(columns: Sequence[SentColumn], rows: Sequence[Row]) -> list[object]:
    """Write rows as objects; a null is there as null, so every object has every column."""
    return list(starmap(_record(tuple(column.name for column in columns)), rows))


@lru_cache(maxsize=64)
def _record(names: tuple[str, ...]) -> Callable[..., object]:
    """Give what makes an object of a row's values.

    A struct is made and written three times as fast as a dict, but not every name can be one of its fields.
    """
    fields = {f"f{at}": name for at, name in enumerate(names)}
    try:
        return msgspec.defstruct("Record", fields, rename=fields, gc=False)
    except ValueError:
        return lambda *values: dict(zip(names, values, strict=True))


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
