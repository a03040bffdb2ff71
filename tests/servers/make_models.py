"""Trains the small models that the servers serve; run with the servers' own Python: make_models.py FOLDER.

    FOLDER/model.joblib     a scikit-learn pipeline, for the scripts of automated ML
    FOLDER/signed           the same as an MLflow model with a signature
    FOLDER/unsigned         and one without

The pipeline knows the cities of its training data and fails on any other: a row that fits the contract and
that the model refuses.
"""

import sys
from pathlib import Path

import joblib
import mlflow.sklearn
import numpy as np
import pandas as pd
from mlflow.models import infer_signature
from sklearn.compose import ColumnTransformer
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import OneHotEncoder

# Both of the nulls that pandas knows.
CITIES = ["Oslo", "Bergen", "Tromsø", None, np.nan]


def customers() -> pd.DataFrame:
    """Give the training data, the same every time."""
    count = 40
    places = np.arange(count)
    return pd.DataFrame(
        {
            "Age": 20 + places,
            "City": [CITIES[place % len(CITIES)] for place in places],
            "Income": [np.nan if place % 7 == 0 else 1000.5 * place for place in places],
            "Member": places % 2 == 0,
            "Since": pd.Timestamp("2020-01-01") + pd.to_timedelta(places, unit="D"),
            "Account": 9007199254740993 + places,
        }
    )


def main(folder: Path) -> None:
    """Train and save."""
    data = customers()
    columns = ColumnTransformer(
        [
            ("numbers", SimpleImputer(), ["Age", "Income"]),
            ("city", OneHotEncoder(handle_unknown="error"), ["City"]),
        ]
    )
    pipeline = Pipeline([("columns", columns), ("model", LogisticRegression(max_iter=5000))])
    labels = np.where(data["Age"] > 40, "yes", "no")
    pipeline.fit(data, labels)
    joblib.dump(pipeline, folder / "model.joblib")
    sample = data[data["City"].notna()].reset_index(drop=True)
    signature = infer_signature(sample, labels[: len(sample)])
    # Requirements are given, or mlflow would find them out by importing everything once more.
    given = {"pip_requirements": [], "serialization_format": "cloudpickle"}
    mlflow.sklearn.save_model(pipeline, folder / "signed", signature=signature, **given)
    mlflow.sklearn.save_model(pipeline, folder / "unsigned", **given)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
