"""What `make run` prints as tables: column facts and scores, as a person would want to read them. Pure."""

from collections.abc import Mapping, Sequence
from typing import Any

WIDEST = 46


def columns_table(columns: Sequence[Mapping[str, Any]]) -> str:
    """Lay out a manifest's column facts, a line each."""
    rows = [("column", "type", "empty", "distinct", "what the model sees")]
    rows += [(c["name"], c["type"], f"{c['empties']:,}", _distinct(c), _seen(c)) for c in columns]
    return _laid_out(rows)


def scores_table(entities: Sequence[Mapping[str, Any]]) -> str:
    """Lay out scored entities: who they are and what the model says of them."""
    rows = [("customer", "name", "churn:Scored-Labels", "churn:Scored-Probabilities")]
    rows += [
        (
            str(e["_id"]),
            str(_bare(e, "Name")),
            str(e["churn:Scored-Labels"]).lower(),
            str(e["churn:Scored-Probabilities"]).removeprefix("~f")[:8],
        )
        for e in entities
    ]
    return _laid_out(rows)


def _bare(entity: Mapping[str, Any], name: str) -> Any:
    return next((v for key, v in entity.items() if key.rpartition(":")[2] == name), "")


def _distinct(column: Mapping[str, Any]) -> str:
    count, error = column.get("distinct"), column.get("distinct_error", 0)
    return "" if count is None else f"{'about ' if error else ''}{count:,}"


def _seen(column: Mapping[str, Any]) -> str:
    if categories := column.get("categories"):
        told = ", ".join(f"{c['value']} {c['count']:,}" for c in categories)
        return told if len(told) <= WIDEST else told[: WIDEST - 2].rpartition(", ")[0] + ", …"
    if column.get("minimum") is not None:
        mean = f", mean {column['mean']:,.1f}" if column.get("mean") is not None else ""
        return f"{column['minimum']} … {column['maximum']}{mean}"
    if column.get("longest"):
        return f"text of up to {column['longest']} characters"
    return ""


def _laid_out(rows: Sequence[Sequence[str]]) -> str:
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    head, *rest = (_line(row, widths) for row in rows)
    return "\n".join([head, _line(["─" * width for width in widths], widths), *rest])


def _line(row: Sequence[str], widths: Sequence[int]) -> str:
    cells = (cell.ljust(width) for cell, width in zip(row, widths, strict=True))
    return ("   " + "  ".join(cells)).rstrip()
