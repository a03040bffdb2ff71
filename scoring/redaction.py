"""A web service's own error text → what of it may be shown: nothing that was sent. Pure.

Services quote what they choke on, plainly, or as Python's repr or JSON writes it (`Bod\\u00f8`, `it\\'s`,
a line break as `\\n`). So text and cells are compared in one form that no such writing changes, `_plain`, and
a cell of several lines line by line, as the text shows one line only.

Every occurrence is marked before any is blotted out: cells overlap, and one that goes first would leave the
rest of another.
"""

import re
from collections.abc import Iterator, Sequence

from contract.values import Value
from scoring.dialects.protocol import Row, SentColumn

LONGEST_TEXT_SHOWN = 300
# A first line that is longer is rows rather than words, and would take long to search.
LONGEST_LINE_READ = 2_000
BLOT = "…"


def redacted(text: str, columns: Sequence[SentColumn], rows: Sequence[Row]) -> str:
    """Make a service's own error text fit to show: what it says, without any value that was sent.

    Only the first line stays, as stack traces begin after it, and nothing of one that is longer than
    `LONGEST_LINE_READ`. Every text and boolean that was sent is blotted out, one character only where it
    stands alone; what is quoted stays only where it names a column; digits become # (statements 25 and 42).
    """
    names = {column.name for column in columns}
    line = next(iter(text.strip()[: LONGEST_LINE_READ + 1].splitlines()), "")
    if len(line) > LONGEST_LINE_READ:
        return ""
    line = _plain(line)
    line = _blotted(line, {piece for piece in _pieces(rows) if piece not in names and piece in line})
    line = _QUOTED.sub(lambda match: match[0] if match[2] in names else f"{match[1]}{BLOT}{match[1]}", line)
    return re.sub(r"[0-9]+(\.[0-9]+)?", "#", line)[:LONGEST_TEXT_SHOWN].strip()


_QUOTED = re.compile(r"(['\"`])(.*?)\1")
_ESCAPE = re.compile(
    r"\\+(?:u([0-9a-fA-F]{4})|x([0-9a-fA-F]{2})|U00(0[0-9a-fA-F]{5}|10[0-9a-fA-F]{4})|([bfnrt]))?"
)
_WORDS = {True: ("True", "true"), False: ("False", "false")}


def _pieces(rows: Sequence[Row]) -> Iterator[str]:
    """Give what of the rows could be read in a line: the lines of every text, the words of every boolean."""
    cells: set[Value | None] = {cell for row in rows for cell in row if isinstance(cell, str | bool)}
    for cell in cells:
        lines = cell.splitlines() if isinstance(cell, str) else _WORDS[bool(cell)]
        yield from filter(None, (_plain(line).strip() for line in lines))


def _plain(line: str) -> str:
    """Undo escapes, however often they were escaped; what cannot be printed becomes a blank."""
    if "\\" in line:
        # JSON escapes the halves of a surrogate pair apart.
        halves = _ESCAPE.sub(_unescaped, line).encode("utf-16-le", "surrogatepass")
        line = halves.decode("utf-16-le", "replace")
    return line if line.isprintable() else "".join(c if c.isprintable() else " " for c in line)


def _unescaped(match: re.Match[str]) -> str:
    digits = match[1] or match[2] or match[3]
    return chr(int(digits, 16)) if digits else " " if match[4] else ""


def _blotted(line: str, pieces: set[str]) -> str:
    hidden = bytearray(len(line))
    for piece in pieces:
        for at in _places(line, piece):
            hidden[at : at + len(piece)] = b"\1" * len(piece)
    shown = "".join("\0" if is_hidden else c for c, is_hidden in zip(line, hidden, strict=True))
    return re.sub("\0+", BLOT, shown)


def _places(line: str, piece: str) -> Iterator[int]:
    """Give where a piece stands, one character only where it stands alone."""
    # A letter of an alphabet is in every other word; a sign of another script may be a word.
    if len(piece) == 1 and piece.isascii():
        alone = re.compile(rf"(?<!\w){re.escape(piece)}(?!\w)")
        yield from (match.start() for match in alone.finditer(line))
        return
    # From both ends, so that places which overlap are covered, and each walk takes a line's length only.
    at = line.find(piece)
    while at >= 0:
        yield at
        at = line.find(piece, at + len(piece))
    at = line.rfind(piece)
    while at >= 0:
        yield at
        at = line.rfind(piece, 0, at)
