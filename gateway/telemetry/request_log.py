"""Sees every request come and go: counts it, writes its line, and spans it where traces are asked for."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from time import time
from typing import Any, Final

from gateway.telemetry.metrics import METHODS, Metrics
from gateway.telemetry.redaction import Redactor
from gateway.telemetry.trace_context import TraceHeaders, extract
from gateway.telemetry.tracing import OtelTracer, Span

_log: Final = logging.getLogger("gateway.access")
#: A caller's credential is known so long after its last use: what it was sent with has ended by then; seconds.
_LENT: Final = 900.0
_SERVER_ERROR: Final = 500


class Line(logging.LogRecord):
    """The record of one answered request, as `_log.info` would make it.

    It is the same for all requests but for its time and its fields; logging would walk the stack for its place, and
    ask for process, thread and task, at 15 µs.
    """

    _USUAL: Final = vars(logging.LogRecord(_log.name, logging.INFO, "", 0, "request", None, None))

    def __init__(self, fields: Mapping[str, Any]) -> None:
        vars(self).update(self._USUAL, created=time(), fields=fields)


class RequestSpan:
    """One request that is being answered."""

    __slots__ = ("_redactor", "span", "trace")

    def __init__(self, trace: TraceHeaders, span: Span | None, redactor: Redactor) -> None:
        self.span = span
        self.trace = trace if span is None else span.headers
        self._redactor = redactor

    def hide(self, secret: str) -> None:
        """Keep a caller's credential out of everything that is written from now on."""
        self._redactor.add_temporary(secret, _LENT)


class RequestTelemetry:
    """What the api tells of its requests."""

    def __init__(
        self, metrics: Metrics | None = None, spans: OtelTracer | None = None, redactor: Redactor | None = None
    ) -> None:
        self._metrics = metrics
        self._spans = spans
        self._redactor = redactor or Redactor()

    def begin(self, environ: Mapping[str, Any]) -> RequestSpan:
        """See a request come; its WSGI environment tells which trace it is part of."""
        if self._metrics is not None:
            self._metrics.in_flight += 1
        trace = extract(environ)
        return RequestSpan(trace, None if self._spans is None else self._spans.request(trace), self._redactor)

    def end(self, visit: RequestSpan, facts: Mapping[str, Any], seconds: float) -> None:
        """See it answered. Nothing here may keep the answer from going out."""
        if self._metrics is not None:
            self._metrics.requested(facts, seconds)
        if _log.isEnabledFor(logging.INFO):
            _log.handle(Line(facts))
        if (span := visit.span) is not None:
            method = facts["method"] if facts["method"] in METHODS else "HTTP"
            span.name(f"{method} {facts['route'] or ''}".rstrip())
            span.end({**facts, "method": method}, failed=facts["status"] >= _SERVER_ERROR)

    def leave(self, visit: RequestSpan | None) -> None:
        """See it gone, answered or not; None where it was not seen to come."""
        if visit is not None and self._metrics is not None:
            self._metrics.in_flight -= 1
