"""API keys: found by their digest, compared in constant time at any position."""

from __future__ import annotations

import hmac
from hashlib import sha256

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.domain.callers import Caller
from gateway.identity.authenticator import ApiKeyStore


def _digest(key: str) -> str:
    return sha256(key.encode(errors="surrogateescape")).hexdigest()


def _caller(name: str) -> Caller:
    return Caller(name=name, allow=(), principal=name)


@given(st.lists(st.text(max_size=40), unique=True, min_size=1), st.text(max_size=40))
def test_a_key_identifies_its_caller(keys: list[str], other: str) -> None:
    """Each key has its caller; any other text has none."""
    known = ApiKeyStore((_digest(key), _caller(key)) for key in keys)
    for key in keys:
        caller = known.find_caller(key)
        assert caller is not None
        assert caller.name == key
    assert (known.find_caller(other) is None) == (other not in keys)


def test_a_digest_is_no_key() -> None:
    """The digest from the configuration does not authenticate."""
    assert ApiKeyStore([(_digest("key"), _caller("a"))]).find_caller(_digest("key")) is None


@pytest.mark.parametrize("at", [0, 4, 9, None])
def test_every_digest_is_compared_in_constant_time(monkeypatch: pytest.MonkeyPatch, at: int | None) -> None:
    """At any position, and without a match, hmac makes the same number of comparisons."""
    compared: list[tuple[bytes, bytes]] = []

    def compare(one: bytes, other: bytes) -> bool:
        compared.append((one, other))
        return one == other

    monkeypatch.setattr(hmac, "compare_digest", compare)
    keys = ApiKeyStore((_digest(str(number)), _caller(str(number))) for number in range(10))
    found = keys.find_caller("none" if at is None else str(at))
    assert (found.name if found else None) == (None if at is None else str(at))
    assert len(compared) == 10
