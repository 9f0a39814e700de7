"""Find the caller behind a request: by API key, by token, or by the certificate that the mesh has seen."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib import import_module
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from gateway.domain.backend import RateLimiter
from gateway.domain.callers import ANONYMOUS, Caller
from gateway.domain.errors import ErrorContext, RateLimited, Unauthenticated
from gateway.domain.runtime import Clock
from gateway.identity.api_keys import ApiKeyStore
from gateway.identity.xfcc import XfccAuthenticator
from gateway.settings import AuthConfig, CallerConfig

if TYPE_CHECKING:
    from gateway.identity.jwt import JwtAuthenticator

_BEARER: Final = "bearer "


class Credentials(NamedTuple):
    """What of a request may prove who sends it; empty texts where nothing was sent."""

    api_key: str
    authorization: str
    client_cert: str  # X-Forwarded-Client-Cert
    peer: str  # the address of whoever is connected; empty on a unix socket


@dataclass(frozen=True, slots=True)
class Authenticator:
    """Exactly one proof counts: a key before a token before a certificate; a wrong one is never passed over."""

    required: bool
    keys: ApiKeyStore
    tokens: JwtAuthenticator | None
    mesh: XfccAuthenticator
    rates: Mapping[str, float]
    limiter: RateLimiter | None = None

    def identify(self, request: Credentials) -> Caller:
        """Return who asks; raises Unauthenticated, RateLimited, or BackendUnavailable where no proof can be checked."""
        if not self.required:
            return ANONYMOUS
        caller = self._caller(request)
        self._count(caller)
        return caller

    def _count(self, caller: Caller) -> None:
        rate = self.rates[caller.name]
        if not rate or self.limiter is None:
            return
        if wait := self.limiter.acquire(f"caller:{caller.name}", rate):
            raise RateLimited("This caller asks more often than he may.", context=ErrorContext(retry_after=wait))

    def _caller(self, request: Credentials) -> Caller:
        if request.api_key:
            return self._by_bearer(request.api_key, tokens=None)
        if request.authorization:
            if not request.authorization.lower().startswith(_BEARER):
                raise Unauthenticated("The Authorization header must say Bearer and a key or token.")
            return self._by_bearer(request.authorization[len(_BEARER) :].strip(" "), self.tokens)
        caller = self.mesh.caller(request.client_cert, request.peer)
        if caller is None:
            raise Unauthenticated("Nothing in the request proves who sends it.")
        return caller

    def _by_bearer(self, bearer: str, tokens: JwtAuthenticator | None) -> Caller:
        if (caller := self.keys.caller(bearer)) is not None:
            return caller
        if tokens is None or bearer.count(".") != 2:  # noqa: PLR2004 - RFC 7515: header, claims, signature
            raise Unauthenticated("The API key belongs to no caller.")
        return tokens.caller(bearer)


def create_authenticator(
    auth: AuthConfig, clock: Clock, fetch_keys: Callable[[], Any] | None = None, limiter: RateLimiter | None = None
) -> Authenticator:
    """Make what knows the callers of a configuration; nothing is fetched yet."""
    tokens = None
    if auth.issuer is not None and fetch_keys is not None:
        # What verifies them takes a tenth of the start; it is loaded where there are tokens.
        keys = import_module("gateway.identity.jwks").JwksCache(auth.issuer, fetch_keys, clock)
        tokens = import_module("gateway.identity.jwt").JwtAuthenticator(auth.issuer, auth.entries, keys, clock)
    return Authenticator(
        required=auth.required,
        keys=ApiKeyStore((digest, to_caller(entry)) for entry in auth.entries for digest in entry.key_digests),
        tokens=tokens,
        mesh=XfccAuthenticator(
            auth.trusted_hops, {entry.spiffe: to_caller(entry) for entry in auth.entries if entry.spiffe}
        ),
        rates={entry.name: entry.requests_per_second for entry in auth.entries},
        limiter=limiter,
    )


def to_caller(entry: CallerConfig) -> Caller:
    """Return the caller that an entry describes."""
    return Caller(name=entry.name, allow=entry.allow, user=entry.acting_user or None, principal=entry.name)
