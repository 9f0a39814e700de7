"""The issuer's public keys: fetched on demand and cached; cached keys stay in use while a fetch fails."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Mapping
from typing import Any, Final

import jwt

from gateway.domain.errors import BackendReplyInvalid, BackendUnavailable, GatewayError, Unauthenticated
from gateway.domain.messages import message
from gateway.domain.runtime import Clock
from gateway.settings import JwtConfig

_log: Final = logging.getLogger("gateway.identity")
#: How long a request without keys waits for another one's fetch, in seconds.
_FETCH_TIMEOUT: Final = 5.0
#: Neither unknown key ids nor failures cause more than one fetch in this time, in seconds.
_MIN_REFRESH_INTERVAL: Final = 10.0
_ASYMMETRIC_KEY_TYPES: Final = ("RSA", "EC", "OKP")


class JwksCache:
    """The keys of one issuer; one request at a time fetches, the others use the cached keys."""

    def __init__(self, config: JwtConfig, fetch: Callable[[], Any], clock: Clock) -> None:
        self._config = config
        self._fetch = fetch
        self._clock = clock
        self._lock = threading.Lock()
        self._documents: Mapping[str | None, Mapping[str, Any]] = {}  # as fetched, by key id
        self._keys: dict[tuple[str | None, str], jwt.PyJWK] = {}  # by key id and algorithm
        self._fetched_at = self._attempted_at = float("-inf")

    def get_key(self, key_id: str | None, algorithm: str) -> jwt.PyJWK:
        """Return the key of an id for an algorithm; without an id, the only key there is.

        Raises Unauthenticated, or BackendUnavailable if no keys could be fetched.
        """
        now = self._clock.monotonic()
        if now - self._fetched_at >= self._config.refresh_seconds or self._find_document(key_id) is None:
            self._refresh(now)
        document = self._find_document(key_id)
        if document is None and not self._documents:
            raise BackendUnavailable(message("jwks_unavailable"))
        if document is None or document.get("alg", algorithm) != algorithm:
            raise Unauthenticated(message("token_key_unknown"))
        return self._build_key(document, algorithm)

    def _build_key(self, document: Mapping[str, Any], algorithm: str) -> jwt.PyJWK:
        """Return the key, built once; raises PyJWT's error if it is not a key for this algorithm."""
        name = (document.get("kid"), algorithm)
        if name not in self._keys:
            self._keys[name] = jwt.PyJWK(dict(document), algorithm)
        return self._keys[name]

    def _find_document(self, key_id: str | None) -> Mapping[str, Any] | None:
        if key_id is None and len(self._documents) == 1:
            return next(iter(self._documents.values()))
        return self._documents.get(key_id)

    def _refresh(self, now: float) -> None:
        """Fetch the keys, unless the last attempt is recent or another request fetches while there are cached keys."""
        if not self._lock.acquire(timeout=0 if self._documents else _FETCH_TIMEOUT):
            return
        try:
            if now - self._attempted_at >= _MIN_REFRESH_INTERVAL:
                self._attempted_at = now
                self._documents, self._keys = _parse_key_set(self._fetch()), {}
                self._fetched_at = now
        except GatewayError as error:
            _log.warning("fetching the issuer's keys failed", extra={"fields": {"code": error.code}})
        finally:
            self._lock.release()


def _parse_key_set(document: Any) -> Mapping[str | None, Mapping[str, Any]]:
    keys = document.get("keys") if isinstance(document, dict) else None
    signing_keys = {key.get("kid"): key for key in keys if _is_signing_key(key)} if isinstance(keys, list) else {}
    if not signing_keys:
        raise BackendReplyInvalid(message("jwks_unusable"))
    return signing_keys


def _is_signing_key(key: Any) -> bool:
    """Return whether a key is public and for signatures: a symmetric key would let every reader sign."""
    if not isinstance(key, dict) or not isinstance(key.get("kid"), str | None):
        return False
    return key.get("use", "sig") == "sig" and key.get("kty") in _ASYMMETRIC_KEY_TYPES
