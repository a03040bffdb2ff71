"""What a web service answered → the properties that each entity gets. Pure.

Names: the prefix, and the answer's column name with `-` for every blank (`churn:Scored-Labels`). A bare value
or a list per row is `prediction`; `outputs` names its positions. From named columns `outputs` chooses.

A column named like a feature that was sent is an echo. It is returned only where `outputs` names it, and
must not show that rows were reordered or changed (echoes.py).

Values keep their type and all their digits, lists and dicts included. What a Sesam node cannot read as what
it is (facts/sesam.md §7, statements 19 and 20) is rewritten by rule, as one label must not stop a hub:

    a number that is not finite                     null
    a text, or a dict's key, beginning with ~       one blank in front: ` ~t5`, else a node reads a tag in it
    U+0000, half a surrogate pair                   U+FFFD, Unicode's replacement character
"""

import math
import re
from collections.abc import Collection, Mapping, Sequence

from contract.contract import is_reserved
from scoring.dialects import AnswerUnusable, Results, Row, SentColumn
from scoring.dialects.answers import PREDICTION, shown
from scoring.echoes import Column, refuse_reordered

MOST_DEPTH = 32


def scores_of(
    results: Results,
    columns: Sequence[SentColumn],
    rows: Sequence[Row],
    *,
    prefix: str,
    outputs: Sequence[str] = (),
    decimals: int = -1,
    reserved: Collection[str] = (),
) -> Results:
    """Turn results into properties: their names once, and one row of values per row sent.

    Args:
        results: one row per row sent, as a dialect gives them.
        columns: the columns sent.
        rows: the rows sent.
        prefix: begins every name; never empty, nor such that a name could be Sesam's own.
        outputs: answer columns to return, or names for the positions of lists; empty: all but echoes.
        decimals: round numbers to so many places; -1: as they come.
        reserved: names behind the prefix that are ours, where no score may stand.

    Raises:
        AnswerUnusable: echoes differ from what was sent, outputs are not there, two names fall on one,
            or nothing is left to return.
    """
    table = _columns(_positions_named(results, outputs))
    sent = {column.name: at for at, column in enumerate(columns)}
    if echoes := table.keys() & sent.keys():
        columns_sent = list(zip(*rows, strict=True)) if rows else [()] * len(columns)
        for at in (sent[name] for name in echoes):
            refuse_reordered(columns[at], columns_sent[at], table[columns[at].name])
    chosen = _chosen(table, sent, outputs)
    names = _property_names(tuple(chosen), prefix, reserved)
    cleaned = [_cleaned(column, decimals) for column in chosen.values()]
    return Results(names, list(zip(*cleaned, strict=True)))


def _positions_named(results: Results, outputs: Sequence[str]) -> Results:
    """Give the positions of bare lists, or a bare value, the names that `outputs` has for them."""
    if not outputs or not results.unnamed or PREDICTION in outputs:
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


def _property_names(names: Sequence[str], prefix: str, reserved: Collection[str]) -> tuple[str, ...]:
    properties = tuple(prefix + _text(name).replace(" ", "-") for name in names)
    if any(is_reserved(name) for name in properties):
        raise AnswerUnusable(f"prefix {prefix} makes names that are Sesam's own")
    if len(set(properties)) != len(properties):
        raise AnswerUnusable(f"two of the answer's columns fall on one property: {shown(names)}")
    if ours := [name for name in reserved if prefix + name in properties]:
        raise AnswerUnusable(
            f"the answer has a column {', '.join(ours)}, which is what we mark entities with: "
            "rename it in the service, or choose other columns by outputs"
        )
    return properties


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
