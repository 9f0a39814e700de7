"""Whose pages may call from another origin, said in the headers that browsers ask for (Fetch standard, section 3.3).

Ours and not flask-cors: that leaves `Vary: Origin` out where one origin is listed or another one asks, answers 404 to
the preflight of an address that is not there, and takes an origin with a bracket for a regular expression.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from flask import Flask, Request, Response, request

_METHODS: Final = ("GET", "POST", "PATCH", "DELETE")
#: What a page may send besides what browsers let every page send.
_SENT: Final = (
    "Accept-Language",
    "Authorization",
    "Content-Type",
    "Idempotency-Key",
    "Prefer",
    "X-Api-Key",
    "X-Auth-Token",
    "X-Bk-Token",
    "X-Request-Id",
    "X-Request-Timeout-Ms",
    "traceparent",
    "tracestate",
)
#: What a page may read besides what browsers let every page read (Content-Type and Content-Language among it).
_READ: Final = (
    "Gateway-Outcome",
    "Idempotency-Replayed",
    "Location",
    "Preference-Applied",
    "Retry-After",
    "Server-Timing",
    "X-Request-Id",
)


def install(app: Flask, origins: Sequence[str], max_age_seconds: float) -> None:
    """Let the pages of exactly these origins call, spelt as browsers spell them; nothing is installed where none is.

    Without credentials: a caller proves himself by a header that his page sets, never by a cookie, so there is nothing
    that a browser would have to add, and nothing that another site could make it add.
    """
    if not origins:
        return
    listed = frozenset(origins)
    of_preflight = {
        "Access-Control-Allow-Methods": ", ".join(_METHODS),
        "Access-Control-Allow-Headers": ", ".join(_SENT),
        "Access-Control-Max-Age": str(int(max_age_seconds)),
    }
    of_request = {"Access-Control-Expose-Headers": ", ".join(_READ)}

    @app.before_request
    def answer_preflight() -> Response | None:
        """Answer for every address: what is not there must be asked for, that its 404 can be read."""
        return _empty() if is_preflight(request) else None

    @app.after_request
    def allow(response: Response) -> Response:
        response.vary.add("Origin")  # on every answer: a cache must not keep one without the headers for those listed
        origin = request.headers.get("Origin")
        if origin in listed:
            response.headers["Access-Control-Allow-Origin"] = origin
            response.headers.update(of_preflight if is_preflight(request) else of_request)
        return response


def is_preflight(asked: Request) -> bool:
    """Tell whether a browser asks whether its page may ask: it proves no identity, and none is needed."""
    headers = asked.headers
    return asked.method == "OPTIONS" and "Origin" in headers and "Access-Control-Request-Method" in headers


def _empty() -> Response:
    response = Response(status=204)
    del response.headers["Content-Type"]  # of a body that is not there
    return response
