"""Our own tracer, where they are asked for: parents, attributes, what goes on to the backend."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import pytest
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind, StatusCode

from gateway.telemetry.request_log import RequestTelemetry
from gateway.telemetry.tracing import OtelTracer, extract, trace_id

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


def one(exported: InMemorySpanExporter) -> ReadableSpan:
    (span,) = exported.get_finished_spans()
    return span


def identity(span: ReadableSpan) -> tuple[str, str, str | None]:
    """Return a span's trace, its own id and its parent's."""
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
    """The caller's span is the request's parent, the request's is the exchange's, and that goes to the backend."""
    request = tracer.start_request_span(trace)
    exchange = tracer.start_upstream_span("cmdb", "POST", request.headers)
    exchange.end("2xx")
    request.end(FIELDS, failed=False)
    inner, outer = exported.get_finished_spans()
    assert identity(outer) == (TRACE, identity(outer)[1], SPAN)
    assert identity(inner) == (TRACE, identity(inner)[1], identity(outer)[1])
    assert set(exchange.headers) == sent
    for headers, span in ((request.headers, outer), (exchange.headers, inner)):
        assert headers["traceparent"] == f"00-{TRACE}-{identity(span)[1]}-01"
    environ = {f"HTTP_{name.upper().replace('-', '_')}": value for name, value in exchange.headers.items()}
    assert extract(environ) == exchange.headers
    assert (inner.kind, outer.kind) == (SpanKind.CLIENT, SpanKind.SERVER)


@pytest.mark.parametrize(
    "trace",
    [
        {"traceparent": f"00-{TRACE}-{SPAN}-00"},
        {"b3": f"{TRACE}-{SPAN}-0"},
        {"X-B3-TraceId": TRACE, "X-B3-SpanId": SPAN, "X-B3-Sampled": "0"},
    ],
)
def test_a_caller_decides_that_nobody_records(
    tracer: OtelTracer, exported: InMemorySpanExporter, trace: dict[str, str]
) -> None:
    """What the caller does not sample is not recorded; the backend is told so, under the same trace."""
    span = tracer.start_request_span(trace)
    span.end(FIELDS, failed=False)
    assert exported.get_finished_spans() == ()
    assert trace_id(span.headers) == TRACE
    assert span.headers["traceparent"].endswith("-00")
    assert span.headers.get("b3", "-0")[-2:] == "-0"
    assert span.headers.get("X-B3-Sampled", "0") == "0"


def test_a_trace_begins_here(tracer: OtelTracer, exported: InMemorySpanExporter) -> None:
    """Without a trace one begins, and the call goes on with it; the log's trace id is the span's."""
    visit = RequestTelemetry(None, tracer).begin({})
    assert visit.span
    visit.span.end(FIELDS, failed=False)
    assert identity(one(exported)) == (trace_id(visit.trace), visit.trace["traceparent"][36:52], None)


def test_a_request_says_names_numbers_and_codes(tracer: OtelTracer, exported: InMemorySpanExporter) -> None:
    """Named by method and route; nothing that a caller has written is among the attributes."""
    witness = RequestTelemetry(None, tracer)
    visit = witness.begin({})
    witness.end(visit, FIELDS, 0.1)
    witness.leave(visit)
    span = one(exported)
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
    ("changed", "name", "status"),
    [
        ({"status": 500, "code": "internal"}, "POST /modules", StatusCode.ERROR),
        ({"status": 409, "code": "module_already_exists"}, "POST /modules", StatusCode.UNSET),
        ({"status": 404, "route": None, "method": "MADE-UP"}, "HTTP", StatusCode.UNSET),
    ],
)
def test_failed_requests(
    tracer: OtelTracer, exported: InMemorySpanExporter, changed: dict[str, Any], name: str, status: StatusCode
) -> None:
    """Our failures are errors, a caller's are not; a method that nobody knows names no span."""
    witness = RequestTelemetry(None, tracer)
    witness.end(witness.begin({}), {**FIELDS, **changed}, 0.1)
    span = one(exported)
    assert (span.name, span.status.status_code) == (name, status)
    assert (span.attributes or {}).get("gateway.code") == changed.get("code")


@pytest.mark.parametrize(
    ("result", "status"),
    [("2xx", StatusCode.UNSET), ("4xx", StatusCode.UNSET), ("5xx", StatusCode.ERROR), ("timeout", StatusCode.ERROR)],
)
def test_exchanges(tracer: OtelTracer, exported: InMemorySpanExporter, result: str, status: StatusCode) -> None:
    """An exchange is named by method and connection, and ends with its result."""
    tracer.start_upstream_span("cmdb", "GET", {}).end(result)
    span = one(exported)
    assert (span.name, span.status.status_code) == ("GET cmdb", status)
    assert dict(span.attributes or {}) == {
        "gateway.backend": "cmdb", "http.request.method": "GET", "gateway.upstream.result": result,
    }  # fmt: skip
