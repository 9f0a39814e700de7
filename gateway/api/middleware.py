"""What every request gets: an id, a deadline, a caller, timings, security headers and one line in the log."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

from flask import Flask, Request, Response

from gateway.api.authorization import identify
from gateway.api.context import RequestContext, current_request, notes
from gateway.api.cors import is_preflight
from gateway.api.error_handlers import refuse_unacceptable
from gateway.api.request_headers import patience
from gateway.api.responses import Lines
from gateway.domain.backend import CallContext
from gateway.domain.callers import ANONYMOUS
from gateway.domain.runtime import Clock
from gateway.identity import Authenticator
from gateway.telemetry.request_log import RequestTelemetry
from gateway.telemetry.tracing import trace_id

_REQUEST_ID: Final = re.compile(r"[A-Za-z0-9._:@/+=-]{1,128}", re.ASCII)
_HEADERS: Final = (
    ("X-Content-Type-Options", "nosniff"),
    ("X-Frame-Options", "DENY"),
    ("Referrer-Policy", "no-referrer"),
    ("Cross-Origin-Resource-Policy", "same-origin"),
    ("Cache-Control", "no-store"),
    ("Content-Security-Policy", "default-src 'none'; frame-ancestors 'none'"),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class RequestHooksConfig:
    """What stands between a request and the routes."""

    clock: Clock
    new_id: Callable[[], str]
    deadline_seconds: float
    identifier: Authenticator
    witness: RequestTelemetry = field(default_factory=RequestTelemetry)


def install(app: Flask, door: RequestHooksConfig) -> None:
    """Attach to every request of the application."""
    clock = door.clock

    @app.before_request
    def begin() -> None:
        asked, mine = current_request(), notes()
        mine.started = clock.monotonic()
        mine.visit = visit = door.witness.begin(asked.environ)
        given = asked.environ.get("HTTP_X_REQUEST_ID", "")
        mine.call = call = CallContext(
            given if _REQUEST_ID.fullmatch(given) else door.new_id(),
            mine.started + patience(asked, door.deadline_seconds),
            trace=visit.trace,
        )
        mine.caller = ANONYMOUS  # whoever it is that cannot be told from a malformed proof
        refuse_unacceptable(asked)
        mine.caller = caller = ANONYMOUS if is_preflight(asked) else identify(asked, door.identifier)
        call.user = caller.user

    @app.after_request
    def end(response: Response) -> Response:
        mine, headers = notes(), response.headers
        call = mine.call
        spent = clock.monotonic() - mine.started
        upstream, gateway = call.upstream_seconds * 1e3, (spent - call.upstream_seconds) * 1e3
        facts = _facts(current_request(), mine, response, spent)
        timing = f"upstream;dur={upstream:.1f}, gateway;dur={gateway:.1f}"
        told = () if mine.outcome is None else (("Gateway-Outcome", mine.outcome),)
        lines = (*told, ("X-Request-Id", call.request_id), ("Server-Timing", timing), *_HEADERS)
        if isinstance(headers, Lines):
            headers.put(lines)
        else:
            for name, value in lines:
                headers.setdefault(name, value)  # pages have a policy of their own
        if mine.language is not None:
            headers["Content-Language"] = mine.language
            response.vary.add("Accept-Language")
        door.witness.end(mine.visit, facts, spent)
        return response

    @app.teardown_request
    def leave(_error: BaseException | None) -> None:
        door.witness.leave(getattr(notes(), "visit", None))


def _facts(asked: Request, noted: RequestContext, response: Response, spent: float) -> dict[str, object]:
    """Return what is told of a request: neither its body nor its query; what it says itself is cut short."""
    call, rule, environ = noted.call, asked.url_rule, asked.environ
    return {
        "method": asked.method,
        "route": rule.rule if rule else None,
        "path": asked.path[:200],
        "status": response.status_code,
        "code": noted.problem_code,
        "outcome": noted.outcome,
        "request_id": call.request_id,
        "trace_id": trace_id(call.trace) if call.trace else None,
        "caller": noted.caller.name,
        "backend": noted.backend,
        "operation": noted.operation,
        "replayed": noted.replayed,
        "milliseconds": round(spent * 1e3, 1),
        "upstream_milliseconds": round(call.upstream_seconds * 1e3, 1),
        "remote": environ.get("REMOTE_ADDR"),
        "user_agent": environ.get("HTTP_USER_AGENT", "")[:120],
        "bytes": response.calculate_content_length(),
    }
