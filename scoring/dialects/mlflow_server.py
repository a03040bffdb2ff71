"""`mlflow-server`: `mlflow models serve`, its URL ending in /invocations (facts/azureml.md §3).

Request: {"dataframe_split": {"columns": ["Age", "City"], "index": [0, 1], "data": [[30, "Oslo"], …]},
          "params": {…}}, `params` only where there are `parameters`

Answer:  {"predictions": ["yes", "no"]}, or lists or objects therein

Null is JSON's null, under the limits of mlflow.py. The payloads of the two are not interchangeable.
`input_name` defaults to `dataframe_split`.
"""

from typing import ClassVar

from scoring.dialects.mlflow import MLflow
from scoring.dialects.protocol import Maker


class MLflowServer(MLflow):
    """MLflow's own scoring server."""

    frame_name: ClassVar[str] = "dataframe_split"


DIALECT: Maker = MLflowServer
