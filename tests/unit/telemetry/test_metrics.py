"""Metrics: requests, exchanges, the journal's operations and the reconciler's lookups, in Prometheus' format."""

from __future__ import annotations

import os
import subprocess
import sys
from importlib.metadata import PackageNotFoundError
from pathlib import Path
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

from gateway.domain.errors import JournalUnavailable
from gateway.telemetry.metrics import HISTOGRAM_BUCKETS, Metrics

LABEL_ORDER = ("route", "method", "le", "status", "backend", "code", "outcome", "result", "verdict", "state", "version")
FIELDS = {"route": "/modules", "method": "POST", "status": 201, "code": None, "backend": "cmdb", "outcome": "applied"}


def samples(metrics: Metrics, name: str) -> dict[tuple[str, ...], float]:
    """Return the samples of one metric in a scrape, by the values of their labels."""
    families = text_string_to_metric_families(metrics.render().decode())
    matches = (sample for family in families for sample in family.samples if sample.name == name)
    return {
        tuple(sample.labels[label] for label in LABEL_ORDER if label in sample.labels): sample.value
        for sample in matches
    }


@pytest.fixture
def metrics() -> Metrics:
    return Metrics(dict, backends=["cmdb", "projectman"])


def test_operations_and_lookups_are_counted() -> None:
    """Operation states come from the journal, lookups from this process."""
    metrics = Metrics(lambda: {"ambiguous": 3, "reconciling": 1})
    metrics.record_lookup("cmdb", "nothing_found")
    metrics.record_ended("succeeded")
    assert samples(metrics, "gateway_operations") == {("ambiguous",): 3.0, ("reconciling",): 1.0}
    assert samples(metrics, "gateway_operations_ended_total") == {("succeeded",): 1.0}
    assert samples(metrics, "gateway_journal_up") == {(): 1.0}
    assert samples(metrics, "gateway_reconciler_looks_total") == {("cmdb", "nothing_found"): 1.0}


def test_journal_unavailable() -> None:
    """A scrape while the journal is unavailable reports that, and no metric that the journal holds."""

    def unavailable() -> dict[str, int]:
        raise JournalUnavailable

    metrics = Metrics(unavailable)
    assert samples(metrics, "gateway_journal_up") == {(): 0.0}
    assert samples(metrics, "gateway_operations") == samples(metrics, "gateway_operation_overdue_seconds") == {}


@pytest.mark.parametrize(("due", "overdue"), [(None, 0.0), (90.0, 10.0), (150.0, 0.0)])
def test_overdue(due: float | None, overdue: float) -> None:
    """The time since the earliest due operation was due; 0 if none is due."""
    metrics = Metrics(dict, lambda: due, now=lambda: 100.0)
    assert samples(metrics, "gateway_operation_overdue_seconds") == {(): overdue}


def test_version(metrics: Metrics) -> None:
    """One series names the running version."""
    ((version,),) = samples(metrics, "gateway_build_info")
    assert version[0].isdigit()


def test_requests(metrics: Metrics) -> None:
    """A request is counted once, with its labels, and its duration in one bucket."""
    metrics.record_request(FIELDS, 0.3)
    metrics.record_request(FIELDS, 0.001)
    metrics.record_request({**FIELDS, "status": 409, "code": "module_already_exists", "outcome": "not_applied"}, 99.0)
    counts = samples(metrics, "gateway_requests_total")
    assert counts == {
        ("/modules", "POST", "201", "cmdb", "", "applied"): 2.0,
        ("/modules", "POST", "409", "cmdb", "module_already_exists", "not_applied"): 1.0,
    }
    buckets = samples(metrics, "gateway_request_seconds_bucket")
    expected = [1.0 if bound < 0.3 else 2.0 for bound in HISTOGRAM_BUCKETS] + [3.0]
    assert [buckets["/modules", "POST", str(bound)] for bound in (*HISTOGRAM_BUCKETS, "+Inf")] == expected
    assert samples(metrics, "gateway_request_seconds_sum") == {("/modules", "POST"): pytest.approx(99.301)}
    assert samples(metrics, "gateway_request_seconds_count") == {("/modules", "POST"): 3.0}


def test_counters_are_cumulative(metrics: Metrics) -> None:
    """A scrape adds no request twice."""
    for count in (1.0, 2.0, 3.0):
        metrics.record_request(FIELDS, 0.3)
        for _ in range(2):
            assert samples(metrics, "gateway_requests_total") == {
                ("/modules", "POST", "201", "cmdb", "", "applied"): count
            }
            assert samples(metrics, "gateway_request_seconds_count") == {("/modules", "POST"): count}


@pytest.mark.parametrize(
    ("fields", "labels"),
    [
        ({"method": "BREW"}, ("/modules", "other", "201", "cmdb", "", "applied")),
        ({"route": None}, ("none", "POST", "201", "cmdb", "", "applied")),
        ({"code": "made_up"}, ("/modules", "POST", "201", "cmdb", "", "applied")),
        ({"backend": "made-up"}, ("/modules", "POST", "201", "", "", "applied")),
        ({"outcome": "made up"}, ("/modules", "POST", "201", "cmdb", "", "")),
        ({"outcome": None, "backend": None}, ("/modules", "POST", "201", "", "", "")),
    ],
)
def test_unknown_label_values(metrics: Metrics, fields: dict[str, Any], labels: tuple[str, ...]) -> None:
    """A value that is on no list is not exported, so that callers cannot create series."""
    metrics.record_request({**FIELDS, **fields}, 0.1)
    assert list(samples(metrics, "gateway_requests_total")) == [labels]


def test_exchanges(metrics: Metrics) -> None:
    """An exchange is counted by backend and result, its duration by backend."""
    metrics.record_exchange("cmdb", "2xx", 0.2)
    metrics.record_exchange("cmdb", "timeout", 35.0)
    metrics.record_exchange("unknown", "strange", 1.0)
    assert samples(metrics, "gateway_upstream_exchanges_total") == {
        ("cmdb", "2xx"): 1.0, ("cmdb", "timeout"): 1.0, ("other", "other"): 1.0,
    }  # fmt: skip
    assert samples(metrics, "gateway_upstream_seconds_sum") == {("cmdb",): 35.2, ("other",): 1.0}


def test_circuit(metrics: Metrics) -> None:
    """The circuit breaker of each configured backend is exported as closed until it opens."""
    assert samples(metrics, "gateway_circuit_open") == {("cmdb",): 0.0, ("projectman",): 0.0}
    metrics.record_circuit_state("cmdb", is_open=True)
    metrics.record_circuit_state("unknown", is_open=False)
    assert samples(metrics, "gateway_circuit_open") == {("cmdb",): 1.0, ("projectman",): 0.0, ("other",): 0.0}
    metrics.record_circuit_state("cmdb", is_open=False)
    assert samples(metrics, "gateway_circuit_open")["cmdb",] == 0.0


def test_in_flight(metrics: Metrics) -> None:
    """The gauge is the number of requests in flight at the last flush."""
    metrics.in_flight += 2
    assert samples(metrics, "gateway_requests_in_flight") == {(): 2.0}


def test_run(metrics: Metrics, caplog: pytest.LogCaptureFixture) -> None:
    """Metrics are flushed once a second; a failure is logged and does not end the loop."""
    delays: list[float] = []

    def sleep(seconds: float) -> None:
        delays.append(seconds)
        if len(delays) == 2:
            metrics.in_flight = "broken"  # type: ignore[assignment]
        if len(delays) == 4:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        metrics.run(sleep)
    assert delays == [1.0] * 4
    assert [record.message for record in caplog.records] == ["metrics flush failed"] * 2


_TWO_WORKERS = """
import os
from prometheus_client import multiprocess
from gateway.telemetry.metrics import Metrics
fields = {"route": "/modules", "method": "POST", "status": 201, "code": None, "backend": "cmdb", "outcome": "applied"}
pid = os.fork()
metrics = Metrics(dict, backends=["cmdb"])
metrics.record_lookup("cmdb", "succeeded")
metrics.record_request(fields, 0.02)
metrics.record_circuit_state("cmdb", is_open=pid == 0)
metrics.in_flight = 3
metrics.flush()
if pid == 0:
    os._exit(0)
os.wait()
print(metrics.render().decode())
print("-- without the dead worker --")
multiprocess.mark_process_dead(pid)
print(metrics.render().decode())
"""


def test_one_scrape_covers_all_workers(tmp_path: Path) -> None:
    """A scrape adds up all workers; the counters of a dead worker stay, its gauges are removed."""
    environ = {**os.environ, "PROMETHEUS_MULTIPROC_DIR": str(tmp_path)}
    run = subprocess.run([sys.executable, "-c", _TWO_WORKERS], env=environ, capture_output=True, text=True, check=True)
    both, alone = run.stdout.split("-- without the dead worker --")
    for text in (both, alone):
        assert 'gateway_reconciler_looks_total{backend="cmdb",verdict="succeeded"} 2.0' in text
        assert 'gateway_request_seconds_bucket{le="0.025",method="POST",route="/modules"} 2.0' in text
        assert 'gateway_request_seconds_count{method="POST",route="/modules"} 2.0' in text
    assert "gateway_requests_in_flight 6.0" in both
    assert 'gateway_circuit_open{backend="cmdb"} 1.0' in both
    assert "gateway_requests_in_flight 3.0" in alone
    assert 'gateway_circuit_open{backend="cmdb"} 0.0' in alone


def test_package_not_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    """In a checkout that is not installed the version is "unknown"."""

    def missing(_name: str) -> str:
        raise PackageNotFoundError

    monkeypatch.setattr("gateway.telemetry.metrics.version", missing)
    assert samples(Metrics(dict), "gateway_build_info") == {("unknown",): 1.0}
