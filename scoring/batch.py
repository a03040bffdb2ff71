"""The use case: entities in, the same entities with the model's scores out, in the same order.

    body → entities → rows, through the contract → the web service → scores → body

Nothing is answered before every score is known (facts/sesam.md §7 statement 16), and what cannot be scored is
an error, never a missing entity: Sesam deletes what a 200 answer leaves out (§2.1).
"""

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

from contract.features import DoesNotFit, Encoded, Encoder, PrefixTaken, Remark, Row
from errors import EntitiesDoNotFit, EntitiesRefused
from scoring.contracts import Adopted
from scoring.deadline import Deadline
from scoring.entities import Entity, only, read_batch, with_properties, without, write_batch
from scoring.measured import Report
from scoring.rows import RowRefused
from settings import LimitSettings, ModelSettings

# Properties of ours beside the scores; after the model's prefix.
ERROR = "error"
OUTSIDE = "outside-contract"
PROVENANCE = ("model", "contract", "snapshot")

DOES_NOT_FIT = 422

type Scores = Mapping[str, object]


class SendRows(Protocol):
    """The wire: rows of an encoder's columns → for each its scores, or why the model refuses it."""

    def __call__(
        self, encoder: Encoder, rows: Sequence[Row], deadline: Deadline
    ) -> Sequence[Scores | RowRefused]:
        """Score rows in order.

        Raises:
            Failure: the rows could not all be judged; nothing is known of any.
        """


class Observe(Protocol):
    """Takes note of rows that were scored, for scoring/drift.py; returns at once and never fails."""

    def __call__(self, version: str, columns: Sequence[str], rows: Sequence[Row], outside: int) -> None:
        """Note rows of these columns, encoded through a version; so many of them lie outside it."""


def unobserved(version: str, columns: Sequence[str], rows: Sequence[Row], outside: int) -> None:
    """Take note of nothing: there is no version to compare with."""


@dataclass(frozen=True)
class Model:
    """One configured model with its wires, made by scoring/models.py.

    Attributes:
        adopted: what it has adopted; None where its settings name no export.
        encoder: encodes its entities through that.
        send: its web service.
        left_alone_for: seconds for which nothing more is sent, after repeated failures.
        threads: where its calls are at work.
        observe: is told what was scored through a contract.
    """

    name: str
    settings: ModelSettings
    prefix: str
    limits: LimitSettings
    adopted: Callable[[Deadline], Adopted | None]
    encoder: Callable[[Adopted | None], Encoder]
    send: SendRows
    left_alone_for: Callable[[], float]
    threads: ThreadPoolExecutor
    observe: Observe = unobserved


class Answer(NamedTuple):
    """The body of a 200 answer, and what the call did."""

    body: bytes
    report: Report


class _Outcome(NamedTuple):
    """What is added to one entity, its error in words where it has one, and whether it is outside."""

    added: Mapping[str, object]
    refused: RowRefused | None = None
    outside: bool = False


def score(body: bytes, model: Model, deadline: Deadline) -> Answer:
    """Score a batch of entities.

    Raises:
        Failure: see errors.py; whatever it is, no entity was answered.
    """
    batch = read_batch(body, model.limits.entities, model.limits.depth)
    live = [index for index, entity in enumerate(batch.entities) if not entity.passes]
    outcomes = _outcomes([batch.entities[index] for index in live], model, deadline) if live else []
    by_index = dict(zip(live, outcomes, strict=True))
    stale = batch.names(model.prefix)
    texts = [_text(entity, by_index.get(index), stale, model) for index, entity in enumerate(batch.entities)]
    marked = sum(outcome.refused is not None for outcome in outcomes)
    report = Report(
        entities=len(batch.entities),
        passed=len(batch.entities) - len(live),
        scored=len(live) - marked,
        marked=marked,
        outside=sum(outcome.outside for outcome in outcomes),
    )
    return Answer(write_batch(texts, batch.single), report)


def _outcomes(entities: Sequence[Entity], model: Model, deadline: Deadline) -> list[_Outcome]:
    adopted = model.adopted(deadline)
    encoder = model.encoder(adopted)
    encoded = _encode(encoder, entities, model)
    fits = [index for index, row in enumerate(encoded) if isinstance(row, Encoded)]
    _refuse_misfits(entities, encoded, model)
    rows = [row.row for row in encoded if isinstance(row, Encoded)]
    results = model.send(encoder, rows, deadline) if rows else []
    _refuse_refused([entities[index] for index in fits], results, model)
    if adopted is not None and rows:
        outside = sum(isinstance(row, Encoded) and bool(row.outside) for row in encoded)
        model.observe(adopted.version, encoder.columns, rows, outside)
    common = _provenance(model, adopted)
    by_index = dict(zip(fits, results, strict=True))
    return [_outcome(row, by_index.get(index), common, model) for index, row in enumerate(encoded)]


def _encode(encoder: Encoder, entities: Sequence[Entity], model: Model) -> list[Encoded | DoesNotFit]:
    encoded = encoder.encode_all([entity.properties for entity in entities])
    if model.settings.on_outside_contract != "fail":
        return encoded
    return [DoesNotFit(row.outside) if isinstance(row, Encoded) and row.outside else row for row in encoded]


def _refuse_misfits(
    entities: Sequence[Entity], encoded: Sequence[Encoded | DoesNotFit], model: Model
) -> None:
    misfits = [(e, row) for e, row in zip(entities, encoded, strict=True) if isinstance(row, DoesNotFit)]
    # Marking is for the few: where none of several fits, the pipe has changed, and a hub full of errors
    # would say so less clearly than this.
    none_fits = len(misfits) == len(entities) > 1
    # To mark an entity is to put our properties in place of all under the prefix: here they are not ours.
    unmarkable = any(isinstance(misfit, PrefixTaken) for _, misfit in misfits)
    if not misfits or (model.settings.on_bad_entity == "mark" and not none_fits and not unmarkable):
        return
    remarks = [remark for _, misfit in misfits for remark in misfit.remarks]
    advice = "" if unmarkable else ', or set on_bad_entity = "mark" for this model'
    raise EntitiesDoNotFit(
        f"{len(misfits)} of {len(entities)} entities do not fit the contract of {model.name}; none was sent. "
        f"{_summary(remarks)}. Repair them in the pipe{advice}.",
        entities=[entity.id for entity, _ in misfits],
        entity_count=len(misfits),
        features=sorted({remark.feature for remark in remarks}),
    )


def _summary(remarks: Sequence[Remark]) -> str:
    """Say each feature's trouble once, the first reasons first; a hub's log line is short."""
    reasons = {f"{remark.feature}: {remark.reason}" for remark in remarks}
    told = sorted(reasons)[:5]
    return "; ".join(told) + (f"; and {len(reasons) - 5} more" if len(reasons) > 5 else "")


def _refuse_refused(entities: Sequence[Entity], results: Sequence[Scores | RowRefused], model: Model) -> None:
    refused = [
        (entity, result)
        for entity, result in zip(entities, results, strict=True)
        if isinstance(result, RowRefused)
    ]
    if not refused or model.settings.on_bad_entity == "mark":
        return
    messages = sorted({result.message for _, result in refused})[:3]
    raise EntitiesRefused(
        f"The model {model.name} refuses {len(refused)} of {len(entities)} entities, though they fit its "
        f'contract: {"; ".join(messages)}. Set on_bad_entity = "mark" to score the others.',
        entities=[entity.id for entity, _ in refused],
        entity_count=len(refused),
    )


def _outcome(
    encoded: Encoded | DoesNotFit, result: Scores | RowRefused | None, common: Scores, model: Model
) -> _Outcome:
    if isinstance(encoded, DoesNotFit):
        return _marked(RowRefused(DOES_NOT_FIT, str(encoded)), common, model)
    if isinstance(result, RowRefused):
        return _marked(result, common, model)
    assert result is not None  # noqa: S101 - for the type checker: every row that fits was sent
    outside = bool(encoded.outside)
    if outside and model.settings.on_outside_contract == "warn":
        added = {**result, model.prefix + OUTSIDE: _remarks(encoded.outside), **common}
        return _Outcome(added, outside=outside)
    return _Outcome({**result, **common} if common else result, outside=outside)


def _marked(refused: RowRefused, common: Scores, model: Model) -> _Outcome:
    """Mark a bad entity as Sesam's rest-transform does (facts/sesam.md §4, tolerable errors)."""
    error = {"transform_succeeded": False, "status_code": refused.status, "message": refused.message}
    return _Outcome({model.prefix + ERROR: error, **common}, refused)


def _remarks(remarks: Sequence[Remark]) -> list[dict[str, Any]]:
    return [{"feature": remark.feature, "reason": remark.reason} for remark in remarks]


def _provenance(model: Model, adopted: Adopted | None) -> Scores:
    if not model.settings.provenance:
        return {}
    values = (model.name, adopted.contract_id if adopted else None, adopted.version if adopted else None)
    return {model.prefix + name: value for name, value in zip(PROVENANCE, values, strict=True)}


def _text(entity: Entity, outcome: _Outcome | None, stale: frozenset[str], model: Model) -> bytes:
    added = outcome.added if outcome is not None else {}
    if model.settings.return_ == "scores":
        return only(entity, added)
    if outcome is None:
        return entity.raw
    has_stale = stale and not stale.isdisjoint(entity.properties)
    return with_properties(without(entity.raw, model.prefix) if has_stale else entity.raw, added)
