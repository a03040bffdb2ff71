"""Payload shapes: rows → request body, answer → one result per row. One module a shape, all pure.

A dialect neither sends nor judges: it is given encoded rows and gives bytes; it is given the decoded JSON of
a 200 answer and gives names and values, one row of values per row sent. To add one: a module that says what
its `DIALECT` is, and its name in `sections.Dialect` (docs/dialects.md).
"""

from importlib import import_module

from scoring.dialects.protocol import (
    AnswerUnusable,
    Dialect,
    ErrorInside,
    Maker,
    Options,
    Results,
    Row,
    SentColumn,
)

__all__ = [
    "AnswerUnusable",
    "Dialect",
    "ErrorInside",
    "Options",
    "Results",
    "Row",
    "SentColumn",
    "dialect_of",
]


def dialect_of(name: str, options: Options) -> Dialect:
    """Give the dialect of a model's settings: `mlflow-server` is the module mlflow_server.

    Raises:
        ModuleNotFoundError: no such dialect; `sections.Dialect` lets none through.
    """
    make: Maker = import_module(f"{__name__}.{name.replace('-', '_')}").DIALECT
    return make(options)
