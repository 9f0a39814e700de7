"""Figures for Prometheus; with PROMETHEUS_MULTIPROC_DIR set, one scrape tells of all workers."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping
from typing import Final

from prometheus_client import CollectorRegistry, Counter, generate_latest, multiprocess
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from gateway.domain.errors import JournalUnavailable

CONTENT_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"


class Metrics:
    """The figures of one process, and those that are read off the journal when somebody asks."""

    def __init__(self, counts: Callable[[], Mapping[str, int]]) -> None:
        self._own = CollectorRegistry()
        self.looks: Final = Counter(
            "gateway_reconciler_looks",
            "Looks for lost creates, by what they showed.",
            ["backend", "verdict"],
            registry=self._own,
        )
        self._journal = _Operations(counts)

    def look(self, backend: str, verdict: str) -> None:
        """Count a look of the reconciler; `verdict` is a state, or what was found that settled nothing."""
        self.looks.labels(backend, verdict).inc()

    def render(self) -> bytes:
        """Return everything in Prometheus' text format."""
        registry = CollectorRegistry()
        registry.register(self._journal)
        if "PROMETHEUS_MULTIPROC_DIR" in os.environ:
            multiprocess.MultiProcessCollector(registry)  # type: ignore[no-untyped-call] # of prometheus_client
            return generate_latest(registry)
        return generate_latest(registry) + generate_latest(self._own)


class _Operations(Collector):
    """How many operations the journal has in each state: the same whichever worker is asked."""

    def __init__(self, counts: Callable[[], Mapping[str, int]]) -> None:
        self._counts = counts

    def collect(self) -> Iterable[Metric]:
        up = GaugeMetricFamily("gateway_journal_up", "Whether the journal could be read just now.")
        operations = GaugeMetricFamily("gateway_operations", "Operations in the journal.", labels=["state"])
        try:
            for state, count in self._counts().items():
                operations.add_metric([state], count)
            up.add_metric([], 1)
        except JournalUnavailable:
            up.add_metric([], 0)
        return (up, operations)
