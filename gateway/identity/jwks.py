"""The issuer's public keys: fetched when needed, kept, and used on while they cannot be fetched anew."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Mapping
from typing import Any, Final

import jwt

from gateway.domain.errors import BackendReplyInvalid, BackendUnavailable, GatewayError, Unauthenticated
from gateway.domain.runtime import Clock
from gateway.settings import JwtConfig

_log: Final = logging.getLogger("gateway.identity")
#: A fetch may take so long, whoever waits for it; seconds.
_PATIENCE: Final = 5.0
#: An unknown key id makes nobody fetch more often than this, and a failure neither; seconds.
_PAUSE: Final = 10.0
#: Kinds of keys that have a public half.
_KINDS: Final = ("RSA", "EC", "OKP")


class JwksCache:
    """One issuer's keys; one request at a time fetches, the others go on with what is there."""

    def __init__(self, issuer: JwtConfig, fetch: Callable[[], Any], clock: Clock) -> None:
        self._issuer = issuer
        self._fetch = fetch
        self._clock = clock
        self._lock = threading.Lock()
        self._documents: Mapping[str | None, Mapping[str, Any]] = {}  # as fetched, by key id
        self._keys: dict[tuple[str | None, str], jwt.PyJWK] = {}  # as built, by key id and algorithm
        self._fetched = self._tried = float("-inf")

    def find(self, key_id: str | None, algorithm: str) -> jwt.PyJWK:
        """Return the key of this id, for this algorithm and no other; the only key there is needs no id."""
        now = self._clock.monotonic()
        if now - self._fetched >= self._issuer.refresh_seconds or self._lookup(key_id) is None:
            self._refresh(now)
        document = self._lookup(key_id)
        if document is None and not self._documents:
            raise BackendUnavailable("The keys that tokens are verified with could not be fetched.")
        if document is None or document.get("alg", algorithm) != algorithm:
            raise Unauthenticated("The token is signed by a key that its issuer does not show.")
        return self._key(document, algorithm)

    def _key(self, document: Mapping[str, Any], algorithm: str) -> jwt.PyJWK:
        """Build the key once; an algorithm of another kind of key raises one of PyJWT's errors."""
        name = (document.get("kid"), algorithm)
        if name not in self._keys:
            self._keys[name] = jwt.PyJWK(dict(document), algorithm)
        return self._keys[name]

    def _lookup(self, key_id: str | None) -> Mapping[str, Any] | None:
        if key_id is None and len(self._documents) == 1:
            return next(iter(self._documents.values()))
        return self._documents.get(key_id)

    def _refresh(self, now: float) -> None:
        """Fetch, unless that was tried a moment ago; who has keys does not wait for one who is fetching."""
        if not self._lock.acquire(timeout=0 if self._documents else _PATIENCE):
            return
        try:
            if now - self._tried >= _PAUSE:
                self._tried = now
                self._documents, self._keys = _read(self._fetch()), {}
                self._fetched = now
        except GatewayError as error:
            _log.warning("the issuer's keys could not be fetched", extra={"fields": {"code": error.code}})
        finally:
            self._lock.release()


def _read(document: Any) -> Mapping[str | None, Mapping[str, Any]]:
    listed = document.get("keys") if isinstance(document, dict) else None
    found = {each.get("kid"): each for each in listed if _is_of_use(each)} if isinstance(listed, list) else {}
    if not found:
        raise BackendReplyInvalid("The issuer shows no key that can be used.")
    return found


def _is_of_use(document: Any) -> bool:
    """Leave out what is for encryption, and what is shared: a symmetric key signs for whoever can read it."""
    if not isinstance(document, dict) or not isinstance(document.get("kid"), str | None):
        return False
    return document.get("use", "sig") == "sig" and document.get("kty") in _KINDS
