from __future__ import annotations

import sqlite3
from pathlib import Path

import psycopg
import pytest

from gateway.domain.errors import JournalUnavailable
from gateway.journals import create_journal, queries
from tests.unit.journals.records import make_claim, sending_operation


def execute(url: str, statement: str) -> None:
    """Execute a statement on a connection that the journal does not use."""
    if url.startswith("postgresql"):
        with psycopg.connect(url, autocommit=True) as connection:
            connection.execute(statement.encode())
        return
    path = Path(url.removeprefix("sqlite:///"))
    file = sqlite3.connect(path, isolation_level=None)
    file.execute(statement)
    file.close()


def test_newer_schema_is_refused(shared_url: str) -> None:
    """A database of a later version is refused with an error that has both versions; a supported one works."""
    claim = make_claim()
    journal = create_journal(shared_url)
    journal.claim(claim)
    journal.close()
    execute(shared_url, "INSERT INTO schema_version (version) VALUES (7)")
    supported = len(queries.MIGRATIONS)
    journal = create_journal(shared_url)
    with pytest.raises(JournalUnavailable, match=f"has version 7; this program supports at most {supported}"):
        journal.claim(make_claim())
    execute(shared_url, "DELETE FROM schema_version WHERE version = 7")
    assert journal.get(claim.id) == sending_operation(claim)
    journal.close()


def test_older_schema_is_migrated(shared_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Missing migrations are applied once, and the stored operations remain."""
    claim = make_claim()
    journal = create_journal(shared_url)
    journal.claim(claim)
    journal.close()
    newer = (*queries.MIGRATIONS, ("CREATE TABLE newer (id TEXT)", "INSERT INTO newer (id) VALUES ('once')"))
    monkeypatch.setattr(queries, "MIGRATIONS", newer)
    for _ in range(2):
        journal = create_journal(shared_url)
        assert journal.get(claim.id) == sending_operation(claim)
        journal.close()
    execute(shared_url, "CREATE UNIQUE INDEX newer_once ON newer (id)")


def test_failed_migration_is_rolled_back(shared_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """All steps of a migration are applied or none: after a failure in the middle it can be repeated."""
    migrations = queries.MIGRATIONS
    monkeypatch.setattr(queries, "MIGRATIONS", (*migrations, ("CREATE TABLE newer (id TEXT)", "CREATE NONSENSE")))
    journal = create_journal(shared_url)
    with pytest.raises(JournalUnavailable):
        journal.counts()
    monkeypatch.setattr(queries, "MIGRATIONS", (*migrations, ("CREATE TABLE newer (id TEXT)",)))
    assert journal.next_due() is None
    journal.close()


@pytest.mark.loopback
def test_dropped_tables_are_recreated(postgres_url: str) -> None:
    """After the tables were dropped one call fails, and the next one creates them."""
    journal = create_journal(postgres_url)
    journal.claim(make_claim())
    execute(postgres_url, "DROP TABLE operations, met, schema_version")
    with pytest.raises(JournalUnavailable):
        journal.claim(make_claim())
    assert journal.claim(make_claim()).match == "claimed"
    journal.close()
