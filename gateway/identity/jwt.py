"""Tokens: signed by the issuer, for this audience, not expired, with the claims of one caller."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import jwt

from gateway.domain.callers import Caller
from gateway.domain.errors import Unauthenticated
from gateway.domain.messages import message
from gateway.domain.runtime import Clock
from gateway.identity.authenticator import to_caller
from gateway.identity.jwks import JwksCache
from gateway.settings import CallerConfig, JwtConfig

#: How much the issuer's clock may differ, in seconds.
_LEEWAY: Final = 30.0
_MAX_USER_LENGTH: Final = 64


class JwtAuthenticator:
    """Authenticates callers by the claims of their tokens."""

    def __init__(self, config: JwtConfig, callers: Sequence[CallerConfig], keys: JwksCache, clock: Clock) -> None:
        self._config = config
        self._callers = tuple(caller for caller in callers if caller.claims)
        self._keys = keys
        self._clock = clock

    def find_caller(self, token: str) -> Caller:
        """Return the caller whose claims a token has.

        Raises Unauthenticated, also if several callers match, or BackendUnavailable if no keys could be fetched.
        """
        claims = self._verify(token)
        matches = [
            caller
            for caller in self._callers
            if all(claims.get(name) == value for name, value in caller.claims.items())
        ]
        if len(matches) != 1:
            raise Unauthenticated(message("token_claims_unmatched"))
        return self._to_caller(matches[0], claims)

    def _to_caller(self, config: CallerConfig, claims: dict[str, Any]) -> Caller:
        """Return the caller; with a `user_claim`, the principal is the user that the claim names.

        Raises Unauthenticated if that claim has no usable user name.
        """
        if not self._config.user_claim:
            return to_caller(config)
        user = claims.get(self._config.user_claim)
        if (
            not isinstance(user, str)
            or not 0 < len(user) <= _MAX_USER_LENGTH
            or not user.isprintable()
            or not user.isascii()
        ):
            raise Unauthenticated(message("token_user_missing", claim=self._config.user_claim))
        return Caller(name=config.name, allow=config.allow, user=user, principal=f"{config.name}/{user}")

    def _verify(self, token: str) -> dict[str, Any]:
        """Return the claims of a token; raises Unauthenticated or BackendUnavailable."""
        try:
            header = jwt.get_unverified_header(token)
            algorithm = header.get("alg")
            if algorithm not in self._config.algorithms:
                raise Unauthenticated(message("token_algorithm_not_allowed"))
            key = self._keys.get_key(header.get("kid"), algorithm)
            claims: dict[str, Any] = jwt.decode(
                token,
                key,
                algorithms=[algorithm],
                audience=self._config.audience,
                issuer=self._config.issuer,
                # PyJWT would compare the times with the system's clock; _check_validity_period uses the injected one.
                options={
                    "require": ["exp", "iss", "aud"],
                    "verify_exp": False,
                    "verify_nbf": False,
                    "verify_iat": False,
                },
            )
        except jwt.PyJWTError as error:
            raise Unauthenticated(message("token_invalid")) from error
        self._check_validity_period(claims)
        return claims

    def _check_validity_period(self, claims: dict[str, Any]) -> None:
        """Raise Unauthenticated unless `exp` is in the future and `nbf` in the past, give or take the leeway."""
        now = self._clock.now()
        expires_at, not_before = claims["exp"], claims.get("nbf", 0)
        if any(isinstance(time, bool) or not isinstance(time, int | float) for time in (expires_at, not_before)):
            raise Unauthenticated(message("token_invalid"))
        # The conditions are negated because every comparison with NaN is false. The leeway is added to `now` because a
        # claim may be an integer that is too large for a sum with a float.
        if not expires_at > now - _LEEWAY:
            raise Unauthenticated(message("token_expired"))
        if not not_before <= now + _LEEWAY:
            raise Unauthenticated(message("token_not_yet_valid"))
