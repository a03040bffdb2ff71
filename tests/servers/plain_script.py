"""A scoring script as people write it: positional rows in and a JSON text out, or columns in and out."""

import json
from typing import Any

RISKS = {"Oslo": 0.1, "Bergen": 0.2, "Tromsø": 0.3, None: 0.15}


def init() -> None:
    """Load nothing: the model is the table above."""


def run(raw_data: str) -> Any:
    """Score `{"data": [[…]]}`, the answer encoded twice, or `{"Age": […], …}`, the answer in columns."""
    sent = json.loads(raw_data)
    if "data" in sent:
        return json.dumps({"result": [_score(*row) for row in sent["data"]]})
    scores = [_score(*row) for row in zip(*sent.values(), strict=True)]
    return {name: [score[name] for score in scores] for name in ("label", "probability", "Account")}


def _score(
    age: int, city: str | None, income: float | None, member: bool, since: str, account: int
) -> dict[str, object]:
    if not since.startswith("20"):
        raise ValueError("Since is no date of this century")
    probability = RISKS[city] + age / 100 + (income or 0.0) / 1e6 + member / 10
    return {"label": "yes" if probability > 0.5 else "no", "probability": probability, "Account": account}
