from __future__ import annotations

import re
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import psycopg
import pytest

from gateway.domain.errors import JournalUnavailable
from gateway.domain.journal import Journal
from gateway.domain.operation import Claim, State
from gateway.journals import create_journal, postgres, queries, row_mapping, sqlite_connection
from tests.unit.journals.records import expire, make_claim, make_settlement, sending_operation

SCHEMA: Final = (
    """
    CREATE TABLE operations (
        id TEXT PRIMARY KEY, backend TEXT NOT NULL, natural_key TEXT NOT NULL, caller TEXT NOT NULL,
        idempotency_key TEXT, request_id TEXT NOT NULL, fingerprint TEXT NOT NULL, draft TEXT NOT NULL,
        claimed_at DOUBLE PRECISION NOT NULL, lease_until DOUBLE PRECISION NOT NULL,
        memory_until DOUBLE PRECISION, settle_seconds DOUBLE PRECISION NOT NULL, owner TEXT NOT NULL,
        state TEXT NOT NULL, module TEXT, error TEXT, evidence TEXT NOT NULL, settles_at DOUBLE PRECISION,
        due_at DOUBLE PRECISION, looks INTEGER NOT NULL, updated_at DOUBLE PRECISION NOT NULL, module_id TEXT,
        taken_by TEXT, holds_key TEXT, holds_memory TEXT, holds_name TEXT
    )
    """,
    "CREATE UNIQUE INDEX operations_key ON operations (holds_key) WHERE holds_key IS NOT NULL",
    "CREATE UNIQUE INDEX operations_memory ON operations (holds_memory) WHERE holds_memory IS NOT NULL",
    "CREATE UNIQUE INDEX operations_name ON operations (holds_name) WHERE holds_name IS NOT NULL",
    "CREATE INDEX operations_ended ON operations (updated_at, state) WHERE holds_name IS NULL",
    "CREATE INDEX operations_module ON operations (module_id) WHERE module_id IS NOT NULL",
    """
    CREATE TABLE met (
        backend TEXT NOT NULL, scope TEXT NOT NULL, native_id TEXT NOT NULL, at DOUBLE PRECISION NOT NULL,
        PRIMARY KEY (backend, scope, native_id)
    )
    """,
    "CREATE TABLE schema_version (version INTEGER NOT NULL)",
    "INSERT INTO schema_version (version) VALUES (1)",
)
GET_VERSION: Final = "SELECT max(version) FROM schema_version"
_CLAIMED: Final = (
    "id, backend, natural_key, caller, idempotency_key, request_id, fingerprint, draft, claimed_at, lease_until,"
    " memory_until, settle_seconds, owner"
)
_COLUMNS: Final = f"{_CLAIMED}, state, module, error, evidence, settles_at, due_at, looks, updated_at"
_HOLDS: Final = "holds_key, holds_memory, holds_name"


def _insert(columns: str, values: str) -> str:
    claimed, holds = (re.sub(r"(\w+)", r":\1", names) for names in (_CLAIMED, _HOLDS))
    return (
        f"INSERT INTO operations ({_CLAIMED}, {columns}, {_HOLDS})"  # noqa: S608 - names of columns
        f" VALUES ({claimed}, {values}, {holds}) ON CONFLICT DO NOTHING"
    )


CLAIM: Final = _insert("state, evidence, due_at, looks, updated_at", "'sending', '', :lease_until, 0, :claimed_at")
SHARE_RESULT: Final = _insert(
    "state, module, module_id, evidence, looks, updated_at", "'succeeded', :module, :module_id, '', 0, :at"
)
FIND_CONFLICTS: Final = f"""
    SELECT {_HOLDS}, {_COLUMNS} FROM operations
    WHERE id = :id OR holds_key = :holds_key OR holds_memory = :holds_memory OR holds_name = :holds_name
"""  # noqa: S608  # the columns are constants
GET: Final = f"SELECT {_COLUMNS} FROM operations WHERE id = :id"  # noqa: S608  # the columns are constants
SETTLE: Final = """
    UPDATE operations SET
        state = :state, module = :module, module_id = :module_id, error = :error, evidence = evidence || :note,
        due_at = NULL, updated_at = :at, holds_name = NULL,
        holds_key = CASE WHEN :remembered THEN holds_key END,
        holds_memory = CASE WHEN :remembered THEN holds_memory END
    WHERE id = :id AND holds_name IS NOT NULL
"""
MARK_UNKNOWN: Final = """
    UPDATE operations SET
        state = 'reconciling', settles_at = :at + settle_seconds, due_at = :due_at, evidence = evidence || :note,
        updated_at = :at
    WHERE id = :id AND state = 'sending'
"""
FIND_DUE: Final = """
    SELECT id FROM operations WHERE holds_name IS NOT NULL AND due_at <= :now ORDER BY due_at, id LIMIT :limit
"""
LEASE: Final = f"""
    UPDATE operations SET
        settles_at = CASE WHEN state = 'sending' THEN :now + settle_seconds ELSE settles_at END,
        evidence = CASE WHEN state = 'sending' THEN evidence || :note ELSE evidence END,
        state = 'reconciling', due_at = :due_at, taken_by = :owner, updated_at = :now
    WHERE id = :id
    RETURNING {_COLUMNS}
"""  # noqa: S608  # the columns are constants
RESCHEDULE: Final = """
    UPDATE operations SET due_at = :due_at, looks = looks + 1, updated_at = :at,
        evidence = CASE WHEN looks < 100 THEN evidence || :note ELSE evidence END
    WHERE id = :id AND holds_name IS NOT NULL
"""
NEXT_DUE: Final = "SELECT min(due_at) FROM operations WHERE holds_name IS NOT NULL"
CLEAR_DEDUP_FOR_MODULE: Final = "UPDATE operations SET holds_memory = NULL WHERE module_id = :module_id"
INSERT_SEEN: Final = """
    INSERT INTO met (backend, scope, native_id, at)
    SELECT :backend, :scope, value, :at FROM {json_array_table} WHERE NOT EXISTS (
        SELECT 1 FROM met WHERE met.backend = :backend AND met.scope = :scope AND met.native_id = value
    )
    ON CONFLICT DO NOTHING
"""
EXPIRE: Final = """
    DELETE FROM operations WHERE id IN (
        SELECT id FROM operations
        WHERE holds_name IS NULL AND updated_at < :settled_before ORDER BY updated_at LIMIT :limit
    )
"""
COUNTS: Final = """
    SELECT state, count(*) FROM operations WHERE holds_name IS NULL GROUP BY state
    UNION ALL
    SELECT state, count(*) FROM operations WHERE holds_name IS NOT NULL GROUP BY state
"""


class OlderVersion:
    """Uses a journal's database as the older version of the program does; each statement is a transaction."""

    def __init__(self, url: str) -> None:
        self._is_postgres = url.startswith("postgresql")
        if self._is_postgres:
            self.connection: Any = psycopg.connect(url, autocommit=True)
        else:
            self.connection = sqlite3.connect(url.removeprefix("sqlite:///"), isolation_level=None)

    def execute(self, statement: str, **parameters: Any) -> Any:
        """Execute a statement and return its cursor."""
        ids = "json_array_elements_text(CAST(:ids AS json))" if self._is_postgres else "json_each(:ids)"
        statement = statement.replace("{json_array_table}", ids)
        if self._is_postgres:
            statement = re.sub(r":(\w+)", r"%(\1)s", statement)
        return self.connection.execute(statement, parameters)

    def claim(self, claim: Claim) -> bool:
        """Insert a claim; False if one of its names is held."""
        return bool(self.execute(CLAIM, **row_mapping.claim_params(claim)).rowcount)

    def find_conflicts(self, claim: Claim) -> list[str]:
        """Return the ids of the operations that hold a name of the claim."""
        return [row[3] for row in self.execute(FIND_CONFLICTS, **row_mapping.claim_params(claim)).fetchall()]

    def settle(self, operation_id: str, at: float = 105.0) -> None:
        """End an operation with success."""
        self.execute(SETTLE, **row_mapping.settlement_params(operation_id, make_settlement(at=at, module={})))


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
    program = OlderVersion(shared_url)
    for statement in SCHEMA:
        program.execute(statement)
    yield program
    program.connection.close()


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
    assert older.execute(GET_VERSION).fetchall() == [(1,)]


def test_older_version_continues_to_use_the_database(older: OlderVersion, journal: Journal) -> None:
    """Every statement of the older version works after the upgrade, on its own operations and on this version's."""
    claims = [make_claim(idempotency_key="a"), make_claim(idempotency_key="b")]
    journal.claim(claims[0])
    assert older.claim(claims[1])
    assert older.execute(GET_VERSION).fetchall() == [(1,)]
    for claim in claims:
        again = make_claim(idempotency_key=claim.idempotency_key)
        assert not older.claim(again)
        assert older.find_conflicts(again) == [claim.id]
    assert older.execute(NEXT_DUE).fetchone()[0] == 110.0
    older.execute(MARK_UNKNOWN, id=claims[0].id, at=104.0, due_at=105.0, note="{}\n")
    due = older.execute(FIND_DUE, now=110.0, limit=5).fetchall()
    assert due == [(claims[0].id,), (claims[1].id,)]
    for (key,) in due:
        leased = older.execute(LEASE, id=key, now=110.0, due_at=140.0, owner="old", note="{}\n").fetchall()
        assert leased == older.execute(GET, id=key).fetchall()
        older.execute(RESCHEDULE, id=key, due_at=150.0, at=141.0, note="{}\n")
        operation = journal.get(key)
        assert operation is not None
        assert (operation.state, operation.due_at, operation.lookups) == (State.RECONCILING, 150.0, 1)
        older.settle(key)
    shared = make_claim(idempotency_key="c")
    parameters = row_mapping.claim_params(shared) | {"holds_name": None, "module": "{}", "module_id": "m", "at": 105.0}
    older.execute(SHARE_RESULT, **parameters)
    assert journal.claim(make_claim(idempotency_key="c")).operation.claim.id == shared.id
    older.execute(CLEAR_DEDUP_FOR_MODULE, module_id="m")
    assert sorted(older.execute(COUNTS).fetchall()) == [("succeeded", 3)]
    assert older.execute(EXPIRE, settled_before=200.0, limit=10).rowcount == 3
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
        older.execute(INSERT_SEEN, backend=claim.backend, scope="2", ids=ids, at=seen_at)
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
    assert older.execute(EXPIRE, settled_before=200.0, limit=10).rowcount == 1
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
