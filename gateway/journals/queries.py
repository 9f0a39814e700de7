"""The journal's SQL, the same for both databases but for the fragments that SqlJournal's subclasses define.

Parameters are named, `:like_this`. An operation holds up to three names, each unique in the database: its caller's
idempotency key (holds_key), its request deduplication entry (holds_memory) and, while it is active, its natural key
(holds_name). A name that is released is NULL. The columns contain digests, because an index entry of PostgreSQL has at
most 2,700 bytes and names may be longer.

An alias is a key or request deduplication entry of a further request for the same create. Operations are numbered in
the order in which they are claimed, and each id in `met` has the last number at its time: an id with a lower number
than the operation's was recorded before the claim, whatever the clocks say. No number is given twice. An older version
of the program, which may use the database at the same time, numbers nothing in `met`; PostgreSQL numbers its
operations by the column's default, SQLite does not.
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

# The same for both databases. Each of them adds what numbers its operations.
ADDITIONS: Final[tuple[str, ...]] = (
    "ALTER TABLE operations ADD COLUMN number BIGINT",
    "CREATE UNIQUE INDEX operations_number ON operations (number) WHERE number IS NOT NULL",
    "ALTER TABLE operations ADD COLUMN observed_seconds DOUBLE PRECISION",
    "ALTER TABLE met ADD COLUMN last_number BIGINT",
    """
    CREATE TABLE aliases (
        digest TEXT PRIMARY KEY,
        operation_id TEXT NOT NULL,
        expires_at DOUBLE PRECISION
    )
    """,
    """
    CREATE TABLE changes (
        id TEXT PRIMARY KEY,
        module_id TEXT NOT NULL,
        action TEXT NOT NULL,
        started_at DOUBLE PRECISION NOT NULL,
        lease_until DOUBLE PRECISION NOT NULL,
        outcome TEXT
    )
    """,
    "CREATE INDEX changes_module ON changes (module_id)",
    "CREATE INDEX changes_started ON changes (started_at)",
)

# The columns and indexes by which operations are listed; {scope_of_draft} is the scope in an operation's draft.
LIST_ADDITIONS: Final[tuple[str, ...]] = (
    "ALTER TABLE operations ADD COLUMN scope TEXT",
    "UPDATE operations SET scope = {scope_of_draft}",
    "CREATE INDEX operations_caller ON operations (caller, id)",
    "CREATE INDEX operations_backend ON operations (backend, id)",
    "CREATE INDEX operations_scope ON operations (backend, scope, id)",
    "CREATE INDEX operations_unusual ON operations (state, id) WHERE state NOT IN ('sending', 'succeeded')",
)

# Later additions, the same for both databases.
INDEX_ADDITIONS: Final[tuple[str, ...]] = (
    "CREATE INDEX aliases_operation ON aliases (operation_id)",
    "CREATE INDEX operations_ambiguous ON operations (updated_at) WHERE state = 'ambiguous'",
)

CREATE_VERSION: Final = "CREATE TABLE {table} (version INTEGER NOT NULL)"
GET_VERSION: Final = "SELECT max(version) FROM {table}"
SET_VERSION: Final = "INSERT INTO {table} (version) VALUES (:version)"

# In the order in which row_mapping.operation_from_row reads them.
COLUMNS: Final = (
    "id, backend, natural_key, caller, idempotency_key, request_id, fingerprint, draft, claimed_at, lease_until,"
    " memory_until, settle_seconds, owner, state, module, error, evidence, settles_at, due_at, looks, updated_at,"
    " observed_seconds"
)

# An operation is due when its claim's lease ends. If any of its names is held, by an operation or an alias, nothing is
# written. {next_number} is the number of the next operation.
CLAIM: Final = """
    INSERT INTO operations (
        id, backend, natural_key, caller, idempotency_key, request_id, fingerprint, draft, claimed_at, lease_until,
        memory_until, settle_seconds, owner, state, evidence, due_at, looks, updated_at,
        holds_key, holds_memory, holds_name, scope, number
    )
    SELECT
        :id, :backend, :natural_key, :caller, :idempotency_key, :request_id, :fingerprint, :draft, :claimed_at,
        :lease_until, CAST(:memory_until AS DOUBLE PRECISION), :settle_seconds, :owner, 'sending', '', :lease_until, 0,
        :claimed_at, :holds_key, :holds_memory, :holds_name, :scope, {next_number}
    WHERE NOT EXISTS (SELECT 1 FROM aliases WHERE digest = :holds_key OR digest = :holds_memory)
    ON CONFLICT DO NOTHING
"""

# An alias stands for an operation until that was refused, or until it expires itself.
_ALIAS_IS_VALID: Final = """
    o.id = a.operation_id AND o.state NOT IN ('refused', 'not_applied')
    AND (a.expires_at IS NULL OR a.expires_at > :claimed_at)
"""

# An alias that is not valid any more is replaced, a valid one stays.
ADD_ALIAS: Final = f"""
    INSERT INTO aliases AS a (digest, operation_id, expires_at) VALUES (:digest, :operation_id, :expires_at)
    ON CONFLICT (digest) DO UPDATE SET operation_id = excluded.operation_id, expires_at = excluded.expires_at
    WHERE NOT EXISTS (SELECT 1 FROM operations o WHERE {_ALIAS_IS_VALID})
"""  # noqa: S608  # the condition is a constant

# The operations that hold a name of a claim: first those that hold it themselves, then those that an alias stands for.
# The fourth column tells whether a request deduplication entry has expired or its module has been changed since.
FIND_CONFLICTS: Final = f"""
    SELECT o.holds_key, o.holds_memory, o.holds_name, o.memory_until <= :claimed_at OR {{is_changed}}, {COLUMNS}
    FROM operations o
    WHERE o.id = :id OR o.holds_key = :holds_key OR o.holds_memory = :holds_memory OR o.holds_name = :holds_name
    UNION ALL
    SELECT
        CASE WHEN a.expires_at IS NULL THEN a.digest END, CASE WHEN a.expires_at IS NOT NULL THEN a.digest END, NULL,
        {{is_changed}}, {COLUMNS}
    FROM aliases a JOIN operations o ON {_ALIAS_IS_VALID}
    WHERE a.digest = :holds_key OR a.digest = :holds_memory
""".format(  # noqa: S608  # the columns are constants
    is_changed="""
        EXISTS (
            SELECT 1 FROM changes c WHERE c.module_id = o.module_id
            AND (c.outcome IN ('applied', 'unknown') OR (c.outcome IS NULL AND c.lease_until < :claimed_at))
        )
    """
)

DELETE_INVALID_ALIASES: Final = f"""
    DELETE FROM aliases AS a WHERE (a.digest = :holds_key OR a.digest = :holds_memory)
    AND NOT EXISTS (SELECT 1 FROM operations o WHERE {_ALIAS_IS_VALID})
"""  # noqa: S608  # the condition is a constant

CLEAR_DEDUP: Final = "UPDATE operations SET holds_memory = NULL WHERE id = :id"
DELETE_MEMORY_ALIAS: Final = "DELETE FROM aliases WHERE digest = :holds_memory"

# {conditions} select an index; each state is read by a statement of its own.
LIST: Final = f"""
    SELECT {COLUMNS} FROM operations WHERE {{conditions}} ORDER BY id DESC LIMIT :limit
"""  # noqa: S608  # the columns are constants

GET: Final = f"SELECT {COLUMNS} FROM operations WHERE id = :id"  # noqa: S608  # the columns are constants

SETTLE: Final = """
    UPDATE operations SET
        state = :state, module = :module, module_id = :module_id, error = :error, evidence = evidence || :note,
        due_at = NULL, updated_at = :at, holds_name = NULL, unpublished = 1,
        holds_key = CASE WHEN :remembered THEN holds_key END,
        holds_memory = CASE WHEN :remembered THEN holds_memory END
    WHERE id = :id AND holds_name IS NOT NULL
"""

# A verdict ends an operation like SETTLE, also an ambiguous one, which holds no natural key any more.
RESOLVE: Final = SETTLE.replace("holds_name IS NOT NULL", "state IN ('ambiguous', 'reconciling')")

MARK_UNKNOWN: Final = """
    UPDATE operations SET
        state = 'reconciling', unpublished = 1, settles_at = :at + settle_seconds, due_at = :due_at,
        evidence = evidence || :note,
        updated_at = :at, taken_by = owner
    WHERE id = :id AND state = 'sending'
"""

# The index on holds_name contains active operations only, so it is the smallest.
FIND_DUE: Final = """
    SELECT id FROM operations
    WHERE holds_name IS NOT NULL AND (
        due_at > :horizon
        OR due_at <= :now AND (due_at <= :overdue OR taken_by IS NULL OR taken_by = :owner)
    )
    AND backend NOT IN (SELECT value FROM {json_array_table})
    ORDER BY due_at, id LIMIT :limit
"""

FIND_ACTIVE: Final = f"""
    SELECT {COLUMNS} FROM operations WHERE holds_name IS NOT NULL AND backend = :backend LIMIT 100
"""  # noqa: S608  # the columns are constants

LEASE: Final = f"""
    UPDATE operations SET
        settles_at = CASE
            WHEN state = 'sending' THEN :now + settle_seconds + (lease_until - claimed_at) ELSE settles_at
        END,
        settle_seconds = CASE
            WHEN state = 'sending' THEN settle_seconds + (lease_until - claimed_at) ELSE settle_seconds
        END,
        evidence = CASE WHEN state = 'sending' THEN evidence || :note ELSE evidence END,
        unpublished = CASE WHEN state = 'sending' THEN 1 ELSE unpublished END,
        state = 'reconciling', due_at = :due_at, taken_by = :owner, updated_at = :now
    WHERE id = :id
    RETURNING {COLUMNS}
"""  # noqa: S608  # the columns are constants

RESCHEDULE: Final = """
    UPDATE operations SET due_at = :due_at, looks = looks + 1, updated_at = :at, observed_seconds = :observed_seconds,
        evidence = CASE WHEN looks < 100 THEN evidence || :note ELSE evidence END
    WHERE id = :id AND holds_name IS NOT NULL
"""

NEXT_DUE: Final = "SELECT min(due_at) FROM operations WHERE holds_name IS NOT NULL"

# {json_array_table} is a table with the column `value`: the elements of the JSON array :ids, as text.
FIND_UNSEEN: Final = """
    SELECT 1 FROM {json_array_table} WHERE NOT EXISTS (
        SELECT 1 FROM met WHERE met.backend = :backend AND met.scope = :scope AND met.native_id = value
    ) LIMIT 1
"""

INSERT_SEEN: Final = """
    INSERT INTO met (backend, scope, native_id, at, last_number)
    SELECT :backend, :scope, value, :at, {last_number} FROM {json_array_table} WHERE NOT EXISTS (
        SELECT 1 FROM met WHERE met.backend = :backend AND met.scope = :scope AND met.native_id = value
    )
    ON CONFLICT DO NOTHING
"""

FIND_BY_MODULE: Final = """
    SELECT id, module FROM operations WHERE module_id = :module_id AND state = 'succeeded' ORDER BY claimed_at
"""

WAS_SEEN_BEFORE: Final = """
    SELECT 1 FROM met JOIN operations ON operations.id = :id
    WHERE met.backend = :backend AND met.scope = :scope AND met.native_id = :native_id
    AND coalesce(met.last_number < operations.number, met.at < :before)
"""

# An ambiguous operation waits for a person, however long.
FIND_EXPIRED: Final = """
    SELECT id, module FROM operations
    WHERE holds_name IS NULL AND updated_at < :settled_before AND state <> 'ambiguous' AND unpublished IS NULL
    ORDER BY updated_at LIMIT :limit
"""
EXPIRE_OPERATIONS: Final = "DELETE FROM operations WHERE id IN (SELECT value FROM {json_array_table}) RETURNING id"
EXPIRE_ALIASES: Final = "DELETE FROM aliases WHERE operation_id IN (SELECT value FROM {json_array_table})"

# Each half reads one small index, however many operations have ended.
UNSETTLED_COUNTS: Final = """
    SELECT state, count(*) FROM operations WHERE holds_name IS NOT NULL GROUP BY state
    UNION ALL
    SELECT state, count(*) FROM operations WHERE state = 'ambiguous' GROUP BY state
    UNION ALL
    SELECT 'past_window', count(*) FROM operations
    WHERE holds_name IS NOT NULL AND state = 'reconciling' AND observed_seconds >= settle_seconds
"""

# Reads every operation, from two indexes.
COUNTS: Final = """
    SELECT state, count(*) FROM operations WHERE holds_name IS NULL GROUP BY state
    UNION ALL
    SELECT state, count(*) FROM operations WHERE holds_name IS NOT NULL GROUP BY state
"""
