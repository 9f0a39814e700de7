"""Codes of backends that no table knows are counted, and nobody can make the count grow without bounds."""

from __future__ import annotations

import logging
from collections.abc import Iterator

import pytest

from gateway.domain.errors import JournalUnavailable
from gateway.domain.faults import Fault
from gateway.domain.tables import ErrorTable
from gateway.telemetry.metrics import Metrics
from gateway.telemetry.unmapped import Unmapped
from tests.telemetry.test_metrics import samples


@pytest.fixture
def listening() -> Iterator[Metrics]:
    metrics = Metrics(dict, backends=["cmdb", "projectman"])
    Metrics(dict).count_unmapped()  # of a service that was there before
    metrics.count_unmapped()
    yield metrics
    logger = logging.getLogger("gateway.backends")
    logger.handlers = [handler for handler in logger.handlers if not isinstance(handler, Unmapped)]


def _refuse(backend: str, code: str) -> None:
    """Let a table meet a code that it does not know."""
    table = ErrorTable({"@": JournalUnavailable, "1": JournalUnavailable})
    table.error(Fault(backend=backend, operation="create", writes=True, status=200, code=code))


def test_unmapped_codes(listening: Metrics) -> None:
    """A code that a table does not know is counted once; one that it knows is not, nor is any other line."""
    _refuse("cmdb", "1199999")
    _refuse("cmdb", "1")
    logging.getLogger("gateway.backends").warning("something else")
    assert samples(listening, "gateway_unmapped_backend_code_total") == {("cmdb", "1199999"): 1.0}


def test_unmapped_codes_are_bounded(listening: Metrics) -> None:
    """After fifty different codes, and for what is no code, there is one series for all; and one for all strangers."""
    for number in range(60):
        _refuse("cmdb", f"E{number}")
    _refuse("cmdb", "E3")
    _refuse("stranger", "E3")
    _refuse("cmdb", "x" * 100)
    _refuse("cmdb", "a b\n")
    counted = samples(listening, "gateway_unmapped_backend_code_total")
    assert len(counted) == 52
    assert counted["cmdb", "E3"] == 2.0
    assert counted["cmdb", "other"] == 12.0
    assert counted["other", "E3"] == 1.0
