"""The table of docs/dialects.md: every dialect × every kind of entity, what was sent and what came back.

python -m tests.integration.dialects.table     # runs the servers and writes the table anew
"""

import json
import re
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple, get_args

import sections
from local.bootstrap import ROOT
from tests.integration.dialects.road import PREFIX, Road, Told, open_roads

DIALECTS: tuple[str, ...] = get_args(sections.Dialect)
PAGE = ROOT / "docs" / "dialects.md"
BEGIN = "<!-- made by `python -m tests.integration.dialects.table`: do not edit -->"
END = "<!-- end of the table -->"

PLAIN: Mapping[str, object] = {
    "_id": "1",
    "Age": 30,
    "City": "Oslo",
    "Income": 7.5,
    "Member": True,
    "Since": "~t2020-01-31T23:59:59Z",
    "Account": 42,
}
AS_SENT = {
    "Age": 30,
    "City": "Oslo",
    "Income": 7.5,
    "Member": True,
    "Since": "2020-01-31T23:59:59Z",
    "Account": 42,
}


class Case(NamedTuple):
    """Entities to send, what is said of them, and the first row that must go out; None: no request."""

    said: str
    entities: Sequence[Mapping[str, object]]
    row: Mapping[str, object] | None


def _one(said: str, sent: Mapping[str, object], *, without: str = "", **changed: object) -> Case:
    entity = {name: value for name, value in PLAIN.items() if name != without} | changed
    return Case(said, [entity], {**AS_SENT, **sent})


def _batch(count: int, bad: Sequence[int]) -> Sequence[Mapping[str, object]]:
    return [
        {**PLAIN, "_id": str(number), "City": "Nowhere" if number in bad else "Oslo"}
        for number in range(count)
    ]


CASES: Mapping[str, Case] = {
    "plain": _one('`Age` 30, `City` "Oslo", `Income` 7.5 …', {}),
    "null": Case(
        "`City` and `Income` null, beside an entity that has them",
        [{**PLAIN, "City": None, "Income": None}, {**PLAIN, "_id": "2"}],
        {**AS_SENT, "City": None, "Income": None},
    ),
    "missing property": _one("no `Age`, which never was empty", {}, without="Age")._replace(row=None),
    "extra property": _one("`Shoe` 43 and a list `Pets` beside the rest", {}, Shoe=43, Pets=[{}, {}]),
    "permuted order": Case("the properties backwards", [dict(reversed(list(PLAIN.items())))], AS_SENT),
    "namespaced": Case(
        "`crm:Age`, `crm:City` …",
        [{k if k == "_id" else f"crm:{k}": v for k, v in PLAIN.items()}],
        AS_SENT,
    ),
    "decimal": _one('`Income` "~f7.7000"', {"Income": 7.7}, Income="~f7.7000"),
    "datetime": _one(
        '`Since` "~t2020-02-29T12:00:00.5Z"',
        {"Since": "2020-02-29T12:00:00.5Z"},
        Since="~t2020-02-29T12:00:00.5Z",
    ),
    "boolean": _one("`Member` false", {"Member": False}, Member=False),
    "list of one": _one('`City` ["Bergen"]', {"City": "Bergen"}, City=["Bergen"]),
    "list value": _one('`City` ["Oslo", "Bergen"]', {}, City=["Oslo", "Bergen"])._replace(row=None),
    "big integer": _one("`Account` 9007199254740993", {"Account": 2**53 + 1}, Account=2**53 + 1),
    "non-ASCII": _one('`City` "Tromsø"', {"City": "Tromsø"}, City="Tromsø"),
    "one bad row of 100": Case(
        'number 57 has `City` "Nowhere", which the model refuses', _batch(100, [57]), AS_SENT
    ),
    "one bad row of 1,000": Case(
        'number 617 has `City` "Nowhere"; what 999 scores and one mark cost', _batch(1000, [617]), AS_SENT
    ),
    "all bad": Case(
        '20 entities with `City` "Nowhere"', _batch(20, range(20)), {**AS_SENT, "City": "Nowhere"}
    ),
    "empty": Case("`[]`", [], None),
}


def results(roads: Mapping[str, Road]) -> dict[str, dict[str, Told]]:
    """Send every case down every road: dialect → case → what came of it."""
    return {
        dialect: {name: roads[dialect].score(case.entities) for name, case in CASES.items()}
        for dialect in DIALECTS
    }


def first_row(body: bytes) -> object:
    """Give the first row of a request as it stands there, whatever the dialect."""
    sent = json.loads(body)
    while isinstance(sent, dict):
        inner = next((sent[k] for k in ("Values", "data", "Inputs", "input1") if k in sent), None)
        sent = inner if inner is not None else next(iter(sent.values()))
    return sent[0]


def page_with(told: Mapping[str, Mapping[str, Told]]) -> str:
    """Give the page with the table put between its marks."""
    before, _, rest = PAGE.read_text().partition(BEGIN)
    _, mark, after = rest.partition(END)
    assert mark, f"{PAGE.name} has lost the marks of its table"
    return f"{before}{BEGIN}\n\n{_table(told)}\n{END}{after}"


def _table(told: Mapping[str, Mapping[str, Told]]) -> str:
    lines = []
    for dialect, cases in told.items():
        lines += [f"### `{dialect}`", "", "| entities | first row sent | requests | came back |"]
        lines += ["| --- | --- | --- | --- |"]
        for name, each in cases.items():
            row = _code(first_row(each.sent[0])) if each.sent else "nothing"
            cells = (f"**{name}**: {CASES[name].said}", row, str(len(each.sent)), _came_back(each))
            lines.append(f"| {' | '.join(cells)} |")
        lines.append("")
    return "\n".join(lines)


def _came_back(told: Told) -> str:
    if told.status != 200:
        features = ", ".join(told.answer.get("features", ()))
        about = f", {features}" if features else ""
        return f"**{told.status}** {told.answer['type'].rpartition(':')[2]}{about}"
    if not told.answer:
        return "200 `[]`"
    marked = [entity for entity in told.answer if f"{PREFIX}error" in entity]
    if not marked:
        return f"200 {_code(scores(told.answer[0]))}"
    counts = "" if len(told.answer) == 1 else f"{len(told.answer) - len(marked)} with scores, "
    return f"200, {counts}{len(marked)} marked {_code(scores(marked[0]))}"


def scores(entity: Mapping[str, Any]) -> dict[str, Any]:
    """Give what was added to an entity."""
    return {name: value for name, value in entity.items() if name.startswith(PREFIX)}


def _code(value: object) -> str:
    return f"`{re.sub(r'[|`]', '?', json.dumps(value, ensure_ascii=False))}`"


def main() -> None:
    """Write the table anew."""
    with tempfile.TemporaryDirectory() as folder, open_roads(Path(folder)) as (roads, _):
        PAGE.write_text(page_with(results(roads)))


if __name__ == "__main__":
    main()
