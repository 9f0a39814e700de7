"""The figures: what the journal holds, what the reconciler saw, in Prometheus' format."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from gateway.domain.errors import JournalUnavailable
from gateway.telemetry.metrics import Metrics


def test_operations_and_looks_are_counted() -> None:
    """States come from the journal, looks from this process."""
    metrics = Metrics(lambda: {"succeeded": 3, "reconciling": 1})
    metrics.look("cmdb", "nothing_found")
    text = metrics.render().decode()
    assert 'gateway_operations{state="succeeded"} 3.0' in text
    assert "gateway_journal_up 1.0" in text
    assert 'gateway_reconciler_looks_total{backend="cmdb",verdict="nothing_found"} 1.0' in text


def test_a_journal_that_is_down_shows() -> None:
    """A scrape while the journal is down answers, and says so."""

    def down() -> dict[str, int]:
        raise JournalUnavailable

    text = Metrics(down).render().decode()
    assert "gateway_journal_up 0.0" in text
    assert "state=" not in text


_WORKER = """
import os
from gateway.telemetry.metrics import Metrics
if os.fork() == 0:
    Metrics(dict).look("cmdb", "succeeded")
    os._exit(0)
os.wait()
metrics = Metrics(dict)
metrics.look("cmdb", "succeeded")
print(metrics.render().decode())
"""


def test_one_scrape_tells_of_all_workers(tmp_path: Path) -> None:
    """With a folder to share, one worker's scrape has the other's looks too."""
    environ = {**os.environ, "PROMETHEUS_MULTIPROC_DIR": str(tmp_path)}
    run = subprocess.run([sys.executable, "-c", _WORKER], env=environ, capture_output=True, text=True, check=True)
    assert 'gateway_reconciler_looks_total{backend="cmdb",verdict="succeeded"} 2.0' in run.stdout
