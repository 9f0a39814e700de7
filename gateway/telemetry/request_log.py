"""Telemetry of the requests that the API answers: metrics, the access log line, and a span if tracing is on."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from functools import partial
from typing import Any, Final

from gateway.telemetry.metrics import METHODS, Metrics
from gateway.telemetry.redaction import Redactor
from gateway.telemetry.tracing import OtelSpan, OtelTracer, TraceHeaders, extract_trace_headers

_log: Final = logging.getLogger("gateway.access")
_SERVER_ERROR: Final = 500


class RequestSpan:
    """One request in progress; `trace` are the trace headers to send with the calls to backends that it makes."""

    __slots__ = ("_redactor", "_secrets", "span", "trace")

    def __init__(self, trace: TraceHeaders, span: OtelSpan | None, redactor: Redactor) -> None:
        self.span = span
        self.trace = trace if span is None else span.headers
        self._redactor = redactor
        self._secrets: tuple[str, ...] = ()

    def redact(self, secret: str) -> Callable[[], AbstractContextManager[None]]:
        """Redact a caller's credential until the request ends; work that outlasts it enters the returned context."""
        self._redactor.add(secret)
        self._secrets += (secret,)
        return partial(self._redactor.hold, secret)

    def close(self) -> None:
        """End the redaction of the request's credentials."""
        for secret in self._secrets:
            self._redactor.remove(secret)


class RequestTelemetry:
    """Records requests; without metrics or tracer, only the access log line."""

    def __init__(
        self, metrics: Metrics | None = None, tracer: OtelTracer | None = None, redactor: Redactor | None = None
    ) -> None:
        self._metrics = metrics
        self._tracer = tracer
        self._redactor = redactor or Redactor()

    def start(self, environ: Mapping[str, Any]) -> RequestSpan:
        """Record that a request arrived, and return its span; `environ` is its WSGI environment."""
        if self._metrics is not None:
            self._metrics.in_flight += 1
        trace = extract_trace_headers(environ)
        span = None if self._tracer is None else self._tracer.start_request_span(trace)
        return RequestSpan(trace, span, self._redactor)

    def finish(self, request_span: RequestSpan, fields: Mapping[str, Any], seconds: float) -> None:
        """Count an answered request, log `fields` as its access log line, and end its span."""
        if self._metrics is not None:
            self._metrics.record_request(fields, seconds)
        _log.info("request", extra={"fields": fields})
        if request_span.span is not None:
            method = fields["method"] if fields["method"] in METHODS else "HTTP"
            request_span.span.end(
                {**fields, "method": method},
                failed=fields["status"] >= _SERVER_ERROR,
                name=f"{method} {fields['route'] or ''}".rstrip(),
            )

    def close(self, request_span: RequestSpan | None) -> None:
        """Decrement the requests in flight; `request_span` is None if the request was never started."""
        if request_span is None:
            return
        request_span.close()
        if self._metrics is not None:
            self._metrics.in_flight -= 1
