"""A scoring script for MLflow models that behaves as Microsoft's does on managed endpoints.

With a signature the frame is read by its columns' names and types. Without one, only a frame that has
columns, index and data is taken for a frame; any other object is taken for named tensors.
"""

import json
import os
from pathlib import Path
from typing import Any

import mlflow.pyfunc
import numpy as np
import pandas as pd
from inference_schema.parameter_types.abstract_parameter_type import AbstractParameterType
from inference_schema.parameter_types.pandas_parameter_type import PandasParameterType
from inference_schema.schema_decorators import input_schema
from mlflow.models import Model
from mlflow.pyfunc.scoring_server import _get_jsonable_obj

FOLDER = str(Path(os.environ["AZUREML_MODEL_DIR"]) / os.environ["MLFLOW_MODEL_FOLDER"])


class AsItCame(AbstractParameterType):
    """An input of which nothing is known."""

    def __init__(self) -> None:
        super().__init__(None)

    def deserialize_input(self, input_data: Any) -> Any:
        """Leave it."""
        return input_data

    def input_to_swagger(self) -> dict[str, object]:
        """Describe any object."""
        return {"type": "object", "example": {}}


def _input_type() -> Any:
    signature = Model.load(FOLDER).signature
    if signature is None:
        return AsItCame()
    types = dict(zip(signature.inputs.input_names(), signature.inputs.pandas_types(), strict=True))
    return PandasParameterType(
        pd.DataFrame(columns=list(types)).astype(types), enforce_shape=False, orient="split"
    )


model = mlflow.pyfunc.load_model(FOLDER)


def init() -> None:
    """Nothing is left to do: the model is loaded with the script."""


@input_schema("input_data", _input_type())
@input_schema("params", AsItCame(), optional=True)
def run(input_data: Any, params: Any = None) -> Any:
    """Predict."""
    return _get_jsonable_obj(model.predict(_frame(input_data), params=params), pandas_orient="records")


def _frame(sent: Any) -> Any:
    if isinstance(sent, pd.DataFrame):
        return sent
    if isinstance(sent, list):
        return np.asarray(sent)
    if {"columns", "index", "data"} <= sent.keys():
        # Given a text, pandas 2 takes it for JSON and pandas 3 for a file's name: hence pandas < 3 here.
        return pd.read_json(json.dumps(sent), orient="split", dtype=False)
    return {name: np.asarray(values) for name, values in sent.items()}
