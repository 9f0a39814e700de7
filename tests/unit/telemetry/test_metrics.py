"""Metrics: requests, exchanges, the journal's operations and the reconciler's lookups, in Prometheus' format."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError
from pathlib import Path
from typing import Any, Final

import pytest
from prometheus_client.parser import text_string_to_metric_families

from gateway.domain.errors import JournalUnavailable
from gateway.telemetry.metrics import HISTOGRAM_BUCKETS, Metrics
from gateway.telemetry.shared_memory import SharedMemory

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
    """The gauge is the number of requests in flight."""
    metrics.in_flight += 2
    assert samples(metrics, "gateway_requests_in_flight") == {(): 2.0}


@pytest.fixture
def shared() -> Iterator[SharedMemory]:
    """The memory that the workers of a server share."""
    memory = SharedMemory()
    yield memory
    memory.close()


def _worker(shared: SharedMemory, slot: int, **options: Any) -> Metrics:
    """Return the metrics of a worker that has counted one request and one lookup, and serves three requests."""
    metrics = Metrics(dict, backends=["cmdb"], **options)
    metrics.share(shared, slot)
    metrics.record_lookup("cmdb", "succeeded")
    metrics.record_request(FIELDS, 0.02)
    metrics.in_flight = 3
    return metrics


def _totals(metrics: Metrics) -> tuple[float, float, float, float]:
    """Return lookups, requests, requests in flight and whether the circuit is open, as a scrape shows them."""
    (lookups,) = samples(metrics, "gateway_reconciler_looks_total").values()
    buckets = samples(metrics, "gateway_request_seconds_bucket")
    in_flight, circuit = samples(metrics, "gateway_requests_in_flight"), samples(metrics, "gateway_circuit_open")
    return lookups, buckets["/modules", "POST", "0.025"], in_flight[()], circuit["cmdb",]


def test_one_scrape_covers_all_workers(shared: SharedMemory) -> None:
    """A scrape has the current counters of all workers; the others publish them on request."""
    second = _worker(shared, 1)
    first = _worker(shared, 0, sleep=lambda _seconds: second._publish_if_due())
    second.record_circuit_state("cmdb", is_open=True)
    assert _totals(first) == (2.0, 2.0, 6.0, 1.0)
    second.record_lookup("cmdb", "succeeded")
    assert _totals(first) == (3.0, 2.0, 6.0, 1.0)


def test_a_worker_that_does_not_answer(shared: SharedMemory) -> None:
    """Its last metrics are used, after a short wait."""
    first, second = _worker(shared, 0), _worker(shared, 1)
    second.render()
    second.record_lookup("cmdb", "succeeded")
    assert _totals(first) == (2.0, 2.0, 6.0, 0.0)


def test_the_counters_of_a_dead_worker_stay(shared: SharedMemory) -> None:
    """Its gauges end with it; the next worker in its slot continues its counters, so that no total decreases."""
    first, second = _worker(shared, 0), _worker(shared, 1)
    second.record_circuit_state("cmdb", is_open=True)
    second.render()
    shared.mark_ended(1)
    assert _totals(first) == (2.0, 2.0, 3.0, 0.0)
    third = _worker(shared, 1)
    for metrics in (first, third):
        third.render()
        assert _totals(metrics) == (3.0, 3.0, 6.0, 0.0)


def test_publication(shared: SharedMemory, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    """A worker looks often for requests to publish; an error is logged, and does not end that."""
    delays: list[float] = []

    def sleep(seconds: float) -> None:
        delays.append(seconds)
        if len(delays) == 3:
            monkeypatch.setattr(metrics, "_publish_if_due", lambda: 1 / 0)
        if len(delays) == 4:
            raise KeyboardInterrupt

    metrics = Metrics(dict)
    metrics._publish_if_due()
    metrics.share(shared, 0)
    with pytest.raises(KeyboardInterrupt):
        metrics.run(sleep)
    assert delays == [0.05] * 4
    assert [record.message for record in caplog.records] == ["metrics were not published"]


@pytest.mark.parametrize("failing", ["publish", "read", "slots", "request_publication"])
def test_memory_that_fails(
    shared: SharedMemory, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, failing: str
) -> None:
    """If metrics cannot be written or read, a scrape has the worker's own; the log says so once."""
    first, _second = _worker(shared, 0), _worker(shared, 1)

    def fail(*_args: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(shared, failing, fail)
    third = _worker(shared, 2)
    for metrics in (first, third, first):
        assert _totals(metrics)[0] in {1.0, 2.0, 3.0}
    messages = [record.message for record in caplog.records]
    assert set(messages) <= {"metrics cannot be shared"}
    assert len(messages) <= 3  # one of each worker


def test_without_anonymous_files(monkeypatch: pytest.MonkeyPatch) -> None:
    """A temporary file without a name is used where the system has no memfd_create."""
    monkeypatch.delattr(os, "memfd_create")
    memory = SharedMemory()
    memory.publish(0, b"[]")
    snapshot = SharedMemory(memory.descriptor).read(0)
    assert snapshot is not None
    assert snapshot.content == b"[]"
    memory.close()


def test_a_slot_that_is_too_large_or_being_written(shared: SharedMemory) -> None:
    """Neither is read as metrics."""
    with pytest.raises(OSError, match="too large"):
        shared.publish(0, b"a" * 16 * 1024 * 1024)
    shared.publish(0, b"[]")
    os.pwrite(shared.descriptor, b"{}", 8 + 21)
    assert shared.read(0) is None
    assert shared.read(7) is None


_VARIABLE: Final = """
import gateway.telemetry.metrics as metrics
metrics.Metrics(dict).record_lookup("cmdb", "succeeded")
"""


def test_a_multiprocess_folder_is_ignored(tmp_path: Path) -> None:
    """prometheus_client's own variable would put every value into a file that a full disk makes fatal."""
    environ = {**os.environ, "PROMETHEUS_MULTIPROC_DIR": str(tmp_path)}
    subprocess.run([sys.executable, "-c", _VARIABLE], env=environ, check=True)
    assert not list(tmp_path.iterdir())


def test_package_not_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    """In a checkout that is not installed the version is "unknown"."""

    def missing(_name: str) -> str:
        raise PackageNotFoundError

    monkeypatch.setattr("gateway.telemetry.metrics.version", missing)
    assert samples(Metrics(dict), "gateway_build_info") == {("unknown",): 1.0}
