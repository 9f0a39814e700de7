"""Metrics that a scrape reads from the journal and the package: the same in every worker."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from importlib.metadata import PackageNotFoundError, version

from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from gateway.domain.errors import JournalUnavailable


class JournalCollector(Collector):
    """Collects operations by state, how overdue the earliest is, whether the journal answers, and the version."""

    def __init__(
        self, counts: Callable[[], Mapping[str, int]], next_due: Callable[[], float | None], now: Callable[[], float]
    ) -> None:
        self._counts = counts
        self._next_due = next_due
        self._now = now
        self._version = _package_version()

    def collect(self) -> Iterable[Metric]:
        """Return the metrics; while the journal is unavailable, only `gateway_journal_up` 0 and the version."""
        up = GaugeMetricFamily("gateway_journal_up", "1 if the journal could be read at this scrape.")
        operations = GaugeMetricFamily("gateway_operations", "Operations in the journal.", labels=["state"])
        overdue = GaugeMetricFamily(
            "gateway_operation_overdue_seconds", "How long the earliest due operation has been waiting for a lookup."
        )
        try:
            counts, due_at = self._counts(), self._next_due()
        except JournalUnavailable:
            up.add_metric([], 0)
        else:
            up.add_metric([], 1)
            for state, count in counts.items():
                operations.add_metric([state], count)
            overdue.add_metric([], 0.0 if due_at is None else max(self._now() - due_at, 0.0))
        build = GaugeMetricFamily("gateway_build_info", "The running version.", labels=["version"])
        build.add_metric([self._version], 1)
        return (up, operations, overdue, build)


def _package_version() -> str:
    try:
        return version("module-gateway")
    except PackageNotFoundError:  # run from a checkout that is not installed
        return "unknown"
