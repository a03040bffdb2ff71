"""What is told of the models: what each speaks and has adopted, and whether it could score. No secret."""

from typing import NotRequired, TypedDict

from contract.differences import differences
from contract.drift import Drift, drifts
from errors import Conflict, Failure, NoContract, NotFound, ServiceDown
from scoring import batch, models
from scoring.contracts import Adopted
from scoring.deadline import Deadline

# To tell what a model has adopted, nobody waits longer for storage.
TELL_S = 10.0


class ModelAdopted(TypedDict):
    """What a model has adopted, by whose contract its entities are encoded."""

    version: str
    contract: str
    adopted: str


class ModelLatest(TypedDict):
    """How the export's `latest` differs from what the model has adopted, or why that cannot be told."""

    version: NotRequired[str]
    differences: NotRequired[list[str]]
    drift: NotRequired[list[Drift]]
    detail: NotRequired[str]


class Model(TypedDict):
    """A configured model. What does not apply is left out; `detail` says what stands in its way."""

    name: str
    dialect: str
    prefix: str
    contract: NotRequired[None]
    export: NotRequired[str]
    columns: NotRequired[list[str] | None]
    adopted: NotRequired[ModelAdopted | None]
    latest: NotRequired[ModelLatest | None]
    trouble: NotRequired[str | None]
    detail: NotRequired[str]


def describe_all() -> list[Model]:
    """Describe every model; one that cannot be described says why, and hides none of the others."""
    return [_described(model) for model in models.all_models().values()]


def _described(model: batch.Model) -> Model:
    try:
        return describe(model)
    except Failure as failure:
        return {**_named(model), "export": model.settings.contract, "detail": failure.detail}


def describe(model: batch.Model) -> Model:
    """Describe a model: what it speaks, what it has adopted, how `latest` differs from that.

    Raises:
        Failure: storage cannot be asked.
    """
    export = model.settings.contract
    if not export:
        return {**_named(model), "columns": list(model.encoder(None).columns), "contract": None}
    described: Model = {**_named(model), "export": export}
    try:
        adopted = models.contracts().adopted(model.name, export, Deadline.after(TELL_S))
    except NoContract as failure:
        return {**described, "adopted": None, "detail": failure.detail}
    described["adopted"] = {
        "version": adopted.version,
        "contract": adopted.contract_id,
        "adopted": adopted.adopted,
    }
    described["latest"] = _latest(export, adopted)
    described["trouble"] = models.contracts().trouble(model.name) or None
    try:
        return {**described, "columns": list(model.encoder(adopted).columns)}
    except NoContract as failure:
        return {**described, "columns": None, "detail": failure.detail}


def _named(model: batch.Model) -> Model:
    return {"name": model.name, "dialect": model.settings.dialect, "prefix": model.prefix}


def _latest(export: str, adopted: Adopted) -> ModelLatest | None:
    try:
        latest = models.contracts().latest(export)
    except Conflict as failure:
        return {"detail": failure.detail}
    if latest is None:
        return None
    if latest.version == adopted.version:
        return {"version": latest.version, "differences": [], "drift": []}
    try:
        new = models.contracts().manifest(export, latest.version)
        old = models.contracts().manifest(export, adopted.version)
    except (NotFound, NoContract) as failure:
        return {"version": latest.version, "detail": failure.detail}
    return {
        "version": latest.version,
        "differences": list(differences(old, new)),
        "drift": drifts(old.columns, new.columns),
    }


def readiness(model: batch.Model) -> str:
    """Say in a line what a model has adopted, and see that entities can be encoded through it.

    Raises:
        Failure: it cannot score.
    """
    if not model.settings.contract:
        model.encoder(None)
        return "bound by features alone, untyped: no contract is checked"
    adopted = models.contracts().adopted(model.name, model.settings.contract, Deadline.after(TELL_S))
    model.encoder(adopted)
    trouble = models.contracts().trouble(model.name)
    return f"version {adopted.version}" + (
        f"; storage cannot be asked for news: {trouble}" if trouble else ""
    )


def service_readiness(model: batch.Model) -> str:
    """Say in a line whether the model's web service is asked; asks it nothing.

    Raises:
        ServiceDown: it is left alone for a while, after repeated failures.
    """
    if wait := model.left_alone_for():
        raise ServiceDown(
            f"It kept failing and is left alone for {wait:.0f} s more: see the deployment's state and log.",
            retry_after=wait,
        )
    return "no repeated failures"
