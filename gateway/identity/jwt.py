"""Tokens: signed by the issuer, meant for this gateway, not expired, and carrying what the configuration asks for."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import jwt

from gateway.domain.callers import Caller
from gateway.domain.errors import Unauthenticated
from gateway.domain.runtime import Clock
from gateway.identity.jwks import JwksCache
from gateway.settings import CallerConfig, JwtConfig

#: Their clock may differ from ours by so much; seconds.
_LEEWAY: Final = 30.0
_LONGEST_USER: Final = 64


class JwtAuthenticator:
    """The callers that are known by the claims of their tokens."""

    def __init__(self, issuer: JwtConfig, entries: Sequence[CallerConfig], keys: JwksCache, clock: Clock) -> None:
        self._issuer = issuer
        self._entries = tuple(entry for entry in entries if entry.claims)
        self._keys = keys
        self._clock = clock

    def caller(self, token: str) -> Caller:
        """Return whose token it is; raises Unauthenticated, or BackendUnavailable where no key was ever to be had."""
        claims = self._claims(token)
        found = [
            entry for entry in self._entries if all(claims.get(name) == value for name, value in entry.claims.items())
        ]
        if len(found) != 1:
            raise Unauthenticated("The token's claims belong to no caller, or to more than one.")
        return self._caller(found[0], claims)

    def _caller(self, entry: CallerConfig, claims: dict[str, Any]) -> Caller:
        """Name the user where the configuration says which claim does: what he creates is then his own."""
        if not self._issuer.user_claim:
            return Caller(name=entry.name, allow=entry.allow, user=entry.acting_user or None, principal=entry.name)
        user = claims.get(self._issuer.user_claim)
        if (
            not isinstance(user, str)
            or not 0 < len(user) <= _LONGEST_USER
            or not user.isprintable()
            or not user.isascii()
        ):
            raise Unauthenticated(f"The token names no user in {self._issuer.user_claim}.")
        return Caller(name=entry.name, allow=entry.allow, user=user, principal=f"{entry.name}/{user}")

    def _claims(self, token: str) -> dict[str, Any]:
        try:
            header = jwt.get_unverified_header(token)
            algorithm = header.get("alg")
            if algorithm not in self._issuer.algorithms:
                raise Unauthenticated("The token is signed by an algorithm that is not allowed.")
            key = self._keys.find(header.get("kid"), algorithm)
            claims: dict[str, Any] = jwt.decode(
                token,
                key,
                algorithms=[algorithm],
                audience=self._issuer.audience,
                issuer=self._issuer.issuer,
                # The time is judged below, by the clock that everything here is judged by.
                options={
                    "require": ["exp", "iss", "aud"],
                    "verify_exp": False,
                    "verify_nbf": False,
                    "verify_iat": False,
                },
            )
        except jwt.PyJWTError as error:
            raise Unauthenticated("The token cannot be verified.") from error
        self._check_time(claims)
        return claims

    def _check_time(self, claims: dict[str, Any]) -> None:
        now = self._clock.now()
        ends, begins = claims["exp"], claims.get("nbf", 0)
        if any(isinstance(each, bool) or not isinstance(each, int | float) for each in (ends, begins)):
            raise Unauthenticated("The token cannot be verified.")
        # Asked so that NaN is neither late nor early enough, and no number is too large to be compared.
        if not ends > now - _LEEWAY:
            raise Unauthenticated("The token has expired.")
        if not begins <= now + _LEEWAY:
            raise Unauthenticated("The token is not valid yet.")
