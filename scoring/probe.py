"""What a look at the live endpoint of a model tells: is it there, does it speak the dialect, is it the model.

One exchange answers all three: the golden rows of the adopted version, or, where training stored none, a row
made up from the contract.
"""

from collections.abc import Iterator, Sequence
from dataclasses import replace

from checks import Check
from contract.contract import Column, Contract
from contract.features import DoesNotFit, Encoder, Row
from errors import BadAnswer, Conflict, Failure
from scoring import golden
from scoring.batch import Model
from scoring.deadline import Deadline
from scoring.rows import RowRefused, Scores
from storage import Container

# A person waits for this.
PATIENCE_S = 60.0


def checks(model: Model, container: Container) -> Iterator[Check]:
    """Ask the endpoint; a few rows are scored, nothing is kept."""
    endpoint, dialect = f"endpoint of {model.name}", f"dialect of {model.name}"
    answered: list[int] = []

    def send(encoder: Encoder, rows: Sequence[Row], deadline: Deadline) -> Sequence[Scores | RowRefused]:
        results = model.send(encoder, rows, deadline)
        answered.append(len(rows))
        return results

    ok, told = True, ""
    try:
        told = _ask(replace(model, send=send), container)
    except BadAnswer as failure:
        yield Check(endpoint, True, "it answers")
        yield Check(dialect, False, failure.detail)
        return
    except Conflict as failure:
        ok, told = False, failure.detail
    except Failure as failure:
        yield Check(endpoint, False, failure.detail)
        return
    if answered:
        yield Check(endpoint, True, f"it answers and lets us in: {answered[0]} rows scored")
        yield Check(dialect, True, f"{model.settings.dialect}: one result for each row")
    yield Check(f"golden rows of {model.name}", ok, told)


def sample(contract: Contract, names: Sequence[str]) -> dict[str, object]:
    """Make up an entity that a contract allows: first categories and lowest values, as a CSV row has them."""
    columns = {column.name: column for column in contract.columns}
    return {name: _value(columns[name]) for name in names if name in columns}


# Of a required column of which no more is known.
PLAIN = {
    "integer": 0,
    "number": 0,
    "boolean": "true",
    "date": "2026-01-01",
    "datetime": "2026-01-01T00:00:00Z",
    "string": "sample",
}


def _value(column: Column) -> object:
    if column.categories:
        return column.categories[0]
    if column.minimum is not None:
        return column.minimum
    return None if column.nullable else PLAIN[column.type]


def _ask(model: Model, container: Container) -> str:
    deadline = Deadline.after(min(PATIENCE_S, model.settings.deadline_s))
    adopted = model.adopted(deadline)
    store = f"PUT /api/models/{model.name}/golden (docs/data-scientists.md)"
    if adopted is None:
        return f"none without a contract, and nothing to ask with: POST one entity to /api/score/{model.name}"
    if rows := golden.prove(model, adopted, container, deadline):
        return f"{rows} golden rows of {adopted.version} are answered as trained"
    encoder = model.encoder(adopted)
    try:
        made_up = sample(adopted.contract, encoder.columns)
        row = encoder.encode(golden.as_posted(made_up, model.settings.map)).row
    except DoesNotFit as misfit:
        raise Conflict(
            f"No row can be made up from the contract ({misfit}): store golden rows, {store}."
        ) from None
    (result,) = model.send(encoder, [row], deadline)
    if isinstance(result, RowRefused):
        raise BadAnswer(
            f"It refuses a row made up from the contract ({result.message}). Check dialect, features and "
            f"contract; if it scores your entities all the same, store golden rows: {store}."
        )
    return f"training stored none: a row made up from the contract was scored. To store some: {store}"
