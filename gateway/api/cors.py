"""Cross-origin requests from the pages of configured origins (Fetch standard, section 3.3).

flask-cors is not used: it leaves out `Vary: Origin` if one origin is configured or another origin sends the request,
answers the preflight of an unknown path with 404, and reads an origin with a bracket as a regular expression.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from flask import Flask, Response, request

from gateway.api.responses import empty_response
from gateway.settings import CorsConfig

_METHODS: Final = ("GET", "POST", "PATCH", "DELETE")
#: Request headers that a page may send besides those that browsers always permit.
_ALLOWED_HEADERS: Final = (
    "Accept-Language",
    "Authorization",
    "Content-Type",
    "Idempotency-Key",
    "If-Match",
    "Prefer",
    "X-Api-Key",
    "X-Auth-Token",
    "X-Bk-Token",
    "X-Request-Id",
    "X-Request-Timeout-Ms",
    # What the tracing and monitoring SDKs of browsers add: W3C, Zipkin, Jaeger, Sentry, Datadog, New Relic, Elastic,
    # Application Insights, Dynatrace, Instana, SkyWalking, and the clouds' own.
    "traceparent", "tracestate", "baggage",
    "b3", "x-b3-traceid", "x-b3-spanid", "x-b3-parentspanid", "x-b3-sampled", "x-b3-flags", "uber-trace-id",
    "sentry-trace",
    "x-datadog-trace-id", "x-datadog-parent-id", "x-datadog-sampling-priority", "x-datadog-origin", "x-datadog-tags",
    "newrelic", "elastic-apm-traceparent", "request-id", "request-context", "x-correlation-id",
    "x-dtpc", "x-dtc", "x-instana-t", "x-instana-s", "x-instana-l", "sw8", "x-amzn-trace-id", "x-cloud-trace-context",
)  # fmt: skip
#: Response headers that a page may read besides those that browsers always permit (Content-Type, Content-Language).
_EXPOSED_HEADERS: Final = (
    "ETag",
    "Gateway-Outcome",
    "Idempotency-Replayed",
    "Location",
    "Preference-Applied",
    "Retry-After",
    "Server-Timing",
    "X-Request-Id",
)


def init_app(app: Flask, config: CorsConfig) -> None:
    """Permit requests from the pages of exactly these origins; without origins, register nothing.

    Credentials in the sense of the Fetch standard (cookies) are never permitted: a page sets the header that
    authenticates it.
    """
    if not config.origins:
        return
    allowed_origins = frozenset(config.origins)
    preflight_headers = {
        "Access-Control-Allow-Methods": ", ".join(_METHODS),
        "Access-Control-Allow-Headers": ", ".join((*_ALLOWED_HEADERS, *config.allow_headers)),
        "Access-Control-Max-Age": str(int(config.max_age_seconds)),
    }
    response_headers = {"Access-Control-Expose-Headers": ", ".join(_EXPOSED_HEADERS)}

    @app.before_request
    def answer_preflight() -> Response | None:
        """Answer the preflight of every path, so that a page can read the 404 of an unknown one."""
        return empty_response() if is_preflight(request.environ) else None

    @app.after_request
    def add_cors_headers(response: Response) -> Response:
        response.vary.add("Origin")  # also for other origins: a cache must not serve their copy to a permitted one
        environ = request.environ
        origin = environ.get("HTTP_ORIGIN")
        if origin in allowed_origins:
            response.headers["Access-Control-Allow-Origin"] = origin
            response.headers.update(preflight_headers if is_preflight(environ) else response_headers)
        return response


def is_preflight(environ: Mapping[str, Any]) -> bool:
    """Return whether the request is a CORS preflight, which carries no credentials."""
    return (
        environ["REQUEST_METHOD"] == "OPTIONS"
        and "HTTP_ORIGIN" in environ
        and "HTTP_ACCESS_CONTROL_REQUEST_METHOD" in environ
    )
