"""Night after night new versions are published; a model is asked what its own version taught it."""

from typing import Any

import pytest

from contract.features import DoesNotFit, Row
from scoring.contracts import Contracts
from scoring.deadline import Deadline
from scoring.models import encoder_of
from sections import ModelSettings
from tests.exports import Bench

HEADER = "_id,PostCode,Income,ChurnFlag\r\n"
SETTINGS = ModelSettings.model_validate(
    {"url": "http://127.0.0.1/x", "auth": "none", "contract": "customers"}
)


def table(postcode: str, income: str) -> bytes:
    lines = (f"{n},{postcode},{income},{'true' if n % 3 else 'false'}\r\n" for n in range(10))
    return (HEADER + "".join(lines)).encode()


@pytest.fixture
def bench() -> Bench:
    bench = Bench()
    bench.set(label="ChurnFlag")
    return bench


def asked(bench: Bench, entity: dict[str, Any]) -> Row:
    contracts = Contracts(bench.container, clock=bench.clock.monotonic, now=lambda: "")
    adopted = contracts.adopted("churn", "customers", Deadline.after(5))
    return encoder_of(SETTINGS, "churn:", adopted.contract).encode(entity).row


def test_a_nightly_retyped_column_does_not_change_what_last_months_model_is_asked(bench: Bench) -> None:
    entity = {"_id": "1", "crm:PostCode": "0150", "crm:Income": "~f500.50"}
    bench.run(table("0150", "500.50"))
    assert asked(bench, entity) == ["0150", 500.5]
    night = bench.run(table("7150", "500"))
    manifest = bench.versions.manifest(night.version or "")
    assert "PostCode retyped string → integer" in manifest.differences
    assert "Income retyped number → integer" in manifest.differences
    assert bench.latest().version == night.version
    assert asked(bench, entity) == ["0150", 500.5]


def test_only_an_adoption_changes_it(bench: Bench) -> None:
    bench.run(table("0150", "500"))
    night = bench.run(table("7150", "500"))
    entity = {"_id": "1", "crm:PostCode": "7150", "crm:Income": 500}
    assert asked(bench, entity) == ["7150", 500]
    contracts = Contracts(bench.container, clock=bench.clock.monotonic, now=lambda: "")
    contracts.adopt("churn", "customers", night.version or "")
    assert asked(bench, entity) == [7150, 500]
    with pytest.raises(DoesNotFit, match="PostCode: not an integer"):
        asked(bench, entity | {"crm:PostCode": "0150"})


def test_the_manifest_carries_the_difference_from_its_predecessor(bench: Bench) -> None:
    first = bench.run(table("0150", "500"))
    second = bench.run(table("0150", "900"))
    assert bench.versions.manifest(first.version or "").drift == ()
    manifest = bench.versions.manifest(second.version or "")
    assert manifest.previous == first.version
    assert manifest.differences == ("Income ranges 900 to 900 (before: 500 to 500)",)
    farthest = manifest.drift[0]
    assert (farthest.column, farthest.jensen_shannon_distance) == ("Income", 1)
    assert farthest.population_stability_index > 1
