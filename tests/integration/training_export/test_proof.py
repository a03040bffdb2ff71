"""`make proof` in small: byte-identical, in bounded memory (2 GB and 200 MB are for `make proof`)."""

import pytest

from local.azurite import Azurite
from local.proof.snapshot import prove, report


@pytest.mark.statement("sesam-29", "P13")
@pytest.mark.fault(47)
def test_a_table_of_several_blocks_arrives_identical_in_bounded_memory(azurite: Azurite) -> None:
    proof = prove(azurite.connection_string, 45)
    assert proof.identical
    assert proof.export_mib < 60
    assert f"{proof.rows:,}" in report([proof])
