"""Ports for telemetry of upstream calls: metrics and distributed traces."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol


class UpstreamMetrics(Protocol):
    """Counts what happens between the gateway and its backends."""

    def record_exchange(self, backend: str, result: str, seconds: float) -> None:
        """Record one exchange; `result` is a status class (2xx …) or the reason why there is no response."""
        ...

    def record_circuit_state(self, backend: str, *, is_open: bool) -> None:
        """Record that the backend's circuit breaker opened or closed."""
        ...

    def record_unmapped_code(self, backend: str, code: str) -> None:
        """Record a backend error code that the adapter's error table does not contain."""
        ...


class UpstreamSpan(Protocol):
    """One upstream exchange in a distributed trace."""

    @property
    def headers(self) -> Mapping[str, str]:
        """The trace headers to send, so that the backend's spans become children of this one."""
        ...

    def end(self, result: str) -> None:
        """End the span; `result` as in `UpstreamMetrics.record_exchange`."""
        ...


class Tracer(Protocol):
    """Starts spans for upstream exchanges."""

    def start_upstream_span(self, backend: str, method: str, trace: Mapping[str, str]) -> UpstreamSpan:
        """Start a span; `trace` holds the trace headers of the caller's request."""
        ...
