"""Blocks split at once are what stdlib `csv` reads, cell for cell; what is in any doubt is not split."""

import csv
import random
from collections.abc import Iterable, Iterator
from itertools import chain, repeat
from unittest import mock

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from contract.facts import ColumnFacts
from errors import DataRefused
from training_export import csv_scan
from training_export.cells import PAD
from training_export.csv_blocks import BLOCK_BYTES, MOST_BLOCK_BYTES
from training_export.csv_dialect import Dialect
from training_export.csv_lines import LONGEST_CELL
from training_export.csv_scan import Reading, scan
from training_export.csv_split import _STRIP, Split, Splitter, splitter_of

TERMINATORS = ("\r\n", "\n", "\r")
DELIMITERS = (",", ";", "\t")


def splitter(dialect: Dialect, width: int) -> Splitter:
    made = splitter_of(width, dialect, LONGEST_CELL)
    assert made
    return made


def split(text: str, width: int, dialect: Dialect | None = None) -> tuple[list[list[str]], str] | None:
    """The rows of a block, and the text behind them."""
    data = text.encode()
    done = splitter(dialect or Dialect(), width).split(PAD + data + PAD)
    if done is None:
        return None
    rows = [list(row) for row in zip(*(cells.texts() for cells in done.columns), strict=True)]
    assert done.rows == len(rows)
    return rows, data[done.used :].decode()


def strictly(text: str, dialect: Dialect) -> list[list[str]] | None:
    """The rows as `csv`, strict, reads a text of whole lines; None where it refuses."""
    lines = [line + dialect.lineterminator for line in text.split(dialect.lineterminator)[:-1]]
    try:
        return list(
            csv.reader(
                lines,
                delimiter=dialect.delimiter,
                quotechar=dialect.quotechar,
                doublequote=dialect.doublequote,
                quoting=csv.QUOTE_MINIMAL if dialect.quotechar else csv.QUOTE_NONE,
                strict=True,
            )
        )
    except csv.Error:
        return None


DIALECTS = st.builds(
    Dialect,
    delimiter=st.sampled_from(DELIMITERS),
    lineterminator=st.sampled_from(TERMINATORS),
    quotechar=st.sampled_from(['"', "'", None]),
    doublequote=st.booleans(),
)
PIECES = st.lists(
    st.sampled_from(
        ["a", "Å", " ", ",", ";", "\t", '"', '"', "'", '""', "\n", "\r", "\r\n", "\r\n", '",', ',"', '"\r\n']
    ),
    max_size=40,
)


@pytest.mark.statement("sesam-36")
@given(PIECES, st.integers(1, 3), DIALECTS)
@example(list('"a"b,c\r\n'), 2, Dialect())
@example(list('a"b,c"d\r\n'), 2, Dialect())
@example(list('"a""",b\r\n'), 2, Dialect())
@example(list('""a",b\r\n'), 2, Dialect())
@example(list('"",""\r\n'), 2, Dialect())
@example(list('"a\r\nb",c\r\n'), 2, Dialect())
@example(list('"a"\n'), 1, Dialect(lineterminator="\n"))
@example(list("a\rb\n"), 1, Dialect(lineterminator="\n"))
@example(list("\n"), 1, Dialect(lineterminator="\n"))
@example(list('"a""b"\n'), 1, Dialect(lineterminator="\n", doublequote=False))
def test_what_is_split_is_what_strict_csv_reads(pieces: list[str], width: int, dialect: Dialect) -> None:
    text = "".join(pieces)
    done = split(text, width, dialect)
    if done is None:
        return
    rows, rest = done
    assert text.endswith(rest)
    whole = text[: len(text) - len(rest)]
    assert rows == (strictly(whole, dialect) if whole else [])
    assert all(len(row) == width for row in rows)


CELL = st.text(alphabet=[*'a1",;\t \r\nÅ☃', "\U0001f600"], max_size=12)


@pytest.mark.statement("sesam-36")
@given(
    st.integers(1, 4).flatmap(
        lambda width: st.lists(st.lists(CELL, min_size=width, max_size=width), min_size=1)
    ),
    st.sampled_from(DELIMITERS),
    st.sampled_from(TERMINATORS),
    st.sampled_from([csv.QUOTE_MINIMAL, csv.QUOTE_ALL]),
)
def test_whatever_csv_writes_is_split_to_the_end(
    rows: list[list[str]], delimiter: str, terminator: str, quoting: int
) -> None:
    written = Written()
    csv.writer(written, delimiter=delimiter, lineterminator=terminator, quoting=quoting).writerows(rows)  # type: ignore[arg-type]  # csv's own small integers
    dialect = Dialect(delimiter=delimiter, lineterminator=terminator)
    assert split(written.text, len(rows[0]), dialect) == (rows, "")


class Written:
    text = ""

    def write(self, text: str) -> None:
        self.text += text


def test_only_whole_records_are_split_and_the_rest_is_left() -> None:
    assert split('1,a\r\n2,"b\r\nc"\r\n3,"d\r\n', 2) == ([["1", "a"], ["2", "b\r\nc"]], '3,"d\r\n')
    assert split("1,a\r\n2,b\r", 2) == ([["1", "a"]], "2,b\r"), "a rest puts no record in doubt"
    assert split("1,a", 2) == ([], "1,a")
    assert split('"1,a\r\n', 2) == ([], '"1,a\r\n')


@pytest.mark.parametrize("quote", ["", '"'])
def test_a_block_of_many_strips_is_split_to_the_end(quote: str) -> None:
    rows = [[str(number), str(number * 7)] for number in range(200_000)]
    text = "".join(f"{one},{quote}{other}{quote}\r\n" for one, other in rows)
    assert len(text) > 10 * _STRIP
    assert split(text, 2) == (rows, "")


@pytest.mark.fault(34)
@pytest.mark.parametrize(
    "text",
    [
        "1,a\r\n2\r\n",
        "1,a\r\n2,b,c\r\n",
        "1,a,2\r\nb\r\n",
        "1,a\r\n\r\n",
        "1,a\n",
        "1,a\r\n2,b\n",
        "1,a\r\n2\r,b\r\n",
        "1,a\n2\r,b\r\n",
        "1,\0\r\n",
        '1,a"b"c\r\n',
        '1,"a"b\r\n',
        '1, "a"\r\n',
        '1,"a" \r\n',
    ],
)
def test_a_block_in_doubt_is_not_split(text: str) -> None:
    assert split(text, 2) is None


@pytest.mark.fault(34)
@pytest.mark.parametrize("terminator", TERMINATORS)
@pytest.mark.parametrize("text", ["1,a|2|", "1,a|2,b,c|", "1,a,2|b|", "1,a,2|b|3,c|", "1|a,2|", "1,a||"])
def test_a_ragged_block_is_not_split_whatever_ends_its_records(text: str, terminator: str) -> None:
    dialect = Dialect(lineterminator=terminator)
    assert split(text.replace("|", terminator), 2, dialect) is None


def test_an_empty_line_is_no_record_of_one_cell_but_an_empty_quoted_cell_is() -> None:
    assert split("a\r\n\r\n", 1) is None
    assert split('a\r\n""\r\n', 1) == ([["a"], [""]], "")
    assert split('"a"\r\n\r\n', 1) is None


def test_a_cell_over_the_limit_is_not_split() -> None:
    limited = splitter_of(2, Dialect(), longest=3)
    assert limited
    assert limited.split(PAD + b"1,abc\r\n" + PAD)
    assert limited.split(PAD + b"1,abcd\r\n" + PAD) is None


@pytest.mark.parametrize(
    "dialect", [Dialect(escapechar="\\"), Dialect(lineterminator="|"), Dialect(delimiter="§")]
)
def test_a_dialect_beyond_quotes_and_separators_has_no_splitter(dialect: Dialect) -> None:
    with pytest.raises(AssertionError):
        splitter(dialect, 2)


# ---- the whole scan, both ways


HEADER = "id,whole,number,city,day,moment,text\r\n"


def table(rows: int, source: random.Random, *, quoted: float = 0.2) -> bytes:
    """A table of every type of column, some cells quoted, doubled, broken, empty."""
    lines = []
    for number in range(rows):
        cells = [
            f"crm:{number}",
            str(source.randrange(-(10**12), 10**12)),
            source.choice(["", f"{source.uniform(-9, 9):.3f}", repr(source.random())]),
            source.choice(["Oslo", "Tromsø", "", 'a "b"', "x\r\ny"]),
            f"{source.randrange(1900, 2100)}-{source.randrange(1, 13):02}-{source.randrange(1, 29):02}",
            f"2026-01-{source.randrange(1, 29):02}T10:00:00.{source.randrange(10**6):06}Z",
            "".join(source.choices("aÅ☃, ", k=source.randrange(20))),
        ]
        quote = source.random() < quoted
        lines.append(
            ",".join(
                '"' + cell.replace('"', '""') + '"' if quote or any(c in cell for c in '",\r\n') else cell
                for cell in cells
            )
        )
    return (HEADER + "\r\n".join([*lines, ""])).encode()


def chunked(data: bytes, size: int) -> Iterator[bytes]:
    return (data[at : at + size] for at in range(0, len(data), size))


def by_csv_alone(chunks: Iterable[bytes]) -> csv_scan.Scanned:
    with mock.patch.object(csv_scan, "splitter_of", return_value=None):
        return scan(chunks, Dialect())


@pytest.mark.statement("sesam-36")
@pytest.mark.parametrize("seed", range(3))
def test_a_table_of_several_blocks_has_the_same_facts_either_way(seed: int) -> None:
    data = table(35_000, random.Random(seed))
    assert len(data) > 2 * BLOCK_BYTES
    at_once = scan(chunked(data, 100_003), Dialect())
    by_csv = by_csv_alone(chunked(data, 100_003))
    assert (at_once.rows, at_once.digest) == (by_csv.rows, by_csv.digest) == (35_000, by_csv.digest)
    for one, other in zip(at_once.columns, by_csv.columns, strict=True):
        assert exactly(one) == exactly(other)
        if one.mean is not None and one.deviation is not None:
            assert one.mean == pytest.approx(other.mean, rel=1e-12)
            assert one.deviation == pytest.approx(other.deviation, rel=1e-9)


def exactly(column: ColumnFacts) -> dict[str, object]:
    """What no order of adding up can change."""
    return {
        name: getattr(column, name)
        for name in column.__struct_fields__
        if name not in ("mean", "deviation", "distinct", "distinct_error")
    }


@pytest.mark.statement("sesam-36")
@pytest.mark.parametrize("size", [977, 65_536, 10_000_000])
def test_however_the_bytes_are_cut_the_facts_are_the_same_to_the_last_bit(size: int) -> None:
    data = table(35_000, random.Random(7))
    assert scan(chunked(data, size), Dialect()) == scan([data], Dialect())


@pytest.mark.fault(34)
@pytest.mark.parametrize(
    ("broken", "told"),
    [
        (b"1,2\r\n", "Record 20001 has 2 cells; the header has 7 columns."),
        (b'1,2,3,4,5,6,"7"8\r\n', "Record 20001 has text after a closing quote"),
        (b"1,2,3,4,5,6,7\n1,2,3,4,5,6,7\r\n", "Record 20001 has a line break that is neither quoted nor"),
        (b"1,2,3,4,5,6,\0\r\n", "Record 20001 holds a NUL character"),
        (b"1,2,3,4,5,6,7", "Record 20001 is the last and has no line terminator"),
        (b'1,2,3,4,5,6,"7\r\n', "Record 20001 opens a quote that nothing closes"),
    ],
)
def test_what_is_wrong_after_several_blocks_is_told_by_its_record(broken: bytes, told: str) -> None:
    with pytest.raises(DataRefused) as refused:
        scan(chunked(table(20_000, random.Random(1)) + broken, 65_536), Dialect())
    assert refused.value.detail.startswith(told)


def test_after_a_block_in_doubt_the_rest_is_read_by_csv_and_nothing_is_lost() -> None:
    data = (
        table(30_000, random.Random(2))
        + b'a,b,c,d,e,5" pipe,g\r\n'
        + table(12_000, random.Random(3))[len(HEADER) :]
    )
    assert data.count(b'5" pipe') == 1
    reading = Reading(chunked(data, 65_536), Dialect())
    rows = [row for columns in reading.batches() for row in zip(*(c.texts() for c in columns), strict=True)]
    assert rows == [tuple(row) for row in csv.reader(lines_of(data), strict=True)][1:]
    assert reading.rows == len(rows) > 42_000


def lines_of(data: bytes) -> list[str]:
    return [line + "\r\n" for line in data.decode().split("\r\n")[:-1]]


@pytest.mark.fault(47)
def test_a_record_without_an_end_is_not_gathered_into_ever_larger_blocks() -> None:
    sizes = []

    def split(self: Splitter, block: bytes) -> Split:
        sizes.append(len(block) - 2 * len(PAD))
        return Split(0, iter(()), 0)

    with mock.patch.object(Splitter, "split", split), pytest.raises(DataRefused, match="line is longer"):
        scan(chain([b"_id\r\n"], repeat(b"a" * 1_000_000, 40)), Dialect())
    assert max(sizes) == MOST_BLOCK_BYTES


def test_a_record_longer_than_a_block_is_read() -> None:
    note = "x" * (2 * BLOCK_BYTES)
    data = f'_id,note\r\n1,short\r\n2,"{note}"\r\n3,short\r\n'.encode()
    assert scan(chunked(data, 65_536), Dialect()).columns[1].longest == len(note)
    longest = "x" * (LONGEST_CELL - 1)
    assert scan(chunked(f"_id,note\r\n1,{longest}\r\n2,b\r\n".encode(), 65_536), Dialect()).rows == 2
