"""`designer`: a real-time endpoint of Azure ML designer (facts/azureml.md §3).

Request: {"Inputs": {"WebServiceInput0": [{"Age": 30, "City": "Oslo"}, {"Age": 41, "City": null}]},
          "GlobalParameters": {}}

Answer:  {"Results": {"WebServiceOutput0": [{"Age": 30, …, "Scored Labels": "yes",
          "Scored Probabilities": 0.97}, …]}}, in real numbers

Null is JSON's null. A column that is null in every row of a request is refused with 400 by models that were
trained on numbers: whether a row scores depends on the rows beside it, so it is tried alone before it is
called bad (statement 37).

`input_name` defaults to WebServiceInput0; pipelines published since late 2022 want `input1`, the old name
gives them 400. `output_name` defaults to the only output. `parameters` are the GlobalParameters.
"""

from collections.abc import Sequence

from scoring.dialects.answers import ReadsAllShapes
from scoring.dialects.bodies import encoded, records
from scoring.dialects.protocol import Maker, Row, SentColumn


class Designer(ReadsAllShapes):
    """A designer pipeline behind an endpoint."""

    def request(self, columns: Sequence[SentColumn], rows: Sequence[Row]) -> bytes:
        """Write rows as objects."""
        return encoded(
            {
                "Inputs": {self.options.input_name or "WebServiceInput0": records(columns, rows)},
                "GlobalParameters": self.options.parameters,
            }
        )


DIALECT: Maker = Designer
