"""A configured model whose web service answers at once: all of scoring but the wire."""

import json
from collections.abc import Callable, Mapping
from dataclasses import replace
from unittest import mock

from bench.customers import contract
from scoring import models
from scoring.batch import Model, unobserved
from scoring.contracts import Adopted
from scoring.deadline import Deadline
from scoring.verdicts import Reply
from sections import LimitSettings, ModelSettings, StorageSettings
from settings import Settings

URL = "http://127.0.0.1:9/score"

# Classic and designer services send the inputs back with the scores; the others send the scores alone.
LABELS, PROBABILITIES = "Scored Labels", "Scored Probabilities"


class AnswersAtOnce:
    """The wire: it has seen every body before, and answers with what it answered then."""

    renewable = False
    kept = True
    whom = "The web service"
    model = "churn"

    def __init__(self, answer: Callable[[bytes], bytes]) -> None:
        self.exchanges: dict[bytes, tuple[bytes, bytes]] = {}
        self._answer = answer

    def post(
        self, body: bytes, deadline: Deadline, request_id: str, *, fresh: bool = False, kept: bool = False
    ) -> Reply:
        """See Wire."""
        del deadline, request_id, fresh, kept
        end = body[-1000:]
        if end not in self.exchanges:
            self.exchanges[end] = body, self._answer(body)
        return Reply(200, {}, self.exchanges[end][1])

    def close(self) -> None:
        """Nothing is kept."""


def model_of(dialect: str, wire: AnswersAtOnce) -> Model:
    """Give a model as scoring makes it, on this wire, its version adopted, every rule of the contract on.

    What is counted for drift is left out: a thread of its own does that, beside the calls.
    """
    given = ModelSettings.model_validate(
        {"url": URL, "dialect": dialect, "auth": "none", "contract": "customers", "in_flight": 4}
    )
    whole = Settings.model_construct(
        models={"churn": given}, limits=LimitSettings(), storage=StorageSettings()
    )
    with mock.patch.object(models, "Endpoint", lambda *_, **__: wire):
        model = models.model_of("churn", given, whole)
    adopted = Adopted("20261123T020000Z-0a1b2c3d", contract().id, contract(), "2026-11-23T02:00:00Z")
    return replace(model, adopted=lambda deadline: adopted, observe=unobserved)  # noqa: ARG005  # adopted long ago


def answer_to(dialect: str) -> Callable[[bytes], bytes]:
    """Give how a service of this dialect answers: label and probability for each row."""
    return lambda body: json.dumps(_ANSWERS[dialect](json.loads(body))).encode()


def _classic(body: dict[str, dict[str, dict[str, list[list[str]]]]]) -> object:
    table = body["Inputs"]["input1"]
    known = {column.name: _CLASSIC_TYPES[column.type] for column in contract().columns}
    value = {
        "ColumnNames": [*table["ColumnNames"], LABELS, PROBABILITIES],
        "ColumnTypes": [*(known[str(name)] for name in table["ColumnNames"]), "Boolean", "Double"],
        "Values": [[*row, *map(str, score)] for row, score in zip(table["Values"], _SCORES, strict=False)],
    }
    return {"Results": {"output1": {"type": "table", "value": value}}}


def _swagger(body: dict[str, dict[str, list[dict[str, str]]]]) -> object:
    rows = body["Inputs"]["input1"]
    scored = [
        {**row, LABELS: str(label), PROBABILITIES: str(probability)}
        for row, (label, probability) in zip(rows, _SCORES, strict=False)
    ]
    return {"Results": {"output1": scored}}


def _designer(body: dict[str, dict[str, list[dict[str, object]]]]) -> object:
    rows = body["Inputs"]["WebServiceInput0"]
    scored = [
        {**row, LABELS: label, PROBABILITIES: probability}
        for row, (label, probability) in zip(rows, _SCORES, strict=False)
    ]
    return {"Results": {"WebServiceOutput0": scored}}


def _objects(rows: int) -> list[dict[str, object]]:
    return [{"label": label, "probability": probability} for label, probability in _SCORES[:rows]]


_SCORES = [(number % 3 == 0, (number % 997) / 997) for number in range(20_000)]
_CLASSIC_TYPES = {
    "integer": "Int32",
    "number": "Double",
    "boolean": "Boolean",
    "date": "String",
    "datetime": "String",
    "string": "String",
}
_ANSWERS: Mapping[str, Callable[..., object]] = {
    "classic": _classic,
    "classic-swagger": _swagger,
    "designer": _designer,
    "automl": lambda body: {"Results": _objects(len(body["Inputs"]["data"]))},
    "automl-v1": lambda body: {"result": _objects(len(body["data"]))},
    "mlflow": lambda body: _objects(len(body["input_data"]["data"])),
    "mlflow-server": lambda body: {"predictions": _objects(len(body["dataframe_split"]["data"]))},
    "score-script": lambda body: _objects(len(body["data"])),
}
DIALECTS = tuple(_ANSWERS)
