"""A request's body → entities, and entities with scores → the answer's body. Pure.

An entity keeps its own bytes from request to answer, so that `"~f7.7000"`, `1.0` and a 30-digit integer come
back as they came (facts/sesam.md §7 statement 5). Only what msgspec refuses (a bare NaN of an old node, a
number beyond double, a lone surrogate) takes the slow road through the standard library.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from decimal import Decimal
from typing import Any

import msgspec

from contract.columns import SLICE
from contract.wire import nests_within
from errors import InvalidRequest, TooLarge

type Properties = dict[str, Any]

_split = msgspec.json.Decoder(list[msgspec.Raw])
_one = msgspec.json.Decoder(msgspec.Raw)
_read = msgspec.json.Decoder(Properties)
_reread = msgspec.json.Decoder(dict[str, msgspec.Raw])
_write = msgspec.json.Encoder(decimal_format="number")
_add = msgspec.json.Encoder().encode

_REFUSED = (msgspec.DecodeError, UnicodeDecodeError, ValueError, RecursionError)


class Entity(msgspec.Struct, frozen=True, gc=False):
    """One entity of the request: its own JSON text and its properties decoded."""

    raw: bytes
    properties: Properties

    @property
    def id(self) -> str:
        """Its `_id`; empty for the lone object of a rest transform that has none."""
        return str(self.properties.get("_id", ""))

    @property
    def passes(self) -> bool:
        """Comes back unscored: `_deleted` exactly true (statement 13), or filtered out by DTL (§1.2)."""
        return self.properties.get("_deleted") is True or self.properties.get("_filtered") is True


class Batch:
    """The entities of one request, in order; `single` says that it held one bare object.

    Raises:
        InvalidRequest: no JSON, or neither array nor object.
        TooLarge: more entities than the limit allows.
    """

    def __init__(self, body: bytes, most_entities: int, deepest: int) -> None:
        self.single = body.lstrip()[:1] == b"{"
        self._body, self._deepest = body, deepest
        self._raws: Sequence[msgspec.Raw] = ()
        self._slow: Sequence[Entity] = ()
        try:
            self._raws = [_one.decode(body)] if self.single else _split.decode(body)
        except _REFUSED:
            self._slow = _read_slowly(body, deepest)
        if len(self) > most_entities:
            raise TooLarge(
                f"The request holds {len(self)} entities, the limit is {most_entities} (limits.entities): "
                "lower the batch_size of the pipe's http transform."
            )
        # Depth cannot exceed the number of opening brackets, and counting those costs next to nothing. Of
        # those in the body each other entity and the array have one.
        self._shallow = body.count(b"{") + body.count(b"[") - len(self) < deepest

    def __len__(self) -> int:
        return len(self._raws or self._slow)

    def slices(self) -> Iterator[Sequence[Entity]]:
        """Decode so many entities at a time as stay in the processor's cache.

        Raises:
            InvalidRequest: an element that is no object or has no `_id` of type string; its index is named
                (statement 4). Or what only decoding tells to be no JSON.
            TooLarge: deeper nesting than the limit allows.
        """
        for start in range(0, len(self), SLICE):
            entities = self._decoded(slice(start, start + SLICE))
            self._check(entities, start)
            yield entities

    def _decoded(self, part: slice) -> Sequence[Entity]:
        if not self._slow:
            raws = self._raws[part]
            try:
                return list(map(Entity, map(bytes, raws), map(_read.decode, raws)))
            except _REFUSED:
                self._slow = _read_slowly(self._body, self._deepest)
        return self._slow[part]

    def _check(self, entities: Sequence[Entity], start: int) -> None:
        if self._shallow and {type(entity.properties.get("_id")) for entity in entities} == {str}:
            return
        for index, entity in enumerate(entities, start):
            identity = entity.properties.get("_id")
            if not isinstance(identity, str) and not (self.single and identity is None):
                raise InvalidRequest(
                    f"Element {index} has no _id of type string: send entities as Sesam does."
                )
            brackets = entity.raw.count(b"{") + entity.raw.count(b"[")
            if brackets > self._deepest and not nests_within(entity.properties, self._deepest):
                raise TooLarge(
                    f"Element {index} is nested deeper than {self._deepest} levels (limits.depth)."
                )


def _read_slowly(body: bytes, deepest: int) -> list[Entity]:
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
        raise InvalidRequest("The body holds a number that no computer takes: repair it.") from None
    elements = [value] if isinstance(value, dict) else value
    if not isinstance(elements, list):
        raise InvalidRequest("The body is neither an array of entities nor one entity.")
    return [_entity_of(element, index, deepest) for index, element in enumerate(elements)]


def _entity_of(element: object, index: int, deepest: int) -> Entity:
    if not isinstance(element, dict):
        raise InvalidRequest(f"Element {index} is no object: send an array of entities.")
    try:
        raw = _write.encode(element)
        return Entity(raw, _with_floats(element))
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


def with_properties(raw: bytes, added: Mapping[str, object]) -> tuple[bytes, ...]:
    """Add properties to an entity's JSON text, none of which may be there already.

    Gives the parts of the text, for write_batch to put commas between.
    """
    if not added:
        return (raw,)
    tail = _add(added)
    has_others = raw[1:2] == b'"' or raw[1:-1].strip()
    return (raw[:-1], tail[1:]) if has_others else (tail,)


def only(entity: Entity) -> bytes:
    """Give `_id` and `_deleted` alone, for the scores to be added: the predecessor's shape.

    `_filtered` too: without it the sink would take an entity that DTL has filtered out for a live one.
    """
    kept = ("_id", "_deleted", "_filtered")
    return _add({name: entity.properties[name] for name in kept if name in entity.properties})


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
