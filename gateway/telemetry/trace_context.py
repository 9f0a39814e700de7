"""The context of a distributed trace: taken from a request where it is well formed, and passed on as it is.

Sources: W3C Trace Context (traceparent, tracestate) and Zipkin's B3 (one header, or several).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final

TraceHeaders = Mapping[str, str]

NONE: Final[TraceHeaders] = {}
_TRACE: Final = r"(?!0+-)[0-9a-f]{32}"
_SPAN: Final = r"(?!0{16})[0-9a-f]{16}"
#: Version 00 has these four fields; a later one may have more behind them.
_PARENT: Final = re.compile(
    rf"00-{_TRACE}-{_SPAN}-[0-9a-f]{{2}}|(?!ff|00)[0-9a-f]{{2}}-{_TRACE}-{_SPAN}-[0-9a-f]{{2}}(-[\x21-\x7e]{{1,70}})?"
)
_MEMBER: Final = r"[a-z0-9][a-z0-9@_*/-]{0,255}=[\x20-\x2b\x2d-\x3c\x3e-\x7e]{0,256}"
_STATE: Final = re.compile(rf"[ \t]*{_MEMBER}([ \t]*,[ \t]*({_MEMBER})?){{0,31}}")
_LONGEST_STATE: Final = 512
_B3: Final = re.compile(r"[01d]|([0-9a-f]{16}|[0-9a-f]{32})-[0-9a-f]{16}(-[01d](-[0-9a-f]{16})?)?")
_IDS: Final = ("X-B3-TraceId", "X-B3-SpanId")
#: The headers of B3 in several, each with what it may say.
_MANY: Final = {
    "X-B3-TraceId": re.compile(r"[0-9a-fA-F]{16}|[0-9a-fA-F]{32}"),
    "X-B3-SpanId": re.compile(r"[0-9a-fA-F]{16}"),
    "X-B3-ParentSpanId": re.compile(r"[0-9a-fA-F]{16}"),
    "X-B3-Sampled": re.compile(r"[01]|true|false"),
    "X-B3-Flags": re.compile(r"[01]"),
}
_VARIABLES: Final = tuple((name, f"HTTP_{name.upper().replace('-', '_')}", shape) for name, shape in _MANY.items())


def extract(environ: Mapping[str, Any]) -> TraceHeaders:
    """Return the headers of a request's trace, out of its WSGI environment; what is malformed is left out."""
    trace: dict[str, str] = {}
    parent = environ.get("HTTP_TRACEPARENT")
    if parent is not None and _PARENT.fullmatch(parent):
        trace["traceparent"] = parent
        state = environ.get("HTTP_TRACESTATE", "")
        if 0 < len(state) <= _LONGEST_STATE and _STATE.fullmatch(state):
            trace["tracestate"] = state
    single = environ.get("HTTP_B3")
    if single is not None and _B3.fullmatch(single):
        trace["b3"] = single
    if "HTTP_X_B3_TRACEID" in environ or "HTTP_X_B3_SAMPLED" in environ:
        trace.update(_many(environ))
    return trace or NONE


def trace_id(trace: TraceHeaders) -> str | None:
    """Return the id by which a trace's logs and spans are found."""
    if (parent := trace.get("traceparent")) is not None:
        return parent[3:35]
    if (given := trace.get("X-B3-TraceId")) is not None:
        return given.lower()
    found = trace.get("b3", "").split("-")
    return found[0] if len(found) > 1 else None


def _many(environ: Mapping[str, Any]) -> dict[str, str]:
    """Return B3's several headers: both ids or none, and what is decided about them."""
    found = {
        name: value
        for name, variable, shape in _VARIABLES
        if (value := environ.get(variable)) is not None and shape.fullmatch(value)
    }
    if not all(name in found for name in _IDS):
        found = {name: value for name, value in found.items() if name in {"X-B3-Sampled", "X-B3-Flags"}}
    return found
