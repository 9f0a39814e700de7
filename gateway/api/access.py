"""What every request gets: an id, a deadline, a caller, timings, security headers and one line in the log."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Final

from flask import Flask, Request, Response, g, request

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

    # Each look through Flask's proxies costs a microsecond, and here there would be thirty.
    present: Callable[[], Request] = request._get_current_object  # type: ignore[attr-defined] # noqa: SLF001 - LocalProxy has no other
    shared: Callable[[], Any] = g._get_current_object  # noqa: SLF001 - the same

    @app.before_request
    def begin() -> None:
        asked, mine = present(), shared()
        mine.started = clock.monotonic()
        mine.visit = visit = door.witness.begin(asked.environ)
        given = asked.environ.get("HTTP_X_REQUEST_ID", "")
        mine.call = call = Call(
            given if _REQUEST_ID.fullmatch(given) else door.new_id(),
            mine.started + patience(asked, door.deadline_seconds),
            trace=visit.trace,
        )
        mine.caller = ANYBODY  # whoever it is that cannot be told from a malformed proof
        refuse_unacceptable(asked)
        mine.caller = caller = ANYBODY if is_preflight(asked) else identify(asked, door.identifier)
        call.user = caller.user

    @app.after_request
    def end(response: Response) -> Response:
        mine, headers = shared(), response.headers
        call: Call = mine.call
        spent = clock.monotonic() - mine.started
        upstream, gateway = call.upstream_seconds * 1e3, (spent - call.upstream_seconds) * 1e3
        # Pages have a policy of their own; to look for each name on every answer would cost 10 µs.
        put = headers.setdefault if "Content-Security-Policy" in headers else headers.add
        put("X-Request-Id", call.request_id)
        put("Server-Timing", f"upstream;dur={upstream:.1f}, gateway;dur={gateway:.1f}")
        for name, value in _HEADERS.items():
            put(name, value)
        door.witness.end(mine.visit, _facts(present(), mine, response, spent), spent)
        return response

    @app.teardown_request
    def leave(_error: BaseException | None) -> None:
        door.witness.leave(g.get("visit"))


def _facts(asked: Request, mine: Any, response: Response, spent: float) -> dict[str, object]:
    """Return what is told of a request: neither its body nor its query; what it says itself is cut short."""
    call, rule, environ = mine.call, asked.url_rule, asked.environ
    return {
        "method": asked.method,
        "route": rule.rule if rule else None,
        "path": asked.path[:200],
        "status": response.status_code,
        "code": mine.get("problem_code"),
        "outcome": response.headers.get("Gateway-Outcome"),
        "request_id": call.request_id,
        "trace_id": trace_id(call.trace) if call.trace else None,
        "caller": mine.caller.name,
        "backend": mine.get("backend"),
        "operation": mine.get("operation"),
        "replayed": mine.get("replayed", False),
        "milliseconds": round(spent * 1e3, 1),
        "upstream_milliseconds": round(call.upstream_seconds * 1e3, 1),
        "remote": environ.get("REMOTE_ADDR"),
        "user_agent": environ.get("HTTP_USER_AGENT", "")[:120],
        "bytes": response.calculate_content_length(),
    }
