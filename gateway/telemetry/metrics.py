"""Prometheus metrics, kept in memory; under the gateway's own server one scrape covers all workers.

Label values come from fixed lists. A value that a caller or a backend chose and that is not on the list becomes "",
"none" or "other".
"""

from __future__ import annotations

import logging
import os
import re
import time
from collections.abc import Callable, Collection, Iterable, Mapping
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from typing import Any, Final

import orjson

# The library would keep its values in mapped files, where a full disk ends the process.
os.environ.pop("PROMETHEUS_MULTIPROC_DIR", None)
os.environ.pop("prometheus_multiproc_dir", None)

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from gateway.domain.errors import REGISTRY, JournalUnavailable, Outcome
from gateway.telemetry.shared_memory import SharedMemory, Snapshot

CONTENT_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"
METHODS: Final = frozenset({"GET", "HEAD", "POST", "PATCH", "PUT", "DELETE", "OPTIONS"})
#: Results of an exchange with a backend: a status class, or the reason why there is no response.
RESULTS: Final = frozenset(
    {"2xx", "3xx", "4xx", "5xx", "timeout", "no_connection", "broken", "rate_limited", "overloaded", "circuit_open"}
)
#: Upper bounds of durations in seconds, up to the longest timeout that a configuration can sensibly have.
HISTOGRAM_BUCKETS: Final = (
    0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0,
)  # fmt: skip
_OUTCOME_LABELS: Final = ("status", "code", "backend", "outcome")
_OUTCOMES: Final = frozenset(outcome.value for outcome in Outcome)
_PUBLISH_INTERVAL: Final = 1.0  # seconds
#: How often a worker looks whether another one collects the metrics, in seconds.
_REQUEST_INTERVAL: Final = 0.05
#: How long a scrape waits for the current metrics of the other workers; a busy worker's last ones follow then.
_SCRAPE_TIMEOUT: Final = 0.5
#: Gauges that are not added up over the workers.
_MAXIMUM_GAUGES: Final = frozenset({"gateway_circuit_open"})

#: Metric name: documentation, type, and the values by sample name and labels.
Families = dict[str, tuple[str, str, dict[tuple[str, tuple[tuple[str, str], ...]], float]]]

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
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        """Create the metrics; `counts` and `next_due` are the journal's, `now` is the wall clock of its due times."""
        self._registry = CollectorRegistry()
        self._journal_collector = JournalCollector(counts, next_due, now)
        self._backends = frozenset(backends)
        self.in_flight = 0  # changed by RequestTelemetry
        # Each of these returns the child of its metric for the values of the labels. Without the cache that takes three
        # times as long, because `labels` validates and locks. Label values come from fixed lists, so caches stay small.
        self._lookup_counter = cache(
            self._create_counter("gateway_reconciler_looks", "Lookups of the reconciler.", "backend", "verdict").labels
        )
        self._ended_counter = cache(
            self._create_counter("gateway_operations_ended", "Operations that this process ended.", "state").labels
        )
        self._request_counter = cache(
            self._create_counter("gateway_requests", "Requests answered.", "route", "method", *_OUTCOME_LABELS).labels
        )
        self._request_histogram = cache(
            self._create_histogram("gateway_request_seconds", "Duration of a request.", "route", "method").labels
        )
        self._exchange_counter = cache(
            self._create_counter("gateway_upstream_exchanges", "Exchanges with a backend.", "backend", "result").labels
        )
        self._exchange_histogram = cache(
            self._create_histogram(
                "gateway_upstream_seconds", "Duration of an exchange with a backend.", "backend"
            ).labels
        )
        self._unmapped_code_counter = self._create_counter(
            "gateway_unmapped_backend_code", "Backend error codes without a mapping.", "backend", "code"
        )
        self._counted_unmapped_codes: set[str] = set()  # the codes that are not counted as "other"
        self._circuit_gauge = self._create_gauge("gateway_circuit_open", "1 if the circuit breaker is open.", "backend")
        self._in_flight_gauge = self._create_gauge("gateway_requests_in_flight", "Requests in progress.")
        self._sleep = sleep
        self._shared: SharedMemory | None = None
        self._slot = 0
        self._inherited: Families = {}  # the counters of earlier workers in the own slot
        self._snapshots: dict[int, Snapshot] = {}  # of the other workers, as last read
        self._published_at = 0
        self._sharing_failed = False
        for backend in self._backends:
            self._circuit_gauge.labels(backend).set(0)

    def record_lookup(self, backend: str, verdict: str) -> None:
        """Count a lookup of the reconciler; `verdict` is an operation state, or why the lookup settled nothing."""
        self._lookup_counter(backend, verdict).inc()

    def record_ended(self, state: str) -> None:
        """Count an operation that ended in a state."""
        self._ended_counter(state).inc()

    def record_request(self, fields: Mapping[str, Any], seconds: float) -> None:
        """Count an answered request and its duration; `fields` are the fields of its access log line."""
        method, code, backend, outcome = fields["method"], fields["code"], fields["backend"], fields["outcome"]
        route = fields["route"] or "none"
        if method not in METHODS:
            method = "other"
        self._request_counter(
            route,
            method,
            str(fields["status"]),
            code if code in REGISTRY else "",
            backend if backend in self._backends else "",
            outcome if outcome in _OUTCOMES else "",
        ).inc()
        self._request_histogram(route, method).observe(seconds)

    def record_exchange(self, backend: str, result: str, seconds: float) -> None:
        """Count an exchange with a backend; `result` is one of RESULTS."""
        name = self._backend_label(backend)
        self._exchange_counter(name, result if result in RESULTS else "other").inc()
        self._exchange_histogram(name).observe(seconds)

    def record_circuit_state(self, backend: str, *, is_open: bool) -> None:
        """Record that a backend's circuit breaker opened or closed."""
        self._circuit_gauge.labels(self._backend_label(backend)).set(is_open)

    def record_unmapped_code(self, backend: str, code: str) -> None:
        """Count a backend error code that the adapter's table does not contain."""
        codes = self._counted_unmapped_codes
        if code not in codes:
            if len(codes) < _MAX_UNMAPPED_CODES and _BACKEND_CODE.fullmatch(code):
                codes.add(code)
            else:
                code = "other"
        self._unmapped_code_counter.labels(self._backend_label(backend), code).inc()

    def share(self, shared: SharedMemory, slot: int) -> None:
        """Publish these metrics in a slot from now on; its earlier worker's counters are continued."""
        self._shared, self._slot = shared, slot
        try:
            if (snapshot := shared.read(slot)) is not None:
                _add(self._inherited, orjson.loads(snapshot.content), with_gauges=False)
        except OSError as error:
            self._log_sharing_failure(error)
        self._publish()

    def run(self, sleep: Callable[[float], None]) -> None:
        """Publish once a second and whenever another worker collects the metrics, forever."""
        while True:
            sleep(_REQUEST_INTERVAL)
            try:
                self._publish_if_due()
            except Exception:
                _log.exception("metrics were not published")

    def render(self) -> bytes:
        """Return the metrics of all workers and of the journal in Prometheus' text format."""
        families: Families = {}
        _add(families, self._publish())
        try:
            for snapshot in self._read_others():
                _add(families, orjson.loads(snapshot.content), with_gauges=snapshot.is_alive)
        except OSError as error:
            self._log_sharing_failure(error)
        registry = CollectorRegistry()
        registry.register(self._journal_collector)
        registry.register(_FamiliesCollector(families))
        return generate_latest(registry)

    def _own_families(self) -> list[Any]:
        """Return the current values as JSON can contain them."""
        self._in_flight_gauge.set(self.in_flight)
        families: Families = {}
        for name, (documentation, metric_type, values) in self._inherited.items():
            families[name] = documentation, metric_type, dict(values)
        current = [
            [
                family.name,
                family.documentation,
                family.type,
                [[s.name, s.labels, s.value] for s in family.samples if not s.name.endswith("_created")],
            ]
            for family in self._registry.collect()
        ]
        if not families:
            return current
        _add(families, current)
        return [
            [
                name,
                documentation,
                metric_type,
                [[sample, dict(labels), value] for (sample, labels), value in values.items()],
            ]
            for name, (documentation, metric_type, values) in families.items()
        ]

    def _publish(self) -> list[Any]:
        """Publish the current values, and return them. A failure is logged: figures must never end a worker."""
        families = self._own_families()
        if self._shared is not None:
            self._published_at = time.monotonic_ns()
            try:
                self._shared.publish(self._slot, orjson.dumps(families))
            except OSError as error:
                self._log_sharing_failure(error)
        return families

    def _publish_if_due(self) -> None:
        if self._shared is None:
            return
        age = time.monotonic_ns() - self._published_at
        if age >= _PUBLISH_INTERVAL * 1e9 or self._shared.requested_at() > self._published_at:
            self._publish()

    def _read_others(self) -> Iterable[Snapshot]:
        """Return the snapshots of the other workers, after waiting for current ones."""
        if self._shared is None:
            return ()
        waiting = set(self._shared.slots()) - {self._slot}
        requested_at = self._shared.request_publication() if waiting else 0
        deadline = time.monotonic() + _SCRAPE_TIMEOUT
        while waiting:
            for slot in list(waiting):
                snapshot = self._shared.read(slot)
                if snapshot is not None:
                    self._snapshots[slot] = snapshot
                if snapshot is None or not snapshot.is_alive or snapshot.published_at >= requested_at:
                    waiting.remove(slot)
            if time.monotonic() >= deadline:
                break
            self._sleep(_REQUEST_INTERVAL / 5)
        return self._snapshots.values()

    def _log_sharing_failure(self, error: OSError) -> None:
        """Log the first failure of this process; without the memory a scrape has the metrics of one worker."""
        if not self._sharing_failed:
            self._sharing_failed = True
            _log.error("metrics cannot be shared", extra={"fields": {"error": str(error)}})

    def _backend_label(self, backend: str) -> str:
        return backend if backend in self._backends else "other"

    def _create_counter(self, name: str, documentation: str, *labels: str) -> Counter:
        return Counter(name, documentation, labels, registry=self._registry)

    def _create_histogram(self, name: str, documentation: str, *labels: str) -> Histogram:
        return Histogram(name, documentation, labels, registry=self._registry, buckets=HISTOGRAM_BUCKETS)

    def _create_gauge(self, name: str, documentation: str, *labels: str) -> Gauge:
        return Gauge(name, documentation, labels, registry=self._registry)


def _add(families: Families, published: Iterable[Any], *, with_gauges: bool = True) -> None:
    """Add the values that a worker has published."""
    for name, documentation, metric_type, samples in published:
        if metric_type == "gauge" and not with_gauges:
            continue
        values = families.setdefault(name, (documentation, metric_type, {}))[2]
        for sample, labels, value in samples:
            key = sample, tuple(labels.items())
            before = values.get(key, 0.0)
            values[key] = max(before, value) if name in _MAXIMUM_GAUGES else before + value


class _FamiliesCollector(Collector):
    """Collects the combined metrics of all workers."""

    def __init__(self, families: Families) -> None:
        self._families = families

    def collect(self) -> Iterable[Metric]:
        """Return the metrics."""
        for name, (documentation, metric_type, values) in self._families.items():
            metric = Metric(name, documentation, metric_type)
            for (sample, labels), value in values.items():
                metric.add_sample(sample, dict(labels), value)
            yield metric


class JournalCollector(Collector):
    """Collects at each scrape what is the same in every worker: the operations in the journal, and the version."""

    def __init__(
        self, counts: Callable[[], Mapping[str, int]], next_due: Callable[[], float | None], now: Callable[[], float]
    ) -> None:
        self._counts = counts
        self._next_due = next_due
        self._now = now
        self._version = _package_version()

    def collect(self) -> Iterable[Metric]:
        """Return the metrics; while the journal is unavailable, only `gateway_journal_up` 0 and the version."""
        journal_up = GaugeMetricFamily("gateway_journal_up", "1 if the journal could be read at this scrape.")
        operations = GaugeMetricFamily("gateway_operations", "Active and ambiguous operations.", labels=["state"])
        past_window = GaugeMetricFamily(
            "gateway_operations_past_window", "Operations that are not settled after their settle window."
        )
        overdue = GaugeMetricFamily(
            "gateway_operation_overdue_seconds", "How long the earliest due operation has been waiting for a lookup."
        )
        try:
            counts, due_at = self._counts(), self._next_due()
        except JournalUnavailable:
            journal_up.add_metric([], 0)
        else:
            journal_up.add_metric([], 1)
            past_window.add_metric([], counts.get("past_window", 0))
            for state, count in counts.items():
                if state != "past_window":
                    operations.add_metric([state], count)
            overdue.add_metric([], 0.0 if due_at is None else max(self._now() - due_at, 0.0))
        build_info = GaugeMetricFamily("gateway_build_info", "The running version.", labels=["version"])
        build_info.add_metric([self._version], 1)
        return (journal_up, operations, past_window, overdue, build_info)


def _package_version() -> str:
    try:
        return version("module-gateway")
    except PackageNotFoundError:  # run from a checkout that is not installed
        return "unknown"
