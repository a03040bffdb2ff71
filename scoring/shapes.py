"""Entities decoded into slots: faster than dicts, and their columns are had at once (docs/benchmarks.md).

The entities of one pipe have the same few properties. The names that were seen are the slots of a struct, and
msgspec decodes entities of no other names into it. What has another name is decoded into dicts, and makes a
struct of more slots for those that follow. Where names are too many, or cannot be slots, all entities of the
model are dicts from then on. What comes of an entity is the same either way.
"""

from collections.abc import Callable, Sequence
from functools import cached_property
from itertools import chain
from typing import Any

import msgspec

from contract.entities import ABSENT, DictEntities, Entities, Entity

# A name that is not in its usual place is looked for among all: with more of them dicts are faster.
MOST_SLOTS = 100
# Names are kept for the life of a model: a hostile caller must not fill the memory with long ones.
MOST_CHARACTERS = 10_000

type Decode = Callable[[bytes | msgspec.Raw], Any]

_decode_dict: Decode = msgspec.json.Decoder(dict[str, Any]).decode


class Shape:
    """The names that one pipe's entities were seen to have; for many threads.

    Of two threads that learn names at once one may be forgotten, to be learned again.
    """

    def __init__(self) -> None:
        self._slots: _Slots | None = _Slots(())

    def decode(self, raws: Sequence[bytes | msgspec.Raw]) -> Entities:
        """Decode entities, each a JSON object.

        Raises:
            msgspec.DecodeError, UnicodeDecodeError, RecursionError: one of them is none.
        """
        slots = self._slots
        if slots is not None:
            try:
                return SlotEntities(slots, list(map(slots.decode, raws)))
            except msgspec.ValidationError:
                pass  # a name not seen before, or what is told below
        entities = list(map(_decode_dict, raws))
        if slots is not None:
            self._slots = _with_names(slots, entities)
        return DictEntities(entities)


class SlotEntities:
    """Entities that are structs."""

    def __init__(self, slots: "_Slots", structs: Sequence[msgspec.Struct]) -> None:
        self._slots = slots
        self._structs = structs
        self.names = slots.names

    def __len__(self) -> int:
        return len(self._structs)

    def column(self, name: str) -> Sequence[Any]:
        """See Entities."""
        place = self._slots.places.get(name)
        return [ABSENT] * len(self) if place is None else self._columns[place]

    def at(self, place: int) -> Entity:
        """See Entities."""
        values = msgspec.structs.astuple(self._structs[place])
        return {name: v for name, v in zip(self._slots.places, values, strict=True) if v is not ABSENT}

    def only(self, places: Sequence[int]) -> "SlotEntities":
        """See Entities."""
        return SlotEntities(self._slots, [self._structs[place] for place in places])

    @cached_property
    def _columns(self) -> Sequence[Sequence[Any]]:
        rows = map(msgspec.structs.astuple, self._structs)
        return list(zip(*rows, strict=True)) or [()] * len(self._slots.places)


class _Slots:
    """A slot for each name, and a decoder that takes no other.

    Raises:
        ValueError: a name that a slot cannot have: with a quote, a backslash or a control character in it.
    """

    def __init__(self, names: Sequence[str]) -> None:
        self.names = frozenset(names)
        self.places = {name: place for place, name in enumerate(names)}
        fields = [f"f{place}" for place in range(len(names))]
        struct = msgspec.defstruct(
            "Entity",
            [(field, Any, ABSENT) for field in fields],
            rename=dict(zip(fields, names, strict=True)),
            forbid_unknown_fields=True,
            gc=False,
        )
        self.decode: Decode = msgspec.json.Decoder(struct).decode


def _with_names(slots: _Slots, entities: Sequence[Entity]) -> _Slots | None:
    """Give slots for these entities' names too; None where they are too many, too long, or none for slots."""
    names = dict.fromkeys(chain(slots.places, *entities))
    if len(names) > MOST_SLOTS or sum(map(len, names)) > MOST_CHARACTERS:
        return None
    try:
        return _Slots(tuple(names))
    except ValueError:
        return None
