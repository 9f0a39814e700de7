"""Migrations of the journal's database to the current schema.

`MIGRATIONS` are numbered in `schema_version`, and a program refuses a database with more of them than it knows. The
additions of each database only add objects that an older program can ignore. They are numbered in `schema_additions`,
which no older program reads: after a rollback it continues to use the database.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from gateway.domain.errors import JournalUnavailable
from gateway.domain.messages import message
from gateway.journals import queries
from gateway.journals.sql_changes import Execute

_VERSIONS: Final = "schema_version"
_ADDITIONS: Final = "schema_additions"


def is_current(execute: Execute, has_table_query: str, additions: Sequence[Sequence[str]]) -> bool:
    """Return whether the schema is current; `has_table_query` is the query that finds out whether a table exists.

    Raises JournalUnavailable if the schema is newer than this program.
    """
    version, addition = (
        _applied_version(execute, has_table_query, _VERSIONS),
        _applied_version(execute, has_table_query, _ADDITIONS),
    )
    latest = len(queries.MIGRATIONS)
    if version > latest:
        raise JournalUnavailable(message("journal_schema", version=version, supported=latest))
    return version == latest and addition >= len(additions)


def migrate(execute: Execute, has_table_query: str, additions: Sequence[Sequence[str]]) -> None:
    """Apply what is missing; call it in a transaction under a lock, as another process may migrate too."""
    if is_current(execute, has_table_query, additions):
        return
    for table, migrations in ((_VERSIONS, queries.MIGRATIONS), (_ADDITIONS, additions)):
        applied = _applied_version(execute, has_table_query, table)
        if not applied:
            execute(queries.CREATE_VERSION.format(table=table), {})
        for version, statements in enumerate(migrations[applied:], applied + 1):
            for statement in statements:
                execute(statement, {})
            execute(queries.SET_VERSION.format(table=table), {"version": version})


def _applied_version(execute: Execute, has_table_query: str, table: str) -> int:
    """Return the number of the latest migration that a table records, 0 if there is no such table."""
    if not execute(has_table_query, {"table": table}):
        return 0
    number: int = execute(queries.GET_VERSION.format(table=table), {})[0][0]
    return number
