"""Function keys: who may call what (facts/functions.md §3.3)."""

import hmac
import secrets
from collections.abc import Mapping
from dataclasses import dataclass

HOST_KEY_VARIABLE = "FUNCTIONS_HOST_KEY"
MASTER_KEY_VARIABLE = "FUNCTIONS_MASTER_KEY"


@dataclass(frozen=True, repr=False)
class Keys:
    """The host key opens functions, the master key everything."""

    host: str
    master: str

    def open(self, level: str, given: str | None) -> bool:
        """Say whether a key opens a level (anonymous, function, admin); compared in constant time."""
        if level == "anonymous":
            return True
        accepted = [self.master] if level == "admin" else [self.host, self.master]
        matches = [hmac.compare_digest((given or "").encode(), key.encode()) for key in accepted]
        return any(matches)


def keys_from(environment: Mapping[str, str]) -> Keys:
    """Take the keys from the environment; those that it does not hold are made up."""
    return Keys(
        host=environment.get(HOST_KEY_VARIABLE) or secrets.token_urlsafe(32),
        master=environment.get(MASTER_KEY_VARIABLE) or secrets.token_urlsafe(32),
    )
