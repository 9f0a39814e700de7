"""Trace headers of a request: well-formed headers are propagated unchanged, malformed ones are dropped."""

from __future__ import annotations

import pytest

from gateway.telemetry.tracing import extract_trace_headers, get_trace_id

TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
SPAN = "00f067aa0ba902b7"
PARENT = f"00-{TRACE}-{SPAN}-01"


def environ(headers: dict[str, str]) -> dict[str, str]:
    """Return headers as a WSGI environment."""
    return {f"HTTP_{name.upper().replace('-', '_')}": value for name, value in headers.items()}


@pytest.mark.parametrize(
    ("headers", "trace"),
    [
        ({}, None),
        ({"traceparent": PARENT}, TRACE),
        ({"traceparent": PARENT, "tracestate": "congo=t61rcWkgMzE,rojo=00f067aa0ba902b7"}, TRACE),
        ({"traceparent": PARENT, "tracestate": "tenant@vendor=a b , ,x=1"}, TRACE),
        ({"traceparent": f"cc-{TRACE}-{SPAN}-01-what-the-future-has"}, TRACE),
        ({"traceparent": f"01-{TRACE}-{SPAN}-01"}, TRACE),
        ({"b3": f"{TRACE}-{SPAN}-1-05e3ac9a4f6e3b90"}, TRACE),
        ({"b3": f"{SPAN}-{SPAN}"}, SPAN),
        ({"b3": f"{TRACE}-{SPAN}-d"}, TRACE),
        ({"b3": "0"}, None),
        ({"X-B3-TraceId": TRACE.upper(), "X-B3-SpanId": SPAN, "X-B3-Sampled": "1"}, TRACE),
        ({"X-B3-TraceId": SPAN, "X-B3-SpanId": SPAN, "X-B3-ParentSpanId": SPAN, "X-B3-Flags": "1"}, SPAN),
        ({"X-B3-Sampled": "0"}, None),
        ({"traceparent": PARENT, "b3": f"{TRACE}-{SPAN}-1"}, TRACE),
    ],
)
def test_well_formed(headers: dict[str, str], trace: str | None) -> None:
    """W3C's and Zipkin's headers are returned unchanged; the trace id is found in each."""
    extracted = extract_trace_headers(environ(headers))
    assert extracted == headers
    assert get_trace_id(extracted) == trace


@pytest.mark.parametrize(
    "parent",
    [
        "",
        "x",
        f"00-{TRACE}-{SPAN}",
        f"00-{TRACE}-{SPAN}-01-more",
        f"ff-{TRACE}-{SPAN}-01",
        f"00-{TRACE.upper()}-{SPAN}-01",
        f"00-{'0' * 32}-{SPAN}-01",
        f"00-{TRACE}-{'0' * 16}-01",
        f"00-{TRACE}-{SPAN}-01\n",
        f"00-{TRACE}-{SPAN}-01\r\nX-Injected: 1",
        f"01-{TRACE}-{SPAN}-01-{'x' * 71}",
        f"01-{TRACE}-{SPAN}-01-a b",
        f"00-{TRACE[:-1]}٣-{SPAN}-01",
    ],
)
def test_malformed_parents(parent: str) -> None:
    """A malformed traceparent is dropped, and its tracestate."""
    assert extract_trace_headers(environ({"traceparent": parent, "tracestate": "a=1"})) == {}


@pytest.mark.parametrize(
    "state",
    ["", "a", "a=1\r\nb: 2", "A=1", "a=1" + ",b=2" * 200, "a=" + "x" * 257, "a=ü", ",".join("a=1" for _ in range(33))],
)
def test_malformed_states(state: str) -> None:
    """A malformed or too long tracestate is dropped; the traceparent is kept."""
    assert extract_trace_headers(environ({"traceparent": PARENT, "tracestate": state})) == {"traceparent": PARENT}


@pytest.mark.parametrize(
    "headers",
    [
        {"b3": ""},
        {"b3": "2"},
        {"b3": TRACE},
        {"b3": f"{TRACE}-{SPAN}-2"},
        {"b3": f"{TRACE.upper()}-{SPAN}"},
        {"b3": f"{TRACE}-{SPAN}\r\nX-Injected: 1"},
        {"X-B3-TraceId": TRACE},
        {"X-B3-TraceId": TRACE, "X-B3-SpanId": "x"},
        {"X-B3-TraceId": f"{TRACE}\n", "X-B3-SpanId": SPAN},
        {"X-B3-SpanId": SPAN, "X-B3-ParentSpanId": SPAN},
        {"X-B3-Sampled": "maybe"},
        {"tracestate": "a=1"},
    ],
)
def test_malformed_b3(headers: dict[str, str]) -> None:
    """Incomplete or malformed B3 headers are dropped."""
    assert extract_trace_headers(environ(headers)) == {}


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("traceparent", "0" * 65_536),
        ("traceparent", f"01-{TRACE}-{SPAN}-01-" + "-" * 65_536),
        ("tracestate", "a=1" + " " * 65_536),
        ("tracestate", "a=1" + " " * 508),
        ("tracestate", "a=1" + " ," * 254),
        ("b3", "0" * 65_536),
        ("X-B3-TraceId", "a" * 65_536),
    ],
)
def test_time_is_linear(name: str, value: str) -> None:
    """The longest header that the server accepts, and the longest tracestate that is parsed, take linear time."""
    headers = {"traceparent": PARENT, name: value}
    assert set(extract_trace_headers(environ(headers))) <= {"traceparent", "tracestate"}
