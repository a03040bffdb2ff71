"""docs/manifest.md tells every field there is, and none that there is not."""

import re

import msgspec
import pytest

from contract.documents import Manifest
from contract.drift import Drift
from contract.facts import Category, ColumnFacts, Histogram
from local.bootstrap import ROOT
from training_export.csv_dialect import Dialect

PAGE = (ROOT / "docs" / "manifest.md").read_text()
TABLE_FIELDS = {
    name
    for line in PAGE.splitlines()
    if line.startswith("| `")
    for name in re.findall(r"`([a-z0-9_]+)`", line.split("|")[1])
}


@pytest.mark.parametrize("kind", [Manifest, ColumnFacts, Histogram, Category, Drift, Dialect])
def test_every_field_is_documented(kind: type) -> None:
    fields = kind.__struct_fields__ if issubclass(kind, msgspec.Struct) else Dialect.__dataclass_fields__
    assert [name for name in fields if f"`{name}`" not in PAGE] == []


def test_no_field_is_documented_that_is_not_there() -> None:
    known = {*Manifest.__struct_fields__, *ColumnFacts.__struct_fields__}
    types = {"string", "integer", "number", "boolean", "date", "datetime"}
    assert TABLE_FIELDS - known - types == set()
    assert known - TABLE_FIELDS == set()
