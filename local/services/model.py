"""A trained model as `local/train.py` saves it and a stand-in service loads it.

Its schema is all that the training data held but `_id` and the label: a service must be sent those columns,
whichever of them its pipeline looks at. Cells are read by the columns' types: a number is a float, a boolean
0 or 1, a date or datetime seconds since 1970, text itself, and nothing is nothing.
"""

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal, Self

import joblib
import numpy as np

type ColumnType = Literal["integer", "number", "boolean", "date", "datetime", "string"]
type Cell = float | str | None

FILE_NAME = "model.joblib"

_INTEGER = re.compile(r"[+-]?[0-9]+", re.ASCII)
_NUMBER = re.compile(r"[+-]?([0-9]*\.)?[0-9]+([eE][+-]?[0-9]+)?", re.ASCII)
_FRACTION = re.compile(r"(\.[0-9]{6})[0-9]+")
_BOOLEANS = {"true": 1.0, "false": 0.0, "1": 1.0, "0": 0.0}


class UnreadableCellError(ValueError):
    """A cell that is not of its column's type; the message names the type, never the cell."""


@dataclass(frozen=True)
class Model:
    """A pipeline and what it was trained on.

    `columns`: name and type of every input, in the order of the training data; `used`: those the pipeline
    looks at, in its order. `pipeline` takes rows of these and has `predict` and `predict_proba`.
    """

    columns: Mapping[str, ColumnType]
    used: Sequence[str]
    label: str
    label_type: ColumnType
    export: str
    version: str
    pipeline: Any

    def predict(self, rows: Sequence[Mapping[str, Cell]]) -> list[tuple[str, float]]:
        """Give label and probability of each row; of two classes the probability of the second, as usual."""
        inputs = matrix(rows, self.used)
        labels = [str(label) for label in self.pipeline.predict(inputs)]
        return list(
            zip(labels, (float(each[-1]) for each in self.pipeline.predict_proba(inputs)), strict=True)
        )

    def save(self, folder: Path) -> Path:
        """Write it where a service looks, at one stroke: a service meets the old one or the new one."""
        folder.mkdir(parents=True, exist_ok=True)
        new = folder / f"{FILE_NAME}.new"
        joblib.dump(self, new)
        return new.rename(folder / FILE_NAME)

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Read a saved model. Raises FileNotFoundError."""
        model = joblib.load(folder / FILE_NAME)
        if not isinstance(model, cls):
            raise TypeError(f"{FILE_NAME} holds no model")
        return model


def matrix(rows: Sequence[Mapping[str, Cell]], columns: Sequence[str]) -> Any:
    """Give rows as scikit-learn takes mixed columns: floats with NaN for nothing, text or None."""
    return np.array([[row[column] for column in columns] for row in rows], dtype=object).reshape(
        -1, len(columns)
    )


def read_cell(value: object, type_: ColumnType) -> Cell:
    """Read a cell of a CSV or of a request; None and the empty text are nothing.

    Raises:
        UnreadableCellError: it is not of the type.
    """
    if value is None or value == "":
        return math.nan if type_ != "string" else None
    text = value if isinstance(value, str) else str(value)
    try:
        return text if type_ == "string" else _number(text, type_)
    except (ValueError, KeyError):
        raise UnreadableCellError(f"is no {type_}") from None


def _number(text: str, type_: ColumnType) -> float:
    if type_ == "boolean":
        return _BOOLEANS[text.lower()]
    if type_ in ("date", "datetime"):
        return read_moment(text).timestamp()
    if not (_INTEGER if type_ == "integer" else _NUMBER).fullmatch(text):
        raise ValueError
    return float(text)


def read_moment(text: str) -> datetime:
    """Read a date or datetime, with or without a zone; without one it is UTC. To the microsecond."""
    moment = datetime.fromisoformat(_FRACTION.sub(r"\1", text))
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)
