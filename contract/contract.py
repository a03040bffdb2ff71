"""The contract: what a model trained on a version may rely on when it scores.

Derived from the facts of the version's columns, stored as JSON, named by its own hash; so two versions
whose columns, types, categories and ranges are the same share one contract.
"""

import hashlib
from collections.abc import Iterable
from typing import Self

import msgspec

from contract.facts import ColumnFacts, ColumnType

SCHEMA_VERSION = 1


class ContractUnreadable(ValueError):
    """The stored contract is damaged, or of a newer kind than this app knows."""


class Column(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One column of the training data, as the model was taught it."""

    name: str
    type: ColumnType
    nullable: bool = False
    """The version has empty cells here; otherwise the column is required."""
    spelling: str = ""
    minimum: int | float | str | None = None
    maximum: int | float | str | None = None
    categories: tuple[str, ...] | None = None
    """Sorted; what was seen at least FEWEST_SEEN times."""


class Contract(msgspec.Struct, frozen=True, kw_only=True):
    """Names, order, types, categories and ranges of a version's columns; `label` is what it learns."""

    schema_version: int
    label: str
    columns: tuple[Column, ...]

    @property
    def features(self) -> tuple[str, ...]:
        """The columns a model is sent unless the settings choose: all but the label and reserved names."""
        return tuple(c.name for c in self.columns if c.name != self.label and not is_reserved(c.name))

    @property
    def id(self) -> str:
        """The contract's name: a hash of its content."""
        return hashlib.sha256(self.to_json()).hexdigest()[:32]

    def to_json(self) -> bytes:
        """Write it as stored; the bytes decide its id."""
        return msgspec.json.format(msgspec.json.encode(self), indent=2)

    @classmethod
    def from_json(cls, data: bytes, expected_id: str) -> Self:
        """Read a stored contract and prove that it is the one asked for.

        Raises:
            ContractUnreadable: damaged, changed by hand, or of a newer schema version.
        """
        if hashlib.sha256(data).hexdigest()[:32] != expected_id:
            raise ContractUnreadable("its content does not match its id: it was damaged or changed by hand")
        try:
            version = msgspec.json.decode(data, type=_Versioned).schema_version
            if version != SCHEMA_VERSION:
                raise ContractUnreadable(
                    f"its schema version is {version}, this app knows {SCHEMA_VERSION}: deploy a newer app"
                )
            return msgspec.json.decode(data, type=cls)
        except msgspec.DecodeError as error:
            raise ContractUnreadable(f"it is not a contract: {error}") from None


class _Versioned(msgspec.Struct):
    schema_version: int


def is_reserved(name: str) -> bool:
    """Say whether a property is Sesam's own and never a feature by itself (statement 9)."""
    return name.startswith(("_", "$")) or name == "rdf:type"


def contract_of(columns: Iterable[ColumnFacts], label: str) -> Contract:
    """Derive the contract from the facts of a version's columns."""
    return Contract(
        schema_version=SCHEMA_VERSION, label=label, columns=tuple(_column(facts) for facts in columns)
    )


def _column(facts: ColumnFacts) -> Column:
    categories = facts.categories
    return Column(
        name=facts.name,
        type=facts.type,
        nullable=facts.empties > 0,
        spelling=facts.spelling,
        minimum=facts.minimum,
        maximum=facts.maximum,
        categories=None if categories is None else tuple(sorted(c.value for c in categories)),
    )
