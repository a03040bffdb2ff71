"""How the node reads what a service has answered: as strictly as Sesam's own parser (facts/sesam.md §1.4).

Stricter than that parser in two places, where it silently takes a wrong value: a text cut at U+0000, and a
datetime whose offset it takes for nanoseconds. What it drops without an error is counted.
"""

import json
import math
import re
from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal
from typing import NoReturn

from local.node.transit import Entity, TransitError, decode_entity

_UNREADABLE_TEXT = re.compile("[\0\ud800-\udfff]")
_BOM = b"\xef\xbb\xbf"


class UnreadableError(ValueError):
    """The reply cannot be read; the pipe's run fails with this text."""


@dataclass(frozen=True, slots=True)
class Reading:
    """The entities of a reply, and how many of its elements were no objects and were dropped."""

    entities: list[Entity]
    dropped: int


def read(body: bytes) -> Reading:
    """Read a reply: an array of entities or one entity. JSON floats become decimals.

    Raises:
        UnreadableError: anything that Sesam's parser refuses, and what it would take wrongly.
    """
    document = _parse(body)
    elements = [document] if isinstance(document, dict) else document
    if not isinstance(elements, list):
        raise UnreadableError("the reply is neither an array nor an object")
    objects = [element for element in elements if isinstance(element, dict)]
    try:
        return Reading([decode_entity(entity) for entity in objects], len(elements) - len(objects))
    except TransitError as error:
        raise UnreadableError(str(error)) from None


def _parse(body: bytes) -> object:
    if body.startswith(_BOM):
        raise UnreadableError("the reply begins with a byte order mark")
    try:
        document = json.loads(body.decode("utf-8"), parse_float=_decimal, parse_constant=_refuse_constant)
        for text in _texts(document):
            if _UNREADABLE_TEXT.search(text):
                raise UnreadableError("the reply holds U+0000 or a lone surrogate")
    except UnreadableError:
        raise
    except UnicodeDecodeError:
        raise UnreadableError("the reply is not UTF-8") from None
    except RecursionError:
        raise UnreadableError("the reply is nested too deeply") from None
    except ValueError as error:
        raise UnreadableError(f"the reply is not JSON: {error}") from None
    return document


def _decimal(digits: str) -> Decimal:
    if math.isinf(float(digits)):
        raise UnreadableError(f"the reply holds a number out of range: {digits}")
    return Decimal(digits)


def _refuse_constant(name: str) -> NoReturn:
    raise UnreadableError(f"the reply holds {name}, which is no JSON")


def _texts(value: object) -> Iterator[str]:
    match value:
        case str():
            yield value
        case list():
            for item in value:
                yield from _texts(item)
        case dict():
            for key, item in value.items():
                yield key
                yield from _texts(item)
