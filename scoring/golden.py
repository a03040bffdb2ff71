"""Golden rows: the trained model's own predictions, held against what the live endpoint answers (issue 5).

Training stores at most 200 rows of its version with what the model itself said of them. They are replayed
through the version's contract and the endpoint before a model adopts the version, so that it is proven, not
believed, that the deployed model gets what it was taught: two features swapped, another model deployed, or
another reading of a cell show here.

Numbers, in lists and objects too, are the same within TOLERANCE, relative to the larger or absolute, and half
a unit of the last place where the settings round (`decimals`). Anything else must be equal. A difference is
told by row, by score and by size; a feature's value never is.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from itertools import combinations
from typing import Any, NamedTuple, TypeIs

import msgspec

from contract.documents import Golden, decode, encode
from contract.features import DoesNotFit, Encoder, Row
from contract.wire import bare_name, nests_within
from errors import Conflict, EntitiesDoNotFit, Failure, InvalidRequest, NoContract, NotFound, TooLarge
from scoring.batch import Model
from scoring.contracts import Adopted, Contracts
from scoring.deadline import Deadline
from scoring.dialects import AnswerUnusable, Results
from scoring.rows import RowRefused, Scores
from scoring.scores import scores_of
from storage import Container, golden_blob

MOST_ROWS = 200

# Services compute in other orders and print other digits; a wrong feature moves a score by far more.
TOLERANCE = 1e-6

ROWS_TOLD = 3

# What a refusal may cost beside the replay, to say which two features were swapped.
MOST_PAIRS = 500
ROWS_PROBED = 5
PAIRS_TOLD = 3

_SWAPPED = "With {} swapped they are answered as trained. "


class Kept(msgspec.Struct, frozen=True):
    """What was stored, and how many rows of it."""

    version: str
    rows: int


class Difference(NamedTuple):
    """One row that the endpoint answers otherwise; `scores` are names of answer columns."""

    row: int
    id: str
    scores: tuple[str, ...]
    told: str


def keep(model: Model, rows: Golden, contracts: Contracts, container: Container) -> Kept:
    """Store golden rows of a version, in place of earlier ones.

    Raises:
        InvalidRequest: none or too many rows, not one set of scores for each, or a row without scores.
        TooLarge: a row nests deeper than `limits.depth`.
        EntitiesDoNotFit: a row cannot be encoded through the version's contract.
        NotFound: the model has no export, or there is no such version.
        Conflict: the model's settings do not suit the version.
    """
    _refuse_wrong_shape(rows, model.limits.depth)
    candidate = candidate_of(model, rows.version, contracts)
    _encoded(model, _encoder(model, candidate), rows)
    container.put(golden_blob(model.name, rows.version), encode(rows))
    return Kept(rows.version, len(rows.entities))


def stored(model: Model, version: str, container: Container) -> Golden | None:
    """Read the golden rows of a version; None where training stored none.

    Raises:
        Conflict: they are damaged.
    """
    blob = container.read(golden_blob(model.name, version))
    if blob is None:
        return None
    try:
        return decode(blob.data, Golden)
    except msgspec.DecodeError:
        raise Conflict(
            f"{golden_blob(model.name, version)} is damaged: store the golden rows again."
        ) from None


def as_posted(entity: Mapping[str, Any], choices: Mapping[str, str]) -> Mapping[str, Any]:
    """Let a CSV row's cells stand for the properties that `map` chooses, where the row lacks them."""
    there = {*entity, *map(bare_name, entity)}
    lacking = {name: chosen for name, chosen in choices.items() if chosen not in there}
    return {**entity, **{chosen: entity[name] for name, chosen in lacking.items() if name in entity}}


def candidate_of(model: Model, version: str, contracts: Contracts) -> Adopted:
    """Read a version as one that a model could adopt.

    Raises:
        NotFound: the model has no export to adopt from, or there is no such version.
        NoContract: the version's contract is missing or damaged.
    """
    export = model.settings.contract
    if not export:
        raise NotFound(f"The model {model.name} has no contract in its settings: there is nothing to adopt.")
    contract_id = contracts.manifest(export, version).contract_id
    return Adopted(version, contract_id, contracts.contract_of(export, version), "")


def prove(model: Model, candidate: Adopted, container: Container, deadline: Deadline) -> int:
    """Replay a version's golden rows through its contract and the endpoint; give how many there are.

    Raises:
        Conflict: the endpoint answers a row differently, refuses one, or the settings do not suit the rows.
        Failure: the endpoint could not be asked; nothing is known.
    """
    encoder = _encoder(model, candidate)
    golden = stored(model, candidate.version, container)
    if golden is None:
        return 0
    try:
        rows = _encoded(model, encoder, golden)
    except EntitiesDoNotFit as misfit:
        raise Conflict(misfit.detail, entities=misfit.entities, features=misfit.features) from None
    found = list(differences(golden, model.send(encoder, rows, deadline), model))
    if found:
        swapped = _swapped(model, encoder, golden, rows, [each.row for each in found], deadline)
        raise _refused(model, candidate.version, len(rows), len(encoder.columns), found, swapped)
    return len(rows)


def _swapped(
    model: Model,
    encoder: Encoder,
    golden: Golden,
    rows: Sequence[Row],
    wrong: Sequence[int],
    deadline: Deadline,
) -> str:
    """Look which two features the deployed model has swapped; empty where it is not that.

    Rows are sent again with two features of one type in each other's place: where all are answered as the
    trained model did, it is these two. First one row with every pair, then more rows with what is left.
    """
    pairs = list(_pairs(encoder, rows[wrong[0]]))[:MOST_PAIRS]
    for row in wrong[:ROWS_PROBED]:
        probes = [_exchanged(rows[row], pair) for pair in pairs]
        same = Golden(
            version=golden.version,
            entities=(golden.entities[row],) * len(probes),
            scores=(golden.scores[row],) * len(probes),
        )
        try:
            answers = model.send(encoder, probes, deadline) if probes else []
        except Failure:
            return ""  # it is the first refusal that is told
        differ = {each.row for each in differences(same, answers, model)}
        pairs = [pair for at, pair in enumerate(pairs) if at not in differ]
    told = " or ".join(f"{encoder.columns[one]} and {encoder.columns[other]}" for one, other in pairs)
    return told if len(pairs) <= PAIRS_TOLD else ""


def _pairs(encoder: Encoder, row: Row) -> Iterator[tuple[int, int]]:
    """Give the pairs of columns of one type that tell something: their values differ in the row."""
    types = [column.type if column else None for column in encoder.described]
    for one, other in combinations(range(len(row)), 2):
        if types[one] == types[other] and types[one] is not None and row[one] != row[other]:
            yield one, other


def _exchanged(row: Row, pair: tuple[int, int]) -> Row:
    one, other = pair
    changed = list(row)
    changed[one], changed[other] = row[other], row[one]
    return changed


def differences(golden: Golden, answers: Sequence[Scores | RowRefused], model: Model) -> Iterator[Difference]:
    """Compare what the endpoint answers with the trained model's own predictions, row by row.

    Texts of either are those that an entity gets: rewritten where a node would misread them.
    """
    slack = 0.5 * 10.0**-model.settings.decimals if model.settings.decimals >= 0 else 0.0
    for row, (entity, trained, answer) in enumerate(
        zip(golden.entities, golden.scores, answers, strict=True)
    ):
        id_ = str(entity.get("_id", ""))
        if isinstance(answer, RowRefused):
            yield Difference(row, id_, (), "refused by the endpoint")
            continue
        try:
            expected = _as_answered(trained, model.prefix)
            wrong = dict(_differing(expected, answer, model.prefix, TOLERANCE + slack))
        except AnswerUnusable as unusable:
            yield Difference(row, id_, (), f"its stored scores cannot be compared: {unusable}")
            continue
        if wrong:
            told = ", ".join(f"{name} {how}" for name, how in wrong.items())
            yield Difference(row, id_, tuple(wrong), told)


def _as_answered(trained: Mapping[str, Any], prefix: str) -> Scores:
    stored = Results(tuple(trained), [tuple(trained.values())])
    told = scores_of(stored, (), [()], prefix=prefix)
    return dict(zip(told.names, *told.rows, strict=True))


def _differing(trained: Scores, answer: Scores, prefix: str, slack: float) -> Iterator[tuple[str, str]]:
    for name, value in trained.items():
        told = name.removeprefix(prefix)
        if name not in answer:
            has = ", ".join(sorted(known.removeprefix(prefix) for known in answer))
            yield told, f"is not answered (the answer has {has})"
        elif how := _difference(value, answer[name], slack):
            yield told, how


def _difference(trained: object, answered: object, slack: float) -> str:
    """Say how two scores differ; empty where they are the same."""
    if _same(trained, answered, slack):
        return ""
    if not (_is_number(trained) and _is_number(answered)):
        return "differs"
    try:
        return f"differs by {abs(trained - answered):.6g}"
    except OverflowError:
        return "differs by more than a double holds"


def _same(trained: object, answered: object, slack: float) -> bool:
    if _is_number(trained) and _is_number(answered):
        try:
            return math.isclose(trained, answered, rel_tol=TOLERANCE, abs_tol=slack)
        except OverflowError:  # of a whole number beyond all doubles
            return trained == answered
    if isinstance(trained, list) and isinstance(answered, list):
        return len(trained) == len(answered) and all(
            _same(*pair, slack) for pair in zip(trained, answered, strict=True)
        )
    if isinstance(trained, dict) and isinstance(answered, dict):
        return trained.keys() == answered.keys() and all(
            _same(value, answered[name], slack) for name, value in trained.items()
        )
    return type(trained) is type(answered) and trained == answered


def _is_number(value: object) -> TypeIs[int | float]:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _refuse_wrong_shape(rows: Golden, deepest: int) -> None:
    if not 0 < len(rows.entities) <= MOST_ROWS:
        raise InvalidRequest(f"{len(rows.entities)} entities: send 1 to {MOST_ROWS} golden rows.")
    if len(rows.scores) != len(rows.entities):
        raise InvalidRequest(
            f"{len(rows.entities)} entities and {len(rows.scores)} scores: send one for each, in their order."
        )
    if empty := [index for index, scores in enumerate(rows.scores) if not scores]:
        raise InvalidRequest(f"scores[{empty[0]}] is empty: give at least one answer column and its value.")
    for index, row in enumerate(zip(rows.entities, rows.scores, strict=True)):
        if not all(nests_within(part, deepest) for part in row):
            raise TooLarge(f"Golden row {index} is nested deeper than {deepest} levels (limits.depth).")


def _encoder(model: Model, candidate: Adopted) -> Encoder:
    try:
        return model.encoder(candidate)
    except NoContract as failure:
        raise Conflict(failure.detail) from None


def _encoded(model: Model, encoder: Encoder, golden: Golden) -> list[Row]:
    rows: list[Row] = []
    for index, entity in enumerate(golden.entities):
        try:
            rows.append(encoder.encode(as_posted(entity, model.settings.map)).row)
        except DoesNotFit as misfit:
            raise EntitiesDoNotFit(
                f"Golden row {index} does not fit the contract of {golden.version} as {model.name} is set: "
                f"{misfit}. Send it as Sesam would post it.",
                entities=[str(entity.get("_id", ""))],
                features=[remark.feature for remark in misfit.remarks],
            ) from None
    return rows


def _refused(
    model: Model, version: str, rows: int, features: int, found: Sequence[Difference], swapped: str
) -> Conflict:
    told = "; ".join(f"row {d.row}{f' ({d.id})' if d.id else ''}: {d.told}" for d in found[:ROWS_TOLD])
    more = f"; and {len(found) - ROWS_TOLD} more rows" if len(found) > ROWS_TOLD else ""
    return Conflict(
        f"The endpoint of {model.name} answers {len(found)} of {rows} golden rows of {version} otherwise "
        f"than the trained model, each sent with {features} features: {told}{more}. "
        f"{_SWAPPED.format(swapped) if swapped else ''}Deploy the model that was trained on this version, "
        "and see that it takes its features in this order and spelling.",
        entities=[d.id for d in found if d.id],
        entity_count=len(found),
    )
