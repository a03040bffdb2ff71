"""What all dialects share in reading an answer: bytes → JSON → one row of values per row sent.

The shapes of statement 19 tell themselves apart, so every dialect reads them all:

    [v, …]                                            column `prediction`, a value per row
    [[v, …], …]                                       column `prediction`, a list per row
    [{name: v}, …]                                    a column per name; every object has the same names
    {name: [v, …], …}                                 columns of lists of equal length
    {"Results" | "predictions" | "result": …}         what is inside; a list that has lists beside it is a
                                                      column as they are
    {"Results": {output: …}}                          the output that is asked for, or the only one
    {"value": {"ColumnNames", "ColumnTypes", "Values"}}   classic's table (table.py)
    {"forecast", "prediction_interval", "index"}      columns of lists, the index flattened

Nothing is matched by guess: any other shape, or a number of results that is not the number of rows sent,
is `AnswerUnusable` (statements 19–22, 24–26 of facts/azureml.md).
"""

import json
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from operator import itemgetter

import msgspec

from scoring.dialects.protocol import AnswerUnusable, ErrorInside, Options, Results
from scoring.dialects.table import is_table, read_table

PREDICTION = "prediction"
ENVELOPES = ("Results", "predictions", "result")
ERRORS = ("error", "errors")
MOST_NAMES_SHOWN = 10


@dataclass(frozen=True, slots=True)
class ReadsAllShapes:
    """The half that dialects have in common: a dialect adds how its request is written."""

    options: Options

    def results(self, answer: object, row_count: int) -> Results:
        """Read the decoded JSON of a 200 answer, see `results_of`."""
        return results_of(answer, row_count, self.options.output_name)


def decode_answer(body: bytes) -> object:
    """Decode the body of a 200 answer.

    Integers keep all their digits. Bare NaN and Infinity, which Python services write, are null; so is a
    number too large for a double. A JSON string that holds an object or an array is decoded once more
    (statement 20).

    Raises:
        AnswerUnusable: empty, HTML, text, byte order mark, truncated, trailing text, nested too deep.
    """
    answer = _decoded(body)
    if not isinstance(answer, str):
        return answer
    inner = _decoded(answer.encode("utf-8", "surrogatepass")) if answer.lstrip()[:1] in ("{", "[") else None
    if not isinstance(inner, dict | list):
        raise AnswerUnusable("the answer is a plain text, where one result per row is wanted")
    return inner


def results_of(answer: object, row_count: int, output_name: str = "") -> Results:
    """Read a decoded answer of any of the shapes above.

    Raises:
        ErrorInside: the service reports an error.
        AnswerUnusable: none of the shapes, or not `row_count` results.
    """
    refuse_error(answer, row_count)
    if answer is None or answer == {}:
        raise AnswerUnusable("the answer is empty: the scoring script returned nothing")
    inner = _opened(answer, row_count, output_name)
    if is_table(inner):
        results = read_table(inner)
    elif isinstance(inner, list):
        results = _of_list(inner)
    elif isinstance(inner, dict):
        results = _of_columns(inner, row_count)
    else:
        raise AnswerUnusable("the answer holds no list of results")
    if len(results.rows) != row_count:
        raise AnswerUnusable(
            f"{row_count} rows were sent and {len(results.rows)} results came back: "
            "the service must answer one result per row, in order"
        )
    if not results.names and row_count:
        raise AnswerUnusable("the results are empty objects")
    return results


def refuse_error(answer: object, row_count: int) -> None:
    """Raise for an answer that is an error report: its `error` or `errors` is no column of results."""
    if not isinstance(answer, dict):
        return
    for name in ERRORS:
        error = answer.get(name)
        is_column = isinstance(error, list) and len(error) == row_count and len(answer) > 1
        if error and not is_column:
            raise ErrorInside(_text_of(error))


def shown(names: Sequence[str]) -> str:
    """List the names of an answer's columns or outputs for a message, bounded."""
    listed = ", ".join(re.sub(r"[^ -~À-ɏ]", "?", name)[:60] for name in names[:MOST_NAMES_SHOWN])
    return f"{listed}, …" if len(names) > MOST_NAMES_SHOWN else listed


def _text_of(error: object) -> str:
    """Find the words in an error report: a text, an object's message or code, or the first of several."""
    if isinstance(error, list):
        error = error[0]
    if isinstance(error, dict):
        error = error.get("message") or error.get("code")
    return error if isinstance(error, str) else ""


def _decoded(body: bytes) -> object:
    try:
        return msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        pass
    try:
        return json.loads(body.decode("utf-8"), parse_constant=lambda _: None, parse_float=_finite)
    except RecursionError:
        raise AnswerUnusable("the answer is nested too deep") from None
    except ValueError:
        raise AnswerUnusable(f"the answer is no JSON: {_kind(body)}") from None


def _finite(digits: str) -> float | None:
    value = float(digits)
    return value if math.isfinite(value) else None


def _kind(body: bytes) -> str:
    """Say what a body is instead of JSON, without quoting it: it may hold the rows that were sent."""
    start = body.lstrip()[:1]
    if not start:
        return "it is empty"
    if body.startswith((b"\xef\xbb\xbf", b"\xff\xfe", b"\xfe\xff")):
        return "it begins with a byte order mark"
    if start == b"<":
        return f"an HTML page of {len(body)} bytes"
    if start in (b"{", b"[", b'"'):
        return f"{len(body)} bytes of damaged or truncated JSON"
    return f"a text of {len(body)} bytes"


def _opened(answer: object, row_count: int, output_name: str) -> object:
    """Take off the wrappers that tell nothing about a row; of several outputs choose one."""
    inner = _inside(answer, row_count)
    outputs = answer.get("Results") if isinstance(answer, dict) else None
    if isinstance(outputs, dict) and not _is_forecast(outputs):
        return _output(outputs, output_name)
    if output_name:
        raise AnswerUnusable(f"the answer has no outputs, so none that is called {output_name} (output_name)")
    return inner


def _inside(answer: object, row_count: int) -> object:
    if not isinstance(answer, dict):
        return answer
    for envelope in ENVELOPES:
        if envelope in answer:
            inner = answer[envelope]
            if isinstance(inner, list) and len(columns := _lists(answer)) > 1:
                return columns
            refuse_error(inner, row_count)
            return inner
    return answer


def _lists(answer: Mapping[str, object]) -> dict[str, object]:
    # {"predictions": […], "probabilities": […]}: to open `predictions` would lose the other column.
    return {n: v for n, v in answer.items() if isinstance(v, list) and (v or n not in ERRORS)}


def _output(outputs: Mapping[str, object], output_name: str) -> object:
    if output_name:
        if output_name not in outputs:
            raise AnswerUnusable(
                f"the answer has no output {output_name} (output_name); it has: {shown(list(outputs))}"
            )
        return outputs[output_name]
    if len(outputs) != 1:
        raise AnswerUnusable(
            f"the answer has {len(outputs)} outputs: choose one by output_name; it has: "
            f"{shown(list(outputs)) or 'none'}"
        )
    return next(iter(outputs.values()))


def _of_list(items: list[object]) -> Results:
    kinds = set(map(type, items))
    if dict not in kinds:
        return Results((PREDICTION,), [(item,) for item in items], unnamed=True)
    if kinds != {dict}:
        raise AnswerUnusable("some results are objects and some are not")
    return _of_objects(items)  # type: ignore[arg-type]  # all are objects, just seen


def _of_objects(items: Sequence[dict[str, object]]) -> Results:
    """Read objects, whose keys need not come in one order.

    All must have the same: with null for what one lacks, what a row gets would depend on the rows beside it.
    """
    names = tuple(items[0])
    try:
        if set(map(len, items)) != {len(names)}:
            raise KeyError
        if len(names) > 1:
            return Results(names, list(map(itemgetter(*names), items)))
        return Results(names, [tuple(map(item.__getitem__, names)) for item in items])
    except KeyError:
        raise AnswerUnusable(
            "the results are objects, and not all have the same keys: the service must give every row the "
            "same, with null where there is no value"
        ) from None


def _of_columns(columns: Mapping[str, object], row_count: int) -> Results:
    if _is_forecast(columns):
        columns = _flattened(columns)
    columns = {name: value for name, value in columns.items() if value or name not in ERRORS}
    lists = {name: value for name, value in columns.items() if isinstance(value, list)}
    if len(lists) != len(columns) or not lists:
        raise AnswerUnusable("the answer is an object that is not columns of lists")
    lengths = {len(v) for v in lists.values()}
    if lengths != {row_count}:
        raise AnswerUnusable(
            f"{row_count} rows were sent and the answer's columns are not that long: {shown(list(lists))}"
        )
    return Results(tuple(lists), list(zip(*lists.values(), strict=True)))


def _is_forecast(answer: Mapping[str, object]) -> bool:
    return isinstance(answer.get("forecast"), list)


def _flattened(forecast: Mapping[str, object]) -> dict[str, object]:
    """Make a forecast's index, an object per row (time, series), columns of their own: they echo features."""
    columns = dict(forecast)
    index = columns.get("index")
    if isinstance(index, list) and index and all(isinstance(entry, dict) for entry in index):
        del columns["index"]
        keys = _of_objects(index)
        for position, name in enumerate(keys.names):
            columns.setdefault(name, [row[position] for row in keys.rows])
    return columns
