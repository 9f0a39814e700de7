"""The issuer's public keys: fetched on demand and cached; cached keys stay in use while a fetch fails."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

import jwt

from gateway.domain.errors import BackendReplyInvalid, BackendUnavailable, GatewayError
from gateway.domain.messages import message
from gateway.domain.runtime import Clock
from gateway.settings import JwtConfig

_log: Final = logging.getLogger("gateway.identity")
#: How long a request waits for another request's fetch if no keys are cached, in seconds.
_FETCH_TIMEOUT: Final = 5.0
#: In seconds. Unknown key ids and failed fetches cause no second fetch within this time.
_MIN_REFRESH_INTERVAL: Final = 10.0
#: Of the keys without an id, so many are tried; each costs the verification of a signature.
_MAX_TRIED_KEYS: Final = 16
_ASYMMETRIC_KEY_TYPES: Final = ("RSA", "EC", "OKP")


class JwksCache:
    """The keys of one issuer; one request at a time fetches, the others use the cached keys."""

    def __init__(self, config: JwtConfig, fetch_key_set: Callable[[], Any], clock: Clock) -> None:
        self._config = config
        self._fetch_key_set = fetch_key_set
        self._clock = clock
        self._fetch_lock = threading.Lock()
        self._jwks: Sequence[Mapping[str, Any]] = ()  # JSON Web Keys (RFC 7517) as fetched
        self._pyjwks: dict[tuple[int, str], jwt.PyJWK | None] = {}  # parsed, by position and algorithm
        self._fetched_at = self._attempted_at = float("-inf")

    def get_keys(self, key_id: str | None, algorithm: str, *, refresh: bool = False) -> Sequence[jwt.PyJWK]:
        """Return the keys that may have signed with an algorithm; all, if the token or the keys have no id.

        Fetches the keys if they are old, if none fits, or with `refresh`. Raises BackendUnavailable if no keys could be
        fetched.
        """
        now = self._clock.monotonic()
        is_old = now - self._fetched_at >= self._config.refresh_seconds
        if is_old or refresh or not self._find_keys(key_id, algorithm):
            self._refresh_keys(now)
        if not self._jwks:
            raise BackendUnavailable(message("jwks_unavailable"))
        return self._find_keys(key_id, algorithm)

    def _find_keys(self, key_id: str | None, algorithm: str) -> Sequence[jwt.PyJWK]:
        named = [index for index, jwk in enumerate(self._jwks) if key_id is not None and jwk.get("kid") == key_id]
        others = [index for index, jwk in enumerate(self._jwks) if key_id is None or jwk.get("kid") is None]
        keys = [self._parse(index, algorithm) for index in named or others[:_MAX_TRIED_KEYS]]
        return [key for key in keys if key is not None]

    def _parse(self, index: int, algorithm: str) -> jwt.PyJWK | None:
        """Return a key parsed by PyJWT, from the cache if it was parsed before; None if it is not for the algorithm."""
        if (index, algorithm) not in self._pyjwks:
            jwk = self._jwks[index]
            try:
                key = jwt.PyJWK(dict(jwk), algorithm) if jwk.get("alg", algorithm) == algorithm else None
            except jwt.PyJWTError:
                key = None
            self._pyjwks[index, algorithm] = key
        return self._pyjwks[index, algorithm]

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
            _log.warning(
                "fetching the issuer's keys failed",
                extra={"fields": {"issuer": self._config.issuer, "code": error.code}},
            )
        finally:
            self._fetch_lock.release()


def _parse_key_set(key_set: Any) -> Sequence[Mapping[str, Any]]:
    """Return the signing keys of a JWK Set; raises BackendReplyInvalid if it has none."""
    keys = key_set.get("keys") if isinstance(key_set, dict) else None
    signing_keys = [key for key in keys if _is_signing_key(key)] if isinstance(keys, list) else []
    if not signing_keys:
        raise BackendReplyInvalid(message("jwks_unusable"))
    return signing_keys


def _is_signing_key(key: Any) -> bool:
    """Return whether a key is for signatures and asymmetric: a symmetric key could also be used to sign."""
    if not isinstance(key, dict) or not isinstance(key.get("kid"), str | None):
        return False
    return key.get("use", "sig") == "sig" and key.get("kty") in _ASYMMETRIC_KEY_TYPES
