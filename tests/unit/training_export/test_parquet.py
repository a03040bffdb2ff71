"""Parquet beside the CSV: the same cells, losslessly typed, made of the bytes that were committed."""

import io
import sys
from datetime import date
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from storage import data_blob
from tests.exports import Bench, rows, whole_version
from tests.fakes import MemoryContainer
from training_export import parquet


@pytest.fixture
def bench() -> Bench:
    bench = Bench()
    bench.set(formats=("csv", "parquet"))
    return bench


def table(bench: Bench, text: str) -> pa.Table:
    run = bench.run(text.encode())
    assert run.outcome == "published", run.detail
    data = b"".join(bench.container.download(data_blob("customers", str(run.version), "parquet")))
    return pq.read_table(io.BytesIO(data))


@pytest.mark.parametrize(
    ("cells", "type_", "values"),
    [
        (["0150", "", "x"], pa.string(), ["0150", None, "x"]),
        (["1", "", "9007199254740993"], pa.int64(), [1, None, 9007199254740993]),
        (["1", "2.5", ""], pa.float64(), [1.0, 2.5, None]),
        (["True", "False", ""], pa.bool_(), [True, False, None]),
        (["2026-01-02", "", "1936-01-12"], pa.date32(), [date(2026, 1, 2), None, date(1936, 1, 12)]),
        (["1000-01-01", "", ""], pa.string(), ["1000-01-01", None, None]),
        (["9999-12-31T00:00:00Z", "", ""], pa.string(), ["9999-12-31T00:00:00Z", None, None]),
        (["", "", ""], pa.string(), [None, None, None]),
    ],
)
def test_every_type_keeps_its_values_and_its_gaps(
    bench: Bench, cells: list[str], type_: pa.DataType, values: list[Any]
) -> None:
    read = table(bench, "_id,x\r\n" + "".join(f"{n},{cell}\r\n" for n, cell in enumerate(cells)))
    assert read.schema.field("x").type == type_
    assert read["x"].to_pylist() == values
    assert read.schema.field("_id").type == pa.string()


def test_times_are_utc_to_the_nanosecond(bench: Bench) -> None:
    cells = ["2026-01-02T03:04:05.123456789Z", "2026-01-02 03:04:05+02:00", "1969-12-31T23:59:59.5Z"]
    read = table(bench, "_id,x\r\n" + "".join(f"{n},{cell}\r\n" for n, cell in enumerate(cells)))
    assert read.schema.field("x").type == pa.timestamp("ns", tz="UTC")
    assert read["x"].cast(pa.int64()).to_pylist() == [
        1767323045_123456789,
        1767315845_000000000,
        -500_000_000,
    ]


def test_quoted_line_breaks_and_many_row_groups_stay_in_order(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(parquet, "ROW_GROUP_BYTES", 10_000)
    read = table(bench, "_id,x\r\n" + "".join(f'{n},"{n}\r\n{n}"\r\n' for n in range(3000)))
    assert read["x"].to_pylist() == [f"{n}\r\n{n}" for n in range(3000)]


def test_a_table_without_rows_has_its_columns(bench: Bench) -> None:
    bench.set(min_rows=0)
    read = table(bench, "_id,x\r\n")
    assert (read.num_rows, read.schema.names) == (0, ["_id", "x"])


def test_data_that_comes_back_changed_publishes_nothing(bench: Bench) -> None:
    class Spoiling(MemoryContainer):
        def commit(self, name: str, *args: Any) -> str | None:
            etag = super().commit(name, *args)
            if name.endswith("data.csv"):
                self.blobs[name].data = self.blobs[name].data.replace(b"Name1,", b"Name2,")
            return etag

    bench.container = Spoiling(bench.clock)
    run = bench.run(rows(10))
    assert run.outcome == "failed"
    assert "came back changed" in run.detail
    assert bench.versions.ids() == []


def test_parquet_asked_for_later_is_a_version_of_its_own(bench: Bench) -> None:
    bench.set(formats=("csv",))
    bench.run(rows(10))
    bench.set(formats=("csv", "parquet"))
    run = bench.run(rows(10))
    assert run.outcome == "published"
    assert whole_version(bench.container, str(run.version)).formats == ("csv", "parquet")
    assert bench.run(rows(10)).outcome == "unchanged"


def test_without_pyarrow_the_setting_is_wrong_and_the_node_is_not_asked(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "pyarrow.parquet", None)
    run = bench.run(rows(10))
    assert run.outcome == "failed"
    assert "pyarrow" in run.detail
    assert bench.fake.asked == 0
