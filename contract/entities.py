"""Entities side by side, their properties had column by column. Pure.

However they were decoded, an encoder reads them all in this one way.
"""

from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Any, Protocol

import msgspec

type Entity = Mapping[str, object]

ABSENT: Any = msgspec.UNSET
"""In the place of a value, where an entity has no such property."""


class Entities(Protocol):
    """Some entities, in order."""

    @property
    def names(self) -> frozenset[str]:
        """The names of their properties; of others too, which none of them happens to have."""

    def __len__(self) -> int: ...

    def column(self, name: str) -> Sequence[Any]:
        """Give each entity's value of a property: ABSENT where it has none."""

    def at(self, place: int) -> Entity:
        """Give one entity, with what it has."""

    def only(self, places: Sequence[int]) -> "Entities":
        """Give those at some places."""


class DictEntities:
    """Entities that are dicts."""

    def __init__(self, entities: Sequence[Entity]) -> None:
        self._entities = entities

    @cached_property
    def names(self) -> frozenset[str]:
        """See Entities."""
        return frozenset[str]().union(*self._entities)

    def __len__(self) -> int:
        return len(self._entities)

    def column(self, name: str) -> Sequence[Any]:
        """See Entities."""
        return [entity.get(name, ABSENT) for entity in self._entities]

    def at(self, place: int) -> Entity:
        """See Entities."""
        return self._entities[place]

    def only(self, places: Sequence[int]) -> "DictEntities":
        """See Entities."""
        return DictEntities([self._entities[place] for place in places])
