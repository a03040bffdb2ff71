"""What a web service answered → the properties that each entity gets. Pure.

Names: the prefix, and the answer's column name with `-` for every blank (`churn:Scored-Labels`). A bare value
or a list per row is `prediction`; `outputs` names its positions. From named columns `outputs` chooses.

A column named like a feature that was sent is an echo. It is returned only where `outputs` names it, and
its texts and integers must be those that were sent: others mean that rows were reordered or changed. Dates
and doubles may come back in another spelling and are not compared, but for dates in milliseconds.

Values keep their type and all their digits, lists and dicts included. What a Sesam node cannot read as what
it is (facts/sesam.md §7, statements 19 and 20) is rewritten by rule, as one label must not stop a hub:

    a number that is not finite                     null
    a text, or a dict's key, beginning with ~       one blank in front: ` ~t5`, else a node reads a tag in it
    U+0000, half a surrogate pair                   U+FFFD, Unicode's replacement character
"""

import math
import re
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence

from contract import numerals, values
from contract.contract import is_reserved
from contract.values import Value
from scoring.dialects import AnswerUnusable, Results, Row, SentColumn
from scoring.dialects.answers import PREDICTION, shown

MARK = "error"
MOST_DEPTH = 32

type Column = Sequence[object]


def scores_of(
    results: Results,
    columns: Sequence[SentColumn],
    rows: Sequence[Row],
    *,
    prefix: str,
    outputs: Sequence[str] = (),
    decimals: int = -1,
    taken: Collection[str] = (MARK,),
) -> Results:
    """Turn results into properties: their names once, and one row of values per row sent.

    Args:
        results: one row per row sent, as a dialect gives them.
        columns: the columns sent.
        rows: the rows sent.
        prefix: begins every name; never empty, nor such that a name could be Sesam's own.
        outputs: answer columns to return, or names for the positions of lists; empty: all but echoes.
        decimals: round numbers to so many places; -1: as they come.
        taken: names behind the prefix that are ours, where no score may stand.

    Raises:
        AnswerUnusable: echoes differ from what was sent, outputs are not there, two names fall on one,
            or nothing is left to return.
    """
    table = _columns(_positions_named(results, outputs))
    sent = {column.name: at for at, column in enumerate(columns)}
    if echoes := table.keys() & sent.keys():
        columns_sent = list(zip(*rows, strict=True)) if rows else [()] * len(columns)
        for at in (sent[name] for name in echoes):
            _refuse_reordered(columns[at], columns_sent[at], table[columns[at].name])
    chosen = _chosen(table, sent, outputs)
    names = _property_names(tuple(chosen), prefix, taken)
    cleaned = [_cleaned(column, decimals) for column in chosen.values()]
    return Results(names, list(zip(*cleaned, strict=True)))


def _positions_named(results: Results, outputs: Sequence[str]) -> Results:
    """Give the positions of bare lists, or a bare value, the names that `outputs` has for them."""
    if not outputs or results.names != (PREDICTION,) or PREDICTION in outputs:
        return results
    lists = [value if isinstance(value, list) else [value] for (value,) in results.rows]
    if any(len(values) != len(outputs) for values in lists):
        raise AnswerUnusable(
            f"outputs names {len(outputs)} positions, and the answer's rows have another number of them"
        )
    return Results(tuple(outputs), [tuple(values) for values in lists])


def _columns(results: Results) -> dict[str, Column]:
    if len(set(results.names)) != len(results.names):
        raise AnswerUnusable("the answer has two columns of one name")
    if not results.rows:
        return dict.fromkeys(results.names, ())
    return dict(zip(results.names, zip(*results.rows, strict=True), strict=True))


def _chosen(
    table: Mapping[str, Column], sent: Collection[str], outputs: Sequence[str]
) -> Mapping[str, Column]:
    if missing := [name for name in outputs if name not in table]:
        raise AnswerUnusable(
            f"outputs names {', '.join(missing)}, and the answer has only: {shown(list(table))}"
        )
    chosen = {name: table[name] for name in outputs or table if outputs or name not in sent}
    if not chosen:
        raise AnswerUnusable(
            "the answer has no columns but the features that were sent: is this the scoring service's output?"
        )
    return chosen


def _property_names(names: Sequence[str], prefix: str, taken: Collection[str]) -> tuple[str, ...]:
    properties = tuple(prefix + _text(name).replace(" ", "-") for name in names)
    if any(is_reserved(name) for name in properties):
        raise AnswerUnusable(f"prefix {prefix} makes names that are Sesam's own")
    if len(set(properties)) != len(properties):
        raise AnswerUnusable(f"two of the answer's columns fall on one property: {shown(names)}")
    if ours := [name for name in taken if prefix + name in properties]:
        raise AnswerUnusable(
            f"the answer has a column {', '.join(ours)}, which is what we mark entities with: "
            "rename it in the service, or choose other columns by outputs"
        )
    return properties


def _refuse_reordered(column: SentColumn, sent: tuple[Value | None, ...], echoed: Column) -> None:
    """Compare an echoed column with what was sent, where its kind allows it.

    A column with any value of another kind is no echo but something derived (a category's code, a scaled
    number), and tells nothing. Rows that were sent null tell nothing either: services fill them.
    """
    if column.type in ("number", "boolean") or sent == echoed:
        return
    if column.type == "integer" and _as_texts(sent) == list(echoed):
        return
    told = [(s, e) for s, e in zip(sent, echoed, strict=True) if s is not None]
    same = _comparison(column, told)
    if same is None:
        return
    verdicts = [False if e is None or e == "" else same(s, e) for s, e in told]
    if None in verdicts or all(verdicts):
        return
    raise AnswerUnusable(
        f"column {column.name} comes back with other values than were sent in {verdicts.count(False)} of "
        f"{len(sent)} rows: the service reorders or changes rows"
    )


def _as_texts(sent: Column) -> Sequence[object]:
    if set(map(type, sent)) == {int}:
        return numerals.written(sent)  # type: ignore[arg-type]  # just seen: whole numbers
    return list(map(str, sent))


def _comparison(
    column: SentColumn, told: Iterable[tuple[Value, object]]
) -> Callable[[Value, object], bool | None] | None:
    """Choose how a column's values are compared: True same, False another, None not of its kind."""
    match column.type:
        case "string":
            return _same_text
        case "integer":
            return _same_integer
        case "date" | "datetime":
            return _same_moment
    kinds = {type(value) for value, _ in told}
    if kinds == {int}:
        return _same_integer
    if kinds != {str} or any(values.day(str(s)) or values.moment(str(s)) for s, _ in told):
        return None
    return _same_text


def _same_text(sent: Value, echoed: object) -> bool | None:
    if isinstance(echoed, str):
        return echoed == sent
    # A service may read the text 0150 as the number 150.
    if isinstance(echoed, bool) or not isinstance(echoed, int | float) or not _DIGITS.fullmatch(str(sent)):
        return None
    return float(str(sent)) == echoed


def _same_integer(sent: Value, echoed: object) -> bool | None:
    if isinstance(echoed, str):
        if not _DIGITS.fullmatch(echoed):
            return None
        echoed = float(echoed) if "." in echoed else int(echoed)
    if isinstance(echoed, int) and not isinstance(echoed, bool):
        return echoed == sent
    if isinstance(echoed, float) and echoed.is_integer():
        return echoed == _double(int(sent))
    return None


def _same_moment(sent: Value, echoed: object) -> bool | None:
    if not isinstance(echoed, int) or isinstance(echoed, bool):
        return None
    try:
        return abs(values.seconds(str(sent)) * 1000 - echoed) < 1
    except ValueError:
        return None  # a constant of the settings may be any text


def _double(whole: int) -> float:
    try:
        return float(whole)
    except OverflowError:
        return math.inf if whole > 0 else -math.inf


_DIGITS = re.compile(r"-?[0-9]{1,400}(\.0+)?", re.ASCII)
_BROKEN = re.compile("[\x00\ud800-\udfff]")


def _cleaned(column: Column, decimals: int) -> Column:
    """Clean a column of values; a column of one harmless kind, as most are, is not walked twice."""
    kinds = set(map(type, column))
    if kinds <= {int, bool, type(None)}:
        return column
    if kinds == {float}:
        if decimals < 0 and math.isfinite(sum(column)):  # type: ignore[arg-type]  # just seen: floats
            return column  # the sum is not finite where any of them is not
        return [_number(value, decimals) for value in column]  # type: ignore[arg-type]  # just seen: floats
    if kinds == {str}:
        texts = {text: _text(text) for text in set(column)}  # type: ignore[arg-type]  # just seen: texts
        return [texts[text] for text in column]
    return [_value(value, decimals, MOST_DEPTH) for value in column]


def _value(value: object, decimals: int, depth: int) -> object:
    if not depth:
        raise AnswerUnusable("a result is nested too deep")
    match value:
        case float():
            return _number(value, decimals)
        case str():
            return _text(value)
        case list():
            return [_value(item, decimals, depth - 1) for item in value]
        case dict():
            return {_text(key): _value(item, decimals, depth - 1) for key, item in value.items()}
    return value


def _number(value: float, decimals: int) -> float | None:
    if not math.isfinite(value):
        return None
    return value if decimals < 0 else round(value, decimals)


def _text(text: str) -> str:
    if text[:1] == "~":
        text = f" {text}"
    return text if text.isascii() and "\0" not in text else _BROKEN.sub("�", text)
