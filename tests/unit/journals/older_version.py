"""The statements of the program before `schema_additions`, as it sends them, on a connection of its own.

Such a program shares the database during a rolling upgrade, and uses it again after a rollback.
"""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, Final

import psycopg

from gateway.domain.operation import Claim
from gateway.journals import row_mapping
from tests.unit.journals.records import make_settlement

SCHEMA: Final = (
    """
    CREATE TABLE operations (
        id TEXT PRIMARY KEY,
        backend TEXT NOT NULL,
        natural_key TEXT NOT NULL,
        caller TEXT NOT NULL,
        idempotency_key TEXT,
        request_id TEXT NOT NULL,
        fingerprint TEXT NOT NULL,
        draft TEXT NOT NULL,
        claimed_at DOUBLE PRECISION NOT NULL,
        lease_until DOUBLE PRECISION NOT NULL,
        memory_until DOUBLE PRECISION,
        settle_seconds DOUBLE PRECISION NOT NULL,
        owner TEXT NOT NULL,
        state TEXT NOT NULL,
        module TEXT,
        error TEXT,
        evidence TEXT NOT NULL,
        settles_at DOUBLE PRECISION,
        due_at DOUBLE PRECISION,
        looks INTEGER NOT NULL,
        updated_at DOUBLE PRECISION NOT NULL,
        module_id TEXT,
        taken_by TEXT,
        holds_key TEXT,
        holds_memory TEXT,
        holds_name TEXT
    )
    """,
    "CREATE UNIQUE INDEX operations_key ON operations (holds_key) WHERE holds_key IS NOT NULL",
    "CREATE UNIQUE INDEX operations_memory ON operations (holds_memory) WHERE holds_memory IS NOT NULL",
    "CREATE UNIQUE INDEX operations_name ON operations (holds_name) WHERE holds_name IS NOT NULL",
    "CREATE INDEX operations_ended ON operations (updated_at, state) WHERE holds_name IS NULL",
    "CREATE INDEX operations_module ON operations (module_id) WHERE module_id IS NOT NULL",
    """
    CREATE TABLE met (
        backend TEXT NOT NULL,
        scope TEXT NOT NULL,
        native_id TEXT NOT NULL,
        at DOUBLE PRECISION NOT NULL,
        PRIMARY KEY (backend, scope, native_id)
    )
    """,
    "CREATE TABLE schema_version (version INTEGER NOT NULL)",
    "INSERT INTO schema_version (version) VALUES (1)",
)
GET_VERSION: Final = "SELECT max(version) FROM schema_version"
_COLUMNS: Final = (
    "id, backend, natural_key, caller, idempotency_key, request_id, fingerprint, draft, claimed_at, lease_until,"
    " memory_until, settle_seconds, owner, state, module, error, evidence, settles_at, due_at, looks, updated_at"
)
CLAIM: Final = """
    INSERT INTO operations (
        id, backend, natural_key, caller, idempotency_key, request_id, fingerprint, draft, claimed_at, lease_until,
        memory_until, settle_seconds, owner, state, evidence, due_at, looks, updated_at,
        holds_key, holds_memory, holds_name
    ) VALUES (
        :id, :backend, :natural_key, :caller, :idempotency_key, :request_id, :fingerprint, :draft, :claimed_at,
        :lease_until, :memory_until, :settle_seconds, :owner, 'sending', '', :lease_until, 0, :claimed_at,
        :holds_key, :holds_memory, :holds_name
    )
    ON CONFLICT DO NOTHING
"""
SHARE_RESULT: Final = """
    INSERT INTO operations (
        id, backend, natural_key, caller, idempotency_key, request_id, fingerprint, draft, claimed_at, lease_until,
        memory_until, settle_seconds, owner, state, module, module_id, evidence, looks, updated_at,
        holds_key, holds_memory, holds_name
    ) VALUES (
        :id, :backend, :natural_key, :caller, :idempotency_key, :request_id, :fingerprint, :draft, :claimed_at,
        :lease_until, :memory_until, :settle_seconds, :owner, 'succeeded', :module, :module_id, '', 0, :at,
        :holds_key, :holds_memory, :holds_name
    )
    ON CONFLICT DO NOTHING
"""
FIND_CONFLICTS: Final = f"""
    SELECT holds_key, holds_memory, holds_name, {_COLUMNS} FROM operations
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
WAS_SEEN_BEFORE: Final = """
    SELECT 1 FROM met WHERE backend = :backend AND scope = :scope AND native_id = :native_id AND at < :before
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
            self._connection: Any = psycopg.connect(url, autocommit=True)
        else:
            self._connection = sqlite3.connect(url.removeprefix("sqlite:///"), isolation_level=None)
        self._json_array_table = (
            "json_array_elements_text(CAST(:ids AS json))" if self._is_postgres else "json_each(:ids)"
        )

    def execute(self, statement: str, **parameters: Any) -> Any:
        """Execute a statement and return its cursor."""
        statement = statement.replace("{json_array_table}", self._json_array_table)
        if self._is_postgres:
            statement = re.sub(r":(\w+)", r"%(\1)s", statement)
        return self._connection.execute(statement, parameters)

    def create_schema(self) -> None:
        for statement in SCHEMA:
            self.execute(statement)

    def claim(self, claim: Claim) -> bool:
        """Insert a claim; False if one of its names is held."""
        return bool(self.execute(CLAIM, **row_mapping.claim_params(claim)).rowcount)

    def find_conflicts(self, claim: Claim) -> list[str]:
        """Return the ids of the operations that hold a name of the claim."""
        rows: Sequence[Sequence[Any]] = self.execute(FIND_CONFLICTS, **row_mapping.claim_params(claim)).fetchall()
        return [row[3] for row in rows]

    def settle(self, operation_id: str, at: float = 105.0) -> None:
        """End an operation with success."""
        parameters: Mapping[str, Any] = row_mapping.settlement_params(operation_id, make_settlement(at=at, module={}))
        self.execute(SETTLE, **parameters)

    def close(self) -> None:
        self._connection.close()


@contextmanager
def older_version(url: str) -> Iterator[OlderVersion]:
    """The older version of the program, connected to a database."""
    program = OlderVersion(url)
    yield program
    program.close()
