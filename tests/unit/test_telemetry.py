"""Every name the app tells is declared in telemetry.py and explained in docs/telemetry.md; none is idle."""

import re
from collections.abc import Iterator

import telemetry
from local.bootstrap import ROOT
from tests.unit.test_repository import APP, lies_in, project_modules

NAMED: list[telemetry.Span | telemetry.Metric] = [*telemetry.SPANS, *telemetry.METRICS]
PAGE = (ROOT / "docs" / "telemetry.md").read_text()


def explained() -> set[str]:
    table = PAGE.partition("## How it is")[0]
    return set(re.findall(r"^\| `([^`]+)` \|", table, re.MULTILINE))


def test_every_name_is_explained_on_the_page_and_no_other() -> None:
    names = {each.name for each in NAMED}
    fields = {f"{event}.{field}" for event, its in telemetry.LINES.items() for field in its}
    assert explained() == names | fields


def test_every_attribute_stands_beside_its_name() -> None:
    rows = {row.split("`")[1]: row for row in PAGE.splitlines() if row.startswith("| `")}
    for each in NAMED:
        missing = [name for name in each.attributes if f"`{name}`" not in rows[each.name]]
        assert missing == [], each.name
        assert getattr(each, "kind", "") in rows[each.name]


def app() -> Iterator[str]:
    yield from (
        text for name, text in project_modules().items() if lies_in(name, APP) and name != "telemetry"
    )


def test_every_line_that_the_app_tells_is_declared_and_every_declared_one_is_told() -> None:
    assert set(lines("\n".join(app()))) == telemetry.LINES.keys()
    assert lines('warn(\n    "undeclared", model="churn")') == ["undeclared"]


def lines(source: str) -> list[str]:
    return re.findall(r'\b(?:tell|warn)\(\s*"([^"]+)"', source)


def test_every_span_and_metric_is_told_somewhere() -> None:
    symbols = {name for name, value in vars(telemetry).items() if value in NAMED}
    used = set(re.findall(r"\btelemetry\.([A-Z_]+)\b", "\n".join(app())))
    assert symbols - used == set()
