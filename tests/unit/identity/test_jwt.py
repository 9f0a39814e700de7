"""Tokens: the valid ones, and the many kinds of invalid ones."""

from __future__ import annotations

import base64
import json
from dataclasses import replace
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from gateway.domain.callers import AllowRule
from gateway.domain.errors import BackendUnavailable, Unauthenticated
from gateway.identity.jwks import JwksCache
from gateway.identity.jwt import JwtAuthenticator
from gateway.settings import CallerConfig
from tests.conftest import VirtualClock
from tests.unit.identity.conftest import ISSUER, PORTAL, Login

#: The answer never says why.
REFUSED = "^The token is not accepted; the log of the gateway says why.$"


def _part(document: Any) -> str:
    return base64.urlsafe_b64encode(json.dumps(document).encode()).rstrip(b"=").decode()


@pytest.mark.parametrize(("name", "algorithm"), [("rsa-0", "RS256"), ("ec-0", "ES256")])
def test_a_valid_token_identifies_its_caller(login: Login, name: str, algorithm: str) -> None:
    """Issuer, audience, signature and time are valid, and the claims are those of one caller."""
    caller = login.tokens().find_caller(login.token(name, algorithm))
    assert (caller.name, caller.principal, caller.user) == ("portal", "portal", None)
    assert caller.allow == PORTAL.allow


@pytest.mark.parametrize(
    "changes",
    [
        {"iss": "https://evil.example.com/"},
        {"iss": None},
        {"aud": "another-service"},
        {"aud": None},
        {"exp": None},
        {"exp": "tomorrow"},
        {"exp": True},
        {"exp": float("nan")},
        {"nbf": float("nan")},
        {"nbf": 10**400},
        {"nbf": "today"},
        {"azp": "stranger"},
        {"azp": None},
        {"azp": ["portal"]},
    ],
)
def test_wrong_claims_are_refused(login: Login, changes: dict[str, Any]) -> None:
    """A token of another issuer, for another audience, without an expiry, or of no known caller is refused."""
    with pytest.raises(Unauthenticated):
        login.tokens().find_caller(login.token(**changes))


def test_time(login: Login, clock: VirtualClock) -> None:
    """The leeway is 30 seconds at both ends of the validity."""
    tokens, now = login.tokens(), int(clock.now())
    soon: Any
    for soon in ({"exp": now - 29}, {"nbf": now + 30}):
        assert tokens.find_caller(login.token(**soon)).name == "portal"
    for soon in ({"exp": now - 30}, {"nbf": now + 31}):
        with pytest.raises(Unauthenticated):
            tokens.find_caller(login.token(**soon))


def test_unsigned_and_symmetric_tokens_are_refused(login: Login) -> None:
    """`alg: none` is no signature, and a public key is no shared secret (RFC 8725, 3.1 and 2.1)."""
    claims = login.claims()
    public = login.private("rsa-0").public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    forged = [f"{_part({'alg': word, 'kid': 'rsa-0'})}.{_part(claims)}." for word in ("none", "None", "NONE", "")]
    forged.append(f"{_part({'kid': 'rsa-0'})}.{_part(claims)}.")
    head = f"{_part({'alg': 'HS256', 'kid': 'rsa-0'})}.{_part(claims)}"
    signature = jwt.algorithms.HMACAlgorithm(jwt.algorithms.HMACAlgorithm.SHA256).sign(head.encode(), public)
    forged.append(f"{head}.{base64.urlsafe_b64encode(signature).rstrip(b'=').decode()}")
    for token in forged:
        with pytest.raises(Unauthenticated):
            login.tokens().find_caller(token)


def test_an_algorithm_off_the_list_is_refused(login: Login) -> None:
    """A valid signature by an algorithm that is not configured is refused."""
    for algorithm in ("RS512", "PS256"):
        with pytest.raises(Unauthenticated, match=REFUSED):
            login.tokens().find_caller(login.token(algorithm=algorithm))
    wider = replace(ISSUER, algorithms=("RS256", "PS256"))
    assert login.tokens(issuer=wider).find_caller(login.token(algorithm="PS256")).name == "portal"


def test_algorithms_cannot_be_confused(login: Login) -> None:
    """A key with an `alg` verifies that algorithm only, and never one of another key type."""
    login.shown[0]["alg"] = "RS256"
    wider = login.tokens(issuer=replace(ISSUER, algorithms=("RS256", "PS256", "ES256")))
    with pytest.raises(Unauthenticated, match=REFUSED):
        wider.find_caller(login.token(algorithm="PS256"))
    confused = jwt.encode(login.claims(), login.private("ec-0"), algorithm="ES256", headers={"kid": "rsa-0"})
    with pytest.raises(Unauthenticated):
        wider.find_caller(confused)


def test_a_very_late_expiry(login: Login) -> None:
    """An `exp` that is too large for a float is valid."""
    assert login.tokens().find_caller(login.token(exp=10**400)).name == "portal"


@pytest.mark.parametrize("odd", [{"kid": ["rsa-0"]}, {"kid": {}}, {"kty": ["RSA"]}, {"kid": 7}])
def test_an_invalid_key_of_a_set_is_skipped(login: Login, odd: dict[str, Any]) -> None:
    """A key with an invalid `kid` or `kty` is skipped; the valid keys are used."""
    login.shown = [{**login.public("rsa-1"), **odd}, login.public("rsa-0")]
    assert login.tokens().find_caller(login.token()).name == "portal"


def test_only_public_signing_keys_are_used(login: Login) -> None:
    """Encryption keys and symmetric keys of a set are skipped."""
    login.shown = [{**login.shown[0], "use": "enc"}, {"kty": "oct", "k": "c2VjcmV0", "kid": "rsa-0"}, "no key"]  # type: ignore[list-item]
    with pytest.raises(BackendUnavailable):
        login.tokens().find_caller(login.token())


@pytest.mark.parametrize("token", ["", "a.b", "a.b.c", "..", "é.é.é", "a" * 40_000, _part({}) + "." + _part([]) + ".x"])
def test_malformed_tokens_are_refused(login: Login, token: str) -> None:
    """Malformed tokens are refused, whatever is wrong with them."""
    with pytest.raises(Unauthenticated):
        login.tokens().find_caller(token)


def test_another_signature_is_refused(login: Login) -> None:
    """A token that another key signed under the same id is refused, and so is a modified one."""
    forged = jwt.encode(login.claims(), login.private("rsa-1"), algorithm="RS256", headers={"kid": "rsa-0"})
    head, _, signature = login.token().split(".")
    changed = f"{head}.{_part(login.claims(azp='portal', sub='root'))}.{signature}"
    for token in (forged, changed):
        with pytest.raises(Unauthenticated, match=REFUSED):
            login.tokens().find_caller(token)


def test_keys_are_cached(login: Login, clock: VirtualClock) -> None:
    """The set is fetched once in `refresh_seconds`, not for every token."""
    tokens = login.tokens()
    for _ in range(3):
        tokens.find_caller(login.token())
    assert login.fetches == 1
    clock.sleep(ISSUER.refresh_seconds)
    tokens.find_caller(login.token())
    assert login.fetches == 2


def test_rotation(login: Login, clock: VirtualClock) -> None:
    """An unknown key id causes a fetch; a key that the issuer has removed is not used any more."""
    tokens = login.tokens()
    tokens.find_caller(login.token())
    login.show("rsa-1")
    clock.sleep(11)
    assert tokens.find_caller(login.token("rsa-1")).name == "portal"
    with pytest.raises(Unauthenticated, match=REFUSED):
        tokens.find_caller(login.token("rsa-0"))


def test_unknown_key_ids_cause_one_fetch(login: Login) -> None:
    """A hundred tokens that name keys which do not exist cost the issuer one request in ten seconds."""
    tokens = login.tokens()
    tokens.find_caller(login.token())
    for number in range(100):
        token = jwt.encode(login.claims(), login.private("rsa-1"), algorithm="RS256", headers={"kid": f"k{number}"})
        with pytest.raises(Unauthenticated):
            tokens.find_caller(token)
    assert login.fetches == 1


def test_stale_keys_are_used_while_a_refresh_fails(login: Login, clock: VirtualClock) -> None:
    """The issuer is down: known tokens are verified with the cached keys, and fetches are retried at intervals."""
    tokens = login.tokens()
    tokens.find_caller(login.token())
    login.down = True
    clock.sleep(ISSUER.refresh_seconds)
    for _ in range(5):
        assert tokens.find_caller(login.token()).name == "portal"
    assert login.fetches == 2
    login.down = False
    clock.sleep(11)
    tokens.find_caller(login.token())
    assert login.fetches == 3


def test_without_any_key_the_error_is_retryable(login: Login) -> None:
    """If no keys were ever fetched, the error is BackendUnavailable and not Unauthenticated."""
    login.down = True
    with pytest.raises(BackendUnavailable):
        login.tokens().find_caller(login.token())


def test_an_invalid_key_set_is_a_failed_fetch(login: Login, monkeypatch: pytest.MonkeyPatch) -> None:
    """After HTML, a list, or a set without keys, the cached keys stay in use."""
    tokens = login.tokens()
    tokens.find_caller(login.token())
    nonsense: Any
    for nonsense in ([], "html", {}, {"keys": "x"}, {"keys": []}, {"keys": [{}]}):
        monkeypatch.setattr(login, "response", nonsense)
        login.clock.sleep(ISSUER.refresh_seconds)
        assert tokens.find_caller(login.token()).name == "portal"


def test_keys_without_ids_are_all_tried(login: Login, clock: VirtualClock) -> None:
    """A token without a key id, or of an issuer whose keys have none, is verified by any of the issuer's keys."""
    unnamed = jwt.encode(login.claims(), login.private("rsa-1"), algorithm="RS256")
    login.show("rsa-0", "ec-0", "rsa-1")
    assert login.tokens().find_caller(unnamed).name == "portal"
    for key in login.shown:
        del key["kid"]
    for token in (unnamed, login.token("rsa-0"), login.token("rsa-1"), login.token("ec-0", "ES256")):
        assert login.tokens().find_caller(token).name == "portal"
    login.show("rsa-0")
    del login.shown[0]["kid"]
    tokens = login.tokens()
    assert tokens.find_caller(login.token()).name == "portal"
    with pytest.raises(Unauthenticated, match=REFUSED):
        tokens.find_caller(unnamed)
    login.show("rsa-1")  # a key is replaced: the failed signature causes a fetch
    clock.sleep(11)
    assert tokens.find_caller(unnamed).name == "portal"


def test_several_issuers(login: Login, clock: VirtualClock) -> None:
    """Each issuer's tokens are verified with its own keys and settings, and one that is down breaks no other."""
    other, down = Login(clock), Login(clock, down=True)
    other.show("rsa-1")
    second = replace(ISSUER, issuer="https://second.example.com/", audience="second")
    third = replace(ISSUER, issuer="https://third.example.com/")
    caches = [JwksCache(*pair, clock) for pair in ((ISSUER, login.fetch), (second, other.fetch), (third, down.fetch))]
    tokens = JwtAuthenticator([*zip((ISSUER, second, third), caches, strict=True)], (PORTAL,), clock)
    with pytest.raises(BackendUnavailable):
        tokens.find_caller(login.token(iss=third.issuer))
    assert tokens.find_caller(login.token()).name == "portal"
    assert tokens.find_caller(other.token("rsa-1", iss=second.issuer, aud="second")).name == "portal"
    for token in (
        other.token("rsa-1"),  # the key of another issuer
        login.token(iss=second.issuer, aud="second"),
        other.token("rsa-1", iss=second.issuer),  # the audience of another issuer
    ):
        with pytest.raises(Unauthenticated, match=REFUSED):
            tokens.find_caller(token)


@pytest.mark.parametrize(
    ("token", "reason"),
    [
        ({"iss": "https://evil.example.com/"}, {"refused": "iss", "value": "https://evil.example.com/"}),
        ({"iss": None}, {"refused": "iss", "value": None}),
        ({"aud": "another"}, {"refused": "aud", "value": "another", "expected": "module-gateway"}),
        ({"aud": None}, {"refused": "aud", "value": None}),
        ({"exp": None}, {"refused": "exp", "value": None}),
        ({"exp": 5}, {"refused": "exp", "value": 5}),
        ({"nbf": 10**400}, {"refused": "nbf"}),
        ({"azp": "x"}, {"refused": "caller", "value": {"azp": "x"}, "callers": []}),
        ({"algorithm": "RS512"}, {"refused": "alg", "value": "RS512", "expected": ("RS256", "ES256")}),
        ({"name": "rsa-1"}, {"refused": "kid", "value": "rsa-1"}),
        ("a.b.c", {"refused": "format"}),
    ],
)
def test_the_reason(login: Login, token: Any, reason: dict[str, Any]) -> None:
    """The error has the claim or header that is wrong, for the log; the detail of the answer has none of it."""
    text = token if isinstance(token, str) else login.token(**token)
    with pytest.raises(Unauthenticated, match=REFUSED) as raised:
        login.tokens().find_caller(text)
    assert raised.value.reason is not None
    assert reason.items() <= raised.value.reason.items()
    assert text not in str(raised.value.reason)


def test_the_user_claim(login: Login) -> None:
    """With `user_claim` the user acts, and the operations belong to that user of the caller."""
    tokens = login.tokens(issuer=replace(ISSUER, user_claim="sub"))
    caller = tokens.find_caller(login.token())
    assert (caller.name, caller.user, caller.principal) == ("portal", "alice", "portal/alice")


@pytest.mark.parametrize("user", [None, "", "a" * 65, "a\nb", "é", 7, ["alice"]])
def test_an_invalid_user_is_refused(login: Login, user: Any) -> None:
    """The claim is missing, too long, or cannot be sent in a header."""
    with pytest.raises(Unauthenticated, match=REFUSED):
        login.tokens(issuer=replace(ISSUER, user_claim="login")).find_caller(login.token(login=user))


def test_claims_must_match_one_caller(login: Login) -> None:
    """A token that matches two callers is refused."""
    other = CallerConfig(name="other", allow=(AllowRule.parse("*:*:*"),), claims={"sub": "alice"}, acting_user="robot")
    with pytest.raises(Unauthenticated, match=REFUSED):
        login.tokens(PORTAL, other).find_caller(login.token())
    assert login.tokens(PORTAL, other).find_caller(login.token(azp="x")).user == "robot"


def test_requests_do_not_wait_for_a_fetch_if_keys_are_cached(login: Login, clock: VirtualClock) -> None:
    """While one request fetches, the others use the cached keys."""
    tokens = login.tokens()
    tokens.find_caller(login.token())
    clock.sleep(ISSUER.refresh_seconds)
    keys = tokens._issuers[ISSUER.issuer][1]
    assert keys._fetch_lock.acquire()
    assert tokens.find_caller(login.token()).name == "portal"
    assert login.fetches == 1
