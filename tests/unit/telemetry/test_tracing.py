"""OpenTelemetry spans: parents, attributes, and the headers sent to the backend."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import pytest
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind, StatusCode

from gateway.telemetry.request_log import RequestTelemetry
from gateway.telemetry.tracing import OtelTracer, extract_trace_headers, get_trace_id

TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
SPAN = "00f067aa0ba902b7"
W3C = {"traceparent": f"00-{TRACE}-{SPAN}-01", "tracestate": "a=1"}
FIELDS: Mapping[str, Any] = {
    "method": "POST", "route": "/modules", "path": "/modules", "status": 201, "code": None, "outcome": "applied",
    "backend": "cmdb", "operation": "0198", "replayed": False, "user_agent": "hidden", "remote": "hidden",
}  # fmt: skip


@pytest.fixture
def exported() -> Iterator[InMemorySpanExporter]:
    exporter = InMemorySpanExporter()
    yield exporter
    exporter.shutdown()


@pytest.fixture
def tracer(exported: InMemorySpanExporter) -> OtelTracer:
    provider = TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(SimpleSpanProcessor(exported))
    return OtelTracer(provider.get_tracer("test"), provider.shutdown)


def only_span(exported: InMemorySpanExporter) -> ReadableSpan:
    (span,) = exported.get_finished_spans()
    return span


def span_ids(span: ReadableSpan) -> tuple[str, str, str | None]:
    """Return a span's trace id, its own id and its parent's."""
    assert span.context
    parent = f"{span.parent.span_id:016x}" if span.parent else None
    return f"{span.context.trace_id:032x}", f"{span.context.span_id:016x}", parent


@pytest.mark.parametrize(
    ("trace", "sent"),
    [
        (W3C, {"traceparent", "tracestate"}),
        ({"b3": f"{TRACE}-{SPAN}-1"}, {"traceparent", "b3"}),
        ({"b3": f"{TRACE}-{SPAN}"}, {"traceparent", "b3"}),
        (
            {"X-B3-TraceId": TRACE, "X-B3-SpanId": SPAN, "X-B3-Sampled": "1"},
            {"traceparent", "X-B3-TraceId", "X-B3-SpanId", "X-B3-Sampled"},
        ),
    ],
)
def test_a_trace_is_continued(
    tracer: OtelTracer, exported: InMemorySpanExporter, trace: dict[str, str], sent: set[str]
) -> None:
    """The caller's span is the request's parent, the request's the exchange's, whose id is sent to the backend."""
    request = tracer.start_request_span(trace)
    exchange = tracer.start_upstream_span("cmdb", "POST", request.headers)
    exchange.end("2xx")
    request.end(FIELDS, failed=False)
    inner, outer = exported.get_finished_spans()
    assert span_ids(outer) == (TRACE, span_ids(outer)[1], SPAN)
    assert span_ids(inner) == (TRACE, span_ids(inner)[1], span_ids(outer)[1])
    assert set(exchange.headers) == sent
    for headers, span in ((request.headers, outer), (exchange.headers, inner)):
        assert headers["traceparent"] == f"00-{TRACE}-{span_ids(span)[1]}-01"
    environ = {f"HTTP_{name.upper().replace('-', '_')}": value for name, value in exchange.headers.items()}
    assert extract_trace_headers(environ) == exchange.headers
    assert (inner.kind, outer.kind) == (SpanKind.CLIENT, SpanKind.SERVER)


@pytest.mark.parametrize(
    "trace",
    [
        {"traceparent": f"00-{TRACE}-{SPAN}-00"},
        {"b3": f"{TRACE}-{SPAN}-0"},
        {"X-B3-TraceId": TRACE, "X-B3-SpanId": SPAN, "X-B3-Sampled": "0"},
    ],
)
def test_unsampled_trace(tracer: OtelTracer, exported: InMemorySpanExporter, trace: dict[str, str]) -> None:
    """A trace that the caller does not sample is not recorded; its id and that decision are sent to the backend."""
    span = tracer.start_request_span(trace)
    span.end(FIELDS, failed=False)
    assert exported.get_finished_spans() == ()
    assert get_trace_id(span.headers) == TRACE
    assert span.headers["traceparent"].endswith("-00")
    assert span.headers.get("b3", "-0")[-2:] == "-0"
    assert span.headers.get("X-B3-Sampled", "0") == "0"


def test_new_trace(tracer: OtelTracer, exported: InMemorySpanExporter) -> None:
    """Without trace headers a trace starts; the log's trace id is the span's."""
    request_span = RequestTelemetry(None, tracer).start({})
    assert request_span.span
    request_span.span.end(FIELDS, failed=False)
    assert span_ids(only_span(exported)) == (
        get_trace_id(request_span.trace),
        request_span.trace["traceparent"][36:52],
        None,
    )


def test_request_attributes(tracer: OtelTracer, exported: InMemorySpanExporter) -> None:
    """A span is named by method and route; no text of a caller is among the attributes."""
    telemetry = RequestTelemetry(None, tracer)
    request_span = telemetry.start({})
    telemetry.finish(request_span, FIELDS, 0.1)
    telemetry.close(request_span)
    span = only_span(exported)
    assert span.name == "POST /modules"
    assert dict(span.attributes or {}) == {
        "http.request.method": "POST",
        "http.route": "/modules",
        "http.response.status_code": 201,
        "gateway.outcome": "applied",
        "gateway.backend": "cmdb",
        "gateway.operation": "0198",
        "gateway.replayed": False,
    }
    assert span.status.status_code is StatusCode.UNSET


@pytest.mark.parametrize(
    ("changes", "name", "status"),
    [
        ({"status": 500, "code": "internal"}, "POST /modules", StatusCode.ERROR),
        ({"status": 409, "code": "module_already_exists"}, "POST /modules", StatusCode.UNSET),
        ({"status": 404, "route": None, "method": "MADE-UP"}, "HTTP", StatusCode.UNSET),
    ],
)
def test_failed_requests(
    tracer: OtelTracer, exported: InMemorySpanExporter, changes: dict[str, Any], name: str, status: StatusCode
) -> None:
    """A 5xx is an error, a 4xx is not; an unknown method is named HTTP."""
    telemetry = RequestTelemetry(None, tracer)
    telemetry.finish(telemetry.start({}), {**FIELDS, **changes}, 0.1)
    span = only_span(exported)
    assert (span.name, span.status.status_code) == (name, status)
    assert (span.attributes or {}).get("gateway.code") == changes.get("code")


@pytest.mark.parametrize(
    ("result", "status"),
    [("2xx", StatusCode.UNSET), ("4xx", StatusCode.UNSET), ("5xx", StatusCode.ERROR), ("timeout", StatusCode.ERROR)],
)
def test_exchanges(tracer: OtelTracer, exported: InMemorySpanExporter, result: str, status: StatusCode) -> None:
    """An exchange is named by method and backend, and ends with its result."""
    tracer.start_upstream_span("cmdb", "GET", {}).end(result)
    span = only_span(exported)
    assert (span.name, span.status.status_code) == ("GET cmdb", status)
    assert dict(span.attributes or {}) == {
        "gateway.backend": "cmdb", "http.request.method": "GET", "gateway.upstream.result": result,
    }  # fmt: skip
