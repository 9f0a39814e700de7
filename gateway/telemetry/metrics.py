"""Figures for Prometheus; with PROMETHEUS_MULTIPROC_DIR set, one scrape tells of all workers.

Of what a caller or a backend says nothing becomes a label: what is on no list is "", "none" or "other".
"""

from __future__ import annotations

import logging
import os
import re
import threading
import time
from collections.abc import Callable, Collection, Mapping
from typing import Any, Final

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest, multiprocess

from gateway.domain.errors import REGISTRY, Outcome
from gateway.telemetry.journal_collector import JournalCollector
from gateway.telemetry.tally import Tally

CONTENT_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"
METHODS: Final = frozenset({"GET", "HEAD", "POST", "PATCH", "PUT", "DELETE", "OPTIONS"})
#: How an exchange can end: in a status, without one, or before anything was sent.
RESULTS: Final = frozenset(
    {"2xx", "3xx", "4xx", "5xx", "timeout", "no_connection", "broken", "rate_limited", "overloaded", "circuit_open"}
)
_REST: Final = ("status", "code", "backend", "outcome")
_OUTCOMES: Final = frozenset(outcome.value for outcome in Outcome)
#: Seconds: from an answer out of memory to the longest wait that a configuration may sensibly allow.
BOUNDS: Final = (
    0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0,
)  # fmt: skip
#: Sums are handed on this often, for a scrape that meets another worker; seconds.
_EVERY: Final = 1.0

#: A backend that invents codes must not create series without bound: further codes are counted as "other".
_MAX_UNMAPPED_CODES: Final = 50
_BACKEND_CODE: Final = re.compile(r"[A-Za-z0-9._-]{1,40}", re.ASCII)

_log: Final = logging.getLogger("gateway.telemetry")


class Metrics:
    """The figures of one process, and those that are read off the journal when somebody asks; an Observer."""

    def __init__(
        self,
        counts: Callable[[], Mapping[str, int]],
        next_due: Callable[[], float | None] = lambda: None,
        *,
        backends: Collection[str] = (),
        now: Callable[[], float] = time.time,
    ) -> None:
        self._own = CollectorRegistry()
        self._standing = JournalCollector(counts, next_due, now)
        self._backends = frozenset(backends)
        self._handing_on = threading.Lock()
        self.in_flight = 0  # whoever answers requests counts them here
        self._looks = self._counter("gateway_reconciler_looks", "Looks for lost creates.", "backend", "verdict")
        self._requests = Tally(
            self._counter("gateway_requests", "Requests answered.", "route", "method", *_REST),
            self._durations("gateway_request_seconds", "How long a request took to answer.", "route", "method"),
            BOUNDS,
            shared=2,
        )
        self._exchanges = Tally(
            self._counter("gateway_upstream_exchanges", "Exchanges with a backend.", "backend", "result"),
            self._durations("gateway_upstream_seconds", "How long an exchange with a backend took.", "backend"),
            BOUNDS,
            shared=1,
        )
        self._unmapped = self._counter(
            "gateway_unmapped_backend_code", "Codes of a backend that no table knows.", "backend", "code"
        )
        self._unmapped_codes: set[str] = set()
        self._circuit = self._gauge("gateway_circuit_open", "Whether calls are held back.", "livemax", "backend")
        self._in_flight = self._gauge("gateway_requests_in_flight", "Requests being answered.", "livesum")
        for backend in self._backends:
            self._circuit.labels(backend).set(0)

    def look(self, backend: str, verdict: str) -> None:
        """Count a look of the reconciler; `verdict` is a state, or what was found that settled nothing."""
        self._looks.labels(backend, verdict).inc()

    def requested(self, facts: Mapping[str, Any], seconds: float) -> None:
        """Count an answered request; `facts` are those of its line in the log."""
        method, code, backend, outcome = facts["method"], facts["code"], facts["backend"], facts["outcome"]
        if method not in METHODS:
            method = "other"
        labels = (
            facts["route"] or "none",
            method,
            str(facts["status"]),
            code if code in REGISTRY else "",
            backend if backend in self._backends else "",
            outcome if outcome in _OUTCOMES else "",
        )
        self._requests.note(labels, seconds)

    def record_exchange(self, backend: str, result: str, seconds: float) -> None:
        """Count an exchange with a backend; see RESULTS."""
        name = backend if backend in self._backends else "other"
        self._exchanges.note((name, result if result in RESULTS else "other"), seconds)

    def record_circuit_state(self, backend: str, *, is_open: bool) -> None:
        """Note whether calls to a backend are held back."""
        self._circuit.labels(backend if backend in self._backends else "other").set(is_open)

    def record_unmapped_code(self, backend: str, code: str) -> None:
        """Count a backend error code that the adapter's table does not contain."""
        if code not in self._unmapped_codes and (
            len(self._unmapped_codes) >= _MAX_UNMAPPED_CODES or not _BACKEND_CODE.fullmatch(code)
        ):
            code = "other"
        else:
            self._unmapped_codes.add(code)
        self._unmapped.labels(backend if backend in self._backends else "other", code).inc()

    def hand_on(self) -> None:
        """Bring the figures up to date, for whichever worker is asked next."""
        with self._handing_on:
            self._requests.hand_on()
            self._exchanges.hand_on()
            self._in_flight.set(self.in_flight)

    def run(self, sleep: Callable[[float], None]) -> None:
        """Hand on for ever."""
        while True:
            sleep(_EVERY)
            try:
                self.hand_on()
            except Exception:
                _log.exception("the figures could not be handed on")

    def render(self) -> bytes:
        """Return everything in Prometheus' text format."""
        self.hand_on()
        registry = CollectorRegistry()
        registry.register(self._standing)
        if "PROMETHEUS_MULTIPROC_DIR" in os.environ:
            multiprocess.MultiProcessCollector(registry)  # type: ignore[no-untyped-call] # of prometheus_client
            return generate_latest(registry)
        return generate_latest(registry) + generate_latest(self._own)

    def _counter(self, name: str, text: str, *labels: str) -> Counter:
        return Counter(name, text, labels, registry=self._own)

    def _durations(self, name: str, text: str, *labels: str) -> Histogram:
        return Histogram(name, text, labels, registry=self._own, buckets=BOUNDS)

    def _gauge(self, name: str, text: str, across: str, *labels: str) -> Gauge:
        """Make a gauge; `across` says what it is for all workers that live: their sum or the greatest of them."""
        return Gauge(name, text, labels, registry=self._own, multiprocess_mode=across)  # type: ignore[arg-type] # a literal
