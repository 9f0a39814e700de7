"""The SQL of changes: the table `changes` of updates and deletes, and the log `published_changes` of all writes.

A change holds its module by `holds_module`, which is unique, and NULL once the module is released. What is to be
published has `unpublished = 1`; partial indexes contain only these rows, so that the publisher finds them at once.
"""

from __future__ import annotations

from typing import Final

#: {serial_key} is the type of an ascending primary key whose numbers are never used again.
ADDITIONS: Final[tuple[str, ...]] = (
    *(
        f"ALTER TABLE changes ADD COLUMN {column}"
        for column in (
            "backend TEXT",
            "scope TEXT",
            "caller TEXT",
            "acting_user TEXT",
            "request_id TEXT",
            "fields TEXT",
            "lease_seconds DOUBLE PRECISION",
            "settle_seconds DOUBLE PRECISION",
            "ended_at DOUBLE PRECISION",
            "due_at DOUBLE PRECISION",
            "holds_module TEXT",
            "unpublished INTEGER",
        )
    ),
    "CREATE UNIQUE INDEX changes_hold ON changes (holds_module) WHERE holds_module IS NOT NULL",
    "CREATE INDEX changes_unpublished ON changes (ended_at) WHERE unpublished IS NOT NULL",
    "ALTER TABLE operations ADD COLUMN unpublished INTEGER",
    "CREATE INDEX operations_unpublished ON operations (updated_at) WHERE unpublished IS NOT NULL",
    """
    CREATE TABLE published_changes (
        seq {serial_key},
        at DOUBLE PRECISION NOT NULL,
        action TEXT NOT NULL,
        outcome TEXT NOT NULL,
        module_id TEXT,
        backend TEXT NOT NULL,
        scope TEXT NOT NULL,
        caller TEXT NOT NULL,
        acting_user TEXT,
        request_id TEXT NOT NULL,
        operation_id TEXT,
        fields TEXT NOT NULL
    )
    """,
    "CREATE INDEX published_changes_module ON published_changes (module_id, seq) WHERE module_id IS NOT NULL",
)

#: In the order in which sql_changes reads them.
_CHANGE_COLUMNS: Final = (
    "id, backend, scope, module_id, action, caller, acting_user, request_id, fields, started_at, lease_seconds,"
    " settle_seconds, outcome"
)

BEGIN: Final = """
    INSERT INTO changes (
        id, backend, scope, module_id, action, caller, acting_user, request_id, fields, started_at, lease_until,
        lease_seconds, settle_seconds, holds_module
    )
    VALUES (
        :id, :backend, :scope, :module_id, :action, :caller, :acting_user, :request_id, :fields, :started_at,
        :lease_until, :lease_seconds, :settle_seconds, :module_id
    )
    ON CONFLICT DO NOTHING
"""

# The first lookup of an unknown outcome is due at once.
END: Final = """
    UPDATE changes SET
        outcome = :outcome, ended_at = :at, fields = coalesce(:fields, fields), unpublished = 1, due_at = :at,
        holds_module = CASE WHEN :outcome = 'unknown' THEN holds_module END
    WHERE id = :id AND (outcome IS NULL OR (outcome = 'unknown' AND :outcome <> 'unknown'))
"""

# The plus keeps SQLite from reading all changes by the index on their start.
FIND_HELD: Final = f"""
    SELECT {_CHANGE_COLUMNS} FROM changes WHERE holds_module IS NOT NULL AND backend IS NOT NULL
    ORDER BY +started_at LIMIT 1000
"""  # noqa: S608  # the columns are constants

LEASE: Final = """
    UPDATE changes SET due_at = :due_at WHERE id = :id AND holds_module IS NOT NULL AND due_at <= :now
"""

RELEASE: Final = "UPDATE changes SET holds_module = NULL WHERE id = :id"

FIND_UNPUBLISHED_CHANGES: Final = f"""
    SELECT {_CHANGE_COLUMNS}, ended_at FROM changes WHERE unpublished IS NOT NULL ORDER BY ended_at, id LIMIT :limit
"""  # noqa: S608  # the columns are constants
FIND_UNPUBLISHED_OPERATIONS: Final = """
    SELECT id, backend, module, module_id, state, caller, draft, request_id, updated_at FROM operations
    WHERE unpublished IS NOT NULL ORDER BY updated_at, id LIMIT :limit
"""
IS_UNPUBLISHED: Final = """
    SELECT 1 WHERE EXISTS (SELECT 1 FROM changes WHERE unpublished IS NOT NULL)
    OR EXISTS (SELECT 1 FROM operations WHERE unpublished IS NOT NULL)
"""
PUBLISH: Final = """
    INSERT INTO published_changes (
        at, action, outcome, module_id, backend, scope, caller, acting_user, request_id, operation_id, fields
    )
    VALUES (
        :at, :action, :outcome, :module_id, :backend, :scope, :caller, :acting_user, :request_id, :operation_id, :fields
    )
"""
MARK_PUBLISHED: Final = "UPDATE {table} SET unpublished = NULL WHERE id = :id"

# One subquery for each bound: SQLite reads the whole table for min and max in one.
BOUNDS: Final = """
    SELECT coalesce((SELECT min(seq) FROM published_changes), 1), coalesce((SELECT max(seq) FROM published_changes), 0)
"""
LIST: Final = """
    SELECT seq, at, action, outcome, module_id, backend, scope, caller, acting_user, request_id, operation_id, fields
    FROM published_changes WHERE seq > :after AND seq <= :last AND {conditions} ORDER BY seq LIMIT :limit
"""

# The newest entry stays: its number shows which entries have been deleted. Only the oldest rows are looked at.
EXPIRE: Final = """
    DELETE FROM published_changes WHERE seq IN (
        SELECT seq FROM (SELECT seq, at FROM published_changes ORDER BY seq LIMIT :limit) AS oldest
        WHERE at < :before AND seq < (SELECT max(seq) FROM published_changes)
    )
"""
EXPIRE_ENDED: Final = """
    DELETE FROM changes WHERE started_at < :settled_before AND holds_module IS NULL AND unpublished IS NULL
"""
