"""The demo of the danger in docs/contract.md: the page's own lines are run and give its own answers."""

import json
import re
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from contract.contract import Column, Contract
from contract.features import Encoder, Row
from errors import EntitiesDoNotFit
from scoring.batch import Model, score
from scoring.contracts import Adopted
from scoring.deadline import Deadline
from scoring.rows import Scores
from sections import LimitSettings, ModelSettings

PAGE = Path(__file__).resolve().parents[3] / "docs" / "contract.md"

TAUGHT = Contract(
    schema_version=1,
    label="ChurnFlag",
    columns=(
        Column(name="_id", type="string"),
        Column(name="Complaints", type="integer"),
        Column(name="Income", type="integer"),
        Column(name="Tenure", type="integer"),
        Column(name="ChurnFlag", type="boolean", spelling="true"),
    ),
)


def block(name: str) -> Any:
    found = re.search(rf"<!-- {name} -->\n```json\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    assert found, name
    return json.loads(found[1])


def churns(complaints: object) -> str:
    return "yes" if int(str(complaints)) > 2 else "no"


def predecessors_request(entities: Sequence[Mapping[str, object]]) -> dict[str, Any]:
    """Names of the first entity for all, and of each entity its values in its own order."""
    rows = [{k: v for k, v in entity.items() if not k.startswith("_")} for entity in entities]
    return {"ColumnNames": list(rows[0]), "Values": [[str(v) for v in row.values()] for row in rows]}


class Service:
    """The model, asked row by row: it finds its cells by their columns' names."""

    def __init__(self) -> None:
        self.asked = 0

    def execute(self, request: Mapping[str, Any]) -> list[str]:
        named = [dict(zip(request["ColumnNames"], row, strict=True)) for row in request["Values"]]
        self.asked += len(named)
        return [churns(row["Complaints"]) for row in named]

    def send(self, encoder: Encoder, rows: Sequence[Row], deadline: Deadline) -> list[Scores]:
        labels = self.execute({"ColumnNames": encoder.columns, "Values": rows})
        return [{"churn:Scored-Labels": label} for label in labels]


def model(service: Service) -> Model:
    encoder = Encoder(TAUGHT, prefix="churn:")
    return Model(
        name="churn",
        settings=ModelSettings.model_validate(
            {"url": "http://127.0.0.1/x", "auth": "none", "contract": "customers"}
        ),
        prefix="churn:",
        limits=LimitSettings(),
        adopted=lambda _: Adopted("20261123T020000Z-0", "abc", TAUGHT, ""),
        encoder=lambda _: encoder,
        send=service.send,
        left_alone_for=lambda: 0.0,
        threads=ThreadPoolExecutor(1),
    )


def test_the_predecessors_way_shifts_the_columns_of_a_renamed_property_and_scores_on() -> None:
    request = predecessors_request(block("danger-entities"))
    assert request == block("danger-request")
    assert Service().execute(request) == block("danger-scores")


def test_ours_answers_422_naming_the_column_and_asks_the_model_nothing() -> None:
    service = Service()
    body = json.dumps(block("danger-entities")).encode()
    with pytest.raises(EntitiesDoNotFit) as refused:
        score(body, model(service), Deadline.after(5))
    assert refused.value.problem("1") == block("danger-answer")
    assert service.asked == 0


def test_under_the_old_names_the_same_customers_score_right() -> None:
    old = [
        {"Income" if k == "AnnualIncome" else k: v for k, v in entity.items()}
        for entity in block("danger-entities")
    ]
    answer = json.loads(score(json.dumps(old).encode(), model(Service()), Deadline.after(5)).body)
    assert [entity["churn:Scored-Labels"] for entity in answer] == ["no", "no"]
