"""A request's body → entities, and entities with scores → the answer's body. Pure.

An entity keeps its own bytes from request to answer, so that `"~f7.7000"`, `1.0` and a 30-digit integer come
back as they came (facts/sesam.md §7 statement 5). Only what msgspec refuses (a bare NaN of an old node, a
number beyond double, a lone surrogate) takes the slow road through the standard library.
"""

import json
from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any

import msgspec

from contract.wire import nests_within
from errors import InvalidRequest, TooLarge

type Properties = dict[str, Any]

_split = msgspec.json.Decoder(list[msgspec.Raw])
_one = msgspec.json.Decoder(msgspec.Raw)
_read = msgspec.json.Decoder(dict[str, Any])
_reread = msgspec.json.Decoder(dict[str, msgspec.Raw])
_write = msgspec.json.Encoder(decimal_format="number")


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


class Batch(msgspec.Struct, frozen=True):
    """The entities of one request, in order; `single` says that it held one bare object."""

    entities: Sequence[Entity]
    single: bool

    def names(self, prefix: str) -> frozenset[str]:
        """Give the names of properties in it that begin with a prefix."""
        names = frozenset().union(*(entity.properties for entity in self.entities))
        return frozenset(name for name in names if name.startswith(prefix))


def read_batch(body: bytes, most_entities: int, deepest: int) -> Batch:
    """Read a JSON array of entities, or one object.

    Raises:
        InvalidRequest: no JSON, neither array nor object, or an element that is no object or has no `_id`
            of type string; its index is named (statement 4).
        TooLarge: more entities or deeper nesting than the limits allow.
    """
    single = body.lstrip()[:1] == b"{"
    try:
        raws = [_one.decode(body)] if single else _split.decode(body)
        entities = [Entity(bytes(raw), _read.decode(raw)) for raw in raws]
    except (msgspec.DecodeError, UnicodeDecodeError, ValueError, RecursionError):
        entities = _read_slowly(body, deepest)
    if len(entities) > most_entities:
        raise TooLarge(
            f"The request holds {len(entities)} entities, the limit is {most_entities} (limits.entities): "
            "lower the batch_size of the pipe's http transform."
        )
    for index, entity in enumerate(entities):
        _check(entity, index, single, deepest)
    return Batch(entities, single)


def _check(entity: Entity, index: int, single: bool, deepest: int) -> None:
    identity = entity.properties.get("_id")
    if not isinstance(identity, str) and not (single and identity is None):
        raise InvalidRequest(f"Element {index} has no _id of type string: send entities as Sesam does.")
    # Depth cannot exceed the number of opening brackets, and counting those costs next to nothing.
    brackets = entity.raw.count(b"{") + entity.raw.count(b"[")
    if brackets > deepest and not nests_within(entity.properties, deepest):
        raise TooLarge(f"Element {index} is nested deeper than {deepest} levels (limits.depth).")


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


def with_properties(raw: bytes, added: Mapping[str, object]) -> bytes:
    """Add properties to an entity's JSON text; none of them may be there already."""
    if not added:
        return raw
    tail = msgspec.json.encode(added)
    return b"".join((raw[:-1], b",", tail[1:])) if raw[1:-1].strip() else tail


def only(entity: Entity, added: Mapping[str, object]) -> bytes:
    """Give `_id`, `_deleted` and the scores alone: the predecessor's shape (`return = "scores"`).

    `_filtered` too: without it the sink would take an entity that DTL has filtered out for a live one.
    """
    kept = ("_id", "_deleted", "_filtered")
    head = {name: entity.properties[name] for name in kept if name in entity.properties}
    return msgspec.json.encode(head | dict(added))


def write_batch(texts: Sequence[bytes], single: bool) -> bytes:
    """Write the answer: an array, or the one object where one came."""
    return texts[0] if single else b"[" + b",".join(texts) + b"]"
