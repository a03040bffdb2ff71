"""Which identity the app is, by what Azure's own library asks the platform's token service."""

import json
import time
from urllib.parse import parse_qs, urlsplit

import pytest

from storage import app_identity
from tests.rogue import Rogue, answer

TOKEN = {
    "access_token": "t",
    "expires_on": str(int(time.time()) + 3600),
    "resource": "r",
    "token_type": "Bearer",
}


@pytest.mark.parametrize(
    ("set_", "given", "asked"),
    [("of-the-app", "", "of-the-app"), ("of-the-app", "of-storage", "of-storage"), ("", "", None)],
    ids=["AZURE_CLIENT_ID", "the settings' client_id beats it", "neither: the system-assigned one"],
)
def test_the_user_assigned_identity_is_asked_for_by_its_client_id(
    monkeypatch: pytest.MonkeyPatch, set_: str, given: str, asked: str | None
) -> None:
    with Rogue(answer(200, json.dumps(TOKEN).encode(), {"Content-Type": "application/json"})) as platform:
        monkeypatch.setenv("IDENTITY_ENDPOINT", platform.url)
        monkeypatch.setenv("IDENTITY_HEADER", "of this instance")
        monkeypatch.setenv("AZURE_CLIENT_ID", set_)
        with app_identity(given) as identity:  # type: ignore[attr-defined]  # the protocol has no context
            assert identity.get_token("https://ml.azure.com/.default").token == "t"
    query = parse_qs(urlsplit(platform.received[0].target).query)
    assert query.get("client_id", [None])[0] == asked
