"""`automl-v1`: what automated ML deployed with SDK v1 (facts/azureml.md §3).

Request: {"data": [{"Age": 30, "City": "Oslo"}, {"Age": 41, "City": null}], "method": "predict"}

Answer:  a JSON text that holds {"result": ["yes", "no"]}; a failure holds {"error": "…"}, with status 200
         (statements 20 and 21); of a forecast {"forecast": […], "index": [{…}, …]}

Null is JSON's null; every object has every column and no other, as the script answers 500 to an unknown one.

`method` and `parameters` stand beside `data` by the rule of automl.py. `input_name` defaults to `data`.
"""

from collections.abc import Sequence

from scoring.dialects.answers import ReadsAllShapes
from scoring.dialects.automl import parameters
from scoring.dialects.bodies import encoded, records
from scoring.dialects.protocol import Maker, Row, SentColumn


class AutoMLv1(ReadsAllShapes):
    """Automated ML's v1 scoring script."""

    def request(self, columns: Sequence[SentColumn], rows: Sequence[Row]) -> bytes:
        """Write rows as objects."""
        name = self.options.input_name or "data"
        return encoded(parameters(self.options) | {name: records(columns, rows)})


DIALECT: Maker = AutoMLv1
