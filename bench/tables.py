"""What a measure hands back: a table, and how it is written into docs/benchmarks.md."""

from collections.abc import Sequence
from dataclasses import dataclass

BEGIN, END = "<!-- measured: begin -->", "<!-- measured: end -->"


@dataclass(frozen=True)
class Table:
    """A titled table; `about` says in a sentence or two what was measured, `goal` what is to be reached."""

    title: str
    about: str
    head: Sequence[str]
    rows: Sequence[Sequence[str]]
    goal: str = ""

    def markdown(self) -> str:
        """Write it."""
        goal = f"\n\nTo reach: {self.goal}" if self.goal else ""
        lines = [_line(self.head), _line(["---"] + ["---:"] * (len(self.head) - 1)), *map(_line, self.rows)]
        return f"### {self.title}\n\n{self.about}{goal}\n\n" + "\n".join(lines) + "\n"


def _line(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cells) + " |"


def replaced(page: str, measured: str) -> str:
    """Put the measured part of the page in place of the last one; what people wrote around it stays."""
    before, _, rest = page.partition(BEGIN)
    after = rest.partition(END)[2]
    return f"{before}{BEGIN}\n\n{measured}\n{END}{after}"
