"""Authentication of the caller, and what its allow-list permits."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from flask import Request, request

from gateway.api.context import dependencies, request_context
from gateway.domain.backend import Backend, CallContext
from gateway.domain.callers import ANONYMOUS, Action, Caller, is_local_address
from gateway.domain.errors import Forbidden, NotFound, Unauthenticated
from gateway.domain.messages import message
from gateway.identity import Authenticator, Credentials

#: Health, metrics and documentation are served without authentication.
_UNAUTHENTICATED_BLUEPRINTS: Final = frozenset({"health", "docs", "console"})


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


def get_visible_backend(name: str) -> Backend:
    """Return a connection; raises NotFound for one that is unknown or that the caller's allow-list does not name."""
    if (backend := visible_backends().get(name)) is None:
        raise NotFound(message("no_such_connection", name=name, connections=list(visible_backends())))
    return backend


def authorize(action: Action, backend: Backend, scope: str) -> None:
    """Raise Forbidden unless the caller's allow-list covers the action; record the backend for the access log."""
    ctx = request_context()
    caller, ctx.backend = ctx.caller, backend.name
    ctx.user = caller.user or backend.capabilities.acting_user
    if not caller.is_allowed(action, backend.name, scope):
        raise Forbidden(
            message("caller_not_allowed", caller=caller.name, action=action, scope=scope, backend=backend.name)
        )


def granted_places(action: Action) -> list[tuple[str | None, str | None]]:
    """Return the connections and scopes in which the caller may do the action; None stands for any."""
    return [(rule.connection, rule.scope) for rule in request_context().caller.allow if action in rule.actions]


def authorize_any(actions: Sequence[Action], backend: Backend, scope: str) -> None:
    """Raise Forbidden, for the first action, unless the caller's allow-list covers one of them."""
    caller = request_context().caller
    allowed = (action for action in actions if caller.is_allowed(action, backend.name, scope))
    authorize(next(allowed, actions[0]), backend, scope)


def visible_scopes(backend: Backend, actions: Sequence[Action]) -> frozenset[str] | None:
    """Return the scopes in which the caller may do one of the actions, None for all; record the backend for the log."""
    ctx = request_context()
    ctx.backend = backend.name
    return ctx.caller.allowed_scopes(backend.name, actions)


def attach_passthrough_credential(backend: Backend, call: CallContext | None = None) -> None:
    """Attach the caller's own backend credential to a call, by default the request's, and redact it.

    Only if the connection passes it through. Raises Unauthenticated if the request carries none.
    """
    header = backend.capabilities.credential_header
    if header is None:
        return
    credential = request.headers.get(header, "")
    if not credential:
        raise Unauthenticated(message("passthrough_credential_required", backend=backend.name, header=header))
    ctx = request_context()
    call = call or ctx.call
    call.redacting = ctx.span.redact(credential)
    call.credential = credential
