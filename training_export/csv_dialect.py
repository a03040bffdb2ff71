"""How a CSV is written: the csv sink's own words, as the settings and the pipe give them. Pure."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from errors import DataRefused

if TYPE_CHECKING:
    from sections import ExportSettings

_LINE_TERMINATORS = ("\r\n", "\n", "\r")


@dataclass(frozen=True, slots=True)
class Dialect:
    """The csv sink's own words and defaults (facts/sesam.md §3.1).

    `byte_order_mark` None takes the data as it comes; True and False demand that there is one, or none.
    """

    delimiter: str = ","
    quotechar: str | None = '"'
    escapechar: str | None = None
    doublequote: bool = True
    lineterminator: str = "\r\n"
    encoding: str = "utf-8"
    byte_order_mark: bool | None = None
    include_header: bool = True


def refuse_contradiction(dialect: Dialect) -> None:
    """Refuse signs that no parser could tell apart.

    Raises:
        DataRefused: saying which those are.
    """
    signs = [sign for sign in (dialect.delimiter, dialect.quotechar, dialect.escapechar) if sign is not None]
    if len(set(signs)) < len(signs) or any(len(sign) != 1 or sign in "\r\n" for sign in signs):
        raise DataRefused(
            "The csv dialect cannot be used: delimiter, quotechar and escapechar must be one character each, "
            "no line break, and all different."
        )


def csv_dialect(settings: "ExportSettings", sink: Mapping[str, Any]) -> Dialect:
    """Choose each word of the dialect: the export's own, else the pipe's, else Sesam's default.

    Raises:
        DataRefused: a line terminator that no reader of training data knows.
    """
    default = asdict(Dialect())
    chosen: dict[str, Any] = {}
    for word, usual in default.items():
        own, given = getattr(settings, word), sink.get(word)
        known = isinstance(given, bool if isinstance(usual, bool) or word == "byte_order_mark" else str)
        chosen[word] = own if own is not None else given if known else usual
    if not chosen["quotechar"] or (settings.quotechar is None and _quotes_nothing(sink)):
        chosen["quotechar"] = None
    if chosen["lineterminator"] not in _LINE_TERMINATORS:
        raise DataRefused("The csv sink's lineterminator is none of \\r\\n, \\n, \\r: change it in the pipe.")
    return Dialect(**chosen)


def _quotes_nothing(sink: Mapping[str, Any]) -> bool:
    """Say whether the sink writes no quotes, so that a quotation mark in its data is text."""
    return sink.get("quoting") == "none" or ("quotechar" in sink and sink["quotechar"] is None)


def expected_columns(
    settings: "ExportSettings", sink: Mapping[str, Any], dialect: Dialect
) -> tuple[str, ...]:
    """Give the names the header must have, where they are known (statement 34).

    Raises:
        DataRefused: neither the data nor the settings nor the pipe say what the columns are.
    """
    told = sink.get("columns")
    names = tuple(told) if isinstance(told, list) and all(isinstance(name, str) for name in told) else ()
    expected = settings.columns or names
    if not dialect.include_header and not expected:
        raise DataRefused("There is no header (include_header is false): set the export's columns.")
    return expected
