"""Bringing a database to the schema that this program knows."""

from __future__ import annotations

from gateway.domain.errors import JournalUnavailable
from gateway.journals import queries
from gateway.journals.sql import Execute


def is_current(execute: Execute, has_version: str) -> bool:
    """Tell whether nothing is to be done; `has_version` asks an engine whether there is a version at all.

    A database of a newer program is left alone: JournalUnavailable.
    """
    return _version(execute, has_version) == len(queries.MIGRATIONS)


def migrate(execute: Execute, has_version: str) -> None:
    """Apply what is missing; in one transaction, under a lock: another process may have been faster."""
    version = _version(execute, has_version)
    if not version:
        execute(queries.CREATE_VERSION, {})
    for number, steps in enumerate(queries.MIGRATIONS[version:], version + 1):
        for step in steps:
            execute(step, {})
        execute(queries.NOTE_VERSION, {"version": number})


def _version(execute: Execute, has_version: str) -> int:
    if not execute(has_version, {}):
        return 0
    version: int = execute(queries.GET_VERSION, {})[0][0]
    known = len(queries.MIGRATIONS)
    if version > known:
        raise JournalUnavailable(f"The journal's schema is of version {version}; this program knows {known} at most.")
    return version
