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
#: How long a request waits for another request's fetch if no keys are cached, in seconds.
_FETCH_TIMEOUT: Final = 5.0
#: In seconds. Unknown key ids and failed fetches cause no second fetch within this time.
_MIN_REFRESH_INTERVAL: Final = 10.0
_ASYMMETRIC_KEY_TYPES: Final = ("RSA", "EC", "OKP")


class JwksCache:
    """The keys of one issuer; one request at a time fetches, the others use the cached keys."""

    def __init__(self, config: JwtConfig, fetch_key_set: Callable[[], Any], clock: Clock) -> None:
        self._config = config
        self._fetch_key_set = fetch_key_set
        self._clock = clock
        self._fetch_lock = threading.Lock()
        self._jwks: Mapping[str | None, Mapping[str, Any]] = {}  # JSON Web Keys (RFC 7517) as fetched, by key id
        self._pyjwks: dict[tuple[str | None, str], jwt.PyJWK] = {}  # parsed, by key id and algorithm
        self._fetched_at = self._attempted_at = float("-inf")

    def get_key(self, key_id: str | None, algorithm: str) -> jwt.PyJWK:
        """Return the key with an id for an algorithm; without an id, the issuer's only key.

        Fetches the keys if they are old or the id is unknown. Raises Unauthenticated, BackendUnavailable if no keys
        could be fetched, or PyJWT's error if the key is not one for this algorithm.
        """
        now = self._clock.monotonic()
        if now - self._fetched_at >= self._config.refresh_seconds or self._find_jwk(key_id) is None:
            self._refresh_keys(now)
        jwk = self._find_jwk(key_id)
        if jwk is None and not self._jwks:
            raise BackendUnavailable(message("jwks_unavailable"))
        if jwk is None or jwk.get("alg", algorithm) != algorithm:
            raise Unauthenticated(message("token_key_unknown"))
        return self._to_pyjwk(jwk, algorithm)

    def _to_pyjwk(self, jwk: Mapping[str, Any], algorithm: str) -> jwt.PyJWK:
        """Return a key parsed by PyJWT, from the cache if it was parsed before; raises PyJWT's error."""
        cache_key = (jwk.get("kid"), algorithm)
        if cache_key not in self._pyjwks:
            self._pyjwks[cache_key] = jwt.PyJWK(dict(jwk), algorithm)
        return self._pyjwks[cache_key]

    def _find_jwk(self, key_id: str | None) -> Mapping[str, Any] | None:
        """Return the fetched key with an id; without an id, the only key, None if there are several."""
        if key_id is None and len(self._jwks) == 1:
            return next(iter(self._jwks.values()))
        return self._jwks.get(key_id)

    def _refresh_keys(self, now: float) -> None:
        """Fetch the keys unless the last attempt is recent.

        If another request is fetching, return at once if keys are cached; otherwise wait for that request.
        """
        if not self._fetch_lock.acquire(timeout=0 if self._jwks else _FETCH_TIMEOUT):
            return
        try:
            if now - self._attempted_at >= _MIN_REFRESH_INTERVAL:
                self._attempted_at = now
                self._jwks, self._pyjwks = _parse_key_set(self._fetch_key_set()), {}
                self._fetched_at = now
        except GatewayError as error:  # the cached keys, if any, stay in use
            _log.warning("fetching the issuer's keys failed", extra={"fields": {"code": error.code}})
        finally:
            self._fetch_lock.release()


def _parse_key_set(key_set: Any) -> Mapping[str | None, Mapping[str, Any]]:
    """Return the signing keys of a JWK Set by key id; raises BackendReplyInvalid if it has none."""
    keys = key_set.get("keys") if isinstance(key_set, dict) else None
    signing_keys = {key.get("kid"): key for key in keys if _is_signing_key(key)} if isinstance(keys, list) else {}
    if not signing_keys:
        raise BackendReplyInvalid(message("jwks_unusable"))
    return signing_keys


def _is_signing_key(key: Any) -> bool:
    """Return whether a key is for signatures and asymmetric: a symmetric key could also be used to sign."""
    if not isinstance(key, dict) or not isinstance(key.get("kid"), str | None):
        return False
    return key.get("use", "sig") == "sig" and key.get("kty") in _ASYMMETRIC_KEY_TYPES
