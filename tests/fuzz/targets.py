"""What is fuzzed: each target takes any bytes, and breaks where a promise does.

They need no more than the app's pure modules, msgspec and numpy: coverage-guided fuzzing runs them in an
environment of its own (tests/fuzz/run.py), test_fuzz.py runs them over the corpus.
"""

import csv
import io
import json
import math
from collections.abc import Callable, Iterator, Mapping
from decimal import Decimal
from typing import Any

import msgspec

from contract import wire
from contract.contract import Column, Contract
from contract.features import DoesNotFit, Encoder
from contract.values import READERS
from contract.wire import Identifier, Moment, Tagged
from errors import DataRefused, InvalidRequest, TooLarge
from scoring.dialects import AnswerUnusable, Dialect, ErrorInside, Options, Row, SentColumn, dialect_of
from scoring.dialects.answers import decode_answer
from scoring.entities import Batch, with_properties, without, write_batch
from scoring.redaction import redacted
from scoring.scores import scores_of
from scoring.shapes import Shape
from scoring.verdicts import Reply, judge, wait_s
from training_export import csv_dialect, csv_scan
from training_export.csv_scan import Reading

DEEPEST = 64
MOST_ENTITIES = 50
PREFIX = "churn:"

DIALECTS = (
    "classic",
    "classic-swagger",
    "designer",
    "automl",
    "automl-v1",
    "mlflow",
    "mlflow-server",
    "score-script",
)
COLUMNS = (
    Column(name="Age", type="integer", nullable=True),
    Column(name="City", type="string", nullable=True),
    Column(name="Income", type="number", nullable=True),
    Column(name="Member", type="boolean", spelling="True", nullable=True),
    Column(name="Born", type="date", nullable=True),
    Column(name="Since", type="datetime", nullable=True),
)
ENCODER = Encoder(Contract(schema_version=1, label="", columns=COLUMNS), prefix=PREFIX)
SENT = tuple(SentColumn(column.name, column.type, column.spelling) for column in COLUMNS)
SPOKEN: Mapping[str, Dialect] = {name: dialect_of(name, Options()) for name in DIALECTS}


def wire_values(data: bytes) -> None:
    """A text of Sesam's wire is a value of one of its types, or a ValueError; a decimal is finite."""
    text = data.decode("utf-8", "replace")
    try:
        value = wire.decode(text)
    except ValueError:
        assert text[:2] in ("~f", "~d"), "only a number can be wrong"
        return
    assert isinstance(value, str | Decimal | Identifier | Moment | Tagged)
    if isinstance(value, Decimal):
        assert value.is_finite()
    if isinstance(value, str):
        assert value == text, "what has no tag is the text as it stands"


def entities(data: bytes) -> None:
    """A body is entities that come back as they came, scores added, or a failure that says what is wrong."""
    shape = Shape()
    assert decoded(data, shape) == decoded(data, shape), "names that are known change nothing"
    try:
        batch = Batch(data, MOST_ENTITIES, DEEPEST, Shape())
        read = [text for part in batch.slices() for text in part.texts]
    except (InvalidRequest, TooLarge):
        return
    parts = with_properties([without(text, PREFIX) for text in read], [{"churn:x": 1}] * len(read))
    answer = exactly(write_batch(parts, batch.single))
    assert isinstance(answer, dict) == batch.single
    came, went = exactly(data), [answer] if batch.single else answer
    for before, after in zip([came] if batch.single else came, went, strict=True):
        assert after.pop("churn:x") == 1
        assert after == {name: value for name, value in before.items() if not name.startswith(PREFIX)}


def decoded(data: bytes, shape: Shape) -> list[str] | str:
    """Give what each entity of a body has, or what is wrong with it."""
    try:
        parts = list(Batch(data, MOST_ENTITIES, DEEPEST, shape).slices())
    except (InvalidRequest, TooLarge) as failure:
        return str(failure)
    return [repr(sorted(part.entities.at(at).items())) for part in parts for at in range(len(part))]


def exactly(text: bytes) -> Any:
    """Read JSON with all digits of its numbers; NaN and its like are null, as the wire has it."""
    return json.loads(text.decode(), parse_float=digits, parse_constant=lambda _: None)


def digits(number: str) -> Decimal | str:
    """Read a number; as a text where its exponent is beyond any Decimal, as in 0e99999999999999999999."""
    try:
        return Decimal(number)
    except ArithmeticError:
        return number


def rows(data: bytes) -> None:
    """An entity becomes a row that every dialect can write, or the columns that it does not fit are named."""
    try:
        read = list(Batch(data, MOST_ENTITIES, DEEPEST, Shape()).slices())
        properties = read[0].entities.at(0) if read else {}
    except (InvalidRequest, TooLarge):
        text = data.decode("utf-8", "replace")
        properties = {column.name: text for column in COLUMNS}
    try:
        encoded = ENCODER.encode(properties)
    except DoesNotFit as misfit:
        assert {remark.feature for remark in misfit.remarks} <= {column.name for column in COLUMNS}
        assert str(misfit)
        return
    for value in encoded.row:
        assert value is None or isinstance(value, bool | int | float | str)
        assert not isinstance(value, float) or math.isfinite(value)
    for dialect in SPOKEN.values():
        msgspec.json.decode(dialect.request(SENT, [encoded.row]))


def csv_bytes(data: bytes) -> None:
    """Any bytes are a table that stdlib `csv` reads the same, or a refusal that says why."""
    choice, body = int.from_bytes(data[:2], "big"), data[2:]
    dialect = csv_dialect.Dialect(
        lineterminator=("\r\n", "\n", "\r")[choice % 3],
        delimiter=",;\t"[choice // 3 % 3],
        quotechar=('"', "'", None)[choice // 9 % 3],
        escapechar=(None, "\\")[choice // 27 % 2],
        doublequote=bool(choice // 54 % 2),
        encoding=("utf-8", "latin-1", "utf-16", "cp1252")[choice // 108 % 4],
        byte_order_mark=(None, True, False)[choice // 432 % 3],
    )
    size = choice // 1296 % 9 + 1
    try:
        table = [list(row) for row in records(body, dialect, size)]
        facts = csv_scan.scan(pieces(body, size), dialect)
    except DataRefused as refused:
        assert refused.detail
        return
    assert facts.rows == len(table) - 1
    assert [column.name for column in facts.columns] == table[0]
    assert table == by_stdlib(body.decode(dialect.encoding).removeprefix("\ufeff"), dialect)
    for column, (_, *cells) in zip(facts.columns, zip(*table, strict=True), strict=True):
        assert column.empties == cells.count("")
        assert column.distinct == len({*cells} - {""})
        assert all(READERS[column.type](cell) is not None for cell in cells if cell)


def pieces(data: bytes, size: int) -> Iterator[bytes]:
    """Cut bytes as a network does."""
    return (data[at : at + size] for at in range(0, len(data), size))


def records(data: bytes, dialect: csv_dialect.Dialect, size: int) -> Iterator[tuple[str, ...]]:
    """Read header and records, as the scan does."""
    reading = Reading(pieces(data, size), dialect)
    yield reading.names
    for columns in reading.batches():
        yield from zip(*(cells.texts() for cells in columns), strict=True)


def by_stdlib(text: str, dialect: csv_dialect.Dialect) -> list[list[str]]:
    """Read a CSV by the standard library alone."""
    return list(
        csv.reader(
            io.StringIO(text, newline=""),
            delimiter=dialect.delimiter,
            quotechar=dialect.quotechar,
            escapechar=dialect.escapechar,
            doublequote=dialect.doublequote,
            quoting=csv.QUOTE_MINIMAL if dialect.quotechar else csv.QUOTE_NONE,
            strict=True,
        )
    )


ASKED: tuple[Row, Row] = (
    [30, "Oslo", 1.5, True, "2026-11-23", "2026-11-23T02:00:00Z"],
    [41, None, None, False, None, None],
)


def answers(data: bytes) -> None:
    """A 200 answer is one set of clean scores per row sent, or unusable, in words that quote no data."""
    dialect, count = SPOKEN[DIALECTS[data[0] % 8] if data else "classic"], (data[0] // 8 % 3 if data else 1)
    sent = [ASKED[n % 2] for n in range(count)]
    try:
        results = dialect.results(decode_answer(data[1:]), count)
        scores = scores_of(results, SENT, sent, prefix=PREFIX)
    except ErrorInside as error:
        shown = redacted(error.text, SENT, sent)
        assert not sent or "Oslo" not in shown
        assert shown.isprintable()
        return
    except AnswerUnusable as unusable:
        assert str(unusable)
        return
    assert len(scores.rows) == count
    assert all(name.startswith(PREFIX) for name in scores.names)
    for row in scores.rows:
        # What a Sesam node reads as what it is: JSON, no tag, no half of a surrogate pair, no NUL.
        told = msgspec.json.decode(msgspec.json.encode(dict(zip(scores.names, row, strict=True))))
        assert not list(tagged(told)), told


def tagged(value: object) -> Iterator[str]:
    """Find texts that a node would take for something else."""
    if isinstance(value, str) and (value.startswith("~") or "\0" in value):
        yield value
    for child in (
        [*value, *value.values()] if isinstance(value, dict) else value if isinstance(value, list) else ()
    ):
        yield from tagged(child)


def verdicts(data: bytes) -> None:
    """Every answer has a verdict, and a wait that is bounded; its words hold nothing of the body."""
    head, _, body = data.partition(b"\n\n")
    status, *lines = head.decode("latin-1").split("\n")
    headers = dict(line.partition(":")[::2] for line in lines)
    reply = Reply(
        int(status) if status.isdecimal() and status.isascii() and len(status) < 9 else 200, headers, body
    )
    for rows_sent in (1, 2):
        verdict = judge(reply, rows=rows_sent)
        assert 0 <= wait_s(verdict, 1, lambda: 0.5) <= 32
        assert verdict.failure("The service").problem("x")["detail"]


TARGETS: Mapping[str, Callable[[bytes], None]] = {
    "wire": wire_values,
    "entities": entities,
    "rows": rows,
    "csv": csv_bytes,
    "answers": answers,
    "verdicts": verdicts,
}
