"""The use case: entities in, the same entities with the model's scores out, in the same order.

    body → entities → rows, through the contract → the web service → scores → body

Nothing is answered before every score is known (facts/sesam.md §7 statement 16), and what cannot be scored is
an error, never a missing entity: Sesam deletes what a 200 answer leaves out (§2.1).
"""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any, NamedTuple, Protocol

from contract.entities import ABSENT, Entities
from contract.features import DoesNotFit, Encoder, PrefixTaken, Remark, Row
from errors import EntitiesDoNotFit, EntitiesRefused, Failure
from scoring.contracts import Adopted
from scoring.deadline import Deadline
from scoring.entities import Batch, Slice, only, with_properties, without, write_batch
from scoring.measured import Report
from scoring.rows import RowRefused, Scores
from scoring.shapes import Shape
from sections import MARKS, PROVENANCE, LimitSettings, ModelSettings

# Properties of ours beside the scores; after the model's prefix.
ERROR, OUTSIDE = MARKS


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
        shape: what is known of its entities.
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
    shape: Shape = field(default_factory=Shape)


class Answer(NamedTuple):
    """The body of a 200 answer, and what the call did."""

    body: bytes
    report: Report


@dataclass(slots=True)
class _Pending:
    """What is kept of a call's entities until their scores are there; little, as they can be many.

    Attributes:
        texts: of each entity the JSON that scores are added to.
        ids: of each its `_id`.
        fits: the places of those that are scored, and `rows` their rows.
        outside: what lies outside the contract, by the places of those.
        misfits: the entities that do not fit, by their places.
    """

    adopted: Adopted | None = None
    encoder: Encoder | None = None
    texts: list[bytes] = field(default_factory=list)
    ids: list[str] = field(default_factory=list)
    fits: list[int] = field(default_factory=list)
    rows: list[Row] = field(default_factory=list)
    outside: dict[int, tuple[Remark, ...]] = field(default_factory=dict)
    misfits: dict[int, DoesNotFit] = field(default_factory=dict)


def score(body: bytes, model: Model, deadline: Deadline) -> Answer:
    """Score a batch of entities.

    Raises:
        Failure: see errors.py; whatever it is, no entity was answered.
    """
    batch = Batch(body, model.limits.entities, model.limits.depth, model.shape)
    pending = _encode_batch(batch, model, deadline)
    _refuse_misfits(pending, model)
    results = _results(pending, model, deadline)
    parts = with_properties(pending.texts, _added(pending, results, model))
    refused = {at for at, result in zip(pending.fits, results, strict=True) if isinstance(result, RowRefused)}
    report = Report(
        entities=len(batch),
        passed=len(batch) - len(pending.fits) - len(pending.misfits),
        scored=len(pending.fits) - len(refused),
        marked=len(pending.misfits) + len(refused),
        outside=len(pending.outside.keys() - refused),
    )
    return Answer(write_batch(parts, batch.single), report)


def _encode_batch(batch: Batch, model: Model, deadline: Deadline) -> _Pending:
    """Decode and encode entities and let go of them, slice by slice."""
    pending = _Pending()
    slices = batch.slices()
    for part in slices:
        live = part.live()
        if live and pending.encoder is None:
            try:
                pending.adopted = model.adopted(deadline)
                pending.encoder = model.encoder(pending.adopted)
            except Failure:
                for _ in slices:
                    pass  # what is wrong with the body is told first
                raise
        _encode_slice(pending, part, live, model)
    return pending


def _encode_slice(pending: _Pending, part: Slice, live: Sequence[int], model: Model) -> None:
    start = len(pending.texts)
    pending.ids += part.ids()
    if model.settings.return_ == "scores":
        pending.texts += [only(part.entities.at(at)) for at in range(len(part))]
    else:
        pending.texts += part.texts
    if pending.encoder is None or not live:
        return
    entities = part.entities if len(live) == len(part) else part.entities.only(live)
    encoded = pending.encoder.encode_together(entities)
    places = [start + at for at in live]
    misfits, outside = encoded.misfits, encoded.outside
    if model.settings.on_outside_contract == "fail":
        misfits, outside = {**misfits, **{at: DoesNotFit(told) for at, told in outside.items()}}, {}
    pending.misfits |= {places[at]: misfits[at] for at in sorted(misfits)}
    pending.outside |= {places[at]: told for at, told in outside.items()}
    pending.fits += [place for at, place in enumerate(places) if at not in misfits]
    pending.rows += [row for at, row in enumerate(encoded.rows) if at not in misfits]
    if model.settings.return_ != "scores":
        _take_off_scores(pending, places, entities, model.prefix)


def _take_off_scores(pending: _Pending, places: Sequence[int], entities: Entities, prefix: str) -> None:
    """Take off what was scored in an earlier round, where an entity has any of it."""
    marked = [entities.column(name) for name in entities.names if name.startswith(prefix)]
    if not marked:
        return
    for place, *values in zip(places, *marked, strict=True):
        if any(value is not ABSENT for value in values):
            pending.texts[place] = without(pending.texts[place], prefix)


def _refuse_misfits(pending: _Pending, model: Model) -> None:
    misfits, live = pending.misfits, len(pending.fits) + len(pending.misfits)
    # Marking is for the few: where none of several fits, the pipe has changed, and a hub full of errors
    # would say so less clearly than this.
    none_fits = len(misfits) == live > 1
    # To mark an entity is to put our properties in place of all under the prefix: here they are not ours.
    unmarkable = any(isinstance(misfit, PrefixTaken) for misfit in misfits.values())
    if not misfits or (model.settings.on_bad_entity == "mark" and not none_fits and not unmarkable):
        return
    remarks = [remark for misfit in misfits.values() for remark in misfit.remarks]
    advice = "" if unmarkable else ', or set on_bad_entity = "mark" for this model'
    raise EntitiesDoNotFit(
        f"{len(misfits)} of {live} entities do not fit the contract of {model.name}; none was sent. "
        f"{_summary(remarks)}. Repair them in the pipe{advice}.",
        entities=[pending.ids[place] for place in misfits],
        entity_count=len(misfits),
        features=sorted({remark.feature for remark in remarks}),
    )


def _summary(remarks: Sequence[Remark]) -> str:
    """Say each feature's trouble once, the first reasons first; a hub's log line is short."""
    reasons = {f"{remark.feature}: {remark.reason}" for remark in remarks}
    told = sorted(reasons)[:5]
    return "; ".join(told) + (f"; and {len(reasons) - 5} more" if len(reasons) > 5 else "")


def _results(pending: _Pending, model: Model, deadline: Deadline) -> Sequence[Scores | RowRefused]:
    if pending.encoder is None or not pending.rows:
        return []
    results = model.send(pending.encoder, pending.rows, deadline)
    _fail_unless_marked(pending, results, model)
    if pending.adopted is not None:
        model.observe(pending.adopted.version, pending.encoder.columns, pending.rows, len(pending.outside))
    return results


def _fail_unless_marked(pending: _Pending, results: Sequence[Scores | RowRefused], model: Model) -> None:
    refused = [
        (pending.ids[place], result)
        for place, result in zip(pending.fits, results, strict=True)
        if isinstance(result, RowRefused)
    ]
    if not refused or model.settings.on_bad_entity == "mark":
        return
    messages = sorted({result.message for _, result in refused})[:3]
    raise EntitiesRefused(
        f"The model {model.name} refuses {len(refused)} of {len(results)} entities, though they fit its "
        f'contract: {"; ".join(messages)}. Set on_bad_entity = "mark" to score the others.',
        entities=[id_ for id_, _ in refused],
        entity_count=len(refused),
    )


def _added(pending: _Pending, results: Sequence[Scores | RowRefused], model: Model) -> Sequence[Scores]:
    """Give what is added to each entity: its scores or its error, and nothing to those that pass."""
    common = _provenance(model, pending.adopted)
    told = pending.outside if model.settings.on_outside_contract == "warn" else {}
    added: list[Scores] = [{}] * len(pending.texts)
    for place, misfit in pending.misfits.items():
        added[place] = _marked(RowRefused(EntitiesDoNotFit.status, str(misfit)), common, model)
    for place, result in zip(pending.fits, results, strict=True):
        if isinstance(result, RowRefused):
            added[place] = _marked(result, common, model)
        elif place in told:
            added[place] = {**result, model.prefix + OUTSIDE: _remarks(told[place]), **common}
        else:
            added[place] = {**result, **common} if common else result
    return added


def _marked(refused: RowRefused, common: Scores, model: Model) -> Scores:
    """Mark a bad entity as Sesam's rest-transform does (facts/sesam.md §4, tolerable errors)."""
    error = {"transform_succeeded": False, "status_code": refused.status, "message": refused.message}
    return {model.prefix + ERROR: error, **common}


def _remarks(remarks: Sequence[Remark]) -> list[dict[str, Any]]:
    return [{"feature": remark.feature, "reason": remark.reason} for remark in remarks]


def _provenance(model: Model, adopted: Adopted | None) -> Scores:
    if not model.settings.provenance:
        return {}
    values = (model.name, adopted.contract_id if adopted else None, adopted.version if adopted else None)
    return {model.prefix + name: value for name, value in zip(PROVENANCE, values, strict=True)}
