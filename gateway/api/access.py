"""What every request gets: an id, a deadline, a caller, timings, security headers and one line in the log."""

from __future__ import annotations

import logging
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from flask import Flask, Response, g, request

from gateway.api.callers import identify
from gateway.api.cors import is_preflight
from gateway.api.idempotency import patience
from gateway.api.problems import refuse_unacceptable
from gateway.domain.callers import ANYBODY
from gateway.domain.ports import Call, Clock
from gateway.identity import Identifier

_log: Final = logging.getLogger("gateway.access")
_REQUEST_ID: Final = re.compile(r"[A-Za-z0-9._:@/+=-]{1,128}", re.ASCII)
_HEADERS: Final = {
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
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


def install(app: Flask, door: Door) -> None:
    """Attach to every request of the application."""
    clock = door.clock

    @app.before_request
    def begin() -> None:
        g.started = clock.monotonic()
        given = request.headers.get("X-Request-Id", "")
        g.call = Call(
            given if _REQUEST_ID.fullmatch(given) else door.new_id(),
            g.started + patience(request, door.deadline_seconds),
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
        for name, value in _HEADERS.items():
            response.headers.setdefault(name, value)
        _log.info("request", extra={"fields": _facts(response, spent, call)})
        return response


def _facts(response: Response, spent: float, call: Call) -> dict[str, object]:
    return {
        "method": request.method,
        "route": request.url_rule.rule if request.url_rule else None,
        "path": request.path[:200],
        "status": response.status_code,
        "code": getattr(g, "problem_code", None),
        "outcome": response.headers.get("Gateway-Outcome"),
        "request_id": call.request_id,
        "milliseconds": round(spent * 1e3, 1),
        "upstream_milliseconds": round(call.upstream_seconds * 1e3, 1),
        "remote": request.remote_addr,
    }
