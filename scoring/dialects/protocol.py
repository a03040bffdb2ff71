"""What a dialect is given and gives; the names that every dialect and its callers share."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple, Protocol

from contract.facts import ColumnType
from contract.values import Value

type Row = Sequence[Value | None]


@dataclass(frozen=True, slots=True)
class SentColumn:
    """A column of the request: its name, and what the contract knows of it (type None: no contract)."""

    name: str
    type: ColumnType | None = None
    spelling: str = ""


@dataclass(frozen=True, slots=True)
class Options:
    """The settings of a model that shape its payload; an empty name means the dialect's own default."""

    input_name: str = ""
    output_name: str = ""
    method: str = "predict"
    parameters: Mapping[str, object] = field(default_factory=dict)


class Results(NamedTuple):
    """What a web service answered: the names of its columns, and one row of values per row sent.

    `unnamed`: the answer has one value or list per row and no name for it; the name is then ours.
    """

    names: tuple[str, ...]
    rows: list[tuple[object, ...]]
    unnamed: bool = False


class AnswerUnusable(ValueError):
    """A 200 answer that cannot be matched to the rows sent. The text is safe to show: it quotes no data."""


class ErrorInside(AnswerUnusable):
    """A 200 answer that is an error report (statement 21): a row may be to blame, as with a 424/500.

    `text` is the service's own and may quote data: `redaction.redacted` makes it fit to show.
    """

    def __init__(self, text: str) -> None:
        super().__init__("the web service answered 200 with an error inside")
        self.text = text


class Dialect(Protocol):
    """One payload shape."""

    def request(self, columns: Sequence[SentColumn], rows: Sequence[Row]) -> bytes:
        """Write the body of one request: UTF-8 JSON without NaN, every row as wide as the columns."""

    def results(self, answer: object, row_count: int) -> Results:
        """Read the decoded JSON of a 200 answer.

        Raises:
            ErrorInside: the service reports an error.
            AnswerUnusable: not of this shape, or not `row_count` results.
        """


type Maker = Callable[[Options], Dialect]
"""What each dialect's module has under the name DIALECT."""
