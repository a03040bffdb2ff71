"""SECURITY.md: every threat has a proof that is there, and is shipped to readers and not to Azure."""

import re

from local.bootstrap import ROOT

PAGE = (ROOT / "SECURITY.md").read_text("utf-8")


def test_every_threat_has_what_is_done_and_a_proof_that_is_there() -> None:
    table = PAGE.partition("## Threats")[2].partition("\n## ")[0]
    threats = [line for line in table.splitlines() if line.startswith("| ")][2:]
    assert len(threats) > 10
    for threat in threats:
        _, what, done, proof, _ = threat.split("|")
        assert what.strip()
        assert done.strip()
        tests = re.findall(r"`(tests/[\w/]+\.py)`", proof)
        assert tests, what
        assert [test for test in tests if not (ROOT / test).is_file()] == [], what


def test_its_links_lead_somewhere() -> None:
    for target in re.findall(r"\]\(([^)#]+)", PAGE):
        assert (ROOT / target).exists(), target
