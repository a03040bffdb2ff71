"""A scoring script in the shape that automated ML generates today (v2), a forecast's answer included."""

import os
from pathlib import Path
from typing import Any

import joblib
import pandas as pd
from inference_schema.parameter_types.pandas_parameter_type import PandasParameterType
from inference_schema.parameter_types.standard_py_parameter_type import StandardPythonParameterType
from inference_schema.schema_decorators import input_schema, output_schema

SAMPLE = pd.DataFrame(
    {
        "Age": pd.Series([30], dtype="int64"),
        "City": pd.Series(["Oslo"], dtype="object"),
        "Income": pd.Series([0.5], dtype="float64"),
        "Member": pd.Series([True], dtype="bool"),
        "Since": pd.Series(["2020-01-01"], dtype="datetime64[ns]"),
        "Account": pd.Series([1], dtype="int64"),
    }
)
INPUTS = StandardPythonParameterType({"data": PandasParameterType(SAMPLE)})
PARAMETERS = StandardPythonParameterType({"method": "predict"})
RESULTS = StandardPythonParameterType({"Results": StandardPythonParameterType(["yes"])})

pipeline: Any = None


def init() -> None:
    """Load the model."""
    global pipeline  # this is how the server hands a model over
    pipeline = joblib.load(Path(os.environ["AZUREML_MODEL_DIR"]) / "model.joblib")


@input_schema("GlobalParameters", PARAMETERS, convert_to_provided_type=False)
@input_schema("Inputs", INPUTS)
@output_schema(RESULTS)
def run(Inputs: Any, GlobalParameters: Any = {"method": "predict"}) -> Any:  # noqa: N803, B006  # the names are the payload's keys
    """Predict by the method that is asked for; a forecast is asked for by its quantiles."""
    data = Inputs["data"]
    if "quantiles" in GlobalParameters:
        return {"Results": _forecast(data)}
    method = GlobalParameters.get("method")
    if method not in ("predict", "predict_proba"):
        raise ValueError("GlobalParameters names no known method")
    return {"Results": getattr(pipeline, method)(data).tolist()}


def _forecast(data: Any) -> dict[str, object]:
    stays = pipeline.predict_proba(data)[:, 0].tolist()
    epoch_ms = data["Since"].astype("datetime64[ms]").astype("int64")
    index = pd.DataFrame({"Since": epoch_ms, "City": data["City"]})
    return {
        "forecast": stays,
        "prediction_interval": [f"[{value - 0.1}, {value + 0.1}]" for value in stays],
        "index": index.to_dict(orient="records"),
    }
