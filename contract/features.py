"""An entity → one row of features, through a contract. Pure, and the hottest code of scoring.

What is encoded from an entity's JSON equals what is read from its CSV row (statement 43): both ends go
through contract/values.py. A value that does not fit is never changed: it is that entity's error.
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from types import NoneType
from typing import NamedTuple

from contract.columns import ReadAll, column_reader
from contract.contract import Column, Contract, is_reserved
from contract.entities import ABSENT, DictEntities, Entities, Entity
from contract.scalars import Reader, Unfit, outside_of, scalar_reader
from contract.values import Value
from contract.wire import bare_name

type Row = list[Value | None]

# Entities of one pipe come in few shapes; a hostile caller must not fill the memory with more.
MOST_PLANS = 512
LARGEST_SHAPE = 1000


class Remark(NamedTuple):
    """Something about one feature of one entity: an error, or a value outside what the model saw."""

    feature: str
    reason: str


class DoesNotFit(Exception):
    """An entity that cannot be encoded; `remarks` names every feature and why, never a value."""

    def __init__(self, remarks: Sequence[Remark]) -> None:
        super().__init__("; ".join(f"{r.feature}: {r.reason}" for r in remarks))
        self.remarks = tuple(remarks)


class PrefixTaken(DoesNotFit):
    """An entity with a property of the hub's own where only the model's scores stand: it would be lost."""


class Encoded(NamedTuple):
    """A row in the order of `Encoder.columns`, and what in it lies outside the contract."""

    row: Row
    outside: tuple[Remark, ...]


class EncodedRows(NamedTuple):
    """Entities encoded together.

    Attributes:
        rows: one for each entity, in order; of one that does not fit it says nothing.
        misfits: those that do not fit, by their places.
        outside: what lies outside the contract, by the places of entities that fit.
    """

    rows: Sequence[Row]
    misfits: Mapping[int, DoesNotFit]
    outside: Mapping[int, tuple[Remark, ...]]


class _Judged(NamedTuple):
    """A value as it is sent, why it does not fit, and what in it lies outside the contract."""

    value: Value | None
    wrong: str = ""
    outside: str | None = None


_ABSENT_TYPE = type(ABSENT)
_TEXT_OR_NULL = frozenset({str, NoneType})


@dataclass(frozen=True, slots=True)
class _Feature:
    """One column to send: where it comes from and how it is read."""

    name: str
    read: Reader
    read_all: ReadAll
    required: bool
    outside: Callable[[Value], str | None] | None

    def column(
        self, found: Sequence[object], wrong: dict[int, list[Remark]], outside: dict[int, list[Remark]]
    ) -> Sequence[Value | None]:
        """Read a column of JSON values, ABSENT where there is none; note what is wrong or outside."""
        kinds = set(map(type, found))
        if _ABSENT_TYPE in kinds and not self.required:
            found = [None if value is ABSENT else value for value in found]
            kinds = (kinds - {_ABSENT_TYPE}) | {NoneType}
        told = self.read_all(found, kinds)
        return told if told is not None else self._one_by_one(found, wrong, outside)

    def _one_by_one(
        self, found: Sequence[object], wrong: dict[int, list[Remark]], outside: dict[int, list[Remark]]
    ) -> Sequence[Value | None]:
        # Equal texts are judged once; few distinct ones are then a lookup.
        known = {value: self._judge(value) for value in {v for v in found if type(v) in _TEXT_OR_NULL}}
        remarked = any(judged.wrong or judged.outside for judged in known.values())
        if not remarked and _TEXT_OR_NULL.issuperset(map(type, found)):
            told = {value: judged.value for value, judged in known.items()}
            return [told[value] for value in found]
        column: list[Value | None] = []
        for at, value in enumerate(found):
            judged = known[value] if type(value) in _TEXT_OR_NULL else self._judge(value)
            column.append(judged.value)
            if judged.wrong:
                wrong.setdefault(at, []).append(Remark(self.name, judged.wrong))
            elif judged.outside:
                outside.setdefault(at, []).append(Remark(self.name, judged.outside))
        return column

    def constant(self, value: Value | None) -> Value | None:
        """Read a constant as the column's cells are read.

        Raises:
            ValueError: it is not of the column's type.
        """
        try:
            return self.read(value)
        except Unfit as error:
            raise ValueError(f"the constant for {self.name} does not fit its column: {error}") from None

    def _judge(self, found: object) -> _Judged:
        if found is ABSENT:
            return _Judged(None, "required, but the entity has no such property under any namespace")
        try:
            value = self.read(found)
        except Unfit as error:
            return _Judged(None, str(error))
        if value is None:
            return _Judged(None, "", "null, in a column that never was empty" if self.required else None)
        return _Judged(value, "", self.outside(value) if self.outside is not None else None)


class Encoder:
    """Encodes entities for one model.

    Args:
        contract: the adopted contract, or None: then names alone are bound and values go untyped.
        features: the columns to send, in order; empty means the contract's features.
        constants: columns always sent with these values: a feature at its place among the features, read as
            its cells are; any other, as the label, behind them, as it stands.
        choices: feature → property, where two properties fall on one name.
        prefix: properties that begin so are our own scores of an earlier round, never features.
        echoes: sent columns that stand among those scores, as the model's `outputs` ask for them.
        naive: give datetimes without their Z, for models trained on naive times (they stay UTC).

    Attributes:
        columns: the names of a row's values, in order.
        described: for each of them its column in the contract, or None.

    Raises:
        ValueError: `features` or `choices` name a column that there is not, `features` the label, the prefix
            covers a property of the hub's own, or a constant has no place or is not of its column's type.
    """

    def __init__(
        self,
        contract: Contract | None,
        *,
        features: Sequence[str] = (),
        constants: Mapping[str, Value | None] | None = None,
        choices: Mapping[str, str] | None = None,
        prefix: str = "",
        echoes: Collection[str] = (),
        naive: bool = False,
    ) -> None:
        constants = constants or {}
        self._choices = dict(choices or {})
        self._prefix = prefix
        names = tuple(features) or (contract.features if contract else ())
        known = {c.name: c for c in contract.columns} if contract else None
        if contract and contract.label and contract.label in names:
            raise ValueError(f"features names {contract.label}, the label, which is never sent")
        _refuse_unplaced(constants, names, contract)
        _refuse_unknown_choices(self._choices, set(names) - constants.keys())
        _refuse_covered(prefix, (*names, *(known or ()), *self._choices.values()))
        described = tuple(_feature(name, known, naive) for name in names)
        self._features = tuple(feature for feature in described if feature.name not in constants)
        self._constants = dict(constants) | {
            feature.name: feature.constant(constants[feature.name])
            for feature in described
            if known is not None and feature.name in constants
        }
        self.columns = (*names, *(name for name in constants if name not in names))
        self.described = tuple((known or {}).get(name) for name in self.columns)
        # A column that is sent is no score: under the prefix it is the hub's own, of a namespace named so.
        self._foreign = {f"{prefix}{name}": name for name in self.columns if prefix and name not in echoes}
        self._plans: dict[frozenset[str], _Plan] = {}

    def encode(self, entity: Entity) -> Encoded:
        """Encode one entity.

        Raises:
            DoesNotFit: naming every feature that is absent, ambiguous or not of its type.
            PrefixTaken: naming the properties that the prefix covers and that are no scores.
        """
        encoded = self.encode_together(DictEntities([entity]))
        for misfit in encoded.misfits.values():
            raise misfit
        return Encoded(encoded.rows[0], encoded.outside.get(0, ()))

    def encode_together(self, entities: Entities) -> EncodedRows:
        """Encode entities, at best SLICE of them, column by column.

        Each comes out as if it were encoded alone.
        """
        plan = self._plan(entities.names)
        if plan.by_shape:  # it may be so by names that none of these entities has
            plan = self._plan(frozenset[str]().union(*map(entities.at, range(len(entities)))))
        if not plan.by_shape:
            return self._encode_by(plan, entities)
        # Which property counts, or whether any is refused, depends on what each entity has.
        shapes: dict[frozenset[str], list[int]] = {}
        for at in range(len(entities)):
            shapes.setdefault(frozenset(entities.at(at)), []).append(at)
        rows: dict[int, Row] = {}
        misfits: dict[int, DoesNotFit] = {}
        outside: dict[int, tuple[Remark, ...]] = {}
        for shape, places in shapes.items():
            alike = self._encode_by(self._plan(shape), entities.only(places))
            rows.update(zip(places, alike.rows, strict=True))
            misfits.update((places[at], misfit) for at, misfit in alike.misfits.items())
            outside.update((places[at], remarks) for at, remarks in alike.outside.items())
        return EncodedRows([rows[at] for at in range(len(entities))], misfits, outside)

    def _encode_by(self, plan: "_Plan", entities: Entities) -> EncodedRows:
        places = range(len(entities))
        if plan.colliding:
            refused: DoesNotFit = PrefixTaken(plan.colliding)
            return EncodedRows([[] for _ in places], dict.fromkeys(places, refused), {})
        wrong: dict[int, list[Remark]] = {}
        outside: dict[int, list[Remark]] = {}
        read: list[Sequence[Value | None]] = []
        for feature, key in zip(self._features, plan.properties, strict=True):
            if candidates := plan.doubled.get(feature.name):
                for at in places:
                    wrong.setdefault(at, []).append(Remark(feature.name, _doubled(candidates)))
                read.append([None] * len(places))
                continue
            found = [ABSENT] * len(places) if key is None else entities.column(key)
            read.append(feature.column(found, wrong, outside))
        columns = self._with_constants(read, len(places))
        return EncodedRows(
            list(map(list, zip(*columns, strict=True))) if columns else [[] for _ in places],
            {at: DoesNotFit(remarks) for at, remarks in wrong.items()},
            {at: tuple(remarks) for at, remarks in outside.items() if at not in wrong},
        )

    def _with_constants(
        self, read: Sequence[Sequence[Value | None]], count: int
    ) -> Sequence[Sequence[Value | None]]:
        if not self._constants:
            return read
        following = iter(read)
        return [
            [self._constants[name]] * count if name in self._constants else next(following)
            for name in self.columns
        ]

    def _plan(self, properties: frozenset[str]) -> "_Plan":
        plan = self._plans.get(properties)
        if plan is None:
            plan = self._bind(properties)
            if len(self._plans) < MOST_PLANS and len(properties) <= LARGEST_SHAPE:
                self._plans[properties] = plan
        return plan

    def _bind(self, properties: Collection[str]) -> "_Plan":
        """Find each feature's property: the chosen one, else the exact name, else without namespace."""
        by_bare: dict[str, list[str]] = {}
        for name in properties:
            if not is_reserved(name) and not (self._prefix and name.startswith(self._prefix)):
                by_bare.setdefault(bare_name(name), []).append(name)
        bound: list[str | None] = []
        doubled: dict[str, tuple[str, ...]] = {}
        exact_and_more = False
        for feature in self._features:
            name = self._choices.get(feature.name, feature.name)
            candidates = by_bare.get(name, [])
            if name in properties:
                bound.append(name)
                exact_and_more |= len(candidates) > (name in candidates)
                continue
            bound.append(candidates[0] if len(candidates) == 1 else None)
            if len(candidates) > 1:
                doubled[feature.name] = tuple(sorted(candidates))
        colliding = tuple(
            Remark(self._foreign[name], f"{name} stands where the model's own scores do: set another prefix")
            for name in properties
            if name in self._foreign
        )
        return _Plan(tuple(bound), doubled, colliding, exact_and_more)


@dataclass(frozen=True, slots=True)
class _Plan:
    """Where the features of some entities come from.

    Attributes:
        properties: each feature's property; None where there is none, or more than one.
        doubled: the features with more than one, and which.
        colliding: the properties that the prefix covers and that are no scores.
        exact_and_more: some property matches a feature exactly, others only without namespace; those count
            only where the exact one is absent.
    """

    properties: tuple[str | None, ...]
    doubled: Mapping[str, Sequence[str]]
    colliding: Sequence[Remark]
    exact_and_more: bool

    @property
    def by_shape(self) -> bool:
        """Say whether each shape of entities needs a plan of its own."""
        return bool(self.doubled or self.colliding or self.exact_and_more)


def _doubled(candidates: Sequence[str]) -> str:
    return f"several properties match this name ({', '.join(candidates)}): choose one in the model's map"


def _refuse_unknown_choices(choices: Mapping[str, str], names: Collection[str]) -> None:
    if unknown := sorted(choices.keys() - set(names)):
        raise ValueError(f"map names {', '.join(unknown)}, which is no feature")


def _refuse_unplaced(constants: Collection[str], names: Collection[str], contract: Contract | None) -> None:
    # Behind the others it would shift what a service reads by position.
    features = contract.features if contract else ()
    if unplaced := [name for name in constants if name in features and name not in names]:
        raise ValueError(
            f"constants names {', '.join(unplaced)}, a column of the contract that features leaves out: "
            "name it there too, at its place"
        )


def _refuse_covered(prefix: str, names: Collection[str]) -> None:
    if covered := sorted({name for name in names if prefix and name.startswith(prefix)}):
        raise ValueError(
            f"the prefix {prefix} covers {', '.join(covered)}, which would be taken for scores: set another"
        )


def _feature(name: str, known: Mapping[str, Column] | None, naive: bool) -> _Feature:
    if known is None:
        return _Feature(name, scalar_reader(None), column_reader(None), required=False, outside=None)
    if name not in known:
        raise ValueError(f"features names {name}, which is no column of the contract")
    column = known[name]
    return _Feature(
        name,
        scalar_reader(column, naive=naive),
        column_reader(column, naive=naive),
        required=not column.nullable,
        outside=outside_of(column),
    )
