"""Authentication of a request: by API key, by token, or by the client certificate that a trusted proxy reports."""

from __future__ import annotations

import hmac
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from hashlib import sha256
from importlib import import_module
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from gateway.domain.backend import RateLimiter
from gateway.domain.callers import ANONYMOUS, Caller
from gateway.domain.errors import ErrorContext, RateLimited, Unauthenticated
from gateway.domain.messages import message
from gateway.domain.runtime import Clock
from gateway.identity.xfcc import XfccAuthenticator
from gateway.settings import AuthConfig, CallerConfig, JwtConfig

if TYPE_CHECKING:
    from gateway.identity.jwt import JwtAuthenticator

_BEARER_PREFIX: Final = "bearer "


class Credentials(NamedTuple):
    """The values of a request that can authenticate it; the empty string for one that it does not have."""

    api_key: str
    authorization: str
    client_cert: str  # X-Forwarded-Client-Cert
    remote_addr: str  # the address of the connected client; empty on a unix socket


class ApiKeyStore:
    """The digests of all API keys; a key is long and random, so one plain SHA-256 is enough."""

    def __init__(self, callers: Iterable[tuple[str, Caller]]) -> None:
        """`callers` are pairs of a key's SHA-256 digest, in lower-case hexadecimal, and its caller."""
        self._digests_and_callers = tuple((digest.encode(), caller) for digest, caller in callers)

    def find_caller(self, key: str) -> Caller | None:
        """Return the caller of a key, None if it is unknown.

        Every digest is compared, each in constant time, so that the duration tells nothing about the digests.
        """
        key_digest = sha256(key.encode(errors="surrogateescape")).hexdigest().encode()
        matching_caller = None
        for digest, caller in self._digests_and_callers:
            if hmac.compare_digest(digest, key_digest):
                matching_caller = caller
        return matching_caller


@dataclass(frozen=True, slots=True)
class Authenticator:
    """Authenticates a request by the first credential that it has: X-API-Key, Authorization, client certificate."""

    required: bool
    api_keys: ApiKeyStore
    jwt: JwtAuthenticator | None
    xfcc: XfccAuthenticator
    rates: Mapping[str, float]  # requests per second, by the caller's name; 0: no limit
    limiter: RateLimiter | None = None

    def authenticate(self, credentials: Credentials) -> Caller:
        """Return the caller, and count the request towards the caller's rate limit.

        Raises Unauthenticated, RateLimited, or BackendUnavailable if the issuer's keys could not be fetched.
        """
        if not self.required:
            return ANONYMOUS
        caller = self._find_caller(credentials)
        if wait_seconds := self.count_request(caller):
            raise RateLimited(message("caller_rate_limited"), context=ErrorContext(retry_after=wait_seconds))
        return caller

    def count_request(self, caller: Caller) -> float:
        """Count a request towards the caller's rate limit and return 0, or return how many seconds to wait."""
        rate = self.rates.get(caller.name)
        return self.limiter.acquire(f"caller:{caller.name}", rate) if rate and self.limiter is not None else 0.0

    def _find_caller(self, credentials: Credentials) -> Caller:
        """Return the caller of the first credential; raises what `authenticate` raises, except RateLimited."""
        if credentials.api_key:
            return self._find_bearer_caller(credentials.api_key, jwt=None)  # this header carries no tokens
        if credentials.authorization:
            if not credentials.authorization.lower().startswith(_BEARER_PREFIX):
                raise Unauthenticated(message("bearer_expected"))
            return self._find_bearer_caller(credentials.authorization[len(_BEARER_PREFIX) :].strip(" "), self.jwt)
        caller = self.xfcc.find_caller(credentials.client_cert, credentials.remote_addr)
        if caller is None:
            reason = (
                {"refused": "client certificate", "hop": credentials.remote_addr} if credentials.client_cert else None
            )
            raise Unauthenticated(message("no_credential"), reason=reason)
        return caller

    def _find_bearer_caller(self, bearer: str, jwt: JwtAuthenticator | None) -> Caller:
        """Return the caller of an API key or, if `jwt` is given, of a token.

        Raises Unauthenticated, or BackendUnavailable if the issuer's keys could not be fetched.
        """
        if (caller := self.api_keys.find_caller(bearer)) is not None:
            return caller
        if jwt is None or bearer.count(".") != 2:  # noqa: PLR2004 - RFC 7515: header, claims, signature
            raise Unauthenticated(message("api_key_unknown"))
        return jwt.find_caller(bearer)


def create_authenticator(
    auth: AuthConfig,
    clock: Clock,
    create_fetcher: Callable[[JwtConfig], Callable[[], Any]] | None = None,
    limiter: RateLimiter | None = None,
) -> Authenticator:
    """Return the authenticator of a configuration.

    `create_fetcher` returns the function that fetches an issuer's keys; it is called when its first token arrives.
    """
    jwt = None
    if auth.jwt and create_fetcher is not None:
        # Importing PyJWT and cryptography takes a tenth of the start, so they are imported only if there is an issuer.
        jwks_cache = import_module("gateway.identity.jwks").JwksCache
        issuers = [(issuer, jwks_cache(issuer, create_fetcher(issuer), clock)) for issuer in auth.jwt]
        jwt = import_module("gateway.identity.jwt").JwtAuthenticator(issuers, auth.callers, clock)
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
    """Return the caller of a [[callers]] table."""
    return Caller(name=config.name, allow=config.allow, user=config.acting_user or None, principal=config.name)
