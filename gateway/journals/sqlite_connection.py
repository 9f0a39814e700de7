"""A process's connection to the embedded journal: how it waits, and what every commit of it is."""

from __future__ import annotations

import sqlite3
import threading
import time
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any, Final

from gateway.journals.group_commit import Change
from gateway.journals.migrations import is_current, migrate
from gateway.journals.sql import Execute

_PAUSE_SECONDS: Final = 0.002
_HAS_VERSION: Final = "SELECT 1 FROM sqlite_master WHERE name = 'schema_version'"
#: Pages of changes that are not in the file yet; after so many SQLite copies them back, inside a commit.
_COPY_BACK_PAGES: Final = 4000


class RetryingConnection(sqlite3.Connection):
    """Waits for other processes' writes by sleeping: SQLite's own way of waiting would stop every greenlet of ours."""

    until = 0.0

    def execute(self, statement: str, parameters: Any = (), /) -> sqlite3.Cursor:
        """Execute one statement; where others keep it from beginning, again and again until it is too late."""
        while True:
            try:
                return super().execute(statement, parameters)
            except sqlite3.OperationalError as error:
                if not is_busy(error) or time.monotonic() > self.until:
                    raise
            time.sleep(_PAUSE_SECONDS)


class ProcessState:
    """A process's connection, whose turn it is, and what waits to be written."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.waiting: deque[Change] = deque()
        self.connection: RetryingConnection | None = None
        self.file: int | None = None
        self.changes = 0  # written since the file was last brought up to date

    def close(self) -> None:
        """Close it, however broken it is."""
        if self.connection:
            with suppress(sqlite3.Error):
                self.connection.close()
            self.connection = None


def prepare(connection: sqlite3.Connection) -> None:
    """Make every commit durable, and the schema the one we know."""
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = FULL")
    connection.execute(f"PRAGMA wal_autocheckpoint = {_COPY_BACK_PAGES}")
    if not is_current(_executor(connection), _HAS_VERSION):
        with writing(connection) as execute:
            migrate(execute, _HAS_VERSION)


@contextmanager
def writing(connection: sqlite3.Connection) -> Iterator[Execute]:
    """Hold the only writer's place from the start: nothing read inside can be outdated when it is written."""
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
    """Tell whether it is another connection that keeps us from reading or writing."""
    return (getattr(error, "sqlite_errorcode", 0) & 0xFF) == sqlite3.SQLITE_BUSY  # extended codes stand above
