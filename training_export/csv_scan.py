"""Reads a CSV off its passing bytes: the verdict on it, its rows, and the facts of its columns. Pure.

    chunks → UTF-8 → blocks, split whole (csv_split.py) → cells, column by column → column_facts.py
                └→ lines → stdlib `csv`, for the header, and from the first block on that is not regular

The verdict is that of stdlib `csv`, strict, in the pipe's own dialect, plus what `csv` lets pass: every
record as wide as the header and closed by the dialect's own line terminator, no NUL, no blank or doubled
name. Nothing is retyped and nothing is kept: memory is bounded whatever the size (facts/engineering.md C-M2,
C-M5, D3).
"""

import codecs
import csv
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain

import numpy as np

from contract.facts import ColumnFacts
from errors import DataRefused
from training_export.cells import PAD, Cells, Words
from training_export.column_facts import ColumnScan, few_of
from training_export.csv_split import Split, Splitter, splitter_of

# A block's cells stay in the processor's caches; the more columns, the more bytes make many cells of each.
BLOCK_BYTES = 1536 * 1024
BYTES_A_COLUMN = 32 * 1024
MOST_BLOCK_BYTES = 2 * BLOCK_BYTES
# By `csv`: so many records at a time; of long rows fewer.
BATCH_ROWS = 4096
BATCH_CHARACTERS = 1_000_000
# What bounds memory where a quote is never closed, or a line never ends.
LONGEST_CELL = 8_000_000
LONGEST_RECORD = 16_000_000
_BOM = "\ufeff"
_STRAY = "new-line character"
_HEADER_BROKEN_OFF = "The header has no line terminator: the data broke off."

type Columns = Iterable[Cells]

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
        _refuse_contradiction(dialect)
        self.rows = 0
        self._dialect = dialect
        self._header_read = not dialect.include_header
        self._text = _Text(dialect)
        self._utf8 = self._text.utf8(chunks)
        self._records = _records(self._utf8, dialect)
        self.names = self._read_names(tuple(expected)) if dialect.include_header else tuple(expected)

    @property
    def byte_order_mark(self) -> bool:
        """Whether one led."""
        return self._text.byte_order_mark

    def batches(self) -> Iterator[Columns]:
        """Give the cells of some thousand records at a time, column by column, to the end."""
        rest = self._records.lines.unread()
        if splitter := _splitter(self._dialect, len(self.names)):
            blocks = _Blocks(rest, self._utf8, _block_bytes(len(self.names)))
            for split in blocks.split(splitter):
                self.rows += split.rows
                yield split.columns
            rest = blocks.rest
        self._records = _records(chain([rest], self._utf8), self._dialect)
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
            if self._records.lines.unterminated and _STRAY in str(error):
                raise DataRefused(_broken_off(record) if self._header_read else _HEADER_BROKEN_OFF) from None
            raise DataRefused(f"{self._where(record)} {_told(str(error))}") from None
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


def _block_bytes(width: int) -> int:
    return max(BLOCK_BYTES, min(BYTES_A_COLUMN * width, MOST_BLOCK_BYTES))


def _splitter(dialect: Dialect, width: int) -> Splitter | None:
    return splitter_of(
        width,
        dialect.delimiter,
        dialect.quotechar,
        dialect.escapechar,
        dialect.lineterminator,
        doublequote=dialect.doublequote,
        longest=LONGEST_CELL,
    )


def _pieces(chunks: Iterable[bytes]) -> Iterator[bytes]:
    for chunk in chunks:
        yield from (chunk[at : at + BLOCK_BYTES] for at in range(0, len(chunk), BLOCK_BYTES))


class _Text:
    """Bytes to UTF-8, and what was seen on the way."""

    def __init__(self, dialect: Dialect) -> None:
        self._dialect = dialect
        self._decoder = _decoder(dialect.encoding)
        codec = codecs.lookup(dialect.encoding).name
        self._is_utf8 = codec in ("utf-8", "utf-8-sig", "ascii")
        self._mark_is_the_codecs = codec in ("utf-16", "utf-32")
        self.byte_order_mark = False

    def utf8(self, chunks: Iterable[bytes]) -> Iterator[bytes]:
        """Give whole characters, without a byte order mark, chunk by chunk."""
        first, passed = True, 0
        for chunk in chain(_pieces(chunks), (b"",)):
            held = self._decoder.getstate()[0]
            try:
                # The empty chunk at the end asks for what is still held: a character cut in two is an error.
                text = self._decoder.decode(chunk, final=not chunk and passed > 0)
                # A lone surrogate could be stored nowhere.
                told = self._as_came(held, chunk) if self._is_utf8 and not first else text.encode()
            except UnicodeError as error:
                at = passed - len(held) + getattr(error, "start", 0)
                raise DataRefused(
                    f"Byte {at} is not {self._dialect.encoding}: set the export's encoding to the csv sink's."
                ) from None
            passed += len(chunk)
            if first and text:
                first, told = False, self._without_mark(text).encode()
            if told:
                yield told

    def _as_came(self, held: bytes, chunk: bytes) -> bytes:
        """Give what was held and the chunk, but for what is held now."""
        holds = len(self._decoder.getstate()[0])
        if not held and not holds:
            return chunk
        return (held + chunk)[: len(held) + len(chunk) - holds]

    def _without_mark(self, text: str) -> str:
        self.byte_order_mark = text.startswith(_BOM)
        wanted = None if self._mark_is_the_codecs else self._dialect.byte_order_mark
        if wanted is not None and wanted != self.byte_order_mark:
            found = "leads" if self.byte_order_mark else "is missing"
            raise DataRefused(f"A byte order mark {found}, against the dialect's byte_order_mark.")
        return text.removeprefix(_BOM)


class _Blocks:
    """Blocks of so many bytes, whatever the chunks: the same data is always cut, and so read, alike.

    `rest` is what was drawn and not split: it comes before all that is still to come.
    """

    def __init__(self, rest: bytes, chunks: Iterator[bytes], size: int) -> None:
        self.rest = rest
        self._beyond = memoryview(b"")
        self._chunks = chunks
        self._size = size

    def split(self, splitter: Splitter) -> Iterator[Split]:
        """Give the records of block after block, as long as they are regular and none is very long."""
        size = self._size
        while block := self._block(size):
            split = splitter.split(block)
            self._keep(block, split.used if split else 0)
            if split is None:
                return
            if split.rows:
                yield split
                size = self._size
            elif len(self.rest) < size or size >= MOST_BLOCK_BYTES:
                return
            else:
                size *= 2

    def _block(self, size: int) -> bytes:
        """Give the next bytes between two PADs, fewer only at the end; none at all are nothing."""
        drawn, have = [self.rest], len(self.rest)
        self.rest = b""
        while have < size and (chunk := next(self._chunks, None)):
            drawn.append(chunk)
            have += len(chunk)
        last = memoryview(drawn.pop())
        cut = len(last) - max(have - size, 0)
        self._beyond = last[cut:]
        return b"".join((PAD, *drawn, last[:cut], PAD)) if have else b""

    def _keep(self, block: bytes, used: int) -> None:
        """Keep what of a block was not used, and what was drawn beyond it."""
        self.rest = b"".join((memoryview(block)[len(PAD) + used : -len(PAD)], self._beyond))
        self._beyond = memoryview(b"")


class _Lines:
    """UTF-8 to lines, without their terminators; what was seen on the way."""

    def __init__(self, chunks: Iterator[bytes], terminator: str) -> None:
        self._chunks = chunks
        self._terminator = terminator
        self._carry = ""
        self._lines: Iterator[str] = iter(())
        self.nul_seen = False
        self.unterminated = False
        self.characters = 0

    def __iter__(self) -> Iterator[str]:
        """Give the lines that are read, up to where the next chunk is needed."""
        return self._lines

    def read_on(self) -> bool:
        """Read the lines that the next chunk completes; at the end a last one without terminator, or none."""
        chunk = next(self._chunks, None)
        if chunk is None:
            last, self._carry = self._carry, ""
            self.unterminated |= bool(last)
            self._lines = iter([last] if last else ())
            return bool(last)
        text = chunk.decode()
        self.characters += len(text)
        self.nul_seen |= "\0" in text
        lines = (self._carry + text).split(self._terminator)
        self._carry = lines.pop()
        if len(self._carry) > LONGEST_RECORD:
            raise DataRefused(
                f"A line is longer than {LONGEST_RECORD:,} characters: is the line terminator "
                f"{self._terminator!r}, as the dialect says?"
            )
        self._lines = iter(lines)
        return True

    def unread(self) -> bytes:
        """Give back what was read of the chunks, but not as lines."""
        rest = self._terminator.join([*self._lines, self._carry])
        self._carry = ""
        return rest.encode()


class _Records:
    """The records of lines, as `csv.reader(strict=True)` reads them."""

    def __init__(self, lines: _Lines, dialect: Dialect) -> None:
        self.lines = lines
        self._given = 0
        self._by_csv = _read_by_csv(self._drawn(), dialect)

    def take(self, rows: list[list[str]], most: int) -> None:
        """Add the next records to `rows`: up to `most`, fewer where they are long, none at the end.

        Rows that came before an error stay added: that is how its record is known.
        """
        began = self.lines.characters
        for record in self._by_csv:
            rows.append(record)
            self._given = self.lines.characters
            if len(rows) == most or self._given - began > BATCH_CHARACTERS:
                return

    def _drawn(self) -> Iterator[str]:
        while True:
            yield from self.lines
            # Between two chunks it is seen how much is held.
            if self.lines.characters - self._given > LONGEST_RECORD:
                raise DataRefused(f"A record is longer than {LONGEST_RECORD:,} characters: is a quote open?")
            if not self.lines.read_on():
                return


def _records(chunks: Iterator[bytes], dialect: Dialect) -> _Records:
    return _Records(_Lines(chunks, dialect.lineterminator), dialect)


def _read_by_csv(lines: Iterator[str], dialect: Dialect) -> Iterator[list[str]]:
    terminator, last = dialect.lineterminator, [""]

    def closed() -> Iterator[str]:
        for line in lines:
            last[0] = line
            yield line + terminator

    reader = csv.reader(
        closed(),
        delimiter=dialect.delimiter,
        quotechar=dialect.quotechar,
        escapechar=dialect.escapechar,
        doublequote=dialect.doublequote,
        quoting=csv.QUOTE_MINIMAL if dialect.quotechar else csv.QUOTE_NONE,
        strict=True,
    )
    for record in reader:
        # csv takes every line break before the terminator for a part of it; here it is a stray one.
        if last[0].endswith(("\r", "\n")) and not _is_escaped(last[0], dialect.escapechar):
            raise csv.Error(_STRAY)
        yield record


def _is_escaped(line: str, escape: str | None) -> bool:
    """Say whether the line's last character is."""
    before = line[:-1]
    return escape is not None and (len(before) - len(before.rstrip(escape))) % 2 == 1


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


def _refuse_contradiction(dialect: Dialect) -> None:
    signs = [sign for sign in (dialect.delimiter, dialect.quotechar, dialect.escapechar) if sign is not None]
    if len(set(signs)) < len(signs) or any(len(sign) != 1 or sign in "\r\n" for sign in signs):
        raise DataRefused(
            "The csv dialect cannot be used: delimiter, quotechar and escapechar must be one character each, "
            "no line break, and all different."
        )


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


def _broken_off(record: int) -> str:
    return f"Record {record} is the last and has no line terminator: the data broke off."


def _told(error: str) -> str:
    if "unexpected end of data" in error:
        return "opens a quote that nothing closes: the data broke off."
    if "field larger than" in error:
        return f"has a cell of more than {LONGEST_CELL:,} characters: a quote is not closed, or it is no CSV."
    if _STRAY in error:
        return "has a line break that is neither quoted nor the dialect's line terminator."
    if "expected after" in error:
        return "has text after a closing quote: its quotes are not doubled as the dialect says."
    return f"cannot be read as CSV: {error}."
