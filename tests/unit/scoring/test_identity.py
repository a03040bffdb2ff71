"""Who we are to a web service, and that nobody else learns it."""

import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from azure.core.exceptions import ClientAuthenticationError, ServiceRequestError

from cutoff import NotKept
from errors import CredentialsRefused, Failure, ServiceDown, Silence
from scoring.deadline import Deadline
from scoring.identity import RENEW_BEFORE_S, SCOPE, YOUNG_S, EntraIdentity, identity_of
from sections import ModelSettings

SOON = Deadline.after(60)


class Token(NamedTuple):
    token: str
    expires_on: int


class Entra:
    """Stands for Entra and azure-identity: gives numbered tokens, and keeps each credential's in a cache."""

    def __init__(self) -> None:
        self.now = 1_000_000.0
        self.lives_s = 3600
        self.given = 0
        self.scopes: list[str] = []
        self.failing: Exception | None = None
        self.before_giving: Callable[[], object] = lambda: None

    def credential(self) -> Any:
        return _Credential(self)


class _Credential:
    def __init__(self, entra: Entra) -> None:
        self._entra = entra
        self._cached: Token | None = None

    def get_token(self, *scopes: str) -> Token:
        entra = self._entra
        entra.before_giving()
        if entra.failing:
            raise entra.failing
        if self._cached is None or self._cached.expires_on - entra.now < RENEW_BEFORE_S:
            entra.given += 1
            entra.scopes += scopes
            self._cached = Token(f"planted-token-{entra.given}", int(entra.now + entra.lives_s))
        return self._cached


@pytest.fixture
def entra() -> Entra:
    return Entra()


@pytest.fixture
def identity(entra: Entra) -> EntraIdentity:
    return EntraIdentity(entra.credential, now=lambda: entra.now)


def settings(**given: Any) -> ModelSettings:
    return ModelSettings.model_validate({"url": "https://ml.example/score", "features": ["x"]} | given)


@pytest.mark.statement("azureml-15")
def test_key_and_nobody() -> None:
    key = identity_of(settings(key="planted-key"))
    assert key.authorization(SOON) == "Bearer planted-key"
    nobody = identity_of(settings(auth="none"))
    assert nobody.authorization(SOON) is None
    assert not key.renewable
    assert not nobody.renewable


@pytest.mark.statement("azureml-15")
def test_a_token_is_asked_for_the_scope_of_scoring_and_cached_until_near_expiry(
    entra: Entra, identity: EntraIdentity
) -> None:
    assert [identity.authorization(SOON) for _ in range(3)] == ["Bearer planted-token-1"] * 3
    assert entra.scopes == [SCOPE] == ["https://ml.azure.com/.default"]
    entra.now += entra.lives_s - RENEW_BEFORE_S - 1
    assert identity.authorization(SOON) == "Bearer planted-token-1"
    entra.now += 2
    assert identity.authorization(SOON) == "Bearer planted-token-2"


@pytest.mark.statement("azureml-16")
def test_a_fresh_token_is_new_though_the_credential_has_a_cache_of_its_own(
    entra: Entra, identity: EntraIdentity
) -> None:
    identity.authorization(SOON)
    entra.now += YOUNG_S
    assert identity.authorization(SOON, fresh=True) == "Bearer planted-token-2"
    assert identity.authorization(SOON) == "Bearer planted-token-2"


@pytest.mark.statement("azureml-16")
def test_many_refused_at_once_fetch_one_token_between_them(entra: Entra, identity: EntraIdentity) -> None:
    identity.authorization(SOON)
    entra.now += 100
    barrier = threading.Barrier(16)
    told: list[str] = []

    def refused() -> None:
        barrier.wait()
        told.append(identity.authorization(SOON, fresh=True))

    threads = [threading.Thread(target=refused) for _ in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert told == ["Bearer planted-token-2"] * 16
    assert entra.given == 2


@pytest.mark.parametrize(
    ("error", "failure"),
    [
        (ClientAuthenticationError("tenant planted-tenant said no"), CredentialsRefused),
        (ServiceRequestError("planted-host did not answer"), ServiceDown),
        (ValueError("planted-client is no GUID"), CredentialsRefused),
        (AttributeError("'list' of planted-client has no attribute 'get'"), CredentialsRefused),
    ],
)
def test_no_token_is_a_failure_that_says_what_to_do_and_quotes_nothing(
    entra: Entra, identity: EntraIdentity, error: Exception, failure: type[Failure]
) -> None:
    entra.failing = error
    with pytest.raises(failure) as raised:
        identity.authorization(SOON)
    assert "Entra" in raised.value.detail
    assert "planted" not in f"{raised.value!r} {raised.value.__cause__}"
    entra.failing = None
    assert identity.authorization(SOON) == "Bearer planted-token-1"


def test_waiting_for_a_token_that_another_fetches_ends_at_the_deadline(
    entra: Entra, identity: EntraIdentity
) -> None:
    under_way, go_on = threading.Event(), threading.Event()

    def hang() -> None:
        under_way.set()
        go_on.wait(10)

    entra.before_giving = hang
    slow = threading.Thread(target=identity.authorization, args=(Deadline.after(10),))
    slow.start()
    under_way.wait(10)
    with pytest.raises(Silence):
        identity.authorization(Deadline.after(0.05))
    go_on.set()
    slow.join()


@pytest.mark.statement("azureml-17")
def test_no_repr_shows_key_or_token(identity: EntraIdentity) -> None:
    identity.authorization(SOON)
    told = repr(identity) + repr(identity_of(settings(key="planted-key")))
    assert "planted" not in told


def test_azure_identity_is_imported_only_where_a_token_is_fetched() -> None:
    program = (
        "import sys, scoring.rows, scoring.identity as i; from settings import ModelSettings as M\n"
        "i.identity_of(M(url='https://ml.example/', auth='entra', features=['x']))\n"
        "print(sorted(m for m in sys.modules if m.startswith(('azure.identity', 'msal', 'azure.storage'))))"
    )
    root = Path(__file__).parents[3]
    ran = subprocess.run(
        [sys.executable, "-c", program], cwd=root, capture_output=True, text=True, check=True
    )
    assert ran.stdout.strip() == "[]"


def test_what_is_at_hand_is_given_and_nobody_is_asked_for_more(entra: Entra) -> None:
    identity = EntraIdentity(entra.credential, lambda: entra.now)
    with pytest.raises(NotKept):
        identity.authorization(SOON, kept=True)
    assert entra.given == 0
    identity.authorization(SOON)
    assert identity.authorization(SOON, kept=True) == "Bearer planted-token-1"
    entra.now += entra.lives_s - RENEW_BEFORE_S
    with pytest.raises(NotKept):
        identity.authorization(SOON, kept=True)


@pytest.mark.parametrize("token", ["planted\ntoken", "planted-tøken", "planted token", "planted-🔑", ""])
def test_a_token_that_no_header_can_hold_is_none(token: str) -> None:
    class Odd:
        def get_token(self, *_: str) -> Token:
            return Token(token, 2_000_000_000)

    with pytest.raises(CredentialsRefused) as refused:
        EntraIdentity(Odd).authorization(SOON)
    assert "planted" not in refused.value.detail
