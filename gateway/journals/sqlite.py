"""The embedded journal: one SQLite file, shared by the worker processes of one machine."""

from __future__ import annotations

import os
import sqlite3
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import ClassVar, Final

from gateway.domain.errors import JournalUnavailable
from gateway.domain.messages import message
from gateway.journals.row_mapping import Row
from gateway.journals.sql import SqlJournal
from gateway.journals.sql_changes import Execute, Parameters
from gateway.journals.sqlite_connection import (
    PendingStatement,
    ProcessState,
    RetryingConnection,
    immediate_transaction,
    initialize,
    is_busy,
)

_BUSY_TIMEOUT: Final = 2.0  # seconds
#: The highest number of an operation, and of an id that was recorded: an older version of the program may have deleted
#: the operation. The conditions select the indexes, without which each claim would read the whole table.
_LAST_NUMBER: Final = """max(
    (SELECT coalesce(max(number), 0) FROM operations WHERE number IS NOT NULL),
    (SELECT coalesce(max(last_number), 0) FROM met WHERE last_number IS NOT NULL)
)"""
#: Number of writes, of about five pages each, from which a checkpoint is made.
_CHECKPOINT_AFTER: Final = 200


class SqliteJournal(SqlJournal):
    """A journal in a file, or in memory if `path` is None: for one process, and lost when it ends.

    A connection must not be used after a fork, not even to close it: each process opens its own at the first use and
    does not touch an inherited one. Threads share the connection under a lock.
    """

    json_array_table: ClassVar[str] = "json_each(:ids)"
    next_number: ClassVar[str] = f"{_LAST_NUMBER} + 1"
    last_number: ClassVar[str] = _LAST_NUMBER

    def __init__(self, path: Path | None) -> None:
        self._path = str(path.absolute()) if path else None  # a str: converting a Path at each write costs time
        self._states: dict[int, ProcessState] = {}

    def close(self) -> None:
        """Close this process's connection; the next use opens another."""
        state = self._state()
        with state.lock:
            state.close()

    def checkpoint(self) -> None:
        """Copy the write-ahead log into the file outside a commit.

        Inside a commit this delays a create, by up to 60 ms with a file of 50,000 operations. Here it takes 5 ms at a
        hundred creates a second.
        """
        state = self._state()
        if state.writes < _CHECKPOINT_AFTER:
            return
        state.writes = 0
        with self._connection() as connection:
            connection.execute("PRAGMA wal_checkpoint(PASSIVE)")

    def _read(self, statement: str, parameters: Parameters) -> Sequence[Row]:
        with self._connection() as connection:
            return connection.execute(statement, parameters).fetchall()

    def _execute_write(self, statement: str, parameters: Parameters) -> int:
        """Commit a statement together with all others that are pending: the first thread to get the lock commits them.

        Most of a commit's cost is the disk's, and the same for one statement and for fifty: at full load this halves
        the cost of a create.
        """
        state, pending = self._state(), PendingStatement(statement, parameters)
        state.pending.append(pending)
        time.sleep(0)  # lets other greenlets add their statements: SQLite blocks the thread
        deadline = time.monotonic() + _BUSY_TIMEOUT
        with state.lock:
            if not pending.done:
                self._commit_group(state, [state.pending.popleft() for _ in range(len(state.pending))], deadline)
        return pending.result()

    def _commit_group(self, state: ProcessState, group: Sequence[PendingStatement], deadline: float) -> None:
        """Execute statements in one transaction; if that fails, each in its own."""
        state.writes += len(group)
        if len(group) > 1:
            with suppress(Exception):
                connection = self._open(state, deadline)
                with immediate_transaction(connection):
                    counts = [connection.execute(item.statement, item.parameters).rowcount for item in group]
                for item, count in zip(group, counts, strict=True):
                    item.row_count = count
                return
        for item in group:
            try:
                item.row_count = self._open(state, deadline).execute(item.statement, item.parameters).rowcount
            except sqlite3.Error as error:
                item.error = self._unavailable(state, error)
            except Exception as error:  # a value that cannot be stored: raised to the thread that passed it
                item.error = error

    @contextmanager
    def _transaction(self) -> Iterator[Execute]:
        with self._connection() as connection, immediate_transaction(connection) as execute:
            yield execute

    @contextmanager
    def _connection(self) -> Iterator[sqlite3.Connection]:
        """Lock and return the connection; the time for the lock counts towards the busy timeout."""
        state, deadline = self._state(), time.monotonic() + _BUSY_TIMEOUT
        with state.lock:
            try:
                yield self._open(state, deadline)
            except sqlite3.Error as error:
                raise self._unavailable(state, error) from error

    def _state(self) -> ProcessState:
        pid = os.getpid()
        return self._states.get(pid) or self._states.setdefault(pid, ProcessState())

    def _open(self, state: ProcessState, deadline: float) -> RetryingConnection:
        connection = state.connection or self._connect()
        connection.deadline = deadline
        if state.connection:
            self._check_not_moved(state)
            return connection
        try:
            initialize(connection)
        except BaseException:
            connection.close()
            raise
        state.connection, state.inode = connection, self._inode()
        return connection

    def _check_not_moved(self, state: ProcessState) -> None:
        """Raise if the file was moved or deleted: a process that starts later would not see further writes."""
        if state.inode != self._inode():
            raise JournalUnavailable(message("journal_moved"))

    def _inode(self) -> int | None:
        """Return the inode of the journal's file, None if there is no file."""
        try:
            return os.stat(self._path).st_ino if self._path else None  # noqa: PTH116 - half the cost, at every write
        except OSError:
            return None

    def _connect(self) -> RetryingConnection:
        if self._path:
            try:
                Path(self._path).parent.mkdir(parents=True, exist_ok=True)
            except OSError as error:
                raise JournalUnavailable(message("journal_directory")) from error
        return sqlite3.connect(
            self._path or ":memory:",
            timeout=0,
            isolation_level=None,
            check_same_thread=False,
            factory=RetryingConnection,
        )

    def _unavailable(self, state: ProcessState, error: sqlite3.Error) -> JournalUnavailable:
        """Return the error to raise; the next call reconnects, except to a database in memory, which would be lost."""
        if self._path and not is_busy(error):
            state.close()
        return JournalUnavailable(message("journal_failed", reason=getattr(error, "sqlite_errorname", "misuse")))
