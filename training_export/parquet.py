"""Parquet beside the CSV: the same cells, losslessly typed (issue: formats = ["csv", "parquet"]).

The types are known only when the last cell has passed. So the Parquet file is made from the very bytes that
were just committed, read back and proved by their hash: the node is asked once, and no disk is needed.
pyarrow is imported only here, and only when it is asked for.
"""

import hashlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import date
from typing import TYPE_CHECKING, Any

import telemetry
from contract.documents import Manifest
from contract.facts import ColumnFacts
from contract.values import boolean, moment, seconds
from errors import SettingsWrong, StorageDown
from training_export.csv_dialect import Dialect
from training_export.csv_scan import Columns, Reading
from training_export.mltable import fits_nanoseconds
from training_export.staging import Staging

if TYPE_CHECKING:
    import pyarrow as pa

ROW_GROUP_BYTES = 8 * 1024 * 1024
CONTENT_TYPE = "application/vnd.apache.parquet"


def require_pyarrow() -> None:
    """Say early, before anything is downloaded, that Parquet cannot be written.

    Raises:
        SettingsWrong: pyarrow is not installed.
    """
    try:
        import pyarrow.parquet  # noqa: F401  # only whether it is there
    except ImportError:
        raise SettingsWrong(
            ["exports: formats has parquet, which needs pyarrow: add it to requirements.txt"]
        ) from None


@telemetry.PARQUET
def write_parquet(chunks: Iterable[bytes], manifest: Manifest, dialect: Dialect, sink: Staging) -> None:
    """Write a version's committed CSV bytes as Parquet into `sink`, in bounded memory.

    Raises:
        StorageDown: the bytes read back are not the ones that were committed.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    sha256 = hashlib.sha256()
    reading = Reading(_hashed(chunks, sha256.update), dialect, [c.name for c in manifest.columns])
    schema = pa.schema([pa.field(column.name, _arrow_type(column)) for column in manifest.columns])
    kinds = [_conversion(column, schema.field(column.name).type) for column in manifest.columns]
    file = pa.PythonFile(_Writing(sink), mode="w")
    with pq.ParquetWriter(file, schema, compression="zstd") as writer:
        group: list[pa.RecordBatch] = []
        for columns in reading.batches():
            group.append(_batch(columns, kinds, schema))
            if sum(batch.nbytes for batch in group) > ROW_GROUP_BYTES:
                writer.write_table(pa.Table.from_batches(group))
                group.clear()
        writer.write_table(pa.Table.from_batches(group, schema))
    if sha256.hexdigest() != manifest.sha256:
        raise StorageDown(f"The data of {manifest.version} came back changed from storage: try again.")


class _Writing:
    """The file that pyarrow writes to."""

    closed = False

    def __init__(self, sink: Staging) -> None:
        self._sink = sink

    def write(self, data: Any) -> int:
        self._sink.write(bytes(data))
        return len(data)

    def tell(self) -> int:
        return self._sink.size

    def flush(self) -> None:
        """Nothing waits here."""

    def close(self) -> None:
        self.closed = True


def _hashed(chunks: Iterable[bytes], update: Callable[[bytes], None]) -> Iterator[bytes]:
    for chunk in chunks:
        update(chunk)
        yield chunk


def _arrow_type(column: ColumnFacts) -> "pa.DataType":
    import pyarrow as pa

    types: Mapping[str, Any] = {
        "integer": pa.int64(),
        "number": pa.float64(),
        "boolean": pa.bool_(),
        "date": pa.date32(),
        "datetime": pa.timestamp("ns", tz="UTC"),
        "string": pa.string(),
    }
    if column.type in ("date", "datetime") and not fits_nanoseconds(column):
        # The cells as written: Arrow could hold such days, but readers wrap them round in silence.
        return pa.string()
    return types[column.type]


def _conversion(column: ColumnFacts, type_: "pa.DataType") -> Callable[[str], Any]:
    if str(type_) == "string":
        return str
    kinds: Mapping[str, Callable[[str], Any]] = {
        "integer": int,
        "number": float,
        "boolean": boolean,
        "date": date.fromisoformat,
        "datetime": _nanoseconds,
    }
    return kinds[column.type]


def _nanoseconds(cell: str) -> int:
    canonical = moment(cell) or cell
    whole, _, fraction = canonical.removesuffix("Z").partition(".")
    return int(seconds(whole)) * 1_000_000_000 + int(fraction.ljust(9, "0"))


def _batch(columns: Columns, kinds: Sequence[Callable[[str], Any]], schema: "pa.Schema") -> "pa.RecordBatch":
    import pyarrow as pa

    arrays = [
        pa.array([convert(cell) if cell else None for cell in cells.texts()], field.type)
        for cells, convert, field in zip(columns, kinds, schema, strict=True)
    ]
    return pa.RecordBatch.from_arrays(arrays, schema=schema)
