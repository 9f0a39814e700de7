from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from gateway.domain.errors import JournalUnavailable
from gateway.domain.journal import Journal
from gateway.domain.operation import State
from gateway.journals import create_journal, postgres, queries, row_mapping, sqlite_connection
from tests.unit.journals import older_version as old
from tests.unit.journals.older_version import OlderVersion, older_version
from tests.unit.journals.records import expire, make_claim, make_settlement, sending_operation


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
    execute(postgres_url, "DROP SCHEMA public CASCADE")
    execute(postgres_url, "CREATE SCHEMA public")
    with pytest.raises(JournalUnavailable):
        journal.claim(make_claim())
    assert journal.claim(make_claim()).match == "claimed"
    journal.close()


@pytest.fixture
def older(shared_url: str, tmp_path: Path) -> Iterator[OlderVersion]:
    """The older version of the program, with a database that it has created."""
    (tmp_path / "folder").mkdir()  # of the SQLite file
    with older_version(shared_url) as program:
        program.create_schema()
        yield program


@pytest.fixture
def journal(older: OlderVersion, shared_url: str) -> Iterator[Journal]:
    """This version's journal in the same database; it is upgraded when the journal is first used."""
    journal = create_journal(shared_url)
    yield journal
    journal.close()


def test_database_of_the_older_version_is_upgraded(older: OlderVersion, journal: Journal) -> None:
    """Operations of the older version are read, conflict, end and expire like those of this version."""
    sending, settled = make_claim(), make_claim(request_id="request", fingerprint="f", dedup_until=700.0)
    assert older.claim(sending)
    assert older.claim(settled)
    older.settle(settled.id)
    assert journal.get(sending.id) == sending_operation(sending)
    assert journal.claim(make_claim(natural_key=sending.natural_key)).operation == sending_operation(sending)
    result = journal.claim(make_claim(request_id="request", fingerprint="f"))
    assert (result.match, result.operation.claim.id, result.operation.observed_seconds) == ("memory", settled.id, 0.0)
    journal.settle(sending.id, make_settlement(at=106.0))
    assert expire(journal, settled_before=200.0, limit=10) == 2
    assert older.execute("SELECT version FROM schema_additions").fetchall() == [(1,), (2,), (3,)]
    assert older.execute(old.GET_VERSION).fetchall() == [(1,)]


def test_older_version_continues_to_use_the_database(older: OlderVersion, journal: Journal) -> None:
    """Every statement of the older version works after the upgrade, on its own operations and on this version's."""
    claims = [make_claim(idempotency_key="a"), make_claim(idempotency_key="b")]
    journal.claim(claims[0])
    assert older.claim(claims[1])
    assert older.execute(old.GET_VERSION).fetchall() == [(1,)]
    for claim in claims:
        again = make_claim(idempotency_key=claim.idempotency_key)
        assert not older.claim(again)
        assert older.find_conflicts(again) == [claim.id]
    assert older.execute(old.NEXT_DUE).fetchone()[0] == 110.0
    older.execute(old.MARK_UNKNOWN, id=claims[0].id, at=104.0, due_at=105.0, note="{}\n")
    due = older.execute(old.FIND_DUE, now=110.0, limit=5).fetchall()
    assert due == [(claims[0].id,), (claims[1].id,)]
    for (key,) in due:
        leased = older.execute(old.LEASE, id=key, now=110.0, due_at=140.0, owner="old", note="{}\n").fetchall()
        assert leased == older.execute(old.GET, id=key).fetchall()
        older.execute(old.RESCHEDULE, id=key, due_at=150.0, at=141.0, note="{}\n")
        operation = journal.get(key)
        assert operation is not None
        assert (operation.state, operation.due_at, operation.lookups) == (State.RECONCILING, 150.0, 1)
        older.settle(key)
    shared = make_claim(idempotency_key="c")
    parameters = row_mapping.claim_params(shared) | {"holds_name": None, "module": "{}", "module_id": "m", "at": 105.0}
    older.execute(old.SHARE_RESULT, **parameters)
    assert journal.claim(make_claim(idempotency_key="c")).operation.claim.id == shared.id
    older.execute(old.CLEAR_DEDUP_FOR_MODULE, module_id="m")
    assert sorted(older.execute(old.COUNTS).fetchall()) == [("succeeded", 3)]
    assert older.execute(old.EXPIRE, settled_before=200.0, limit=10).rowcount == 3
    assert journal.counts() == {state.value: 0 for state in State}


@pytest.mark.parametrize(("seen_at", "before"), [(99.5, True), (100.0, False), (150.0, False)])
@pytest.mark.parametrize("old_row", ["operation", "id", "both"])
def test_rows_of_the_older_version_are_compared_by_time(
    older: OlderVersion, journal: Journal, shared_url: str, seen_at: float, old_row: str, *, before: bool
) -> None:
    """If the order is not known, an id was seen before a claim if it is older by more than the clocks may differ.

    The order contradicts the times here; PostgreSQL knows it for operations of the older version too.
    """
    journal.counts()
    claim = make_claim(claimed_at=130.0)
    if old_row != "id":
        assert older.claim(claim)
    if before and old_row == "id":
        journal.claim(claim)
    if old_row == "operation":
        journal.record_seen(claim.backend, "2", ["1"], at=seen_at)
    else:
        ids = '["1"]'
        older.execute(old.INSERT_SEEN, backend=claim.backend, scope="2", ids=ids, at=seen_at)
    if not before and old_row == "id":
        journal.claim(claim)
    is_known = old_row == "operation" and shared_url.startswith("postgresql")
    seen = journal.was_seen_before(claim, "2", "1", clock_skew_seconds=30.0)
    assert seen == (before and not is_known)


def test_number_of_an_operation_that_the_older_version_deleted(older: OlderVersion, journal: Journal) -> None:
    """The number is not given again, so an id that was seen meanwhile is older than the next claim."""
    first, second = make_claim(), make_claim()
    journal.claim(first)
    journal.record_seen(first.backend, "2", ["1"], at=900.0)
    older.settle(first.id)
    assert older.execute(old.EXPIRE, settled_before=200.0, limit=10).rowcount == 1
    journal.claim(second)
    assert journal.was_seen_before(second, "2", "1", clock_skew_seconds=0.0)


def test_newer_additions_are_ignored(shared_url: str) -> None:
    """A database with additions that this version does not know can be used after a rollback."""
    journal = create_journal(shared_url)
    journal.counts()
    journal.close()
    execute(shared_url, "INSERT INTO schema_additions (version) VALUES (7)")
    journal = create_journal(shared_url)
    assert journal.claim(make_claim()).match == "claimed"
    journal.close()


def test_failed_addition_is_rolled_back(
    older: OlderVersion, journal: Journal, shared_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After a failure between two additions none is applied: the older version works, and the upgrade is repeated."""
    claim = make_claim()
    assert older.claim(claim)
    module = postgres if shared_url.startswith("postgresql") else sqlite_connection
    with monkeypatch.context() as patch:
        patch.setattr(module, "_ADDITIONS", (*module._ADDITIONS, ("CREATE NONSENSE",)))
        with pytest.raises(JournalUnavailable):
            journal.counts()
    assert older.claim(make_claim())
    assert journal.get(claim.id) == sending_operation(claim)
