"""Tokens: signed by the issuer, for this audience, not expired, with the claims of one caller."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
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

    def __init__(
        self, issuers: Sequence[tuple[JwtConfig, JwksCache]], callers: Sequence[CallerConfig], clock: Clock
    ) -> None:
        """`issuers` are the trusted issuers, each with the cache of its keys."""
        self._issuers = {config.issuer: (config, keys) for config, keys in issuers}
        self._callers = tuple(caller for caller in callers if caller.claims)
        self._clock = clock

    def find_caller(self, token: str) -> Caller:
        """Return the caller whose claims a token has.

        Raises Unauthenticated, also if several callers match, or BackendUnavailable if no keys could be fetched.
        """
        try:
            header = jwt.get_unverified_header(token)
            issuer = jwt.decode(token, options={"verify_signature": False}).get("iss")
        except jwt.PyJWTError as error:
            raise _refused("format", value=type(error).__name__) from error
        if not isinstance(issuer, str) or issuer not in self._issuers:
            raise _refused("iss", value=issuer, expected=[*self._issuers])
        config, keys = self._issuers[issuer]
        claims = self._verify(token, header, config, keys)
        matches = [
            caller
            for caller in self._callers
            if all(claims.get(name) == value for name, value in caller.claims.items())
        ]
        if len(matches) != 1:
            names = sorted({name for caller in self._callers for name in caller.claims})
            raise _refused(
                "caller", value={name: claims.get(name) for name in names}, callers=[caller.name for caller in matches]
            )
        return _to_caller(matches[0], claims, config.user_claim)

    def _verify(self, token: str, header: Mapping[str, Any], config: JwtConfig, keys: JwksCache) -> dict[str, Any]:
        """Return the claims of a token; raises Unauthenticated or BackendUnavailable."""
        algorithm, key_id = header.get("alg"), header.get("kid")
        if algorithm not in config.algorithms:
            raise _refused("alg", value=algorithm, expected=config.algorithms)
        candidates = keys.get_keys(key_id, algorithm)
        if not candidates:
            raise _refused("kid", value=key_id, expected="a key that the issuer publishes")
        claims = _decode(token, algorithm, candidates, config)
        if claims is None and key_id is None:  # the issuer may have replaced a key that has no id
            claims = _decode(token, algorithm, keys.get_keys(key_id, algorithm, refresh=True), config)
        if claims is None:
            raise _refused("signature", kid=key_id, alg=algorithm)
        self._check_validity_period(claims)
        return claims

    def _check_validity_period(self, claims: dict[str, Any]) -> None:
        """Raise Unauthenticated unless `exp` is in the future and `nbf` in the past, give or take the leeway."""
        now = self._clock.now()
        # The conditions are negated because every comparison with NaN is false. The leeway is added to `now` because a
        # claim may be an integer that is too large for a sum with a float.
        for name, time in (("exp", claims["exp"]), ("nbf", claims.get("nbf", 0))):
            is_number = isinstance(time, int | float) and not isinstance(time, bool)
            if not is_number or not (time > now - _LEEWAY if name == "exp" else time <= now + _LEEWAY):
                raise _refused(name, value=time, now=now)


def _decode(token: str, algorithm: str, keys: Sequence[jwt.PyJWK], config: JwtConfig) -> dict[str, Any] | None:
    """Return the claims of a token that one of the keys has signed, else None; raises Unauthenticated for claims."""
    for key in keys:
        try:
            claims: dict[str, Any] = jwt.decode(
                token,
                key,
                algorithms=[algorithm],
                audience=config.audience,
                issuer=config.issuer,
                # PyJWT would compare the times with the system's clock; _check_validity_period uses the injected one.
                options={
                    "require": ["exp", "iss", "aud"],
                    "verify_exp": False,
                    "verify_nbf": False,
                    "verify_iat": False,
                },
            )
        except (jwt.InvalidSignatureError, jwt.InvalidKeyError):
            continue
        except jwt.PyJWTError as error:
            unverified = jwt.decode(token, options={"verify_signature": False})
            name = getattr(error, "claim", "aud" if isinstance(error, jwt.InvalidAudienceError) else "format")
            raise _refused(name, value=unverified.get(name), expected=config.audience, cause=str(error)) from error
        return claims
    return None


def _to_caller(config: CallerConfig, claims: Mapping[str, Any], user_claim: str) -> Caller:
    """Return the caller; with a `user_claim`, the principal is the user that the claim names.

    Raises Unauthenticated if that claim has no usable user name.
    """
    if not user_claim:
        return to_caller(config)
    user = claims.get(user_claim)
    if (
        not isinstance(user, str)
        or not 0 < len(user) <= _MAX_USER_LENGTH
        or not user.isprintable()
        or not user.isascii()
    ):
        raise _refused(user_claim, value=user, expected="a user name of at most 64 visible ASCII characters")
    return Caller(name=config.name, allow=config.allow, user=user, principal=f"{config.name}/{user}")


def _refused(what: str, **facts: object) -> Unauthenticated:
    """Return the error of a token: the answer says only that it was refused, the log which claim or header is wrong."""
    return Unauthenticated(message("token_invalid"), reason={"refused": what, **facts})
