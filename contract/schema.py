"""A contract as JSON Schema (draft 2020-12), for whoever checks entities before they come here. Pure.

What the schema refuses, scoring refuses too. The other way round it says what JSON Schema can: names with
and without namespace, required columns, types in every form the wire has. It cannot say that two properties
fall on one name, that a day exists or that a text is within 64 bits; and `map`, `features` and the scores of
an earlier round are a model's, not the contract's.

What the model has seen (ranges, categories) refuses nothing by itself; it stands beside each column as
`x-seen`, an annotation.
"""

import re
from typing import Any

import msgspec

from contract.contract import Column, Contract

DRAFT = "https://json-schema.org/draft/2020-12/schema"

type Schema = dict[str, Any]

# As contract/values.py and contract/wire.py read them; a test holds the two together.
_INTEGER = r"(?:0|-?[1-9][0-9]*)"
_NUMBER = r"-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?"
_DIGITS = r"[+-]?(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][+-]?[0-9]+)?"
_DECIMAL = f"~[fd]{_DIGITS}"
_DATE = r"[0-9]{4}-[0-9]{2}-[0-9]{2}"
_TIME = r"[T ][0-9]{2}:[0-9]{2}:[0-9]{2}(?:\.[0-9]{1,9})?(?:Z|[+-][0-9]{2}:[0-9]{2})?"
_BOOLEAN = "(?:[Tt]rue|[Ff]alse)"
_TAGGED = r"(?:~:(?:[\s\S]*:)?|~[rub])"

# The characters that mean something in a pattern; a schema's patterns are ECMAScript's, where no others may
# be escaped.
_SPECIAL = re.compile(r"[\\^$.|?*+(){}\[\]/]")


def json_schema(contract: Contract) -> bytes:
    """Write the schema of an entity that fits a contract, as JSON a person can read."""
    features = frozenset(contract.features)
    schema: Schema = {
        "$schema": DRAFT,
        "$id": f"urn:sesam-azureml:contract:{contract.id}",
        "title": "An entity that fits the contract",
        "description": "Each column is looked for by its exact name, then without namespace.",
        "type": "object",
        "properties": {"_id": {"type": "string"}},
    }
    if features:  # an empty list is no schema
        schema["allOf"] = [_bound(column) for column in contract.columns if column.name in features]
    return msgspec.json.format(msgspec.json.encode(schema), indent=2)


def _bound(column: Column) -> Schema:
    """Find a column's property, and say what it may hold."""
    value = _value(column)
    namespace = "" if ":" in column.name else r"[\s\S]*:"
    elsewhere = rf"^(?![_$]|rdf:type$){namespace}{_SPECIAL.sub(r'\\\g<0>', column.name)}$"
    otherwise: Schema = {"patternProperties": {elsewhere: value}}
    if not column.nullable:
        # At least one name matches: not all names are others.
        otherwise["not"] = {"propertyNames": {"not": {"pattern": elsewhere}}}
    return {
        "title": column.name,
        "x-seen": _seen(column),
        "if": {"required": [column.name]},
        "then": {"properties": {column.name: value}},
        "else": otherwise,
    }


def _value(column: Column) -> Schema:
    """Say what a property may hold: one value of the type, or a list of one; null is none."""
    one: Schema = {"anyOf": [{"type": "null"}, *_forms(column)]}
    return {"anyOf": [*one["anyOf"], {"type": "array", "minItems": 1, "maxItems": 1, "items": one}]}


def _forms(column: Column) -> list[Schema]:
    bits: list[Schema] = [{"type": "boolean"}] if {column.minimum, column.maximum} <= {0, 1} else []
    match column.type:
        case "integer":
            whole = {"type": "integer", "minimum": -(2**63), "maximum": 2**63 - 1}
            return [whole, *bits, _text(f"{_INTEGER}|{_DECIMAL}|{_TAGGED}{_INTEGER}")]
        case "number":
            return [{"type": "number"}, *bits, _text(f"{_NUMBER}|{_DECIMAL}|{_TAGGED}{_NUMBER}")]
        case "boolean":
            return [{"type": "boolean"}, _text(f"{_BOOLEAN}|{_TAGGED}{_BOOLEAN}")]
        case "date":
            return [_text(f"(?:~t|{_TAGGED})?{_DATE}")]
        case "datetime":
            return [_text(f"(?:~[trub])?{_DATE}{_TIME}")]
        case "string":
            return _any_text(column)


def _any_text(column: Column) -> list[Schema]:
    # In a tagged column every text stands as it is.
    refused = "" if column.spelling == "tagged" else f"^(?:~t{_DATE}|~[fd][+-]?(?:NaN|Inf|Infinity)$)"
    text: Schema = {"type": "string"} | ({"not": {"pattern": refused}} if refused else {})
    spelled = bool({"true", "True", "false", "False"} & set(column.categories or ()))
    booleans: list[Schema] = [{"type": "boolean"}] if spelled else []
    return [{"type": "number"}, *booleans, text]


def _text(pattern: str) -> Schema:
    """Say a text of a pattern, or the empty text, which is null."""
    return {"type": "string", "pattern": f"^(?:|{pattern})$"}


def _seen(column: Column) -> Schema:
    facts = {"minimum": column.minimum, "maximum": column.maximum, "categories": column.categories}
    return {"type": column.type} | {name: value for name, value in facts.items() if value is not None}
