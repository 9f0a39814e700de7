"""Authentication of the caller, and what its allow-list permits."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from flask import Request, request

from gateway.api.context import dependencies, request_context
from gateway.domain.backend import Backend
from gateway.domain.callers import ANONYMOUS, Action, Caller, is_local_address
from gateway.domain.errors import Forbidden, Unauthenticated
from gateway.domain.messages import message
from gateway.identity import Authenticator, Credentials

#: Health, metrics and documentation are served without authentication.
_UNAUTHENTICATED_BLUEPRINTS: Final = frozenset({"health", "docs"})


def check_local_address(environ: Mapping[str, Any], authenticator: Authenticator) -> None:
    """Raise Forbidden if authentication is off and others could have sent the request.

    What counts is the local address of its connection. Without one, as from an unknown server, it is refused too.
    """
    if authenticator.required:
        return
    connection = environ.get("gunicorn.socket") or environ.get("werkzeug.socket")
    try:
        address = None if connection is None else connection.getsockname()
    except OSError:
        address = None
    if not is_local_address(address):
        raise Forbidden(message("loopback_only"))


def authenticate(incoming: Request, authenticator: Authenticator) -> Caller:
    """Return the caller of a request; raises Unauthenticated or RateLimited."""
    if incoming.url_rule is None or incoming.blueprint in _UNAUTHENTICATED_BLUEPRINTS:
        return ANONYMOUS
    environ = incoming.environ
    return authenticator.authenticate(
        Credentials(
            api_key=environ.get("HTTP_X_API_KEY", ""),
            authorization=environ.get("HTTP_AUTHORIZATION", ""),
            client_cert=environ.get("HTTP_X_FORWARDED_CLIENT_CERT", ""),
            remote_addr=environ.get("REMOTE_ADDR", ""),
        )
    )


def visible_backends() -> Mapping[str, Backend]:
    """Return the connections that the caller's allow-list names; to this caller no others exist."""
    backends, caller = dependencies().backends, request_context().caller
    if caller is ANONYMOUS:
        return backends
    return {name: backend for name, backend in backends.items() if caller.can_access(name)}


def authorize(action: Action, backend: Backend, scope: str) -> None:
    """Raise Forbidden unless the caller's allow-list covers the action; record the backend for the access log."""
    ctx = request_context()
    caller, ctx.backend = ctx.caller, backend.name
    ctx.user = caller.user or backend.capabilities.acting_user
    if not caller.is_allowed(action, backend.name, scope):
        raise Forbidden(
            message("caller_not_allowed", caller=caller.name, action=action, scope=scope, backend=backend.name)
        )


def attach_passthrough_credential(backend: Backend) -> None:
    """Attach the caller's own backend credential to the call, if the connection passes it through, and redact it.

    Raises Unauthenticated if the request carries none.
    """
    header = backend.capabilities.credential_header
    if header is None:
        return
    credential = request.headers.get(header, "")
    if not credential:
        raise Unauthenticated(message("passthrough_credential_required", backend=backend.name, header=header))
    ctx = request_context()
    ctx.call.redacting = ctx.span.redact(credential)
    ctx.call.credential = credential
