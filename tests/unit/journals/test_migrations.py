from __future__ import annotations

import sqlite3
from pathlib import Path

import psycopg
import pytest

from gateway.domain.errors import JournalUnavailable
from gateway.journals import create_journal, queries
from tests.unit.journals.records import a_claim, sent


def execute(url: str, statement: str) -> None:
    """Do something behind the journal's back."""
    if url.startswith("postgresql"):
        with psycopg.connect(url, autocommit=True) as connection:
            connection.execute(statement.encode())
        return
    path = Path(url.removeprefix("sqlite:///"))
    file = sqlite3.connect(path, isolation_level=None)
    file.execute(statement)
    file.close()


def test_a_newer_schema_is_left_alone(shared_url: str) -> None:
    """A database of a later version is refused in words that say what to do, and works again with that version."""
    claim = a_claim()
    journal = create_journal(shared_url)
    journal.claim(claim)
    journal.close()
    execute(shared_url, "INSERT INTO schema_version (version) VALUES (7)")
    known = len(queries.MIGRATIONS)
    journal = create_journal(shared_url)
    with pytest.raises(JournalUnavailable, match=f"has version 7; this program supports at most {known}"):
        journal.claim(a_claim())
    execute(shared_url, "DELETE FROM schema_version WHERE version = 7")
    assert journal.get(claim.id) == sent(claim)
    journal.close()


def test_an_older_schema_is_migrated(shared_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """What a database lacks is added to it, once, and what it holds stays."""
    claim = a_claim()
    journal = create_journal(shared_url)
    journal.claim(claim)
    journal.close()
    newer = (*queries.MIGRATIONS, ("CREATE TABLE newer (id TEXT)", "INSERT INTO newer (id) VALUES ('once')"))
    monkeypatch.setattr(queries, "MIGRATIONS", newer)
    for _ in range(2):
        journal = create_journal(shared_url)
        assert journal.get(claim.id) == sent(claim)
        journal.close()
    execute(shared_url, "CREATE UNIQUE INDEX newer_once ON newer (id)")


def test_a_migration_that_fails_leaves_nothing(shared_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """All steps of a migration are applied or none: after a failure in the middle it can be repeated."""
    good = queries.MIGRATIONS
    monkeypatch.setattr(queries, "MIGRATIONS", (*good, ("CREATE TABLE newer (id TEXT)", "CREATE NONSENSE")))
    journal = create_journal(shared_url)
    with pytest.raises(JournalUnavailable):
        journal.counts()
    monkeypatch.setattr(queries, "MIGRATIONS", (*good, ("CREATE TABLE newer (id TEXT)",)))
    assert journal.next_due() is None
    journal.close()


@pytest.mark.loopback
def test_a_database_may_be_replaced(postgres_url: str) -> None:
    """When the tables are gone a call fails, and the next one makes them anew."""
    journal = create_journal(postgres_url)
    journal.claim(a_claim())
    execute(postgres_url, "DROP TABLE operations, met, schema_version")
    with pytest.raises(JournalUnavailable):
        journal.claim(a_claim())
    assert journal.claim(a_claim()).match == "claimed"
    journal.close()
