"""What every request gets: an id, a deadline, a caller, timings, security headers and one line in the log."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

from flask import Flask, Response, g, request

from gateway.api.callers import identify
from gateway.api.cors import is_preflight
from gateway.api.idempotency import patience
from gateway.api.problems import refuse_unacceptable
from gateway.domain.callers import ANYBODY
from gateway.domain.ports import Call, Clock
from gateway.identity import Identifier
from gateway.telemetry.traces import trace_id
from gateway.telemetry.witness import Witness

_REQUEST_ID: Final = re.compile(r"[A-Za-z0-9._:@/+=-]{1,128}", re.ASCII)
_HEADERS: Final = {
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-store",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
}


def current_call() -> Call:
    """Return the call that the present request is."""
    call: Call = g.call
    return call


@dataclass(frozen=True, slots=True, kw_only=True)
class Door:
    """What stands between a request and the routes."""

    clock: Clock
    new_id: Callable[[], str]
    deadline_seconds: float
    identifier: Identifier
    witness: Witness = field(default_factory=Witness)


def install(app: Flask, door: Door) -> None:
    """Attach to every request of the application."""
    clock = door.clock

    @app.before_request
    def begin() -> None:
        g.started = clock.monotonic()
        g.visit = door.witness.begin(request.environ)
        given = request.headers.get("X-Request-Id", "")
        g.call = Call(
            given if _REQUEST_ID.fullmatch(given) else door.new_id(),
            g.started + patience(request, door.deadline_seconds),
            trace=g.visit.trace,
        )
        g.caller = ANYBODY  # whoever it is that cannot be told from a malformed proof
        refuse_unacceptable(request)
        g.caller = ANYBODY if is_preflight(request) else identify(door.identifier)
        g.call.user = g.caller.user

    @app.after_request
    def end(response: Response) -> Response:
        call = current_call()
        spent = clock.monotonic() - g.started
        response.headers["X-Request-Id"] = call.request_id
        upstream, gateway = call.upstream_seconds * 1e3, (spent - call.upstream_seconds) * 1e3
        response.headers["Server-Timing"] = f"upstream;dur={upstream:.1f}, gateway;dur={gateway:.1f}"
        headers = response.headers
        # Pages have a policy of their own; to look for each name on every answer would cost 10 µs.
        put = headers.setdefault if "Content-Security-Policy" in headers else headers.add
        for name, value in _HEADERS.items():
            put(name, value)
        door.witness.end(g.visit, _facts(response, spent, call), spent)
        return response

    @app.teardown_request
    def leave(_error: BaseException | None) -> None:
        if "visit" in g:
            door.witness.leave()


def _facts(response: Response, spent: float, call: Call) -> dict[str, object]:
    """Return what is told of a request: neither its body nor its query; what it says itself is cut short."""
    return {
        "method": request.method,
        "route": request.url_rule.rule if request.url_rule else None,
        "path": request.path[:200],
        "status": response.status_code,
        "code": g.get("problem_code"),
        "outcome": response.headers.get("Gateway-Outcome"),
        "request_id": call.request_id,
        "trace_id": trace_id(call.trace),
        "caller": g.caller.name,
        "backend": g.get("backend"),
        "operation": g.get("operation"),
        "replayed": g.get("replayed", False),
        "milliseconds": round(spent * 1e3, 1),
        "upstream_milliseconds": round(call.upstream_seconds * 1e3, 1),
        "remote": request.remote_addr,
        "user_agent": request.environ.get("HTTP_USER_AGENT", "")[:120],
        "bytes": response.calculate_content_length(),
    }
