"""A request's body → entities, and entities with scores → the answer's body. Pure.

An entity keeps its own bytes from request to answer, so that `"~f7.7000"`, `1.0` and a 30-digit integer come
back as they came (facts/sesam.md §7 statement 5). Only what msgspec refuses (a bare NaN of an old node, a
number beyond double, a lone surrogate) takes the slow road through the standard library.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

import msgspec

from contract.columns import SLICE
from contract.entities import ABSENT, DictEntities, Entities, Entity
from contract.wire import nests_within
from errors import InvalidRequest, TooLarge
from scoring.shapes import Shape

type _Slow = tuple[bytes, dict[str, Any]]

_split = msgspec.json.Decoder(list[msgspec.Raw])
_one = msgspec.json.Decoder(msgspec.Raw)
_reread = msgspec.json.Decoder(dict[str, msgspec.Raw])
_write = msgspec.json.Encoder(decimal_format="number")
_add = msgspec.json.Encoder().encode
_add_lines = msgspec.json.Encoder().encode_lines

_REFUSED = (msgspec.DecodeError, UnicodeDecodeError, ValueError, RecursionError)


@dataclass(frozen=True, slots=True)
class Slice:
    """Some entities of a request, in order: of each its own JSON text, and its properties decoded."""

    texts: Sequence[bytes]
    entities: Entities

    def __len__(self) -> int:
        return len(self.texts)

    def ids(self) -> list[str]:
        """Give each one's `_id`; empty for the lone object of a rest transform that has none."""
        return [id_ if isinstance(id_, str) else "" for id_ in self.entities.column("_id")]

    def live(self) -> list[int]:
        """Give the places of those that are scored.

        The others come back unscored: `_deleted` exactly true (statement 13), or filtered out by DTL (§1.2).
        """
        flags = [self.entities.column(name) for name in ("_deleted", "_filtered")]
        if not any(True in column for column in flags):
            return list(range(len(self)))
        passes = [any(flag is True for flag in both) for both in zip(*flags, strict=True)]
        return [at for at, passing in enumerate(passes) if not passing]


class Batch:
    """The entities of one request, in order; `single` says that it held one bare object.

    Args:
        body: of the request.
        most_entities, deepest: the limits.
        shape: what is known of such entities.

    Raises:
        InvalidRequest: no JSON, or neither array nor object.
        TooLarge: more entities than the limit allows.
    """

    def __init__(self, body: bytes, most_entities: int, deepest: int, shape: Shape) -> None:
        self.single = body.lstrip()[:1] == b"{"
        self._body, self._deepest, self._shape = body, deepest, shape
        self._raws: Sequence[msgspec.Raw] = ()
        self._slow: Sequence[_Slow] = ()
        try:
            self._raws = [_one.decode(body)] if self.single else _split.decode(body)
        except _REFUSED:
            self._slow = _read_slowly(body, deepest)
        if len(self) > most_entities:
            raise TooLarge(
                f"The request holds {len(self)} entities, the limit is {most_entities} (limits.entities): "
                "lower the batch_size of the pipe's http transform."
            )
        # Depth cannot exceed the number of opening brackets, and those are soon counted. Of those in the body
        # each other entity and the array have one.
        self._shallow = _has_fewer_brackets(body, deepest + len(self))

    def __len__(self) -> int:
        return len(self._raws or self._slow)

    def slices(self) -> Iterator[Slice]:
        """Decode so many entities at a time as stay in the processor's cache.

        Raises:
            InvalidRequest: an element that is no object or has no `_id` of type string; its index is named
                (statement 4). Or what only decoding tells to be no JSON.
            TooLarge: deeper nesting than the limit allows.
        """
        for start in range(0, len(self), SLICE):
            part = self._decoded(slice(start, start + SLICE))
            self._check(part, start)
            yield part

    def _decoded(self, part: slice) -> Slice:
        if not self._slow:
            raws = self._raws[part]
            try:
                return Slice(list(map(bytes, raws)), self._shape.decode(raws))
            except _REFUSED:
                self._slow = _read_slowly(self._body, self._deepest)
        slow = self._slow[part]
        return Slice([text for text, _ in slow], DictEntities([properties for _, properties in slow]))

    def _check(self, part: Slice, start: int) -> None:
        ids = part.entities.column("_id")
        if self._shallow and set(map(type, ids)) == {str}:
            return
        for index, (text, identity) in enumerate(zip(part.texts, ids, strict=True)):
            if not isinstance(identity, str) and not (self.single and identity in (None, ABSENT)):
                raise InvalidRequest(
                    f"Element {start + index} has no _id of type string: send entities as Sesam does."
                )
            shallow = _has_fewer_brackets(text, self._deepest + 1)
            if not shallow and not nests_within(part.entities.at(index), self._deepest):
                raise TooLarge(
                    f"Element {start + index} is nested deeper than {self._deepest} levels (limits.depth)."
                )


def _has_fewer_brackets(text: bytes, bound: int) -> bool:
    """Say whether there are fewer opening brackets than the bound.

    By `find`, as `count` looks at every byte by itself.
    """
    found = 0
    for bracket in (b"{", b"["):
        at = text.find(bracket)
        while at >= 0:
            found += 1
            if found >= bound:
                return False
            at = text.find(bracket, at + 1)
    return True


def _read_slowly(body: bytes, deepest: int) -> list[_Slow]:
    """Read what msgspec refused: NaN becomes null (statement 12), anything else is named."""
    try:
        value = json.loads(body.decode(), parse_constant=lambda _: None, parse_float=Decimal)
    except UnicodeDecodeError:
        raise InvalidRequest("The body is not UTF-8: send JSON in UTF-8 without a byte order mark.") from None
    except json.JSONDecodeError as error:
        raise InvalidRequest(
            f"The body is not JSON ({error.msg} at line {error.lineno}, column {error.colno}): "
            "send an array of entities."
        ) from None
    except RecursionError:
        raise TooLarge(f"The body is nested deeper than {deepest} levels (limits.depth).") from None
    except (ValueError, ArithmeticError):
        raise InvalidRequest(
            "The body holds a number of too many digits, or with too large an exponent: repair it."
        ) from None
    elements = [value] if isinstance(value, dict) else value
    if not isinstance(elements, list):
        raise InvalidRequest("The body is neither an array of entities nor one entity.")
    return [_entity_of(element, index, deepest) for index, element in enumerate(elements)]


def _entity_of(element: object, index: int, deepest: int) -> _Slow:
    if not isinstance(element, dict):
        raise InvalidRequest(f"Element {index} is no object: send an array of entities.")
    try:
        return _write.encode(element), _with_floats(element)
    except UnicodeEncodeError:
        raise InvalidRequest(
            f"Element {index} holds half a surrogate pair, which is no text: repair it at its source."
        ) from None
    except RecursionError:
        raise TooLarge(f"Element {index} is nested deeper than {deepest} levels (limits.depth).") from None


def _with_floats(value: Any) -> Any:
    """Give back the floats that were read as decimals to keep their digits."""
    if isinstance(value, dict):
        return {key: _with_floats(child) for key, child in value.items()}
    if isinstance(value, list):
        return [_with_floats(child) for child in value]
    return float(value) if isinstance(value, Decimal) else value


def without(raw: bytes, prefix: str) -> bytes:
    """Take the properties that begin with `prefix` out of an entity; the others keep their bytes."""
    kept = {name: value for name, value in _reread.decode(raw).items() if not name.startswith(prefix)}
    return msgspec.json.encode(kept)


def with_properties(texts: Sequence[bytes], added: Sequence[Mapping[str, object]]) -> Sequence[bytes]:
    """Add properties to the JSON texts of entities, none of which may be there already.

    Gives the parts of the texts, for write_batch to put commas between.
    """
    if not texts:
        return ()
    # A line an entity, as msgspec writes none within; each begins with the bracket that is in the way.
    tails = _add_lines(added)[1:-1].replace(b"\n{", b"\n").split(b"\n")
    if all(added) and {text[:2] for text in texts} == {b'{"'}:
        parts = [b""] * (2 * len(texts))
        parts[::2], parts[1::2] = [text[:-1] for text in texts], tails
        return parts
    return [part for text, tail in zip(texts, tails, strict=True) for part in _with_tail(text, tail)]


def _with_tail(text: bytes, tail: bytes) -> tuple[bytes, ...]:
    if tail == b"}":
        return (text,)
    return (text[:-1], tail) if text[1:-1].strip() else (b"{" + tail,)


def only(entity: Entity) -> bytes:
    """Write `_id` and `_deleted` alone, for the scores to be added: the predecessor's shape.

    `_filtered` too: without it the sink would take an entity that DTL has filtered out for a live one.
    """
    kept = ("_id", "_deleted", "_filtered")
    return _add({name: entity[name] for name in kept if name in entity})


def write_batch(parts: Sequence[bytes], single: bool) -> bytes:
    """Write the answer, of the parts of its entities: an array, or the one object where one came.

    One join, as each copy of a large answer is as much new memory for the system to hand out.
    """
    if single:
        return b",".join(parts)
    if not parts:
        return b"[]"
    written = list(parts)
    written[0] = b"[" + written[0]
    written[-1] += b"]"
    return b",".join(written)
