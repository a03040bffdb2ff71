"""How the csv_endpoint sink writes entities (facts/sesam.md §3.1 and §3.3)."""

import codecs
import csv
import io
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Literal

from local.node.transit import NI, Entity, Value, plain

QUOTING: Mapping[str, Literal[0, 1, 2, 3]] = {
    "all": csv.QUOTE_ALL,
    "minimal": csv.QUOTE_MINIMAL,
    "non-numeric": csv.QUOTE_NONNUMERIC,
    "none": csv.QUOTE_NONE,
}

# About what is sent as one chunk of the answer.
CHUNK_CHARACTERS = 64 * 1024


def csv_chunks(entities: Iterable[Entity], sink: Mapping[str, Any]) -> Iterator[bytes]:
    """Write entities as the sink's options say, all of which are given; never an empty chunk."""
    encoder = codecs.getincrementalencoder(sink["encoding"])(sink["encode_error_strategy"])
    pending = io.StringIO(newline="")
    if sink["byte_order_mark"]:
        pending.write("\ufeff")
    writer = csv.writer(
        pending,
        delimiter=sink["delimiter"],
        doublequote=sink["doublequote"],
        escapechar=sink["escapechar"],
        lineterminator=sink["lineterminator"],
        quotechar=sink["quotechar"],
        quoting=QUOTING[sink["quoting"]],
    )
    if sink["include_header"]:
        writer.writerow(sink["columns"])
    for entity in entities:
        if entity.get("_deleted") is True and sink["skip-deleted-entities"]:
            continue
        writer.writerow([_cell(entity.get(column)) for column in sink["columns"]])
        if pending.tell() >= CHUNK_CHARACTERS:
            yield encoder.encode(pending.getvalue())
            pending.seek(0)
            pending.truncate()
    if pending.tell():
        yield encoder.encode(pending.getvalue(), final=True)


def without_namespaces(entity: Entity) -> Entity:
    """Strip namespaces from `_id`, property names and identifiers, nested ones too (§1.3)."""
    stripped = {_identifier(name): _stripped(value) for name, value in entity.items()}
    return stripped | {"_id": _identifier(str(entity["_id"]))}


def _stripped(value: Value) -> Value:
    match value:
        case NI():
            return NI(value.bare)
        case list():
            return [_stripped(item) for item in value]
        case dict():
            return {_identifier(name): _stripped(item) for name, item in value.items()}
    return value


def _identifier(name: str) -> str:
    return name.rpartition(":")[2]


def _cell(value: Value) -> object:
    # Numbers stay numbers for the quoting "non-numeric"; how a node writes them otherwise is not documented.
    return value if isinstance(value, int | float) and not isinstance(value, bool) else plain(value)
