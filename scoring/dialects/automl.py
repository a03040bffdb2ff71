"""`automl`: what automated ML deploys today, its v2 scoring script (facts/azureml.md §3).

Request: {"Inputs": {"data": [{"Age": 30, "City": "Oslo"}, {"Age": 41, "City": null}]},
          "GlobalParameters": {"method": "predict"}}

Answer:  {"Results": ["yes", "no"]}; with method predict_proba {"Results": [[0.03, 0.97], …]};
         of a forecast {"Results": {"forecast": […], "prediction_interval": ["[lo, hi]", …],
         "index": [{"date": 1514764800000, …}, …]}}

Null is JSON's null; every object has every column and no other, as the script answers 500 to an unknown one.

GlobalParameters (statement 5): `parameters` as they are where there are any (a forecast's
{"quantiles": [0.025, 0.975]}), with `method` in them only when it is another than predict; else `method`;
else, with `method = ""`, nothing: `{}` is a 500. A forecast's index becomes columns: the series' keys echo
features and are compared, its dates come as milliseconds since 1970. `input_name` defaults to `data`.
"""

from collections.abc import Sequence

from scoring.dialects.answers import ReadsAllShapes
from scoring.dialects.bodies import encoded, records
from scoring.dialects.protocol import Maker, Options, Row, SentColumn

DEFAULT_METHOD = "predict"


class AutoML(ReadsAllShapes):
    """Automated ML's v2 scoring script."""

    def request(self, columns: Sequence[SentColumn], rows: Sequence[Row]) -> bytes:
        """Write rows as objects."""
        body: dict[str, object] = {"Inputs": {self.options.input_name or "data": records(columns, rows)}}
        if chosen := parameters(self.options):
            body["GlobalParameters"] = chosen
        return encoded(body)


DIALECT: Maker = AutoML


def parameters(options: Options) -> dict[str, object]:
    """Give the method and parameters to send, by the rule above."""
    given = dict(options.parameters)
    if options.method and (not given or options.method != DEFAULT_METHOD):
        given.setdefault("method", options.method)
    return given
