"""Migrations of the journal's database to the current schema."""

from __future__ import annotations

from gateway.domain.errors import JournalUnavailable
from gateway.domain.messages import message
from gateway.journals import queries
from gateway.journals.sql import Execute


def is_current(execute: Execute, has_version: str) -> bool:
    """Return whether the schema is current; `has_version` is the query that finds out whether there is a schema.

    Raises JournalUnavailable if the schema is newer than this program.
    """
    return _version(execute, has_version) == len(queries.MIGRATIONS)


def migrate(execute: Execute, has_version: str) -> None:
    """Apply the missing migrations; call it in a transaction under a lock, as another process may migrate too."""
    version = _version(execute, has_version)
    if not version:
        execute(queries.CREATE_VERSION, {})
    for number, statements in enumerate(queries.MIGRATIONS[version:], version + 1):
        for statement in statements:
            execute(statement, {})
        execute(queries.SET_VERSION, {"version": number})


def _version(execute: Execute, has_version: str) -> int:
    if not execute(has_version, {}):
        return 0
    version: int = execute(queries.GET_VERSION, {})[0][0]
    latest = len(queries.MIGRATIONS)
    if version > latest:
        raise JournalUnavailable(message("journal_schema", version=version, supported=latest))
    return version
