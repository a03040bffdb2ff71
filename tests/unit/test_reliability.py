"""docs/reliability.md is true: each row is proven by tests that say so, and no test proves a missing row."""

import ast
import re
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import NamedTuple

import pytest

from local.bootstrap import ROOT

PAGE = ROOT / "docs" / "reliability.md"
PROMISES = [f"P{number}" for number in range(1, 15)]
FAULTS = [str(number) for number in range(1, 49)]

_PROOF = re.compile(r"`(tests/[\w/]+\.py)::(?:Test\w+::)?(test_\w+)`")


class Row(NamedTuple):
    """A row of the page: a promise or fault, what is done, and the node ids that prove it."""

    number: str
    cells: tuple[str, ...]
    proofs: tuple[str, ...]


def rows_of(page: str) -> Iterator[Row]:
    """The numbered rows of a page's tables."""
    for line in page.splitlines():
        if found := re.match(r"\| (P?\d+) \|(.*)\|$", line):
            cells = tuple(cell.strip() for cell in found[2].split("|"))
            yield Row(found[1], cells, tuple("::".join(proof) for proof in _PROOF.findall(cells[-1])))


def claims_of(source: str) -> dict[str, set[str]]:
    """Each test of a module and the rows that its markers claim: 'P8', '39'."""
    found: dict[str, set[str]] = {}
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name.startswith("test_"):
            found[node.name] = {claim for mark in node.decorator_list for claim in _claims(mark)}
    return found


def _claims(mark: ast.expr) -> Iterator[str]:
    if not isinstance(mark, ast.Call):
        return
    kind = ast.unparse(mark.func).removeprefix("pytest.mark.")
    for argument in mark.args if kind in ("fault", "statement") else ():
        claim = str(ast.literal_eval(argument))
        if kind == "fault" or re.fullmatch(r"P\d+", claim):
            yield claim


@cache
def all_claims() -> Mapping[str, set[str]]:
    """The claims of every test there is, by node id."""
    return {
        f"{path.relative_to(ROOT)}::{test}": claims
        for path in sorted((ROOT / "tests").rglob("test_*.py"))
        for test, claims in claims_of(Path(path).read_text()).items()
    }


def breaches(rows: list[Row], claims: Mapping[str, set[str]]) -> list[str]:
    """What is not true of a page with these rows."""
    known = {row.number for row in rows}
    return [
        *(f"{row.number} has an empty cell" for row in rows if not all(row.cells)),
        *(f"{row.number} names no test" for row in rows if not row.proofs),
        *(f"{row.number}: no {p}" for row in rows for p in row.proofs if p not in claims),
        *(
            f"{row.number}: {proof} does not say that it proves it"
            for row in rows
            for proof in row.proofs
            if row.number not in claims.get(proof, {row.number})
        ),
        *(f"{test} proves {claim}: no such row" for test in claims for claim in claims[test] - known),
    ]


def test_every_promise_and_fault_has_one_row_and_every_row_its_proof() -> None:
    rows = list(rows_of(PAGE.read_text("utf-8")))
    assert [row.number for row in rows] == PROMISES + FAULTS
    assert breaches(rows, all_claims()) == []


def test_every_defect_names_a_test_that_there_is() -> None:
    defects = PAGE.read_text("utf-8").partition("## Defects found")[2].split("\n* ")[1:]
    assert defects
    for defect in defects:
        proofs = ["::".join(proof) for proof in _PROOF.findall(defect)]
        assert proofs, defect
        assert set(proofs) <= all_claims().keys(), defect


@pytest.mark.parametrize(
    ("row", "source", "found"),
    [
        ("| 7 | | done | `tests/t.py::test_a` |", "", "7 has an empty cell"),
        ("| 7 | fault | done | by hand |", "", "7 names no test"),
        ("| 7 | fault | done | `tests/t.py::test_b` |", "", "7: no tests/t.py::test_b"),
        ("| 8 | fault | done | `tests/t.py::test_a` |", "", "8: tests/t.py::test_a does not say"),
        ("| 7 | fault | done | `tests/t.py::test_a` |", "@pytest.mark.statement('P1')", "proves P1: no such"),
    ],
)
def test_a_row_without_proof_and_a_proof_without_row_are_found(row: str, source: str, found: str) -> None:
    module = f"{source}\n@pytest.mark.fault(7)\n@pytest.mark.statement('sesam-1')\ndef test_a(): ..."
    claims = {f"tests/t.py::{test}": its for test, its in claims_of(module).items()}
    assert any(found in breach for breach in breaches(list(rows_of(row)), claims))
