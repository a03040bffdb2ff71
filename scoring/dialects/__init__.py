"""Payload shapes: rows → request body, answer → one result per row. One module a shape, all pure.

A dialect neither sends nor judges: it is given encoded rows and gives bytes; it is given the decoded JSON of
a 200 answer and gives names and values, one row of values per row sent. To add one: a module with a class of
the shape of `Dialect`, and its line in `DIALECTS` (docs/dialects.md).
"""

from collections.abc import Callable, Mapping

from scoring.dialects.automl import AutoML
from scoring.dialects.automl_v1 import AutoMLv1
from scoring.dialects.classic import Classic
from scoring.dialects.classic_swagger import ClassicSwagger
from scoring.dialects.designer import Designer
from scoring.dialects.mlflow import MLflow
from scoring.dialects.mlflow_server import MLflowServer
from scoring.dialects.protocol import (
    AnswerUnusable,
    Dialect,
    ErrorInside,
    Options,
    Results,
    Row,
    SentColumn,
)
from scoring.dialects.score_script import ScoreScript

__all__ = [
    "DIALECTS",
    "AnswerUnusable",
    "Dialect",
    "ErrorInside",
    "Options",
    "Results",
    "Row",
    "SentColumn",
    "dialect_of",
]

DIALECTS: Mapping[str, Callable[[Options], Dialect]] = {
    "classic": Classic,
    "classic-swagger": ClassicSwagger,
    "designer": Designer,
    "automl": AutoML,
    "automl-v1": AutoMLv1,
    "mlflow": MLflow,
    "mlflow-server": MLflowServer,
    "score-script": ScoreScript,
}
"""Every dialect by the name that `dialect` in the settings takes."""


def dialect_of(name: str, options: Options) -> Dialect:
    """Give the dialect of a model's settings.

    Raises:
        KeyError: no such dialect; the settings allow the names of `DIALECTS` only.
    """
    return DIALECTS[name](options)
