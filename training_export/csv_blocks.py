"""The bytes of a CSV as they pass: to UTF-8, and to blocks that are always cut alike. Pure."""

import codecs
from collections.abc import Iterable, Iterator
from itertools import chain

from errors import DataRefused
from training_export.cells import PAD
from training_export.csv_dialect import Dialect
from training_export.csv_split import Split, Splitter

# A block's cells stay in the processor's caches; the more columns, the more bytes make many cells of each.
BLOCK_BYTES = 1536 * 1024
BYTES_A_COLUMN = 32 * 1024
MOST_BLOCK_BYTES = 2 * BLOCK_BYTES
_BOM = "\ufeff"


def block_bytes(width: int) -> int:
    """Give how many bytes make a block of a table of so many columns."""
    return max(BLOCK_BYTES, min(BYTES_A_COLUMN * width, MOST_BLOCK_BYTES))


def _pieces(chunks: Iterable[bytes]) -> Iterator[bytes]:
    for chunk in chunks:
        yield from (chunk[at : at + BLOCK_BYTES] for at in range(0, len(chunk), BLOCK_BYTES))


class Text:
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
        # Without its mark these codecs would have refused the data, and none shows it.
        self.byte_order_mark = self._mark_is_the_codecs or text.startswith(_BOM)
        wanted = None if self._mark_is_the_codecs else self._dialect.byte_order_mark
        if wanted is not None and wanted != self.byte_order_mark:
            found = "leads" if self.byte_order_mark else "is missing"
            raise DataRefused(f"A byte order mark {found}, against the dialect's byte_order_mark.")
        return text.removeprefix(_BOM)


def _decoder(encoding: str) -> codecs.IncrementalDecoder:
    try:
        codec = codecs.lookup(encoding)
        # codecs.lookup finds hex, base64 and rot13 too, which read no text; TextIOWrapper asks just so.
        if not codec._is_text_encoding:
            raise LookupError
    except LookupError:
        raise DataRefused(
            f"The encoding {encoding!r} is not known: set the export's encoding to a codec that Python has."
        ) from None
    # utf-8-sig would hide the mark that the manifest tells of.
    name = "utf-8" if codec.name == "utf-8-sig" else codec.name
    return codecs.getincrementaldecoder(name)("strict")


class Blocks:
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
