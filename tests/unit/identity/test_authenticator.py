"""Which of several credentials counts, and how often a caller may ask."""

from __future__ import annotations

from dataclasses import replace
from hashlib import sha256

import pytest

from gateway.domain.callers import ANONYMOUS, AllowRule
from gateway.domain.errors import RateLimited, Unauthenticated
from gateway.identity import Authenticator, Credentials, create_authenticator
from gateway.resilience import create_rate_limiter
from gateway.settings import AuthConfig, CallerConfig
from tests.conftest import VirtualClock
from tests.unit.identity.conftest import ISSUER, PORTAL, Login

SPIFFE = "spiffe://cluster.local/ns/a/sa/b"
ALLOW = (AllowRule.parse("*:*:*"),)
AUTH = AuthConfig(
    required=True,
    callers=(
        CallerConfig(name="key", allow=ALLOW, key_digests=(sha256(b"k").hexdigest(), sha256(b"k.k.k").hexdigest())),
        CallerConfig(name="mesh", allow=ALLOW, spiffe=SPIFFE),
        PORTAL,
    ),
    jwt=(ISSUER,),
    trusted_proxies=("127.0.0.1",),
)
NOTHING = Credentials(api_key="", authorization="", client_cert="", remote_addr="127.0.0.1")


@pytest.fixture
def authenticator(login: Login, clock: VirtualClock) -> Authenticator:
    return create_authenticator(AUTH, clock, lambda _issuer: login.fetch)


def test_without_authentication(clock: VirtualClock) -> None:
    """Without authentication every request has the anonymous caller, whatever it contains."""
    assert create_authenticator(AuthConfig(), clock).authenticate(NOTHING._replace(api_key="wrong")) is ANONYMOUS


def test_each_credential(authenticator: Authenticator, login: Login) -> None:
    """A key in either header, a token, a certificate; a key that looks like a token is still a key."""
    credentials = {
        "key": [{"api_key": "k"}, {"authorization": "Bearer k"}, {"authorization": "Bearer k.k.k"}],
        "portal": [{"authorization": f"Bearer {login.token()}"}],
        "mesh": [{"client_cert": f"URI={SPIFFE}"}],
    }
    for name, sent in credentials.items():
        for credential in sent:
            assert authenticator.authenticate(NOTHING._replace(**credential)).name == name


def test_the_first_credential_is_evaluated(authenticator: Authenticator) -> None:
    """A key precedes a certificate; an invalid key is refused although the certificate is valid."""
    both = NOTHING._replace(api_key="k", client_cert=f"URI={SPIFFE}")
    assert authenticator.authenticate(both).name == "key"
    for wrong in (both._replace(api_key="x"), both._replace(api_key="", authorization="Bearer x")):
        with pytest.raises(Unauthenticated):
            authenticator.authenticate(wrong)


def test_no_usable_credential(authenticator: Authenticator) -> None:
    """No credential at all, or an Authorization header of another scheme."""
    for credentials in (NOTHING, NOTHING._replace(authorization="Basic a2V5Og==")):
        with pytest.raises(Unauthenticated):
            authenticator.authenticate(credentials)


def test_a_token_is_no_api_key(authenticator: Authenticator, login: Login) -> None:
    """X-Api-Key is compared with API keys only."""
    with pytest.raises(Unauthenticated):
        authenticator.authenticate(NOTHING._replace(api_key=login.token()))


def test_without_an_issuer_tokens_are_refused(clock: VirtualClock, login: Login) -> None:
    """No keys are fetched."""
    authenticator = create_authenticator(replace(AUTH, jwt=()), clock, lambda _issuer: login.fetch)
    with pytest.raises(Unauthenticated):
        authenticator.authenticate(NOTHING._replace(authorization=f"Bearer {login.token()}"))
    assert login.fetches == 0


def test_each_caller_has_its_own_rate_limit(clock: VirtualClock) -> None:
    """One caller has two requests a second, the other no limit; a refusal has a Retry-After."""
    slow = CallerConfig(name="slow", allow=ALLOW, key_digests=(sha256(b"s").hexdigest(),), requests_per_second=2.0)
    auth = replace(AUTH, callers=(*AUTH.callers, slow), jwt=())
    authenticator = create_authenticator(auth, clock, limiter=create_rate_limiter("memory://", clock))
    asks, other = NOTHING._replace(api_key="s"), NOTHING._replace(api_key="k")
    for _ in range(2):
        assert authenticator.authenticate(asks).name == "slow"
    with pytest.raises(RateLimited) as caught:
        authenticator.authenticate(asks)
    assert 0 < (caught.value.context.retry_after or 0) <= 1
    assert [authenticator.authenticate(other).name for _ in range(50)] == ["key"] * 50
    clock.sleep(1.01)
    assert authenticator.authenticate(asks).name == "slow"
