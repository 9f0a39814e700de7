"""A process's connection to the embedded journal: waiting for locks, durable commits, pending statements."""

from __future__ import annotations

import sqlite3
import threading
import time
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any, Final

from gateway.domain.errors import JournalUnavailable
from gateway.domain.messages import message
from gateway.journals import change_queries, queries
from gateway.journals.migrations import is_current, migrate
from gateway.journals.sql_changes import Execute, Parameters

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
)
#: Size of the write-ahead log, in pages, from which SQLite copies it into the file inside a commit.
_AUTOCHECKPOINT_PAGES: Final = 4000


class RetryingConnection(sqlite3.Connection):
    """Waits for other processes' locks by sleeping: SQLite's busy timeout would block every greenlet."""

    deadline = 0.0

    def execute(self, statement: str, parameters: Any = (), /) -> sqlite3.Cursor:
        """Execute one statement, again until the deadline if another connection holds a lock."""
        while True:
            try:
                return super().execute(statement, parameters)
            except sqlite3.OperationalError as error:
                if not is_busy(error) or time.monotonic() > self.deadline:
                    raise
            time.sleep(_RETRY_DELAY)


class PendingStatement:
    """A statement that waits to be committed together with others, and its result."""

    __slots__ = ("error", "parameters", "row_count", "statement")

    def __init__(self, statement: str, parameters: Parameters) -> None:
        self.statement = statement
        self.parameters = parameters
        self.row_count: int | None = None
        self.error: Exception | None = None

    @property
    def done(self) -> bool:
        """Whether a thread has executed it, successfully or not."""
        return self.row_count is not None or self.error is not None

    def result(self) -> int:
        """Return how many rows it changed, or raise its error."""
        if self.error is not None:
            raise self.error
        if self.row_count is None:
            raise JournalUnavailable(message("journal_commit_interrupted"))
        return self.row_count


class ProcessState:
    """A process's connection, the lock that guards it, and the pending statements."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.pending: deque[PendingStatement] = deque()
        self.connection: RetryingConnection | None = None
        self.inode: int | None = None
        self.writes = 0  # since the last checkpoint

    def close(self) -> None:
        """Close the connection, even if it is broken."""
        if self.connection:
            with suppress(sqlite3.Error):
                self.connection.close()
            self.connection = None


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
