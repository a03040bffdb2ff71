"""The audit of dependencies: what it finds is told, and what did not take place is never told as clean."""

import json

from tests.audit.__main__ import verdict

CLEAN = {"name": "requests", "version": "2.34.2", "vulns": []}
KNOWN = {"name": "h11", "version": "0.14.0", "vulns": [{"id": "PYSEC-1", "fix_versions": ["0.16.0"]}]}
SKIPPED = {"name": "msgspec", "skip_reason": "not found"}


def report(*packages: object) -> str:
    return json.dumps({"dependencies": packages, "fixes": []})


def test_an_advisory_is_told_with_its_cure_and_fails() -> None:
    told, status = verdict(report(CLEAN, KNOWN, SKIPPED), "")
    assert status == 1
    assert told.splitlines() == [
        "2 packages audited, 1 advisories",
        "h11 0.14.0: PYSEC-1, mended in 0.16.0",
        "not audited: msgspec",
    ]


def test_no_advisory_passes() -> None:
    assert verdict(report(CLEAN), "") == ("1 packages audited, 0 advisories", 0)


def test_an_audit_that_did_not_take_place_says_so_and_fails_nothing() -> None:
    for stdout, stderr in (("", "ConnectionError: no such host"), (report(SKIPPED), ""), ("No known", "")):
        told, status = verdict(stdout, stderr)
        assert told.startswith("skipped, nothing was audited")
        assert status == 0
