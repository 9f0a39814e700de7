"""Find the caller behind a request: by API key, by token, or by the certificate that the mesh has seen."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib import import_module
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from gateway.domain.callers import ANYBODY, Caller
from gateway.domain.errors import Evidence, RateLimited, Unauthenticated
from gateway.domain.ports import Clock, Limiter
from gateway.identity.keys import Keys
from gateway.identity.mesh import Mesh
from gateway.settings import Auth, Entry

if TYPE_CHECKING:
    from gateway.identity.tokens import Tokens

_BEARER: Final = "bearer "


class Request(NamedTuple):
    """What of a request may prove who sends it; empty texts where nothing was sent."""

    api_key: str
    authorization: str
    client_cert: str  # X-Forwarded-Client-Cert
    peer: str  # the address of whoever is connected; empty on a unix socket


@dataclass(frozen=True, slots=True)
class Identifier:
    """Exactly one proof counts: a key before a token before a certificate; a wrong one is never passed over."""

    required: bool
    keys: Keys
    tokens: Tokens | None
    mesh: Mesh
    rates: Mapping[str, float]
    limiter: Limiter | None = None

    def identify(self, request: Request) -> Caller:
        """Return who asks; raises Unauthenticated, RateLimited, or BackendUnavailable where no proof can be checked."""
        if not self.required:
            return ANYBODY
        caller = self._caller(request)
        self._count(caller)
        return caller

    def _count(self, caller: Caller) -> None:
        rate = self.rates[caller.name]
        if not rate or self.limiter is None:
            return
        if wait := self.limiter.wait(f"caller:{caller.name}", rate):
            raise RateLimited("This caller asks more often than he may.", evidence=Evidence(retry_after=wait))

    def _caller(self, request: Request) -> Caller:
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

    def _by_bearer(self, bearer: str, tokens: Tokens | None) -> Caller:
        if (caller := self.keys.caller(bearer)) is not None:
            return caller
        if tokens is None or bearer.count(".") != 2:  # noqa: PLR2004 - RFC 7515: header, claims, signature
            raise Unauthenticated("The API key belongs to no caller.")
        return tokens.caller(bearer)


def connect(
    auth: Auth, clock: Clock, fetch_keys: Callable[[], Any] | None = None, limiter: Limiter | None = None
) -> Identifier:
    """Make what knows the callers of a configuration; nothing is fetched yet."""
    tokens = None
    if auth.issuer is not None and fetch_keys is not None:
        # What verifies them takes a tenth of the start; it is loaded where there are tokens.
        keys = import_module("gateway.identity.jwks").KeySet(auth.issuer, fetch_keys, clock)
        tokens = import_module("gateway.identity.tokens").Tokens(auth.issuer, auth.entries, keys, clock)
    return Identifier(
        required=auth.required,
        keys=Keys((digest, known(entry)) for entry in auth.entries for digest in entry.key_digests),
        tokens=tokens,
        mesh=Mesh(auth.trusted_hops, {entry.spiffe: known(entry) for entry in auth.entries if entry.spiffe}),
        rates={entry.name: entry.requests_per_second for entry in auth.entries},
        limiter=limiter,
    )


def known(entry: Entry) -> Caller:
    """Return the caller that an entry describes."""
    return Caller(name=entry.name, allow=entry.allow, user=entry.acts_as or None, owner=entry.name)
