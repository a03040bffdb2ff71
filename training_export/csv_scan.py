"""Reads a CSV off its passing bytes: the verdict on it, its rows, and the facts of its columns. Pure.

    chunks → UTF-8 → blocks (csv_blocks.py), split whole (csv_split.py) → cells, by column → column_facts.py
                └→ lines → stdlib `csv` (csv_lines.py), for the header, and from the first irregular block on

The verdict is that of stdlib `csv`, strict, in the pipe's own dialect, plus what `csv` lets pass: every
record as wide as the header and closed by the dialect's own line terminator, no NUL, no blank or doubled
name. Nothing is retyped and nothing is kept: memory is bounded whatever the size (facts/engineering.md C-M2,
C-M5, D3).
"""

import csv
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain

import numpy as np

from contract.facts import ColumnFacts
from errors import DataRefused
from training_export.cells import Cells, Words
from training_export.column_facts import ColumnScan, few_of
from training_export.csv_blocks import Blocks, Text, block_bytes
from training_export.csv_dialect import Dialect, refuse_contradiction
from training_export.csv_lines import BATCH_ROWS, LONGEST_CELL, STRAY, Records, told
from training_export.csv_split import splitter_of

_HEADER_BROKEN_OFF = "The header has no line terminator: the data broke off."

type Columns = Iterable[Cells]


@dataclass(frozen=True, slots=True)
class Scanned:
    """What a whole CSV is: data rows, column facts, whether a byte order mark led.

    `digest` is the same for the same rows in any order: it tells a reordering from a change.
    """

    rows: int
    columns: tuple[ColumnFacts, ...]
    byte_order_mark: bool
    digest: str


def scan(chunks: Iterable[bytes], dialect: Dialect, expected: Sequence[str] = (), label: str = "") -> Scanned:
    """Read all chunks and judge them.

    Args:
        chunks: The bytes, cut anywhere; they are consumed to the end unless the verdict falls before.
        dialect: How to parse them.
        expected: The names the header must have, in this order; needed where there is no header.
        label: The column to learn, which must be among them; empty where none is.

    Raises:
        DataRefused: saying what is wrong, and in which record. Record 1 is the first below the header.
    """
    reading = Reading(chunks, dialect, expected)
    _refuse_absent_label(label, reading.names)
    few = few_of(len(reading.names))
    scans = [ColumnScan(name, few) for name in reading.names]
    digest = 0
    for columns in reading.batches():
        digest += _scan_rows(scans, columns)
    facts = tuple(column.facts() for column in scans)
    return Scanned(reading.rows, facts, reading.byte_order_mark, f"{digest % 2**64:016x}")


def _scan_rows(scans: Sequence[ColumnScan], columns: Columns) -> int:
    """Have each column take its cells, and let go of them; give the sum of a hash of each row."""
    rows: Words = np.zeros(1, np.uint64)
    for column, cells in zip(scans, columns, strict=True):
        column.add(cells)
        # Each cell has its place in its row.
        rows = rows ^ cells.hashes
        rows *= _PLACE
    rows ^= rows >> np.uint64(32)
    return int((rows * _PLACE).sum(dtype=np.uint64))


_PLACE = np.uint64(0x9E3779B97F4A7C15)


class Reading:
    """A CSV being read: its names at once, its cells batch by batch. Raises as `scan` does."""

    def __init__(self, chunks: Iterable[bytes], dialect: Dialect, expected: Sequence[str] = ()) -> None:
        refuse_contradiction(dialect)
        self.rows = 0
        self._dialect = dialect
        self._header_read = not dialect.include_header
        self._text = Text(dialect)
        self._utf8 = self._text.utf8(chunks)
        self._records = Records(self._utf8, dialect)
        self.names = self._read_names(tuple(expected)) if dialect.include_header else tuple(expected)

    @property
    def byte_order_mark(self) -> bool:
        """Whether one led."""
        return self._text.byte_order_mark

    def batches(self) -> Iterator[Columns]:
        """Give the cells of some thousand records at a time, column by column, to the end."""
        rest = self._records.lines.unread()
        if splitter := splitter_of(len(self.names), self._dialect, LONGEST_CELL):
            blocks = Blocks(rest, self._utf8, block_bytes(len(self.names)))
            for split in blocks.split(splitter):
                self.rows += split.rows
                yield split.columns
            rest = blocks.rest
        self._records = Records(chain([rest], self._utf8), self._dialect)
        yield from self._by_csv()

    def _by_csv(self) -> Iterator[Columns]:
        width, lines = len(self.names), self._records.lines
        while rows := self._take(BATCH_ROWS):
            if {width} != set(map(len, rows)):
                self._refuse_ragged(rows, width)
            if lines.nul_seen:
                self._refuse_nul(rows)
            self.rows += len(rows)
            yield (Cells.of(cells) for cells in zip(*rows, strict=True))
        if lines.unterminated:
            raise DataRefused(_broken_off(self.rows))

    def _read_names(self, expected: tuple[str, ...]) -> tuple[str, ...]:
        first = self._take(1)
        if not first:
            raise DataRefused("The body is empty: not even the header came.")
        names = tuple(first[0])
        if self._records.lines.unterminated:
            raise DataRefused(_HEADER_BROKEN_OFF)
        if names and names[0].lstrip().startswith(("<", "{", "[")) and names != expected:
            raise DataRefused("The body looks like HTML or JSON, not like CSV with a header.")
        if any("\0" in name for name in names):
            raise DataRefused("The header holds a NUL character: this is no text.")
        refuse_bad_header(names, expected)
        self._header_read = True
        return names

    def _take(self, most: int) -> list[list[str]]:
        rows: list[list[str]] = []
        try:
            self._records.take(rows, most)
        except csv.Error as error:
            record = self.rows + len(rows) + 1
            # Half of a terminator of two characters.
            if self._records.lines.unterminated and STRAY in str(error):
                raise DataRefused(_broken_off(record) if self._header_read else _HEADER_BROKEN_OFF) from None
            raise DataRefused(f"{self._where(record)} {told(str(error))}") from None
        except DataRefused as error:
            raise DataRefused(f"{error.detail} (after record {self.rows + len(rows)})") from None
        return rows

    def _where(self, record: int) -> str:
        return f"Record {record}" if self._header_read and record else "The header"

    def _refuse_ragged(self, rows: list[list[str]], width: int) -> None:
        at, row = next((i, row) for i, row in enumerate(rows, self.rows + 1) if len(row) != width)
        if self._records.lines.unterminated and at == self.rows + len(rows):
            raise DataRefused(_broken_off(at))
        if not row:
            raise DataRefused(f"Record {at} is an empty line; the header has {width} columns.")
        raise DataRefused(f"Record {at} has {len(row)} cells; the header has {width} columns.")

    def _refuse_nul(self, rows: list[list[str]]) -> None:
        for at, row in enumerate(rows, self.rows + 1):
            if any("\0" in cell for cell in row):
                raise DataRefused(f"Record {at} holds a NUL character: this is no text.")


def _refuse_absent_label(label: str, names: Sequence[str]) -> None:
    if label and label not in names:
        raise DataRefused(
            f"The label {label!r} is no column: the header has {_listed(names)}. "
            "Set the export's label right, or models would be sent what they are to predict."
        )


def refuse_bad_header(names: Sequence[str], expected: Sequence[str]) -> None:
    """Refuse no names, blank and doubled ones, and any difference from the expected names, order included.

    Raises:
        DataRefused: naming the difference.
    """
    if not names:
        raise DataRefused("The header is an empty line: it names no column.")
    blank = [str(at) for at, name in enumerate(names, 1) if not name.strip()]
    if blank:
        raise DataRefused(f"The header has no name in column {', '.join(blank)}.")
    doubled = sorted({name for name in names if names.count(name) > 1})
    if doubled:
        raise DataRefused(f"The header has {_listed(doubled)} more than once.")
    if expected and tuple(names) != tuple(expected):
        raise DataRefused(f"The header is not the one expected: {header_difference(expected, names)}.")


def header_difference(expected: Sequence[str], names: Sequence[str]) -> str:
    """Say in words how the names differ from the expected ones."""
    missing = [name for name in expected if name not in names]
    added = [name for name in names if name not in expected]
    told = [f"{_listed(missing)} missing"] if missing else []
    told += [f"{_listed(added)} not expected"] if added else []
    if not told:
        at = next(i for i, pair in enumerate(zip(expected, names, strict=True), 1) if pair[0] != pair[1])
        told = [f"another order: column {at} is {names[at - 1]!r}, expected {expected[at - 1]!r}"]
    return "; ".join(told)


def _listed(names: Sequence[str]) -> str:
    shown = ", ".join(repr(name) for name in names[:10])
    return f"{shown} and {len(names) - 10} more" if len(names) > 10 else shown


def _broken_off(record: int) -> str:
    return f"Record {record} is the last and has no line terminator: the data broke off."
