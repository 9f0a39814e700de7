"""Who asks, and what he may: the caller of the present request and his allow-list."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from flask import Request as HttpRequest

from gateway.api.context import current_request, notes
from gateway.domain.backend import Backend
from gateway.domain.callers import ANONYMOUS, Action, Caller
from gateway.domain.errors import Forbidden, Unauthenticated
from gateway.identity import Authenticator, Credentials

#: Whoever asks for these is told: that the process lives, how it does, and what its language is.
_PUBLIC: Final = frozenset({"health", "documents"})


def identify(asked: HttpRequest, identifier: Authenticator) -> Caller:
    """Return the caller of a request, before anything is done for him."""
    rule, environ = asked.url_rule, asked.environ
    if rule is None or rule.endpoint.partition(".")[0] in _PUBLIC:
        return ANONYMOUS
    return identifier.authenticate(
        Credentials(
            api_key=environ.get("HTTP_X_API_KEY", ""),
            authorization=environ.get("HTTP_AUTHORIZATION", ""),
            client_cert=environ.get("HTTP_X_FORWARDED_CLIENT_CERT", ""),
            remote_addr=environ.get("REMOTE_ADDR", ""),
        )
    )


def visible(backends: Mapping[str, Backend]) -> Mapping[str, Backend]:
    """Leave out the connections that the caller's allow-list does not name: for him they are not there."""
    caller = notes().caller
    if caller is ANONYMOUS:
        return backends
    return {name: backend for name, backend in backends.items() if caller.can_access(name)}


def authorize(action: Action, backend: Backend, scope: str) -> None:
    """Raise Forbidden where no line of the caller's allow-list covers this; no backend has been asked."""
    noted = notes()
    caller, noted.backend = noted.caller, backend.name
    if not caller.is_allowed(action, backend.name, scope):
        raise Forbidden(f"The caller {caller.name} may not {action} modules in scope {scope} of {backend.name}.")


def take_credential(backend: Backend) -> None:
    """Hand the caller's own credential to the call, where this connection passes it through and only there."""
    header = backend.capabilities.credential_header
    if header is None:
        return
    credential = current_request().headers.get(header, "")
    if not credential:
        raise Unauthenticated(f"The connection {backend.name} acts with the caller's own credential: send {header}.")
    noted = notes()
    noted.visit.hide(credential)
    noted.call.credential = credential
