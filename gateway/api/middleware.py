"""Hooks around every request: request id, deadline, authentication, timings, security headers and the access log."""

from __future__ import annotations

import logging
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

from flask import Flask, Response, g, request

from gateway.api.authorization import authenticate, check_local_address
from gateway.api.context import RequestContext, request_context
from gateway.api.cors import is_preflight
from gateway.api.error_handlers import check_accept
from gateway.api.request_headers import mount_point, request_timeout
from gateway.domain.backend import CallContext
from gateway.domain.callers import Caller
from gateway.domain.errors import Outcome, Unauthenticated
from gateway.domain.runtime import Clock
from gateway.identity import Authenticator, TrustedProxies
from gateway.telemetry.request_log import RequestTelemetry
from gateway.telemetry.tracing import get_trace_id

_log: Final = logging.getLogger("gateway.api")
_REQUEST_ID: Final = re.compile(r"[A-Za-z0-9._:@/+=-]{1,128}", re.ASCII)
_SECURITY_HEADERS: Final = (
    ("X-Content-Type-Options", "nosniff"),
    ("X-Frame-Options", "DENY"),
    ("Referrer-Policy", "no-referrer"),
    ("Cross-Origin-Resource-Policy", "same-origin"),
    ("Cache-Control", "no-store"),
    ("Content-Security-Policy", "default-src 'none'; frame-ancestors 'none'"),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class RequestHooksConfig:
    """The settings of the hooks and the objects that they use."""

    clock: Clock
    new_id: Callable[[], str]
    deadline_seconds: float
    authenticator: Authenticator
    telemetry: RequestTelemetry = field(default_factory=RequestTelemetry)
    trusted_proxies: TrustedProxies = field(default_factory=lambda: TrustedProxies(()))


def init_app(app: Flask, config: RequestHooksConfig) -> None:
    """Register the hooks; they must be the application's first, so that they enclose all others."""
    clock, telemetry = config.clock, config.telemetry

    @app.before_request
    def before_request() -> None:
        """Create the request's context, check its Accept header and authenticate the caller."""
        environ = request.environ
        started_at = clock.monotonic()
        span = telemetry.start(environ)
        request_id = environ.get("HTTP_X_REQUEST_ID", "")
        call = CallContext(
            request_id if _REQUEST_ID.fullmatch(request_id) else config.new_id(),
            started_at + request_timeout(environ, config.deadline_seconds),
            trace=span.trace,
        )
        is_mounted = "HTTP_X_FORWARDED_PREFIX" in environ or environ.get("SCRIPT_NAME")
        prefix = mount_point(environ, config.trusted_proxies) if is_mounted else ""
        ctx = g.request_context = RequestContext(started_at=started_at, call=call, span=span, mount_point=prefix)
        if (refusal := environ.get("gateway.refusal")) is not None:  # the server could not read the request
            ctx.outcome = None if request.method else Outcome.NOT_APPLIED  # without a method it may be a write
            raise refusal
        if (set_deadline := getattr(environ["wsgi.input"], "set_deadline", None)) is not None:
            set_deadline(call.deadline)  # the gateway's own server then ends a body that stalls
        check_local_address(environ, config.authenticator)
        check_accept(request)
        if not is_preflight(environ):
            ctx.caller = caller = _authenticate(ctx, config.authenticator)
            call.user, call.caller = caller.user, caller.principal

    @app.after_request
    def after_request(response: Response) -> Response:
        """Add the headers that every response has, and write the access log."""
        ctx, headers = request_context(), response.headers
        seconds = clock.monotonic() - ctx.started_at
        headers.extend([("X-Request-Id", ctx.call.request_id), ("Server-Timing", _server_timing(ctx, seconds))])
        if ctx.outcome is not None:
            headers.add("Gateway-Outcome", ctx.outcome.value)
        present_headers = set(headers.keys(lower=True))  # the documentation page has a policy of its own
        headers.extend([(name, value) for name, value in _SECURITY_HEADERS if name.lower() not in present_headers])
        if ctx.language is not None:
            headers["Content-Language"] = ctx.language
            response.vary.add("Accept-Language")
        telemetry.finish(ctx.span, _access_log_fields(ctx, response, seconds), seconds)
        return response

    @app.teardown_request
    def teardown_request(_error: BaseException | None) -> None:
        """End the request's telemetry; there is no context if `before_request` failed before it created one."""
        ctx: RequestContext | None = g.get("request_context")
        telemetry.close(None if ctx is None else ctx.span)


def _authenticate(ctx: RequestContext, authenticator: Authenticator) -> Caller:
    """Return the caller; why a credential is refused goes to the log, and never into the answer."""
    try:
        return authenticate(request, authenticator)
    except Unauthenticated as error:
        if error.reason:  # its values come from an unverified credential
            facts = {name: str(value)[:200] for name, value in error.reason.items()}
            _log.warning("credential refused", extra={"fields": {"request_id": ctx.call.request_id, **facts}})
        raise


def _server_timing(ctx: RequestContext, seconds: float) -> str:
    upstream_seconds = ctx.call.upstream_seconds
    return f"upstream;dur={upstream_seconds * 1e3:.1f}, gateway;dur={(seconds - upstream_seconds) * 1e3:.1f}"


def _access_log_fields(ctx: RequestContext, response: Response, seconds: float) -> dict[str, object]:
    """Return the fields of the request's line: body and query are left out, texts of the caller's choice are cut."""
    call, rule, environ = ctx.call, request.url_rule, request.environ
    return {
        "method": request.method,
        "route": rule.rule if rule else None,
        "path": request.path[:200],
        "status": response.status_code,
        "code": ctx.problem_code,
        "outcome": ctx.outcome,
        "request_id": call.request_id,
        "trace_id": get_trace_id(call.trace) if call.trace else None,
        "caller": ctx.caller.name,
        "user": ctx.user,
        "backend": ctx.backend,
        "module": ctx.module and ctx.module[:200],
        "operation": ctx.operation,
        "replayed": ctx.replayed,
        "milliseconds": round(seconds * 1e3, 1),
        "upstream_milliseconds": round(call.upstream_seconds * 1e3, 1),
        "remote": environ.get("REMOTE_ADDR"),
        "user_agent": environ.get("HTTP_USER_AGENT", "")[:120],
        "bytes": response.calculate_content_length(),
    }
