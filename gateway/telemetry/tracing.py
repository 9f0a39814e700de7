"""Spans of our own, where OpenTelemetry is installed and asked for; nothing else imports it.

OTEL_EXPORTER_OTLP_ENDPOINT (or OTEL_TRACES_EXPORTER=otlp|console) turns it on; the other OTEL_… variables are the
SDK's own. A span holds names, numbers and codes: nothing that a caller or a backend has written.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from importlib import import_module
from typing import TYPE_CHECKING, Any, Final

from gateway.telemetry.trace_context import TraceHeaders

if TYPE_CHECKING:
    from opentelemetry.context import Context
    from opentelemetry.trace import Span as OtelSpan
    from opentelemetry.trace import Tracer

_log: Final = logging.getLogger("gateway.telemetry")
_ENDPOINTS: Final = ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT")
_EXPORTERS: Final = {
    "otlp": ("opentelemetry.exporter.otlp.proto.http.trace_exporter", "OTLPSpanExporter"),
    "console": ("opentelemetry.sdk.trace.export", "ConsoleSpanExporter"),
}
#: A facts' name in the log, and what the semantic conventions call it.
_ATTRIBUTES: Final = {
    "method": "http.request.method",
    "route": "http.route",
    "status": "http.response.status_code",
    "code": "gateway.code",
    "outcome": "gateway.outcome",
    "backend": "gateway.backend",
    "operation": "gateway.operation",
    "replayed": "gateway.replayed",
    "result": "gateway.upstream.result",
}
_SERVER_ERROR: Final = 500


def create_tracer(environ: Mapping[str, str]) -> OtelTracer | None:
    """Return what makes spans, None where nobody asks for them or the extra `tracing` is not installed."""
    wanted = environ.get("OTEL_TRACES_EXPORTER") or ("otlp" if any(map(environ.get, _ENDPOINTS)) else "none")
    if wanted == "none" or environ.get("OTEL_SDK_DISABLED", "").lower() == "true":
        return None
    if wanted not in _EXPORTERS:
        _log.warning("unknown exporter of traces", extra={"fields": {"known": sorted([*_EXPORTERS, "none"])}})
        return None
    try:
        return OtelTracer(*_provider(wanted, environ))
    except ImportError:
        _log.warning("tracing is asked for, but the extra `tracing` is not installed")
        return None


class Span:
    """One piece of work in a trace; `headers` are what continues it elsewhere."""

    def __init__(self, span: OtelSpan, origin: TraceHeaders) -> None:
        self._span = span
        self.headers: Final = _headers(span, origin)

    def name(self, name: str) -> None:
        """Say what it turned out to be."""
        self._span.update_name(name)

    def end(self, facts: Mapping[str, Any], *, failed: bool) -> None:
        """End it with those facts that are for spans."""
        for fact, attribute in _ATTRIBUTES.items():
            if (value := facts.get(fact)) is not None:
                self._span.set_attribute(attribute, value)
        if failed:
            trace = import_module("opentelemetry.trace")
            self._span.set_status(trace.StatusCode.ERROR)
        self._span.end()


class OtelTracer:
    """Makes spans for requests and for exchanges with a backend."""

    def __init__(self, tracer: Tracer, shutdown: Callable[[], None]) -> None:
        self._tracer = tracer
        self.close: Final = shutdown

    def request(self, trace: TraceHeaders) -> Span:
        """Begin the span of a request that continues a trace, or begins one."""
        kind = import_module("opentelemetry.trace").SpanKind.SERVER
        return Span(self._tracer.start_span("request", _context(trace), kind), trace)

    def start_upstream_span(self, backend: str, method: str, trace: TraceHeaders) -> Exchange:
        """Begin the span of one exchange; its own headers go to the backend."""
        kind = import_module("opentelemetry.trace").SpanKind.CLIENT
        span = Span(self._tracer.start_span(f"{method} {backend}", _context(trace), kind), trace)
        return Exchange(span, {"backend": backend, "method": method})


class Exchange:
    """The span of one exchange, ended with how that went."""

    def __init__(self, span: Span, facts: Mapping[str, Any]) -> None:
        self._span = span
        self._facts = facts
        self.headers: Final = span.headers

    def end(self, result: str) -> None:
        """End it; `result` as an Observer is told."""
        self._span.end({**self._facts, "result": result}, failed=result[1:] != "xx" or result == "5xx")


def _provider(wanted: str, environ: Mapping[str, str]) -> tuple[Tracer, Callable[[], None]]:
    sdk = import_module("opentelemetry.sdk.trace")
    export = import_module("opentelemetry.sdk.trace.export")
    resources = import_module("opentelemetry.sdk.resources")
    module, name = _EXPORTERS[wanted]
    exporter = getattr(import_module(module), name)()
    named = {"service.name": environ.get("OTEL_SERVICE_NAME", "module-gateway")}
    provider = sdk.TracerProvider(resource=resources.Resource.create(named))
    provider.add_span_processor(export.BatchSpanProcessor(exporter))
    return provider.get_tracer("gateway"), provider.shutdown


def _context(trace: TraceHeaders) -> Context:
    """Return the parent that a trace's headers name; an empty context where they name none."""
    otel, context = import_module("opentelemetry.trace"), import_module("opentelemetry.context")
    parent = _parent(trace)
    empty: Context = context.Context()
    if parent is None:
        return empty
    trace_id, span_id, flags = parent
    state = otel.TraceState.from_header([trace["tracestate"]]) if "tracestate" in trace else None
    remote = otel.SpanContext(trace_id, span_id, is_remote=True, trace_flags=otel.TraceFlags(flags), trace_state=state)
    found: Context = otel.set_span_in_context(otel.NonRecordingSpan(remote), empty)
    return found


def _parent(trace: TraceHeaders) -> tuple[int, int, int] | None:
    """Read trace id, span id and flags out of whichever headers there are."""
    if (parent := trace.get("traceparent")) is not None:
        return int(parent[3:35], 16), int(parent[36:52], 16), int(parent[53:55], 16)
    found = trace.get("b3", "").split("-")
    if len(found) > 1:
        return int(found[0], 16), int(found[1], 16), int((found[2:] or ["1"])[0] in {"1", "d"})
    if "X-B3-TraceId" in trace:
        sampled = trace.get("X-B3-Sampled", "1") in {"1", "true"} or trace.get("X-B3-Flags") == "1"
        return int(trace["X-B3-TraceId"], 16), int(trace["X-B3-SpanId"], 16), int(sampled)
    return None


def _headers(span: OtelSpan, origin: TraceHeaders) -> TraceHeaders:
    """Write the span's context as W3C has it, and as B3 where the trace came so."""
    context = span.get_span_context()
    trace_id, span_id = f"{context.trace_id:032x}", f"{context.span_id:016x}"
    headers = {"traceparent": f"00-{trace_id}-{span_id}-{context.trace_flags:02x}"}
    if context.trace_state:
        headers["tracestate"] = context.trace_state.to_header()
    sampled = str(int(context.trace_flags) & 1)
    if "b3" in origin:
        headers["b3"] = f"{trace_id}-{span_id}-{sampled}"
    if "X-B3-TraceId" in origin:
        headers |= {"X-B3-TraceId": trace_id, "X-B3-SpanId": span_id, "X-B3-Sampled": sampled}
    return headers
