"""The journal's SQL, the same for both databases but for the fragments that SqlJournal's subclasses define.

Parameters are named, `:like_this`. An operation holds up to three names, each unique in the database: its caller's
idempotency key (holds_key), its request deduplication entry (holds_memory) and, while it is active, its natural key
(holds_name). A name that is released is NULL. The columns contain digests, because an index entry of PostgreSQL has at
most 2,700 bytes and names may be longer.
"""

from __future__ import annotations

from typing import Final

MIGRATIONS: Final[tuple[tuple[str, ...], ...]] = (
    (
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
    ),
)

CREATE_VERSION: Final = "CREATE TABLE schema_version (version INTEGER NOT NULL)"
GET_VERSION: Final = "SELECT max(version) FROM schema_version"
SET_VERSION: Final = "INSERT INTO schema_version (version) VALUES (:version)"

# In the order in which row_mapping.operation_from_row reads them.
COLUMNS: Final = (
    "id, backend, natural_key, caller, idempotency_key, request_id, fingerprint, draft, claimed_at, lease_until,"
    " memory_until, settle_seconds, owner, state, module, error, evidence, settles_at, due_at, looks, updated_at"
)

# An operation is due when its claim's lease ends. If any of its names is held, nothing is written.
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
    SELECT holds_key, holds_memory, holds_name, {COLUMNS} FROM operations
    WHERE id = :id OR holds_key = :holds_key OR holds_memory = :holds_memory OR holds_name = :holds_name
"""  # noqa: S608  # the columns are constants

CLEAR_DEDUP: Final = "UPDATE operations SET holds_memory = NULL WHERE id = :id"

GET: Final = f"SELECT {COLUMNS} FROM operations WHERE id = :id"  # noqa: S608  # the columns are constants

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

# The index on holds_name contains active operations only, so it is the smallest.
FIND_DUE: Final = """
    SELECT id FROM operations WHERE holds_name IS NOT NULL AND due_at <= :now ORDER BY due_at, id LIMIT :limit
"""

LEASE: Final = f"""
    UPDATE operations SET
        settles_at = CASE WHEN state = 'sending' THEN :now + settle_seconds ELSE settles_at END,
        evidence = CASE WHEN state = 'sending' THEN evidence || :note ELSE evidence END,
        state = 'reconciling', due_at = :due_at, taken_by = :owner, updated_at = :now
    WHERE id = :id
    RETURNING {COLUMNS}
"""  # noqa: S608  # the columns are constants

RESCHEDULE: Final = """
    UPDATE operations SET due_at = :due_at, looks = looks + 1, updated_at = :at,
        evidence = CASE WHEN looks < 100 THEN evidence || :note ELSE evidence END
    WHERE id = :id AND holds_name IS NOT NULL
"""

NEXT_DUE: Final = "SELECT min(due_at) FROM operations WHERE holds_name IS NOT NULL"

CLEAR_DEDUP_FOR_MODULE: Final = "UPDATE operations SET holds_memory = NULL WHERE module_id = :module_id"

# {json_array_table} is a table with the column `value`: the elements of the JSON array :ids, as text.
FIND_UNSEEN: Final = """
    SELECT 1 FROM {json_array_table} WHERE NOT EXISTS (
        SELECT 1 FROM met WHERE met.backend = :backend AND met.scope = :scope AND met.native_id = value
    ) LIMIT 1
"""

INSERT_SEEN: Final = """
    INSERT INTO met (backend, scope, native_id, at)
    SELECT :backend, :scope, value, :at FROM {json_array_table} WHERE NOT EXISTS (
        SELECT 1 FROM met WHERE met.backend = :backend AND met.scope = :scope AND met.native_id = value
    )
    ON CONFLICT DO NOTHING
"""

FIND_CREATOR: Final = """
    SELECT id FROM operations WHERE module_id = :module_id AND state = 'succeeded' ORDER BY claimed_at LIMIT 1
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

# Each half reads one small index instead of the table.
COUNTS: Final = """
    SELECT state, count(*) FROM operations WHERE holds_name IS NULL GROUP BY state
    UNION ALL
    SELECT state, count(*) FROM operations WHERE holds_name IS NOT NULL GROUP BY state
"""
