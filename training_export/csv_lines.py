"""Lines of a CSV, and their records as stdlib `csv`, strict, reads them in the pipe's own dialect. Pure.

It is the slow road, and the verdict: the header comes by it, and all that csv_split.py finds not regular.
"""

import csv
from collections.abc import Iterator

from errors import DataRefused
from training_export.csv_dialect import Dialect

# So many records at a time; of long rows fewer.
BATCH_ROWS = 4096
BATCH_CHARACTERS = 1_000_000
# What bounds memory where a quote is never closed, or a line never ends.
LONGEST_CELL = 8_000_000
LONGEST_RECORD = 16_000_000
STRAY = "new-line character"

# The limit is the process's, and its default (131,072) is too low for text that Sesam can publish.
csv.field_size_limit(LONGEST_CELL)


class Lines:
    """UTF-8 to lines, without their terminators; what was seen on the way."""

    def __init__(self, chunks: Iterator[bytes], terminator: str) -> None:
        self._chunks = chunks
        self._terminator = terminator
        # A line that has begun, in pieces: joined at every chunk it would take the square of its length.
        self._begun: list[str] = []
        self._length = 0
        self._half = ""
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
            last = self._rest()
            self.unterminated |= bool(last)
            self._lines = iter([last] if last else ())
            return bool(last)
        text = chunk.decode()
        self.characters += len(text)
        self.nul_seen |= "\0" in text
        self._lines = iter(self._completed(self._half + text))
        if self._length > LONGEST_RECORD:
            raise DataRefused(
                f"A line is longer than {LONGEST_RECORD:,} characters: is the line terminator "
                f"{self._terminator!r}, as the dialect says?"
            )
        return True

    def unread(self) -> bytes:
        """Give back what was read of the chunks, but not as lines."""
        return self._terminator.join([*self._lines, self._rest()]).encode()

    def _completed(self, text: str) -> list[str]:
        """Give the lines that end in a text, and keep what begins in it."""
        # The first half of a terminator of two characters waits for the second.
        whole = text.removesuffix(self._terminator[:-1])
        self._half = text[len(whole) :]
        lines = whole.split(self._terminator)
        rest = lines.pop()
        if lines:
            lines[0] = "".join((*self._begun, lines[0]))
            self._begun, self._length = [], 0
        self._begun.append(rest)
        self._length += len(rest)
        return lines

    def _rest(self) -> str:
        """Take the line that has begun."""
        rest = "".join((*self._begun, self._half))
        self._begun, self._length, self._half = [], 0, ""
        return rest


class Records:
    """The records of lines, as `csv.reader(strict=True)` reads them."""

    def __init__(self, chunks: Iterator[bytes], dialect: Dialect) -> None:
        self.lines = Lines(chunks, dialect.lineterminator)
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
            raise csv.Error(STRAY)
        yield record


def _is_escaped(line: str, escape: str | None) -> bool:
    """Say whether the line's last character is."""
    before = line[:-1]
    return escape is not None and (len(before) - len(before.rstrip(escape))) % 2 == 1


def told(error: str) -> str:
    """Say what an error of `csv` means, to go on behind the record that it is of."""
    if "unexpected end of data" in error:
        return "opens a quote that nothing closes: the data broke off."
    if "field larger than" in error:
        return f"has a cell of more than {LONGEST_CELL:,} characters: a quote is not closed, or it is no CSV."
    if STRAY in error:
        return "has a line break that is neither quoted nor the dialect's line terminator."
    if "expected after" in error:
        return "has text after a closing quote: its quotes are not doubled as the dialect says."
    return f"cannot be read as CSV: {error}."
