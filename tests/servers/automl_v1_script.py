"""A scoring script in the shape that automated ML generated with SDK v1: errors are texts inside a 200."""

import json
from typing import Any

import automl_script
from inference_schema.parameter_types.pandas_parameter_type import PandasParameterType
from inference_schema.parameter_types.standard_py_parameter_type import StandardPythonParameterType
from inference_schema.schema_decorators import input_schema


def init() -> None:
    """Load the model."""
    automl_script.init()


@input_schema("method", StandardPythonParameterType("predict"), convert_to_provided_type=False)
@input_schema("data", PandasParameterType(automl_script.SAMPLE))
def run(data: Any, method: str = "predict") -> str:
    """Predict by the method that is asked for."""
    try:
        if method not in ("predict", "predict_proba"):
            raise ValueError("an unknown method was asked for")
        return json.dumps({"result": getattr(automl_script.pipeline, method)(data).tolist()})
    except Exception as error:  # noqa: BLE001  # as the generated scripts do: this is the trap
        return json.dumps({"error": str(error)})
