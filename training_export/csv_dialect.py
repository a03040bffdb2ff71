"""How a CSV is written: the csv sink's own words. Pure."""

from dataclasses import dataclass

from errors import DataRefused


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
