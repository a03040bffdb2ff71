"""Reads a CSV off its passing bytes: the verdict on it, its rows, and the facts of its columns. Pure.

The verdict is that of stdlib `csv`, strict, in the pipe's own dialect, plus what `csv` lets pass: every
record as wide as the header and closed by the dialect's own line terminator, no NUL, no blank or doubled
name. Nothing is retyped and nothing is kept: memory is bounded whatever the size (facts/engineering.md C-M2,
C-M5, D3).
"""

import codecs
import csv
import zlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain, islice

from contract.facts import ColumnFacts
from errors import DataRefused
from training_export.column_facts import ColumnScan

# Small batches stay in the processor's cache (facts/engineering.md D3).
BATCH_ROWS = 512
# What bounds memory where a quote is never closed, or a line never ends.
LONGEST_CELL = 8_000_000
LONGEST_LINE = 16_000_000
_BOM = "\ufeff"

type Columns = Sequence[tuple[str, ...]]

# The limit is the process's, and its default (131,072) is too low for text that Sesam can publish.
csv.field_size_limit(LONGEST_CELL)


@dataclass(frozen=True, slots=True)
class Dialect:
    """The csv sink's own words and defaults (facts/sesam.md §3.1).

    `byte_order_mark` None takes the data as it comes; True and False demand that there is one, or none.
    """

    delimiter: str = ","
    quotechar: str | None = '"'
    escapechar: str | None = None
    doublequote: bool = True
    lineterminator: str = "\r\n"
    encoding: str = "utf-8"
    byte_order_mark: bool | None = None
    include_header: bool = True


@dataclass(frozen=True, slots=True)
class Scanned:
    """What a whole CSV is: data rows, column facts, whether a byte order mark led.

    `digest` is the same for the same lines in any order: it tells a reordering from a change.
    """

    rows: int
    columns: tuple[ColumnFacts, ...]
    byte_order_mark: bool
    digest: str


def scan(
    chunks: Iterable[bytes],
    dialect: Dialect,
    expected: Sequence[str] = (),
    also: Callable[[Sequence[str], Columns], None] | None = None,
) -> Scanned:
    """Read all chunks and judge them.

    Args:
        chunks: The bytes, cut anywhere; they are consumed to the end unless the verdict falls before.
        dialect: How to parse them.
        expected: The names the header must have, in this order; needed where there is no header.
        also: Takes the names and each batch of columns of cells in passing, for a second format.

    Raises:
        DataRefused: saying what is wrong, and in which record. Record 1 is the first below the header.
    """
    return _Scan(dialect, expected).run(chunks, also)


class _Scan:
    def __init__(self, dialect: Dialect, expected: Sequence[str]) -> None:
        self._dialect = dialect
        self._expected = tuple(expected)
        self._text = _Text(dialect)
        self._rows = 0
        self._header_read = not dialect.include_header

    def run(self, chunks: Iterable[bytes], also: Callable[[Sequence[str], Columns], None] | None) -> Scanned:
        records = _records(self._text.lines(chunks), self._dialect)
        names = self._names(records)
        scans = [ColumnScan(name) for name in names]
        for columns in self._batches(records, len(names)):
            for column, cells in zip(scans, columns, strict=True):
                column.add(cells)
            if also:
                also(names, columns)
        if self._text.unterminated:
            raise DataRefused(
                f"{self._where(self._rows)} is the last and has no line terminator: the data broke off."
            )
        return Scanned(
            self._rows,
            tuple(column.facts() for column in scans),
            self._text.byte_order_mark,
            f"{self._text.digest:016x}",
        )

    def _names(self, records: Iterator[list[str]]) -> tuple[str, ...]:
        if not self._dialect.include_header:
            return self._expected
        first = self._take(records, 1)
        self._header_read = True
        if not first:
            raise DataRefused("The body is empty: not even the header came.")
        names = tuple(first[0])
        if names and names[0].lstrip().startswith(("<", "{", "[")) and names != self._expected:
            raise DataRefused("The body looks like HTML or JSON, not like CSV with a header.")
        refuse_bad_header(names, self._expected)
        return names

    def _batches(self, records: Iterator[list[str]], width: int) -> Iterator[Columns]:
        while rows := self._take(records, BATCH_ROWS):
            if {width} != set(map(len, rows)):
                self._refuse_ragged(rows, width)
            columns = list(zip(*rows, strict=True))
            if self._text.nul_seen:
                self._refuse_nul(rows)
            self._rows += len(rows)
            yield columns

    def _take(self, records: Iterator[list[str]], most: int) -> list[list[str]]:
        rows: list[list[str]] = []
        try:
            # extend() keeps what came before an error: that is how the record is known.
            rows.extend(islice(records, most))
        except csv.Error as error:
            raise DataRefused(f"{self._where(self._rows + len(rows) + 1)} {_told(str(error))}") from None
        except DataRefused as error:
            raise DataRefused(f"{error.detail} (after record {self._rows + len(rows)})") from None
        return rows

    def _where(self, record: int) -> str:
        return f"Record {record}" if self._header_read and record else "The header"

    def _refuse_ragged(self, rows: list[list[str]], width: int) -> None:
        at, row = next((i, row) for i, row in enumerate(rows, self._rows + 1) if len(row) != width)
        if not row:
            raise DataRefused(f"Record {at} is an empty line; the header has {width} columns.")
        raise DataRefused(f"Record {at} has {len(row)} cells; the header has {width} columns.")

    def _refuse_nul(self, rows: list[list[str]]) -> None:
        for at, row in enumerate(rows, self._rows + 1):
            if any("\0" in cell for cell in row):
                raise DataRefused(f"Record {at} holds a NUL character: this is no text.")


class _Text:
    """Bytes to lines, without their terminators; what was seen on the way."""

    def __init__(self, dialect: Dialect) -> None:
        self._dialect = dialect
        self._decoder = _decoder(dialect.encoding)
        self._exotic = codecs.lookup(dialect.encoding).name not in ("utf-8", "ascii", "iso8859-1")
        self.byte_order_mark = False
        self.nul_seen = False
        self.unterminated = False
        self.digest = 0

    def lines(self, chunks: Iterable[bytes]) -> Iterator[str]:
        return chain.from_iterable(self._line_lists(chunks))

    def _line_lists(self, chunks: Iterable[bytes]) -> Iterator[list[str]]:
        terminator, carry = self._dialect.lineterminator, ""
        for text in self._texts(chunks):
            lines = (carry + text).split(terminator)
            carry = lines.pop()
            if len(carry) > LONGEST_LINE:
                raise DataRefused(
                    f"A line is longer than {LONGEST_LINE:,} characters: is the line terminator "
                    f"{terminator!r}, as the dialect says?"
                )
            self.digest += sum([zlib.crc32(line.encode()) for line in lines])
            yield lines
        self.digest &= 0xFFFF_FFFF_FFFF_FFFF
        if carry:
            self.unterminated = True
            yield [carry]

    def _texts(self, chunks: Iterable[bytes]) -> Iterator[str]:
        first, passed = True, 0
        for chunk in chain(chunks, (b"",)):
            held = len(self._decoder.getstate()[0])
            try:
                # The empty chunk at the end asks for what is still held: a character cut in two is an error.
                text = self._decoder.decode(chunk, final=not chunk and passed > 0)
                if self._exotic:
                    text.encode()  # a lone surrogate could be stored nowhere
            except UnicodeError as error:
                at = passed - held + getattr(error, "start", 0)
                raise DataRefused(
                    f"Byte {at} is not {self._dialect.encoding}: set the export's encoding to the csv sink's."
                ) from None
            passed += len(chunk)
            if first and text:
                first, text = False, self._without_mark(text)
            if "\0" in text:
                self.nul_seen = True
            if text:
                yield text

    def _without_mark(self, text: str) -> str:
        self.byte_order_mark = text.startswith(_BOM)
        wanted = self._dialect.byte_order_mark
        if wanted is not None and wanted != self.byte_order_mark:
            found = "leads" if self.byte_order_mark else "is missing"
            raise DataRefused(f"A byte order mark {found}, against the dialect's byte_order_mark.")
        return text.removeprefix(_BOM)


def _records(lines: Iterator[str], dialect: Dialect) -> Iterator[list[str]]:
    """Give the records of the lines, as `csv.reader(strict=True)` reads them.

    A line that holds neither quote nor stray line break is split here, several times as fast; every other
    goes to `csv`, which takes the lines it needs. tests/unit/training_export proves that both ways are one.
    """
    delimiter, quote = dialect.delimiter, dialect.quotechar
    if dialect.escapechar is not None or quote is None:
        yield from _csv_reader(lines, dialect)
        return
    first: list[str] = []
    by_csv = _csv_reader(_first_of(first, lines), dialect)
    for line in lines:
        if quote in line or not line or "\n" in line or "\r" in line:
            first.append(line)
            yield next(by_csv)
        else:
            yield line.split(delimiter)


def _first_of(first: list[str], lines: Iterator[str]) -> Iterator[str]:
    while True:
        line = first.pop() if first else next(lines, None)
        if line is None:
            return
        yield line


def _csv_reader(lines: Iterator[str], dialect: Dialect) -> Iterator[list[str]]:
    try:
        return csv.reader(
            _closed(lines, dialect.lineterminator),
            delimiter=dialect.delimiter,
            quotechar=dialect.quotechar,
            escapechar=dialect.escapechar,
            doublequote=dialect.doublequote,
            quoting=csv.QUOTE_MINIMAL if dialect.quotechar else csv.QUOTE_NONE,
            strict=True,
        )
    except (TypeError, ValueError) as error:
        raise DataRefused(f"The csv dialect cannot be used: {error}.") from None


def _closed(lines: Iterator[str], terminator: str) -> Iterator[str]:
    for line in lines:
        if terminator == "\n" and line.endswith("\r"):
            # Apart, csv reads a record's end and an empty line, which is refused: a mix of terminators.
            yield line
            yield terminator
        else:
            yield line + terminator


def refuse_bad_header(names: Sequence[str], expected: Sequence[str]) -> None:
    """Refuse blank and doubled names, and any difference from the expected names, order included.

    Raises:
        DataRefused: naming the difference.
    """
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


def _decoder(encoding: str) -> codecs.IncrementalDecoder:
    try:
        codec = codecs.lookup(encoding)
        if not codec._is_text_encoding:
            raise LookupError
    except LookupError:
        raise DataRefused(
            f"The encoding {encoding!r} is not known: set the export's encoding to a codec that Python has."
        ) from None
    # utf-8-sig would hide the mark that the manifest tells of.
    name = "utf-8" if codec.name == "utf-8-sig" else codec.name
    return codecs.getincrementaldecoder(name)("strict")


def _told(error: str) -> str:
    if "unexpected end of data" in error:
        return "opens a quote that nothing closes: the data broke off."
    if "field larger than" in error:
        return f"has a cell of more than {LONGEST_CELL:,} characters: a quote is not closed, or it is no CSV."
    if "new-line character" in error:
        return "has a line break that is neither quoted nor the dialect's line terminator."
    if "expected after" in error:
        return "has text after a closing quote: its quotes are not doubled as the dialect says."
    return f"cannot be read as CSV: {error}."
