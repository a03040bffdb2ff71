"""Columns that a web service gives back as they were sent, and what they betray: rows in another order. Pure.

An echo is compared as its type allows. Rows that were sent null or "" tell nothing: services fill them.

    text, integer    every value must be the one that was sent
    date, datetime   likewise, as the moment that it is: in milliseconds (as doubles to 32 bits), or in a text
                     that `values` reads; to the second where the echo has no fraction, to the day where it
                     has no time. Where one of the two has a zone and the other none it may be another
                     clock's: only the order counts. A null tells nothing: dates beyond a library's range
                     become null
    number, boolean  only the order counts, as services round and scale them: wrong is where all that was sent
                     comes back, in other rows; a number to the precision of a 32-bit float

A value of another kind (a category's code, a scaled number, a date in words) tells nothing. Beside it only
the order counts for the column's other values: wrong is where they are values of other rows.
"""

import math
import re
from array import array
from collections import Counter
from collections.abc import Callable, Sequence
from typing import NamedTuple

from contract import numerals, values
from contract.values import Value
from scoring.dialects import AnswerUnusable, SentColumn

type Column = Sequence[object]
type Pairs = Sequence[tuple[object, object]]


class Kind(NamedTuple):
    """How the values of a column are compared.

    Args:
        read: a value in the form in which equal values are equal; None: it is of another kind.
        same: whether an echo is what was sent; None: it does not tell. Without it only the order counts.
    """

    read: Callable[[object], object]
    same: Callable[[object, object], bool | None] | None = None


def refuse_reordered(column: SentColumn, sent: tuple[Value | None, ...], echoed: Column) -> None:
    """Compare an echoed column with what was sent.

    Raises:
        AnswerUnusable: rows were reordered or changed.
    """
    if sent == echoed or _same_as_texts(column, sent, echoed):
        return
    pairs = list(zip(sent, echoed, strict=True))
    told = [pair for pair in pairs if pair[0] is not None and pair[0] != ""]
    kind = _kind(column, [value for value, _ in told])
    if kind is None:
        return
    if wrong := _changed(kind, told) or (_moved(kind, pairs) if kind.same is None else 0):
        raise AnswerUnusable(
            f"column {column.name} comes back with other values than were sent in {wrong} of {len(sent)} "
            "rows: the service reorders or changes rows"
        )


def _same_as_texts(column: SentColumn, sent: Column, echoed: Column) -> bool:
    """Say, at once for all, whether values come back as texts, as in classic's swagger form."""
    if column.type not in ("integer", "number", "boolean"):
        return False
    if None in sent:
        told = [pair for pair in zip(sent, echoed, strict=True) if pair[0] is not None]
        sent, echoed = ([pair[at] for pair in told] for at in (0, 1))
    if set(map(type, echoed)) != {str}:
        return False
    if column.type == "boolean":
        words = next((words for words in _TRUTHS if words.issuperset(echoed)), None)
        return words is not None and [text in _TRUE for text in echoed] == list(sent)
    if column.type == "number":
        return numerals.numbers(echoed) == list(sent)  # type: ignore[arg-type]  # just seen: texts
    return _as_texts(sent) == list(echoed)


def _as_texts(sent: Column) -> Sequence[object]:
    if set(map(type, sent)) == {int}:
        return numerals.written(sent)  # type: ignore[arg-type]  # just seen: whole numbers
    return list(map(str, sent))


def _kind(column: SentColumn, sent: Column) -> Kind | None:
    """Choose how a column is compared; without a contract the values say."""
    if column.type is not None:
        return _KINDS[column.type]
    types = set(map(type, sent))
    if types == {str}:
        return _KINDS["datetime"] if None not in map(_milliseconds, sent) else UNTYPED
    if types == {int}:
        return _KINDS["integer"]
    if types == {bool}:
        return _KINDS["boolean"]
    return _KINDS["number"] if types <= {int, float} else None


def _changed(kind: Kind, told: Pairs) -> int:
    """Count the rows with another value than was sent, where each tells."""
    if kind.same is None:
        return _moved(kind, told)
    verdicts = [kind.same(s, None if e == "" else e) for s, e in told]
    # A null tells nothing of its own row, and no less of the others.
    if all(verdict is not None or e in (None, "") for verdict, (_, e) in zip(verdicts, told, strict=True)):
        # What is compared to a precision alone can still be another row's.
        return verdicts.count(False) or _moved(kind, [pair for pair in told if pair[1] not in (None, "")])
    came = [None if e == "" else kind.read(e) for _, e in told]
    if not any(back is not None for back in came):
        return 0
    were = [kind.read(s) for s, _ in told]
    of_other_rows = Counter(back for back in came if back is not None) <= Counter(were)
    moved = [
        back is not None and back != was and not verdict
        for was, back, verdict in zip(were, came, verdicts, strict=True)
    ]
    return moved.count(True) if of_other_rows else 0


def _moved(kind: Kind, pairs: Pairs) -> int:
    """Count the rows with another value than was sent, where all that was sent comes back."""
    read = [(kind.read(s), kind.read(e)) for s, e in pairs]
    wrong = sum(sent != echoed for sent, echoed in read)
    return wrong if wrong and Counter(s for s, _ in read) == Counter(e for _, e in read) else 0


def _text(value: object) -> str | None:
    return value if isinstance(value, str) else None


def _same_text(sent: object, echoed: object) -> bool | None:
    if not isinstance(sent, str):
        return None  # a constant of the settings may be anything
    if echoed is None or isinstance(echoed, str):
        return echoed == sent
    # A service may read the text 0150 as the number 150.
    if isinstance(echoed, bool) or not isinstance(echoed, int | float) or not _DIGITS.fullmatch(sent):
        return None
    return echoed == int(sent.partition(".")[0]) or echoed == float(sent)


def _numeric(value: object) -> int | float | None:
    """Read a number, whole or not: a fraction among whole numbers is none of those that were sent."""
    if isinstance(value, str):
        if _DIGITS.fullmatch(value):
            return float(value) if "." in value else int(value)
        return values.number(value)
    return None if isinstance(value, bool) or not isinstance(value, int | float) else value


def _same_integer(sent: object, echoed: object) -> bool | None:
    whole, back = _numeric(sent), _numeric(echoed)
    if not isinstance(whole, int) or (back is None and echoed is not None):
        return None
    if back is None:
        return False
    if isinstance(back, int):
        return back == whole
    return back == _double(whole) if back.is_integer() else None


def _double(whole: int) -> float:
    try:
        return float(whole)
    except OverflowError:
        return math.inf if whole > 0 else -math.inf


def _single(value: object) -> float | None:
    """Read a number as a 32-bit float, which many models compute with and give back."""
    number = values.number(value) if isinstance(value, str) else _numeric(value)
    return None if number is None else array("f", [_double(number) if isinstance(number, int) else number])[0]


def _truth(value: object) -> bool | None:
    # Not 0 and 1: codes of categories may be given in the order in which these came.
    return values.boolean(value) if isinstance(value, str) else value if isinstance(value, bool) else None


def _milliseconds(value: object) -> int | None:
    if isinstance(value, str):
        seconds = _seconds(value)
        return None if seconds is None else round(seconds * 1000)
    if isinstance(value, float) and value.is_integer():
        return int(value)  # as pandas writes all of a column that has a null
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def _seconds(text: str) -> float | None:
    canonical = values.moment(text) or values.day(text)
    return values.seconds(canonical) if canonical else None


def _same_moment(sent: object, echoed: object) -> bool | None:
    back = _seconds(echoed) if isinstance(echoed, str) else _milliseconds(echoed)
    at = _seconds(sent) if back is not None and isinstance(sent, str) else None
    if at is None or back is None or not isinstance(sent, str):
        return None  # a constant of the settings may be anything
    if not isinstance(echoed, str):
        if math.floor(at * 1000) - (slack := _slack(echoed)) <= back <= math.ceil(at * 1000) + slack:
            return True
        return None if _counted_otherwise(sent, at, int(back)) else False
    if echoed == sent[:10] or abs(at - back) < (0.001 if "." in echoed else 1):
        return True
    return False if bool(_ZONE.search(sent)) == bool(_ZONE.search(echoed)) else None


def _slack(milliseconds: object) -> float:
    """Say how far milliseconds may lie from what was sent: cut to seconds, or as a 32-bit float."""
    if isinstance(milliseconds, float):
        return max(999.0, abs(milliseconds) * 2**-23)
    return 999 if isinstance(milliseconds, int) and milliseconds % 1000 == 0 else 0


def _counted_otherwise(sent: str, at: float, back: int) -> bool:
    """Say whether a whole number is no milliseconds but another unit, or the digits, of a moment."""
    return (
        abs(back) not in _MILLISECONDS
        or any(abs(back - at * unit) <= 1000 for unit in (1, 10**6, 10**9))
        or re.sub(r"[^0-9]", "", sent).ljust(14, "0").startswith(str(back))
    )


def _text_or_moment(value: object) -> object:
    if not isinstance(value, str):
        return None
    at = _milliseconds(value)
    return value if at is None else at


def _same_text_or_moment(sent: object, echoed: object) -> bool | None:
    if sent == echoed:
        return True
    is_moment = isinstance(sent, str) and _seconds(sent) is not None
    return _same_moment(sent, echoed) if is_moment else _same_text(sent, echoed)


_TRUE = frozenset({"true", "True"})
_TRUTHS = (frozenset({"true", "false"}), frozenset({"True", "False"}))
# From 1973 to the year 5138, and as long before 1970: days, years, codes and seconds are smaller numbers.
_MILLISECONDS = range(10**11, 10**14)
_DIGITS = re.compile(r"-?[0-9]{1,400}(\.0+)?", re.ASCII)
_ZONE = re.compile(r"(Z|[+-][0-9]{2}:[0-9]{2})$", re.ASCII)

UNTYPED = Kind(_text_or_moment, _same_text_or_moment)
_KINDS = {
    "string": Kind(_text, _same_text),
    "integer": Kind(_numeric, _same_integer),
    "date": Kind(_milliseconds, _same_moment),
    "datetime": Kind(_milliseconds, _same_moment),
    "number": Kind(_single),
    "boolean": Kind(_truth),
}
