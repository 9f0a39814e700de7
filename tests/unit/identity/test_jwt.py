"""Tokens: what is believed, and everything that only looks like it."""

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
from gateway.settings import CallerConfig
from tests.conftest import VirtualClock
from tests.unit.identity.conftest import ISSUER, PORTAL, Login


def _part(document: Any) -> str:
    return base64.urlsafe_b64encode(json.dumps(document).encode()).rstrip(b"=").decode()


@pytest.mark.parametrize(("name", "algorithm"), [("rsa-0", "RS256"), ("ec-0", "ES256")])
def test_a_sound_token_leads_to_its_caller(login: Login, name: str, algorithm: str) -> None:
    """Issuer, audience, signature and time are right, and the claims are one caller's: it is he."""
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
def test_wrong_claims_prove_nothing(login: Login, changes: dict[str, Any]) -> None:
    """A token of another issuer, for another audience, without an end, or of no caller of ours is refused."""
    with pytest.raises(Unauthenticated):
        login.tokens().find_caller(login.token(**changes))


def test_time(login: Login, clock: VirtualClock) -> None:
    """A token is good until half a minute after its end, and from half a minute before its beginning; not beyond."""
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
    """A sound signature by an algorithm that the configuration does not name is none."""
    for algorithm in ("RS512", "PS256"):
        with pytest.raises(Unauthenticated, match="algorithm"):
            login.tokens().find_caller(login.token(algorithm=algorithm))
    wider = replace(ISSUER, algorithms=("RS256", "PS256"))
    assert login.tokens(issuer=wider).find_caller(login.token(algorithm="PS256")).name == "portal"


def test_algorithms_cannot_be_confused(login: Login) -> None:
    """A key serves the algorithm that it was shown for, and none that fits its kind or another's besides."""
    login.shown[0]["alg"] = "RS256"
    wider = login.tokens(issuer=replace(ISSUER, algorithms=("RS256", "PS256", "ES256")))
    with pytest.raises(Unauthenticated, match="does not show"):
        wider.find_caller(login.token(algorithm="PS256"))
    confused = jwt.encode(login.claims(), login.private("ec-0"), algorithm="ES256", headers={"kid": "rsa-0"})
    with pytest.raises(Unauthenticated):
        wider.find_caller(confused)


def test_a_token_for_ever_is_one_all_the_same(login: Login) -> None:
    """An end that is too far off for a float is still an end."""
    assert login.tokens().find_caller(login.token(exp=10**400)).name == "portal"


@pytest.mark.parametrize("odd", [{"kid": ["rsa-0"]}, {"kid": {}}, {"kty": ["RSA"]}, {"kid": 7}])
def test_a_key_that_is_oddly_shown_spoils_no_other(login: Login, odd: dict[str, Any]) -> None:
    """What has no name that a token could say is left out; the sound keys beside it are used."""
    login.shown = [{**login.public("rsa-1"), **odd}, login.public("rsa-0")]
    assert login.tokens().find_caller(login.token()).name == "portal"


def test_keys_for_encryption_and_shared_keys_sign_nothing(login: Login) -> None:
    """What a set shows besides public signing keys is left out."""
    login.shown = [{**login.shown[0], "use": "enc"}, {"kty": "oct", "k": "c2VjcmV0", "kid": "rsa-0"}, "no key"]  # type: ignore[list-item]
    with pytest.raises(BackendUnavailable):
        login.tokens().find_caller(login.token())


@pytest.mark.parametrize("token", ["", "a.b", "a.b.c", "..", "é.é.é", "a" * 40_000, _part({}) + "." + _part([]) + ".x"])
def test_what_is_no_token_is_refused(login: Login, token: str) -> None:
    """Malformed tokens are refused, whatever is wrong with them."""
    with pytest.raises(Unauthenticated):
        login.tokens().find_caller(token)


def test_another_signature_is_refused(login: Login) -> None:
    """A token signed by a key that has the right name and is another one is forged; so is a changed one."""
    forged = jwt.encode(login.claims(), login.private("rsa-1"), algorithm="RS256", headers={"kid": "rsa-0"})
    head, _, signature = login.token().split(".")
    changed = f"{head}.{_part(login.claims(azp='portal', sub='root'))}.{signature}"
    for token in (forged, changed):
        with pytest.raises(Unauthenticated, match="verified"):
            login.tokens().find_caller(token)


def test_keys_are_kept(login: Login, clock: VirtualClock) -> None:
    """The set is fetched once for its time, not for every token."""
    tokens = login.tokens()
    for _ in range(3):
        tokens.find_caller(login.token())
    assert login.fetches == 1
    clock.sleep(ISSUER.refresh_seconds)
    tokens.find_caller(login.token())
    assert login.fetches == 2


def test_rotation(login: Login, clock: VirtualClock) -> None:
    """A token signed by a new key makes the set be fetched; the old key is gone when the issuer stops showing it."""
    tokens = login.tokens()
    tokens.find_caller(login.token())
    login.show("rsa-1")
    clock.sleep(11)
    assert tokens.find_caller(login.token("rsa-1")).name == "portal"
    with pytest.raises(Unauthenticated, match="does not show"):
        tokens.find_caller(login.token("rsa-0"))


def test_unknown_key_ids_do_not_make_a_storm(login: Login) -> None:
    """A hundred tokens that name keys which do not exist cost the issuer one request in ten seconds."""
    tokens = login.tokens()
    tokens.find_caller(login.token())
    for number in range(100):
        token = jwt.encode(login.claims(), login.private("rsa-1"), algorithm="RS256", headers={"kid": f"k{number}"})
        with pytest.raises(Unauthenticated):
            tokens.find_caller(token)
    assert login.fetches == 1


def test_stale_keys_are_used_while_a_refresh_fails(login: Login, clock: VirtualClock) -> None:
    """The issuer is down: known tokens are checked with the keys there are; it is asked again, not each time."""
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


def test_without_any_key_nobody_is_refused_for_good(login: Login) -> None:
    """No key was ever to be had: that is our failure and may be retried, not the caller's."""
    login.down = True
    with pytest.raises(BackendUnavailable):
        login.tokens().find_caller(login.token())


def test_a_set_that_is_none_is_a_failure(login: Login, monkeypatch: pytest.MonkeyPatch) -> None:
    """HTML, a list, or a set without keys is not taken for *no key is valid any more*."""
    tokens = login.tokens()
    tokens.find_caller(login.token())
    nonsense: Any
    for nonsense in ([], "html", {}, {"keys": "x"}, {"keys": []}, {"keys": [{}]}):
        monkeypatch.setattr(login, "answer", nonsense)
        login.clock.sleep(ISSUER.refresh_seconds)
        assert tokens.find_caller(login.token()).name == "portal"


def test_one_key_needs_no_id(login: Login) -> None:
    """Issuers with one key often do not name it; of two, the token must say which."""
    unnamed = jwt.encode(login.claims(), login.private("rsa-0"), algorithm="RS256")
    login.show("rsa-0")
    assert login.tokens().find_caller(unnamed).name == "portal"
    login.show("rsa-0", "rsa-1")
    with pytest.raises(Unauthenticated):
        login.tokens().find_caller(unnamed)


def test_the_user_behind_the_caller(login: Login) -> None:
    """Where a claim names the user, he acts, and what he creates is his: not his caller's, not another user's."""
    tokens = login.tokens(issuer=replace(ISSUER, user_claim="sub"))
    caller = tokens.find_caller(login.token())
    assert (caller.name, caller.user, caller.principal) == ("portal", "alice", "portal/alice")


@pytest.mark.parametrize("user", [None, "", "a" * 65, "a\nb", "é", 7, ["alice"]])
def test_a_user_who_cannot_be_named_is_refused(login: Login, user: Any) -> None:
    """No half-known user acts: the claim is missing, too long, or nothing that a header can carry."""
    with pytest.raises(Unauthenticated, match="names no user"):
        login.tokens(issuer=replace(ISSUER, user_claim="login")).find_caller(login.token(login=user))


def test_claims_must_be_one_callers(login: Login) -> None:
    """A token that fits two entries proves neither."""
    other = CallerConfig(name="other", allow=(AllowRule.parse("*:*:*"),), claims={"sub": "alice"}, acting_user="robot")
    with pytest.raises(Unauthenticated, match="more than one"):
        login.tokens(PORTAL, other).find_caller(login.token())
    assert login.tokens(PORTAL, other).find_caller(login.token(azp="x")).user == "robot"


def test_who_has_keys_does_not_wait_for_who_fetches(login: Login, clock: VirtualClock) -> None:
    """While one request fetches, others go on with the keys there are."""
    tokens = login.tokens()
    tokens.find_caller(login.token())
    clock.sleep(ISSUER.refresh_seconds)
    keys = tokens._keys
    assert keys._lock.acquire()
    assert tokens.find_caller(login.token()).name == "portal"
    assert login.fetches == 1
