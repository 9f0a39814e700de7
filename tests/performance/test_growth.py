"""What a scrape costs does not depend on how many operations have ended."""

from __future__ import annotations

import sqlite3
import time
from contextlib import closing
from pathlib import Path
from statistics import median

from gateway.journals import create_journal
from gateway.telemetry.metrics import Metrics

_FILL = """
    WITH RECURSIVE numbers(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM numbers WHERE n < 1000000)
    INSERT INTO operations (
        id, backend, natural_key, caller, request_id, fingerprint, draft, claimed_at, lease_until, settle_seconds,
        owner, state, evidence, looks, updated_at, number
    ) SELECT printf('%08d', n), 'cmdb', '[]', 'portal', 'r', 'f', '{}', n, n, 130, 'w', 'succeeded', '', 0, n, n
    FROM numbers
"""


def test_a_scrape_takes_as_long_with_a_million_operations(tmp_path: Path) -> None:
    """The median of 20 scrapes does not grow; it grew two hundred times when ended operations were counted."""
    path = tmp_path / "journal.db"
    with closing(create_journal(f"sqlite:///{path}")) as journal:
        metrics = Metrics(journal.unsettled_counts, journal.next_due)
        metrics.render()
        before = _seconds(metrics)
        with closing(sqlite3.connect(path)) as connection, connection:
            connection.execute(_FILL)
        metrics.render()
        after = _seconds(metrics)
        assert sum(journal.counts().values()) == 1_000_000
    print(f"{before * 1e3:.2f} ms without operations, {after * 1e3:.2f} ms with a million")  # noqa: T201 - a measurement
    assert after < 10 * before


def _seconds(metrics: Metrics) -> float:
    seconds = []
    for _ in range(20):
        started = time.perf_counter()
        metrics.render()
        seconds.append(time.perf_counter() - started)
    return median(seconds)
