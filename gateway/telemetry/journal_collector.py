"""What a scrape reads off the journal and the package: the same whichever worker is asked."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from importlib.metadata import PackageNotFoundError, version

from prometheus_client.core import GaugeMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from gateway.domain.errors import JournalUnavailable


class JournalCollector(Collector):
    """Operations by state, how late the most urgent of them is, whether the journal answers, and which version asks."""

    def __init__(
        self, counts: Callable[[], Mapping[str, int]], next_due: Callable[[], float | None], now: Callable[[], float]
    ) -> None:
        self._counts = counts
        self._next_due = next_due
        self._now = now
        self._version = _version()

    def collect(self) -> Iterable[Metric]:
        """Ask the journal; where it is down, say that and nothing else of it."""
        up = GaugeMetricFamily("gateway_journal_up", "Whether the journal could be read just now.")
        operations = GaugeMetricFamily("gateway_operations", "Operations in the journal.", labels=["state"])
        overdue = GaugeMetricFamily(
            "gateway_operation_overdue_seconds", "How long a lost create has been waiting for somebody to look for it."
        )
        try:
            counts, due = self._counts(), self._next_due()
        except JournalUnavailable:
            up.add_metric([], 0)
        else:
            up.add_metric([], 1)
            for state, count in counts.items():
                operations.add_metric([state], count)
            overdue.add_metric([], 0.0 if due is None else max(self._now() - due, 0.0))
        build = GaugeMetricFamily("gateway_build_info", "The version that runs.", labels=["version"])
        build.add_metric([self._version], 1)
        return (up, operations, overdue, build)


def _version() -> str:
    try:
        return version("module-gateway")
    except PackageNotFoundError:  # run from a folder, not installed
        return "unknown"
