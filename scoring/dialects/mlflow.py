"""`mlflow`: an MLflow model deployed without a script of its own (facts/azureml.md §3).

Request: {"input_data": {"columns": ["Age", "City"], "index": [0, 1], "data": [[30, "Oslo"], [41, null]]},
          "params": {…}}, `params` only where there are `parameters`

Answer:  a bare list: ["yes", "no"], [[0.03, 0.97], …] or [{"label": "yes", "probability": 0.95}, …]

Null is JSON's null. A model with a signature takes it in string columns only, and in numbers if its model
imputes; an integer column cannot hold it. `index` is always 0…n−1 of this request (statement 4).

`input_name` defaults to `input_data`.
"""

from collections.abc import Sequence
from typing import ClassVar

from scoring.dialects.answers import ReadsAllShapes
from scoring.dialects.bodies import encoded, frame
from scoring.dialects.protocol import Maker, Row, SentColumn


class MLflow(ReadsAllShapes):
    """Microsoft's scoring script for MLflow models."""

    frame_name: ClassVar[str] = "input_data"

    def request(self, columns: Sequence[SentColumn], rows: Sequence[Row]) -> bytes:
        """Write a frame: columns, index, data."""
        body: dict[str, object] = {self.options.input_name or self.frame_name: frame(columns, rows)}
        if self.options.parameters:
            body["params"] = self.options.parameters
        return encoded(body)


DIALECT: Maker = MLflow
