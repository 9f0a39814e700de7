"""A connection to the embedded journal: waiting for locks, durable commits, the schema."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Final

from gateway.journals import change_queries, queries
from gateway.journals.migrations import is_current, migrate
from gateway.journals.sql_changes import Execute

_RETRY_DELAY: Final = 0.002  # seconds
_HAS_TABLE: Final = "SELECT 1 FROM sqlite_master WHERE name = :table"
_ADDITIONS: Final = (
    (*queries.ADDITIONS, "CREATE INDEX met_last_number ON met (last_number) WHERE last_number IS NOT NULL"),
    tuple(
        statement.format(
            serial_key="INTEGER PRIMARY KEY AUTOINCREMENT", scope_of_draft="json_extract(draft, '$.draft.scope')"
        )
        for statement in (*change_queries.ADDITIONS, *queries.LIST_ADDITIONS)
    ),
    queries.INDEX_ADDITIONS,
)
#: Size of the write-ahead log, in pages, from which SQLite copies it into the file inside a commit.
_AUTOCHECKPOINT_PAGES: Final = 4000


class RetryingConnection(sqlite3.Connection):
    """Waits for other processes' locks by sleeping: SQLite's busy timeout would block every greenlet.

    It polls more often than that, too, and waits for every lock, also when the file is opened.
    """

    deadline = 0.0
    sleep: Callable[[float], None] = staticmethod(time.sleep)  # of the thread or greenlet that uses the connection

    def execute(self, statement: str, parameters: Any = (), /) -> sqlite3.Cursor:
        """Execute one statement, again until the deadline if another connection holds a lock."""
        while True:
            try:
                return super().execute(statement, parameters)
            except sqlite3.OperationalError as error:
                if not is_busy(error) or time.monotonic() > self.deadline:
                    raise
            self.sleep(_RETRY_DELAY)


def initialize(connection: sqlite3.Connection) -> None:
    """Make every commit durable, and migrate the schema."""
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = FULL")
    connection.execute(f"PRAGMA wal_autocheckpoint = {_AUTOCHECKPOINT_PAGES}")
    if not is_current(_executor(connection), _HAS_TABLE, _ADDITIONS):
        with immediate_transaction(connection) as execute:
            migrate(execute, _HAS_TABLE, _ADDITIONS)


@contextmanager
def immediate_transaction(connection: sqlite3.Connection) -> Iterator[Execute]:
    """Hold the write lock from the start, so that a read inside is still valid at the write that follows."""
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield _executor(connection)
        connection.execute("COMMIT")
    finally:
        if connection.in_transaction:
            connection.execute("ROLLBACK")


def _executor(connection: sqlite3.Connection) -> Execute:
    return lambda statement, parameters: connection.execute(statement, parameters).fetchall()


def is_busy(error: sqlite3.Error) -> bool:
    """Return whether another connection holds a lock."""
    return (getattr(error, "sqlite_errorcode", 0) & 0xFF) == sqlite3.SQLITE_BUSY  # the low byte of extended codes
