"""What `make doctor` says of a token."""

import jwt as jose
import pytest

from errors import NodeRefused
from tests.fakes import Clock
from training_export.probe import token

NOW = Clock().present
KEY = "k" * 32


def signed(**claims: object) -> str:
    return jose.encode(claims, KEY, algorithm="HS256")


@pytest.mark.parametrize(
    ("days", "told"),
    [
        (100, "valid until 2027-03-03 02:00 UTC, 100 days"),
        (14, "valid until 2026-12-07 02:00 UTC, 14 days"),
        (1, "valid until 2026-11-24 02:00 UTC, 1 day. Make a new one"),
        (0.5, "valid until 2026-11-23 14:00 UTC, less than a day. Make a new one"),
    ],
)
def test_a_valid_token_tells_its_end_and_asks_for_the_next_one_in_time(days: float, told: str) -> None:
    said = token(signed(exp=NOW.timestamp() + days * 86_400), NOW)
    assert said.startswith(told)
    assert ("SESAM__JWT" in said) is (days < 14)


@pytest.mark.statement("sesam-38")
def test_a_token_that_has_ended_says_when_and_what_to_do() -> None:
    with pytest.raises(NodeRefused, match=r"ended on 2026-11-23 01:59 UTC\. Make a new one.*SESAM__JWT"):
        token(signed(exp=NOW.timestamp() - 60), NOW)


def test_a_token_without_an_end_is_one_too() -> None:
    assert token(signed(sub="somebody"), NOW) == "it tells no end"


@pytest.mark.parametrize("text", ["", "planted-token", "a.b.c", "a.e30", "..", "a.W10.c"])
def test_what_is_no_token_is_told_and_never_shown(text: str) -> None:
    if text == "a.e30":  # {}, the least there is
        assert token(text, NOW) == "it tells no end"
        return
    with pytest.raises(NodeRefused, match="no JSON Web Token") as refused:
        token(text, NOW)
    assert not text or text not in str(refused.value)
