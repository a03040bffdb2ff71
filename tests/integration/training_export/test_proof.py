"""`make proof` in small: byte-identical, in bounded memory (2 GB and 200 MB are for `make proof`)."""

import pytest

from local.azurite import Azurite
from local.proof.snapshot import Measured, SnapshotProof, broken, prove, report


@pytest.mark.statement("sesam-29", "P13")
@pytest.mark.fault(47)
def test_a_table_of_several_blocks_arrives_identical_in_bounded_memory(azurite: Azurite) -> None:
    proof = prove(azurite.connection_string, 45)
    assert broken([proof]) == []
    assert f"{proof.rows:,}" in report([proof])


def test_a_promise_that_does_not_hold_is_named() -> None:
    def proof(*, identical: bool = True, memory: float = 40.0) -> SnapshotProof:
        run = Measured(seconds=3.0, cpu=2.0, busy=5.0, idle=100.0, peak=100.0 + memory, outcome="published")
        return SnapshotProof(200.0, 7, identical, copied=run, exported=run)

    assert broken([proof(), proof(memory=48)]) == []
    assert "differs" in str(broken([proof(identical=False)]))
    assert "over 60" in str(broken([proof(memory=61)]))
    assert "not the same" in str(broken([proof(), proof(memory=48.1)]))
