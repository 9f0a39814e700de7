"""Authentication of a request: by API key, by token, or by the client certificate that a trusted proxy reports."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib import import_module
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from gateway.domain.backend import RateLimiter
from gateway.domain.callers import ANONYMOUS, Caller
from gateway.domain.errors import ErrorContext, RateLimited, Unauthenticated
from gateway.domain.messages import message
from gateway.domain.runtime import Clock
from gateway.identity.api_keys import ApiKeyStore
from gateway.identity.xfcc import XfccAuthenticator
from gateway.settings import AuthConfig, CallerConfig

if TYPE_CHECKING:
    from gateway.identity.jwt import JwtAuthenticator

_BEARER: Final = "bearer "


class Credentials(NamedTuple):
    """What a request contains that can authenticate it; empty strings for what it does not contain."""

    api_key: str
    authorization: str
    client_cert: str  # X-Forwarded-Client-Cert
    remote_addr: str  # the address of the connected client; empty on a unix socket


@dataclass(frozen=True, slots=True)
class Authenticator:
    """Evaluates one credential of a request: an API key, else a token, else a certificate."""

    required: bool
    api_keys: ApiKeyStore
    jwt: JwtAuthenticator | None
    xfcc: XfccAuthenticator
    rates: Mapping[str, float]  # requests per second, by caller; 0: no limit
    limiter: RateLimiter | None = None

    def authenticate(self, credentials: Credentials) -> Caller:
        """Return the caller; raises Unauthenticated, RateLimited, or BackendUnavailable if no keys are available."""
        if not self.required:
            return ANONYMOUS
        caller = self._find_caller(credentials)
        self._rate_limit(caller)
        return caller

    def _rate_limit(self, caller: Caller) -> None:
        rate = self.rates[caller.name]
        if not rate or self.limiter is None:
            return
        if wait := self.limiter.acquire(f"caller:{caller.name}", rate):
            raise RateLimited(message("caller_rate_limited"), context=ErrorContext(retry_after=wait))

    def _find_caller(self, credentials: Credentials) -> Caller:
        if credentials.api_key:
            return self._authenticate_bearer(credentials.api_key, jwt=None)
        if credentials.authorization:
            if not credentials.authorization.lower().startswith(_BEARER):
                raise Unauthenticated(message("bearer_expected"))
            return self._authenticate_bearer(credentials.authorization[len(_BEARER) :].strip(" "), self.jwt)
        caller = self.xfcc.find_caller(credentials.client_cert, credentials.remote_addr)
        if caller is None:
            raise Unauthenticated(message("no_credential"))
        return caller

    def _authenticate_bearer(self, bearer: str, jwt: JwtAuthenticator | None) -> Caller:
        if (caller := self.api_keys.find_caller(bearer)) is not None:
            return caller
        if jwt is None or bearer.count(".") != 2:  # noqa: PLR2004 - RFC 7515: header, claims, signature
            raise Unauthenticated(message("api_key_unknown"))
        return jwt.find_caller(bearer)


def create_authenticator(
    auth: AuthConfig, clock: Clock, fetch_keys: Callable[[], Any] | None = None, limiter: RateLimiter | None = None
) -> Authenticator:
    """Return the authenticator of a configuration; nothing is fetched yet."""
    jwt = None
    if auth.jwt is not None and fetch_keys is not None:
        # PyJWT and cryptography take a tenth of the start, so they are imported only if there is an issuer.
        keys = import_module("gateway.identity.jwks").JwksCache(auth.jwt, fetch_keys, clock)
        jwt = import_module("gateway.identity.jwt").JwtAuthenticator(auth.jwt, auth.callers, keys, clock)
    return Authenticator(
        required=auth.required,
        api_keys=ApiKeyStore((digest, to_caller(config)) for config in auth.callers for digest in config.key_digests),
        jwt=jwt,
        xfcc=XfccAuthenticator(
            auth.trusted_proxies, {config.spiffe: to_caller(config) for config in auth.callers if config.spiffe}
        ),
        rates={config.name: config.requests_per_second for config in auth.callers},
        limiter=limiter,
    )


def to_caller(config: CallerConfig) -> Caller:
    """Return the caller that a configuration describes."""
    return Caller(name=config.name, allow=config.allow, user=config.acting_user or None, principal=config.name)
