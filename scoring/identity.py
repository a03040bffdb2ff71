"""Who we are to a web service: a key, an Entra token of the app's identity, or nobody.

A key or token is written into the `Authorization` header of one request to the model's own URL, and nowhere
else: it is in no log, no message and no `repr` (statements 15 and 17 of facts/azureml.md).
"""

import re
import threading
import time
from collections.abc import Callable
from typing import Any, Protocol

from cutoff import NotKept
from errors import CredentialsRefused, Fault, ServiceDown, Silence, azure_fault
from scoring.deadline import Deadline
from sections import ModelSettings

SCOPE = "https://ml.azure.com/.default"

# A token is renewed so long before it expires that it lives through the longest call.
RENEW_BEFORE_S = 300.0

# What a header takes (RFC 6750 §2.1 allows fewer).
_FIT_TO_SEND = re.compile(r"[!-~]+")

# Of many requests refused at once, the first fetches a new token; so young a one serves the others too.
YOUNG_S = 10.0


class Identity(Protocol):
    """Gives the header that says who we are."""

    @property
    def renewable(self) -> bool:
        """Say whether something new may be had after a 401."""

    @property
    def at_hand(self) -> bool:
        """Say whether `authorization` asks nobody."""

    def authorization(self, deadline: Deadline, *, fresh: bool = False, kept: bool = False) -> str | None:
        """Give the value of `Authorization`; None sends no such header. `kept`: only what is at hand.

        Raises:
            Failure: no token can be had.
            NotKept: none is at hand.
        """


class KeyIdentity:
    """A fixed key."""

    renewable = False
    at_hand = True

    def __init__(self, key: str) -> None:
        self._header = f"Bearer {key}"

    def authorization(self, deadline: Deadline, *, fresh: bool = False, kept: bool = False) -> str:
        """See Identity."""
        del deadline, fresh, kept
        return self._header


class Anonymous:
    """Nobody."""

    renewable = False
    at_hand = True

    def authorization(self, deadline: Deadline, *, fresh: bool = False, kept: bool = False) -> None:
        """See Identity."""
        del deadline, fresh, kept


class EntraIdentity:
    """Tokens of the app's identity, cached until shortly before they expire.

    Args:
        credential: makes an `azure.core.credentials.TokenCredential`; called again for a token that must be
            fresh, as a credential keeps a cache of its own.
        now: seconds since 1970, the measure of a token's expiry.
    """

    renewable = True

    def __init__(self, credential: Callable[[], Any], now: Callable[[], float] = time.time) -> None:
        self._make = credential
        self._now = now
        self._lock = threading.Lock()
        self._credential: Any = None
        self._token = ""
        self._expires = 0.0
        self._fetched = float("-inf")

    @property
    def at_hand(self) -> bool:
        """See Identity."""
        return self._now() < self._expires - RENEW_BEFORE_S

    def authorization(self, deadline: Deadline, *, fresh: bool = False, kept: bool = False) -> str:
        """See Identity."""
        if not fresh and self.at_hand:
            return f"Bearer {self._token}"
        if kept:
            raise NotKept
        if not self._lock.acquire(timeout=deadline.left()):
            raise Silence("Entra gave no token before the deadline: check the app's identity and network.")
        try:
            young = self._now() - self._fetched < YOUNG_S
            if not (young if fresh else self.at_hand):
                self._fetch(fresh)
            return f"Bearer {self._token}"
        finally:
            self._lock.release()

    def _fetch(self, fresh: bool) -> None:
        try:
            if self._credential is None or fresh:
                self._credential = self._make()
            token = self._credential.get_token(SCOPE)
            if not _FIT_TO_SEND.fullmatch(token.token):
                raise ValueError("no header can hold it")
        except Exception as error:  # noqa: BLE001  # the library reads an odd answer into errors of any kind
            raise _no_token(error) from None
        self._token, self._expires, self._fetched = token.token, float(token.expires_on), self._now()


def _no_token(error: Exception) -> CredentialsRefused | ServiceDown:
    # The SDK's own text lists what it tried, tenants and addresses included: it stays out of answers.
    if azure_fault(error) in (Fault.SILENT, Fault.UNREACHABLE, Fault.BROKEN, Fault.BUSY):
        return ServiceDown("Entra could not be reached for a token: try again.", retry_after=YOUNG_S)
    return CredentialsRefused(
        f"Entra gave no token for {SCOPE} ({type(error).__name__}): give the app a managed identity "
        "(AZURE_CLIENT_ID names a user-assigned one), or sign in with az login on a desk."
    )


def identity_of(settings: ModelSettings, client_id: str = "") -> Identity:
    """Give the identity that a model's settings ask for; nothing is fetched yet."""
    match settings.auth:
        case "key":
            return KeyIdentity(settings.key.get_secret_value())
        case "none":
            return Anonymous()
        case "entra":
            from storage import app_identity

            return EntraIdentity(lambda: app_identity(client_id))
