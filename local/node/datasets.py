"""Datasets: entities in versions, and the merge of several into one (facts/sesam.md §1.2).

A write that changes nothing makes no version. A version carries what Sesam puts on it: `_updated`, the
sequence number that feeds `since`; `_previous`, the earlier one or null; `_ts`, microseconds; `_hash`, of the
content with `_id` and `_deleted`.
"""

import hashlib
import json
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from typing import Any

from local.node.transit import NI, Entity, Value, encode

KEPT_RESERVED = ("_id", "_deleted")


class Dataset:
    """Entities by `_id`, latest versions, in the order in which they were last changed.

    `now` gives seconds since 1970.
    """

    def __init__(self, now: Callable[[], float]) -> None:
        self._now = now
        self._latest: dict[str, Entity] = {}
        self._next = 0

    def __iter__(self) -> Iterator[Entity]:
        return iter(list(self._latest.values()))

    def __len__(self) -> int:
        return len(self._latest)

    @property
    def end(self) -> int:
        """What the next version's `_updated` will be."""
        return self._next

    def since(self, seen: int) -> list[Entity]:
        """Give the latest versions whose `_updated` is `seen` or later, in their order."""
        return [entity for entity in self if _updated(entity) >= seen]

    def get(self, entity_id: str) -> Entity | None:
        """Give the latest version of an entity."""
        return self._latest.get(entity_id)

    def write(self, entity: Entity) -> bool:
        """Store an entity without reserved fields of others' making; say whether it made a new version.

        Raises:
            ValueError: it has no `_id` that is a string.
        """
        entity_id = entity.get("_id")
        if not isinstance(entity_id, str):
            raise ValueError("an entity has no _id that is a string")  # noqa: TRY004  # the value is wrong, not the call
        content = {name: value for name, value in entity.items() if not name.startswith("_")}
        content |= {"_id": entity_id, "_deleted": entity.get("_deleted") is True}
        digest = _hash(content)
        before = self._latest.get(entity_id)
        if before is not None and before["_hash"] == digest:
            return False
        self._latest.pop(entity_id, None)  # its new version comes last
        self._latest[entity_id] = content | {
            "_updated": self._next,
            "_previous": before["_updated"] if before else None,
            "_ts": int(self._now() * 1_000_000),
            "_hash": digest,
        }
        self._next += 1
        return True

    def delete_all_but(self, seen: Collection[str]) -> list[str]:
        """Track deletions after a full run: mark what was not seen as deleted, and give its ids."""
        unseen = [entity for entity in self if entity["_id"] not in seen and entity["_deleted"] is not True]
        for entity in unseen:
            self.write(entity | {"_deleted": True})
        return [str(entity["_id"]) for entity in unseen]


def _updated(entity: Entity) -> int:
    updated = entity["_updated"]
    assert isinstance(updated, int)  # noqa: S101  # it is we who put it there
    return updated


def _hash(content: Entity) -> str:
    text = json.dumps(encode(content), sort_keys=True)
    return hashlib.md5(text.encode(), usedforsecurity=False).hexdigest()


def merge(source: Mapping[str, Any], datasets: Mapping[str, Dataset]) -> list[Entity]:
    """Give what a merge source gives: entities that are the same by its `equality_sets`, as one.

    Of Sesam's ways this is version 2, identity `first`, strategy `default`: the `_id` of the first in the
    order of the datasets; properties united, where two have one into a list; nulls kept; `$ids` naming all.
    A deleted entity is not merged but comes by itself.
    """
    members = [
        (alias, entity)
        for name, _, alias in (item.partition(" ") for item in source["datasets"])
        for entity in sorted(datasets.get(name, ()), key=lambda entity: str(entity["_id"]))
    ]
    live = [(alias, entity) for alias, entity in members if entity["_deleted"] is not True]
    merged = {entity["_id"]: entity for entity in map(_united, _same(live, source["equality_sets"]))}
    for _, entity in members:
        if entity["_deleted"] is True:
            merged.setdefault(entity["_id"], _united([entity]) | {"_deleted": True})
    return list(merged.values())


def _same(
    members: Sequence[tuple[str, Entity]], equality_sets: Iterable[Sequence[str]]
) -> list[list[Entity]]:
    """Group the members that have a value in common under any of the sets, transitively."""
    group_of = {number: [number] for number in range(len(members))}
    for equal in equality_sets:
        properties = [path.partition(".")[::2] for path in equal]
        first_with: dict[str, int] = {}
        for number, (alias, entity) in enumerate(members):
            for value in (_values(entity.get(name)) for of, name in properties if of == alias):
                for text in (json.dumps(encode(item)) for item in value):
                    _join(group_of, first_with.setdefault(text, number), number)
    groups = {id(group): sorted(group) for group in group_of.values()}
    return [[members[number][1] for number in group] for group in groups.values()]


def _join(group_of: dict[int, list[int]], one: int, other: int) -> None:
    if group_of[one] is not group_of[other]:
        joined = group_of[other]
        group_of[one].extend(joined)
        for number in joined:
            group_of[number] = group_of[one]


def _united(group: Sequence[Entity]) -> Entity:
    united: Entity = {"_id": group[0]["_id"]}
    ids: list[Value] = []
    for entity in group:
        ids += _values(entity.get("$ids", [NI(str(entity["_id"]))]))
        for name, value in entity.items():
            if name.startswith("_") or name == "$ids":
                continue
            united[name] = _values(united[name]) + _values(value) if name in united else value
    return united | {"$ids": [ni for number, ni in enumerate(ids) if ni not in ids[:number]]}


def _values(value: Value) -> list[Value]:
    if isinstance(value, list):
        return value
    return [] if value is None else [value]
