"""Distributed tracing: trace headers are propagated; with OpenTelemetry the gateway adds its own spans.

Sources: W3C Trace Context (traceparent, tracestate) and Zipkin's B3 (one header b3, or separate headers X-B3-…).
OTEL_EXPORTER_OTLP_ENDPOINT (or OTEL_TRACES_EXPORTER=otlp|console) turns spans on; the other OTEL_… variables are the
SDK's own. A span contains names, numbers and codes, no text of a caller or a backend. OpenTelemetry is an extra, and is
imported only if spans are on.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Mapping
from importlib import import_module
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from opentelemetry.context import Context
    from opentelemetry.trace import Span, Tracer

TraceHeaders = Mapping[str, str]

NO_TRACE: Final[TraceHeaders] = {}
_TRACE_ID: Final = r"(?!0{32})[0-9a-f]{32}"
_SPAN_ID: Final = r"(?!0{16})[0-9a-f]{16}"
#: Version 00 has exactly these four fields; a later version may append others.
_TRACEPARENT: Final = re.compile(
    rf"00-{_TRACE_ID}-{_SPAN_ID}-[0-9a-f]{{2}}"
    rf"|(?!ff|00)[0-9a-f]{{2}}-{_TRACE_ID}-{_SPAN_ID}-[0-9a-f]{{2}}(-[\x21-\x7e]{{1,70}})?"
)
_TRACESTATE_MEMBER: Final = re.compile(r"[a-z0-9][a-z0-9@_*/-]{0,255}=[\x20-\x2b\x2d-\x3c\x3e-\x7e]{0,256}")
_MAX_TRACESTATE_LENGTH: Final = 512
_MAX_TRACESTATE_MEMBERS: Final = 32
_B3_SINGLE_HEADER: Final = re.compile(r"[01d]|([0-9a-f]{16}|[0-9a-f]{32})-[0-9a-f]{16}(-[01d](-[0-9a-f]{16})?)?")
_B3_IDS: Final = ("X-B3-TraceId", "X-B3-SpanId")
_B3_SEPARATE_HEADERS: Final = tuple(
    (name, f"HTTP_{name.upper().replace('-', '_')}", re.compile(pattern))
    for name, pattern in (
        ("X-B3-TraceId", r"[0-9a-fA-F]{16}|[0-9a-fA-F]{32}"),
        ("X-B3-SpanId", r"[0-9a-fA-F]{16}"),
        ("X-B3-ParentSpanId", r"[0-9a-fA-F]{16}"),
        ("X-B3-Sampled", r"[01]|true|false"),
        ("X-B3-Flags", r"[01]"),
    )
)
_ENDPOINT_VARIABLES: Final = ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT")
_EXPORTERS: Final = {
    "otlp": ("opentelemetry.exporter.otlp.proto.http.trace_exporter", "OTLPSpanExporter"),
    "console": ("opentelemetry.sdk.trace.export", "ConsoleSpanExporter"),
}
#: Field of the access log -> span attribute, named as in OpenTelemetry's semantic conventions if they have a name.
_SPAN_ATTRIBUTES: Final = {
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

_log: Final = logging.getLogger("gateway.telemetry")


def extract_trace_headers(environ: Mapping[str, Any]) -> TraceHeaders:
    """Return the well-formed trace headers in a request's WSGI environment."""
    headers: dict[str, str] = {}
    traceparent = environ.get("HTTP_TRACEPARENT")
    if traceparent is not None and _TRACEPARENT.fullmatch(traceparent):
        headers["traceparent"] = traceparent
        tracestate = environ.get("HTTP_TRACESTATE", "")
        if _is_valid_tracestate(tracestate):
            headers["tracestate"] = tracestate
    b3 = environ.get("HTTP_B3")
    if b3 is not None and _B3_SINGLE_HEADER.fullmatch(b3):
        headers["b3"] = b3
    if "HTTP_X_B3_TRACEID" in environ or "HTTP_X_B3_SAMPLED" in environ:
        headers.update(_b3_separate_headers(environ))
    return headers or NO_TRACE


def get_trace_id(headers: TraceHeaders) -> str | None:
    """Return the trace id in trace headers, None if they contain none."""
    if (traceparent := headers.get("traceparent")) is not None:
        return traceparent[3:35]  # after the version and a hyphen
    if (b3_trace_id := headers.get("X-B3-TraceId")) is not None:
        return b3_trace_id.lower()
    parts = headers.get("b3", "").split("-")
    return parts[0] if len(parts) > 1 else None


def create_tracer(environ: Mapping[str, str]) -> OtelTracer | None:
    """Return a tracer, or None if the environment does not turn spans on or the extra `tracing` is not installed."""
    exporter = environ.get("OTEL_TRACES_EXPORTER") or ("otlp" if any(map(environ.get, _ENDPOINT_VARIABLES)) else "none")
    if exporter == "none" or environ.get("OTEL_SDK_DISABLED", "").lower() == "true":
        return None
    if exporter not in _EXPORTERS:
        _log.warning("unknown traces exporter", extra={"fields": {"known": sorted([*_EXPORTERS, "none"])}})
        return None
    try:
        return OtelTracer(*_create_provider(exporter, environ))
    except ImportError:
        _log.warning("tracing is configured, but the extra `tracing` is not installed")
        return None


class OtelSpan:
    """A span; `headers` are the trace headers to send, so that the receiver's span becomes its child."""

    def __init__(self, span: Span, parent_headers: TraceHeaders) -> None:
        """`headers` have the formats of `parent_headers`, and always W3C's."""
        self._span = span
        self.headers: Final = _span_headers(span, parent_headers)

    def end(self, fields: Mapping[str, Any], *, failed: bool, name: str | None = None) -> None:
        """Set the span's attributes from `fields`, its error status and, if given, its final name, and end it."""
        if name is not None:
            self._span.update_name(name)
        for field, attribute in _SPAN_ATTRIBUTES.items():
            if (value := fields.get(field)) is not None:
                self._span.set_attribute(attribute, value)
        if failed:
            self._span.set_status(import_module("opentelemetry.trace").StatusCode.ERROR)
        self._span.end()


class OtelUpstreamSpan:
    """The span of one exchange with a backend; implements UpstreamSpan."""

    def __init__(self, span: OtelSpan, fields: Mapping[str, Any]) -> None:
        self._span = span
        self._fields = fields
        self.headers: Final = span.headers

    def end(self, result: str) -> None:
        """End the span; the result 5xx and a missing response are errors."""
        is_response = result.endswith("xx")
        self._span.end({**self._fields, "result": result}, failed=not is_response or result == "5xx")


class OtelTracer:
    """Starts spans for requests and for exchanges with a backend; implements Tracer."""

    def __init__(self, tracer: Tracer, shutdown: Callable[[], None]) -> None:
        self._tracer = tracer
        self.close: Final = shutdown

    def start_request_span(self, trace: TraceHeaders) -> OtelSpan:
        """Start the span of a request, as a child of its trace headers or in a new trace."""
        kind = import_module("opentelemetry.trace").SpanKind.SERVER
        return OtelSpan(self._tracer.start_span("request", _parent_context(trace), kind), trace)

    def start_upstream_span(self, backend: str, method: str, trace: TraceHeaders) -> OtelUpstreamSpan:
        """Start the span of one exchange."""
        kind = import_module("opentelemetry.trace").SpanKind.CLIENT
        span = OtelSpan(self._tracer.start_span(f"{method} {backend}", _parent_context(trace), kind), trace)
        return OtelUpstreamSpan(span, {"backend": backend, "method": method})


def _is_valid_tracestate(tracestate: str) -> bool:
    """Return whether a tracestate is well formed; unlike W3C, its first member must not be empty."""
    if not 0 < len(tracestate) <= _MAX_TRACESTATE_LENGTH:
        return False
    first_member, *other_members = [member.strip(" \t") for member in tracestate.split(",")]
    return (
        len(other_members) < _MAX_TRACESTATE_MEMBERS
        and _TRACESTATE_MEMBER.fullmatch(first_member) is not None
        and all(not member or _TRACESTATE_MEMBER.fullmatch(member) for member in other_members)
    )


def _b3_separate_headers(environ: Mapping[str, Any]) -> dict[str, str]:
    """Return B3's separate headers; if one of the two ids is missing or malformed, only the sampling decision."""
    b3_headers = {
        name: value
        for name, variable, pattern in _B3_SEPARATE_HEADERS
        if (value := environ.get(variable)) is not None and pattern.fullmatch(value)
    }
    if not all(name in b3_headers for name in _B3_IDS):
        return {name: value for name, value in b3_headers.items() if name in {"X-B3-Sampled", "X-B3-Flags"}}
    return b3_headers


def _create_provider(exporter: str, environ: Mapping[str, str]) -> tuple[Tracer, Callable[[], None]]:
    """Return OpenTelemetry's tracer and the function that shuts it down; raises ImportError without the extra."""
    sdk = import_module("opentelemetry.sdk.trace")
    export = import_module("opentelemetry.sdk.trace.export")
    resources = import_module("opentelemetry.sdk.resources")
    module, class_name = _EXPORTERS[exporter]
    attributes = {"service.name": environ.get("OTEL_SERVICE_NAME", "module-gateway")}
    provider = sdk.TracerProvider(resource=resources.Resource.create(attributes))
    provider.add_span_processor(export.BatchSpanProcessor(getattr(import_module(module), class_name)()))
    return provider.get_tracer("gateway"), provider.shutdown


def _w3c_propagator() -> Any:
    """Return OpenTelemetry's W3C propagator."""
    return import_module("opentelemetry.trace.propagation.tracecontext").TraceContextTextMapPropagator()


def _parent_context(headers: TraceHeaders) -> Context:
    """Return the context of the parent span that the trace headers name; an empty one if they name none."""
    empty_context: Context = import_module("opentelemetry.context").Context()
    context: Context = _w3c_propagator().extract(_to_w3c_headers(headers), empty_context)
    return context


def _to_w3c_headers(headers: TraceHeaders) -> TraceHeaders:
    """Return headers with W3C's traceparent, or none without ids; a B3 trace id of 64 bits is padded to 128."""
    if "traceparent" in headers:
        return headers
    parts = headers.get("b3", "").split("-")
    has_ids = len(parts) > 1  # and not only a sampling decision
    if has_ids:
        trace, span, *decision = parts
        is_sampled = not decision or decision[0] != "0"  # a missing decision is left to the receiver: sample
    elif "X-B3-TraceId" in headers:
        trace, span = headers["X-B3-TraceId"].lower(), headers["X-B3-SpanId"].lower()
        is_sampled = headers.get("X-B3-Sampled", "1") in {"1", "true"} or headers.get("X-B3-Flags") == "1"
    else:
        return NO_TRACE
    flags = "01" if is_sampled else "00"
    return {"traceparent": f"00-{trace:0>32}-{span}-{flags}"}


def _span_headers(span: Span, parent_headers: TraceHeaders) -> TraceHeaders:
    """Return a span's context as W3C's headers, and as B3's if `parent_headers` have them, in their form."""
    headers: dict[str, str] = {}
    _w3c_propagator().inject(headers, import_module("opentelemetry.trace").set_span_in_context(span))
    _version, trace, span_id, flags = headers["traceparent"].split("-")
    sampled = str(int(flags, 16) & 1)
    if "b3" in parent_headers:
        headers["b3"] = f"{trace}-{span_id}-{sampled}"
    if "X-B3-TraceId" in parent_headers:
        headers |= {"X-B3-TraceId": trace, "X-B3-SpanId": span_id, "X-B3-Sampled": sampled}
    return headers
