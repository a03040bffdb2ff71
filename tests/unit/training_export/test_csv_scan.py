"""The verdict on a CSV: what is whole and rectangular passes, everything else is named."""

import csv
import gc
import io
import random
import re
import time
import tracemalloc
from collections.abc import Iterable, Iterator
from contextlib import suppress
from itertools import chain

import pytest
from hypothesis import given
from hypothesis import strategies as st

from errors import DataRefused
from training_export.csv_blocks import BLOCK_BYTES
from training_export.csv_dialect import Dialect
from training_export.csv_lines import LONGEST_CELL, LONGEST_RECORD
from training_export.csv_scan import Columns, Reading, Scanned, scan

NORWEGIAN = "_id,Name\r\n1,Øyvind\r\n"


def chunks(data: bytes, size: int = 7) -> Iterator[bytes]:
    for at in range(0, len(data), size):
        yield data[at : at + size]


def scanned(text: str | bytes, dialect: Dialect | None = None, expected: tuple[str, ...] = ()) -> Scanned:
    dialect = dialect or Dialect()
    data = text if isinstance(text, bytes) else text.encode(dialect.encoding)
    return scan(chunks(data), dialect, expected)


def refusal(text: str | bytes, dialect: Dialect | None = None, expected: tuple[str, ...] = ()) -> str:
    with pytest.raises(DataRefused) as refused:
        scanned(text, dialect, expected)
    return refused.value.detail


def texts(columns: Columns) -> list[list[str]]:
    return [cells.texts() for cells in columns]


def cells(text: str, dialect: Dialect | None = None, size: int = 7) -> list[list[str]]:
    dialect = dialect or Dialect()
    reading = Reading(chunks(text.encode(dialect.encoding), size), dialect)
    rows = [list(row) for columns in reading.batches() for row in zip(*texts(columns), strict=True)]
    return [list(reading.names), *rows]


@pytest.mark.statement("sesam-36", "azureml-44")
@pytest.mark.fault(34)
def test_quoted_line_breaks_and_doubled_quotes_are_no_row_breaks() -> None:
    text = '_id,Note\r\n1,"one\r\ntwo"\r\n2,"said ""hi"""\r\n3,"a\nb"\r\n'
    assert scanned(text).rows == 3
    assert cells(text)[1:] == [["1", "one\r\ntwo"], ["2", 'said "hi"'], ["3", "a\nb"]]


@pytest.mark.statement("sesam-36")
@pytest.mark.fault(34)
@pytest.mark.parametrize(
    ("row", "told"),
    [
        ("3", "Record 3 has 1 cells; the header has 2 columns."),
        ("3,c,d", "Record 3 has 3 cells; the header has 2 columns."),
        ("", "Record 3 is an empty line; the header has 2 columns."),
        ('"3,c"', "Record 3 has 1 cells; the header has 2 columns."),
    ],
)
def test_a_ragged_row_is_refused_with_its_record_and_widths(row: str, told: str) -> None:
    assert refusal(f'_id,Name\r\n1,"a\r\nb"\r\n2,b\r\n{row}\r\n4,d\r\n') == told


@pytest.mark.statement("sesam-33")
@pytest.mark.fault(31, 34)
def test_an_unclosed_quote_is_refused_with_the_record_it_begins_in() -> None:
    told = refusal('_id,Name\r\n1,a\r\n2,"never\r\n3,c\r\n4,d\r\n')
    assert told == "Record 2 opens a quote that nothing closes: the data broke off."


@pytest.mark.statement("sesam-33")
@pytest.mark.fault(31, 34)
@pytest.mark.parametrize("terminator", ["\r\n", "\n", "\r"])
def test_a_last_record_without_terminator_is_refused(terminator: str) -> None:
    dialect = Dialect(lineterminator=terminator)
    whole = terminator.join(["_id,Name", "1,a", "2,b", ""])
    assert scanned(whole, dialect).rows == 2
    for cut in range(1, len(terminator) + 3):
        assert "the data broke off" in refusal(whole[:-cut], dialect)


@pytest.mark.fault(31)
@given(st.integers(1, 60), st.integers(1, 9))
def test_a_body_cut_anywhere_is_refused_unless_it_ends_a_record(cut: int, size: int) -> None:
    whole = '_id,Name,Note\r\n1,Åse,"a, b"\r\n2,"Per ""P""","x\r\ny"\r\n3,c,d\r\n'.encode()
    ends = [whole.index(end) + len(end) for end in (b"Note\r\n", b'b"\r\n', b'y"\r\n', b"c,d\r\n")]
    data = whole[: len(whole) - cut]
    if len(data) in ends:
        assert scan(chunks(data, size), Dialect()).rows == ends.index(len(data))
    else:
        with pytest.raises(DataRefused):
            scan(chunks(data, size), Dialect())


@pytest.mark.statement("sesam-33")
@pytest.mark.fault(33)
def test_an_empty_body_is_refused() -> None:
    assert refusal("") == "The body is empty: not even the header came."
    assert refusal("\ufeff") == "The body is empty: not even the header came."


@pytest.mark.fault(33)
def test_a_header_alone_is_a_table_without_rows() -> None:
    facts = scanned("_id,Name\r\n")
    assert facts.rows == 0
    assert [(column.name, column.type, column.distinct) for column in facts.columns] == [
        ("_id", "string", 0),
        ("Name", "string", 0),
    ]


@pytest.mark.fault(33)
@pytest.mark.parametrize(
    ("header", "told"),
    [
        ("_id,,Name", "The header has no name in column 2."),
        ("_id, ,", "The header has no name in column 2, 3."),
        ("_id,Name,Name", "The header has 'Name' more than once."),
    ],
)
def test_blank_and_doubled_names_are_refused(header: str, told: str) -> None:
    assert refusal(f"{header}\r\n") == told


@pytest.mark.statement("sesam-34")
@pytest.mark.fault(33)
@pytest.mark.parametrize(
    ("header", "told"),
    [
        ("_id,Age,Name", "another order: column 2 is 'Age', expected 'Name'"),
        ("_id,Name", "'Age' missing"),
        ("_id,Name,Age,Extra", "'Extra' not expected"),
        ("_id,Name,age", "'Age' missing; 'age' not expected"),
    ],
)
def test_a_header_other_than_expected_is_refused_with_the_difference(header: str, told: str) -> None:
    expected = ("_id", "Name", "Age")
    assert scanned("_id,Name,Age\r\n", expected=expected).rows == 0
    assert refusal(f"{header}\r\n", expected=expected) == f"The header is not the one expected: {told}."


@pytest.mark.statement("sesam-34")
def test_without_a_header_the_expected_names_are_the_columns() -> None:
    facts = scanned("1,a\r\n2,b\r\n", Dialect(include_header=False), ("_id", "Name"))
    assert facts.rows == 2
    assert [column.name for column in facts.columns] == ["_id", "Name"]
    assert "Record 2 has 1 cells" in refusal("1,a\r\n2\r\n", Dialect(include_header=False), ("_id", "Name"))


@pytest.mark.statement("sesam-34")
@pytest.mark.parametrize("header", [True, False])
def test_a_label_that_is_no_column_is_refused_before_the_rows(header: bool) -> None:
    names = ("_id", "Name", "ChurnFlag")
    dialect = Dialect(include_header=header)
    body = (b"_id,Name,ChurnFlag\r\n" * header, b"1,a,true\r\n")
    assert scan(iter(body), dialect, names, "ChurnFlag").rows == 1

    def goes_on() -> Iterator[bytes]:
        yield b"_id,Name,ChurnFlag\r\n"
        raise AssertionError("the rest was asked for")

    with pytest.raises(DataRefused, match=r"'ChurnFlg' is no column.*'_id', 'Name', 'ChurnFlag'"):
        scan(goes_on(), dialect, names, "ChurnFlg")


@pytest.mark.statement("sesam-31")
@pytest.mark.fault(32)
@pytest.mark.parametrize(
    "body", ["<!DOCTYPE html>\r\n<html>\r\n</html>\r\n", ' {"error": "x"}\r\n', '[{"_id": "1"}]\r\n']
)
def test_a_page_in_place_of_csv_is_refused(body: str) -> None:
    assert "looks like HTML or JSON" in refusal(body)


@pytest.mark.fault(34)
@pytest.mark.parametrize(
    ("text", "terminator"),
    [
        ("_id,Name\r\n1,a\n2,b\r\n", "\r\n"),
        ("_id,Name\r\n1,a\r2,b\r\n", "\r\n"),
        ("_id,Name\n1,a\r\n2,b\n", "\n"),
        ('_id,Name\n1,"a"\r\n2,b\n', "\n"),
        ("_id,Name\n1,a\r2,b\n", "\n"),
        ("_id,Name\r1,a\r\n2,b\r", "\r"),
    ],
)
def test_line_terminators_that_are_mixed_are_refused(text: str, terminator: str) -> None:
    assert re.search(r"Record [12] (has|is an empty line)", refusal(text, Dialect(lineterminator=terminator)))


def test_the_other_terminator_throughout_is_refused_as_well() -> None:
    assert "line terminator" in refusal("_id,Name\n1,a\n")
    assert refusal("_id,Name\r\n1,a\r\n", Dialect(lineterminator="\n"))


@pytest.mark.fault(34)
def test_a_nul_is_refused_with_its_record() -> None:
    assert refusal("_id,Name\r\n1,a\r\n2,b\0c\r\n") == "Record 2 holds a NUL character: this is no text."
    assert refusal("_id,Na\0me\r\n1,a\r\n") == "The header holds a NUL character: this is no text."


@pytest.mark.fault(34)
def test_bytes_of_another_encoding_are_refused_with_their_place() -> None:
    data = NORWEGIAN.encode("latin-1")
    told = refusal(data)
    assert told.startswith(f"Byte {data.index(0xD8)} is not utf-8: set the export's encoding")
    assert scanned(data, Dialect(encoding="latin-1")).rows == 1


@pytest.mark.parametrize("size", [1, 2, 3, 100])
def test_a_character_cut_between_chunks_is_whole_and_at_the_end_is_refused(size: int) -> None:
    data = NORWEGIAN.encode()
    assert scan(chunks(data, size), Dialect()).rows == 1
    cut = b"_id,Name\r\n1,\xc3"
    with pytest.raises(DataRefused, match=f"Byte {len(cut) - 1} is not utf-8"):
        scan(chunks(cut, size), Dialect())


@pytest.mark.statement("sesam-30", "sesam-36")
@pytest.mark.fault(34)
def test_the_pipes_own_dialect_is_spoken() -> None:
    dialect = Dialect(delimiter=";", quotechar="'", lineterminator="\n", encoding="iso-8859-1")
    assert cells("_id;Name\n1;'Å; ''B'''\n2;3,5\n", dialect)[1:] == [["1", "Å; 'B'"], ["2", "3,5"]]
    escaped = Dialect(escapechar="\\", doublequote=False)
    assert cells('_id,Name\r\n1,"a\\"b"\r\n2,c\\,d\r\n', escaped)[1:] == [["1", 'a"b'], ["2", "c,d"]]
    bare = Dialect(quotechar=None, escapechar="\\")
    assert cells('_id,Name\r\n1,a"b\r\n2,c\\,d\r\n', bare)[1:] == [["1", 'a"b'], ["2", "c,d"]]


@pytest.mark.parametrize("encoding", ["utf-16", "utf-8-sig", "cp1252", "utf-32-le"])
def test_any_text_encoding_that_python_knows_is_read(encoding: str) -> None:
    assert scanned(NORWEGIAN, Dialect(encoding=encoding)).rows == 1


@pytest.mark.parametrize("encoding", ["klingon", "base64", "rot13"])
def test_an_encoding_nobody_knows_is_named(encoding: str) -> None:
    with pytest.raises(DataRefused, match=f"The encoding '{encoding}' is not known"):
        scan(iter([b"_id\r\n"]), Dialect(encoding=encoding))


@pytest.mark.parametrize(
    "dialect",
    [Dialect(delimiter='"'), Dialect(delimiter="::"), Dialect(escapechar="\n"), Dialect(quotechar="")],
)
def test_a_dialect_that_contradicts_itself_is_refused(dialect: Dialect) -> None:
    with pytest.raises(DataRefused, match="dialect cannot be used"):
        scan(iter([b"_id\r\n"]), dialect)


@pytest.mark.statement("sesam-30")
@pytest.mark.fault(34)
def test_a_byte_order_mark_is_no_part_of_the_first_name() -> None:
    facts = scanned("\ufeff" + NORWEGIAN)
    assert facts.byte_order_mark
    assert facts.columns[0].name == "_id"
    assert not scanned(NORWEGIAN).byte_order_mark
    assert "mark leads" in refusal("\ufeff" + NORWEGIAN, Dialect(byte_order_mark=False))
    assert "mark is missing" in refusal(NORWEGIAN, Dialect(byte_order_mark=True))


@pytest.mark.parametrize("mark", [True, False, None])
def test_the_mark_of_utf_16_is_the_encodings_own(mark: bool | None) -> None:
    for encoding in ("utf-16", "utf-32"):
        told = scanned(NORWEGIAN, Dialect(encoding=encoding, byte_order_mark=mark))
        assert told.columns[0].name == "_id"
        assert told.byte_order_mark, "one leads, and the manifest says so"
    assert not scanned(NORWEGIAN, Dialect(encoding="utf-16-le")).byte_order_mark


def test_text_after_a_closing_quote_is_refused() -> None:
    assert "after a closing quote" in refusal('_id,Name\r\n1,"a"b\r\n')


@pytest.mark.fault(38)
def test_the_digest_is_the_same_for_the_same_lines_in_any_order() -> None:
    first = scanned("_id,Name\r\n1,a\r\n2,b\r\n3,c\r\n")
    assert scanned("_id,Name\r\n3,c\r\n1,a\r\n2,b\r\n").digest == first.digest
    assert scanned("_id,Name\r\n1,a\r\n2,b\r\n3,d\r\n").digest != first.digest
    assert scanned("_id,Name\r\n1,a\r\n2,c\r\n3,b\r\n").digest != first.digest
    assert scanned("_id,Name\r\na,1\r\n2,b\r\n3,c\r\n").digest != first.digest


@pytest.mark.fault(47)
def test_a_long_cell_in_small_chunks_takes_time_by_its_length_and_not_by_its_square() -> None:
    data = b'_id,Name\r\n1,"' + b"y" * 400_000 + b'"\r\n'
    began = time.process_time()
    assert scan(chunks(data, 16), Dialect(escapechar="\\")).rows == 1
    # A tenth of that; the square of the length takes twice as long and more.
    assert time.process_time() - began < 2.0


@pytest.mark.fault(47)
def test_an_endless_line_and_an_endless_cell_end_in_a_refusal() -> None:
    with pytest.raises(DataRefused, match="line is longer"):
        scan((b"a" * 1_000_000 for _ in range(40)), Dialect())
    lines = (b"x" * 998 + b"\r\n") * 1000
    with pytest.raises(DataRefused, match=f"more than {LONGEST_CELL:,} characters"):
        scan(iter([b'_id\r\n"', *[lines] * 9]), Dialect())
    cell = b'"' + lines + b'",'
    with pytest.raises(DataRefused, match=f"longer than {LONGEST_RECORD:,} characters.*after record 1"):
        scan(iter([b"a,b\r\n1,2\r\n", *[cell] * 20]), Dialect())


@pytest.mark.statement("sesam-29", "P13")
@pytest.mark.fault(47)
def test_memory_does_not_grow_with_the_rows() -> None:
    source = random.Random(1)
    rows = "".join(f"{source.random()},{source.getrandbits(60):x},1,a\r\n" for _ in range(2000))
    block = rows.encode()
    peak([b"a,b,c,d\r\n", block])
    few, many = 4 * BLOCK_BYTES // len(block), 12 * BLOCK_BYTES // len(block)
    assert peak([b"a,b,c,d\r\n", *[block] * many]) < peak([b"a,b,c,d\r\n", *[block] * few]) * 1.2


def peak(body: Iterable[bytes]) -> int:
    """The memory that a scan takes at most, in bytes."""
    gc.collect()
    tracemalloc.start()
    scan(body, Dialect())
    _, top = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    return top


@pytest.mark.statement("sesam-29", "P13")
@pytest.mark.fault(47)
@pytest.mark.parametrize("quote", [b"", b'"'])
def test_memory_does_not_grow_with_the_length_of_text(quote: bytes) -> None:
    text = b"lorem ipsum " * 20_000
    rows = (b"%d,%b%b%b\r\n" % (number, quote, text, quote) for number in range(300))
    assert peak(chain([b"_id,Note\r\n"], rows)) < 12_000_000, "72 MB passed"


def as_csv(rows: list[list[str]], delimiter: str = ",", terminator: str = "\r\n", quoting: int = 0) -> str:
    out = io.StringIO(newline="")
    csv.writer(out, delimiter=delimiter, lineterminator=terminator, quoting=quoting).writerows(rows)  # type: ignore[arg-type]  # csv's own small integers
    return out.getvalue()


LETTERS = st.text(alphabet=[*'a",;\r\n \u2028\x0bÅ\\|', "\x85"], max_size=6)


@pytest.mark.statement("sesam-36")
@given(
    st.lists(st.lists(LETTERS, min_size=3, max_size=3), max_size=8),
    st.sampled_from([",", ";", "|"]),
    st.sampled_from(["\r\n", "\n", "\r"]),
    st.sampled_from([csv.QUOTE_MINIMAL, csv.QUOTE_ALL]),
    st.integers(1, 20),
)
def test_what_csv_writes_is_read_back_cell_by_cell(
    rows: list[list[str]], delimiter: str, terminator: str, quoting: int, size: int
) -> None:
    table = [["x", "y", "z"], *rows]
    text = as_csv(table, delimiter, terminator, quoting)
    assert cells(text, Dialect(delimiter=delimiter, lineterminator=terminator), size) == table


@pytest.mark.statement("sesam-36")
@given(
    st.lists(st.lists(LETTERS, min_size=3, max_size=3), max_size=8),
    st.sampled_from(["\r\n", "\n"]),
    st.sampled_from(['"', None]),
    st.integers(1, 20),
)
def test_what_csv_writes_with_an_escape_character_is_read_back(
    rows: list[list[str]], terminator: str, quote: str | None, size: int
) -> None:
    table = [["x", "y", "z"], *rows]
    out = io.StringIO(newline="")
    csv.writer(
        out,
        lineterminator=terminator,
        quotechar=quote,
        quoting=csv.QUOTE_MINIMAL if quote else csv.QUOTE_NONE,
        doublequote=False,
        escapechar="\\",
    ).writerows(table)
    dialect = Dialect(lineterminator=terminator, quotechar=quote, doublequote=False, escapechar="\\")
    assert cells(out.getvalue(), dialect, size) == table


@pytest.mark.statement("sesam-36")
@given(st.text(alphabet=list('ab\\",\r\n'), max_size=30), st.integers(1, 9))
def test_any_text_with_an_escape_character_is_read_or_refused(text: str, size: int) -> None:
    with suppress(DataRefused):
        cells("x,y\r\n" + text, Dialect(escapechar="\\", doublequote=False), size)


@pytest.mark.statement("sesam-36")
@given(st.text(alphabet=list('ab",\r\n'), max_size=40))
def test_the_verdict_on_any_text_is_that_of_strict_csv_without_stray_line_breaks(text: str) -> None:
    text = "x,y\r\n" + text
    try:
        lines = [line + "\r\n" for line in text.split("\r\n")[:-1]]
        reader = csv.reader(lines, strict=True)
        rows, swallowed = [], False
        for row in reader:
            rows.append(row)
            # What `csv` swallows before a terminator is no part of it (found by fuzzing, see below).
            swallowed |= lines[reader.line_num - 1][:-2].endswith(("\r", "\n"))
        whole = text.endswith("\r\n") and all(len(row) == 2 for row in rows) and not swallowed
    except csv.Error:
        whole = False
    if whole:
        assert cells(text, size=3) == rows
    else:
        with pytest.raises(DataRefused):
            cells(text, size=3)


@pytest.mark.statement("sesam-36")
@pytest.mark.fault(34)
@pytest.mark.parametrize(
    ("text", "terminator"),
    [
        ("a,b\r\n1,2\r\r\n", "\r\n"),
        ("a,b\r\n1,2\n\r\n", "\r\n"),
        ("a,b\n1,2\r\n", "\n"),
        ("a,b\r1,2\n\r", "\r"),
        ('a,b\r\n1,"2"\r\r\n', "\r\n"),
    ],
)
def test_a_line_break_before_the_terminator_is_none_of_its_own(text: str, terminator: str) -> None:
    """Found by fuzzing: `csv` swallows it, and the table would not be the bytes."""
    told = refusal(text, Dialect(lineterminator=terminator))
    assert told == "Record 1 has a line break that is neither quoted nor the dialect's line terminator."


def test_a_line_break_that_is_escaped_at_the_end_of_a_cell_is_the_cells() -> None:
    dialect = Dialect(escapechar="\\")
    assert cells("a,b\r\n1,2\\\r\r\n", dialect) == [["a", "b"], ["1", "2\r"]]


def test_a_header_cut_inside_its_terminator_has_broken_off() -> None:
    assert refusal("a,b\r") == "The header has no line terminator: the data broke off."


@pytest.mark.fault(33)
def test_a_header_that_is_an_empty_line_names_no_column() -> None:
    """Found by fuzzing: empty lines are as wide as an empty header."""
    assert refusal("\r\n\r\n") == "The header is an empty line: it names no column."
