"""Backend error codes that no table contains are counted, and the number of series is bounded."""

from __future__ import annotations

import pytest

from gateway.domain.error_mapping import ErrorTable, UpstreamFailure
from gateway.domain.errors import JournalUnavailable
from gateway.telemetry.metrics import Metrics
from tests.unit.telemetry.test_metrics import samples


@pytest.fixture
def metrics() -> Metrics:
    return Metrics(dict, backends=["cmdb", "projectman"])


def _map(metrics: Metrics | None, backend: str, code: str) -> None:
    """Map a failure with this code through a table that contains only the code "1"."""
    table = ErrorTable({"@": JournalUnavailable, "1": JournalUnavailable})
    failure = UpstreamFailure(backend=backend, operation="create", is_write=True, status=200, code=code)
    assert isinstance(table.to_error(failure, metrics), JournalUnavailable)


def test_unmapped_codes(metrics: Metrics) -> None:
    """A code that the table does not contain is counted once; a mapped code is not; without metrics none is."""
    _map(metrics, "cmdb", "1199999")
    _map(metrics, "cmdb", "1")
    _map(None, "cmdb", "1199998")
    assert samples(metrics, "gateway_unmapped_backend_code_total") == {("cmdb", "1199999"): 1.0}


def test_unmapped_codes_are_bounded(metrics: Metrics) -> None:
    """After fifty different codes, and for malformed codes, there is one series; one for all unknown backends too."""
    for number in range(60):
        _map(metrics, "cmdb", f"E{number}")
    _map(metrics, "cmdb", "E3")
    _map(metrics, "unknown", "E3")
    _map(metrics, "cmdb", "x" * 100)
    _map(metrics, "cmdb", "a b\n")
    counts = samples(metrics, "gateway_unmapped_backend_code_total")
    assert len(counts) == 52
    assert counts["cmdb", "E3"] == 2.0
    assert counts["cmdb", "other"] == 12.0
    assert counts["other", "E3"] == 1.0
