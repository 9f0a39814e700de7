"""Prometheus metrics; with PROMETHEUS_MULTIPROC_DIR set, one scrape covers all workers.

Label values come from fixed lists. A value that a caller or a backend chose and that is not on the list becomes "",
"none" or "other".
"""

from __future__ import annotations

import logging
import os
import re
import time
from collections.abc import Callable, Collection, Mapping
from functools import cache
from typing import Any, Final

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest, multiprocess

from gateway.domain.errors import REGISTRY, Outcome
from gateway.telemetry.journal_collector import JournalCollector

CONTENT_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"
METHODS: Final = frozenset({"GET", "HEAD", "POST", "PATCH", "PUT", "DELETE", "OPTIONS"})
#: Results of an exchange with a backend: a status class, or the reason why there is no response.
RESULTS: Final = frozenset(
    {"2xx", "3xx", "4xx", "5xx", "timeout", "no_connection", "broken", "rate_limited", "overloaded", "circuit_open"}
)
#: Upper bounds in seconds, up to the longest timeout that a configuration can sensibly have.
BUCKETS: Final = (
    0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0,
)  # fmt: skip
_OUTCOME_LABELS: Final = ("status", "code", "backend", "outcome")
_OUTCOMES: Final = frozenset(outcome.value for outcome in Outcome)
_FLUSH_INTERVAL: Final = 1.0  # seconds

#: Bounds the number of series if a backend invents codes: further codes are counted as "other".
_MAX_UNMAPPED_CODES: Final = 50
_BACKEND_CODE: Final = re.compile(r"[A-Za-z0-9._-]{1,40}", re.ASCII)

_log: Final = logging.getLogger("gateway.telemetry")


class Metrics:
    """The metrics of this process, and those read from the journal at each scrape; implements UpstreamMetrics."""

    def __init__(
        self,
        counts: Callable[[], Mapping[str, int]],
        next_due: Callable[[], float | None] = lambda: None,
        *,
        backends: Collection[str] = (),
        now: Callable[[], float] = time.time,
    ) -> None:
        """Take the journal's `counts` and `next_due`, and the wall clock of its due times."""
        self._registry = CollectorRegistry()
        self._journal_collector = JournalCollector(counts, next_due, now)
        self._backends = frozenset(backends)
        self.in_flight = 0  # changed by RequestTelemetry
        # `labels` validates and locks at each call; the cached children cost a third of it. Labels are bounded above.
        self._lookups = cache(
            self._counter("gateway_reconciler_looks", "Lookups of the reconciler.", "backend", "verdict").labels
        )
        self._requests = cache(
            self._counter("gateway_requests", "Requests answered.", "route", "method", *_OUTCOME_LABELS).labels
        )
        self._request_seconds = cache(
            self._histogram("gateway_request_seconds", "Duration of a request.", "route", "method").labels
        )
        self._exchanges = cache(
            self._counter("gateway_upstream_exchanges", "Exchanges with a backend.", "backend", "result").labels
        )
        self._exchange_seconds = cache(
            self._histogram("gateway_upstream_seconds", "Duration of an exchange with a backend.", "backend").labels
        )
        self._unmapped = self._counter(
            "gateway_unmapped_backend_code", "Backend error codes without a mapping.", "backend", "code"
        )
        self._unmapped_codes: set[str] = set()
        self._circuit = self._gauge("gateway_circuit_open", "1 if the circuit breaker is open.", "livemax", "backend")
        self._in_flight = self._gauge("gateway_requests_in_flight", "Requests in progress.", "livesum")
        for backend in self._backends:
            self._circuit.labels(backend).set(0)

    def record_lookup(self, backend: str, verdict: str) -> None:
        """Count a lookup of the reconciler; `verdict` is an operation state, or why the lookup settled nothing."""
        self._lookups(backend, verdict).inc()

    def record_request(self, fields: Mapping[str, Any], seconds: float) -> None:
        """Count an answered request; `fields` are those of its access log line."""
        method, code, backend, outcome = fields["method"], fields["code"], fields["backend"], fields["outcome"]
        route = fields["route"] or "none"
        if method not in METHODS:
            method = "other"
        self._requests(
            route,
            method,
            str(fields["status"]),
            code if code in REGISTRY else "",
            backend if backend in self._backends else "",
            outcome if outcome in _OUTCOMES else "",
        ).inc()
        self._request_seconds(route, method).observe(seconds)

    def record_exchange(self, backend: str, result: str, seconds: float) -> None:
        """Count an exchange with a backend; `result` is one of RESULTS."""
        name = self._backend_label(backend)
        self._exchanges(name, result if result in RESULTS else "other").inc()
        self._exchange_seconds(name).observe(seconds)

    def record_circuit_state(self, backend: str, *, is_open: bool) -> None:
        """Record that a backend's circuit breaker opened or closed."""
        self._circuit.labels(self._backend_label(backend)).set(is_open)

    def record_unmapped_code(self, backend: str, code: str) -> None:
        """Count a backend error code that the adapter's table does not contain."""
        if code not in self._unmapped_codes and (
            len(self._unmapped_codes) >= _MAX_UNMAPPED_CODES or not _BACKEND_CODE.fullmatch(code)
        ):
            code = "other"
        else:
            self._unmapped_codes.add(code)
        self._unmapped.labels(self._backend_label(backend), code).inc()

    def flush(self) -> None:
        """Publish the gauge of requests in flight, which other workers' scrapes read too."""
        self._in_flight.set(self.in_flight)

    def run(self, sleep: Callable[[float], None]) -> None:
        """Flush once a second, forever."""
        while True:
            sleep(_FLUSH_INTERVAL)
            try:
                self.flush()
            except Exception:
                _log.exception("metrics flush failed")

    def render(self) -> bytes:
        """Return all metrics in Prometheus' text format."""
        self.flush()
        registry = CollectorRegistry()
        registry.register(self._journal_collector)
        if "PROMETHEUS_MULTIPROC_DIR" in os.environ:
            multiprocess.MultiProcessCollector(registry)  # type: ignore[no-untyped-call] # of prometheus_client
            return generate_latest(registry)
        return generate_latest(registry) + generate_latest(self._registry)

    def _backend_label(self, backend: str) -> str:
        return backend if backend in self._backends else "other"

    def _counter(self, name: str, text: str, *labels: str) -> Counter:
        return Counter(name, text, labels, registry=self._registry)

    def _histogram(self, name: str, text: str, *labels: str) -> Histogram:
        return Histogram(name, text, labels, registry=self._registry, buckets=BUCKETS)

    def _gauge(self, name: str, text: str, mode: str, *labels: str) -> Gauge:
        """Create a gauge; `mode` is how a scrape combines the values of the live workers."""
        return Gauge(name, text, labels, registry=self._registry, multiprocess_mode=mode)  # type: ignore[arg-type] # a literal
