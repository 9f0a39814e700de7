"""The embedded journal: one SQLite file, shared by the worker processes of one machine."""

from __future__ import annotations

import math
import os
import sqlite3
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import ClassVar, Final, TypeVar

from gateway.domain.errors import JournalUnavailable
from gateway.domain.messages import message
from gateway.journals import change_queries, queries
from gateway.journals.row_mapping import Row
from gateway.journals.sql import SqlJournal
from gateway.journals.sql_changes import Execute, Parameters
from gateway.journals.sqlite_connection import RetryingConnection, immediate_transaction, initialize, is_busy
from gateway.journals.sqlite_writer import NATIVE_THREADS, NativeThreads, WriterThread, WriteTask

_T = TypeVar("_T")
_BUSY_TIMEOUT: Final = 2.0  # seconds
#: How much longer than that a caller waits for the thread that waits for a lock, so that it can say so; seconds.
_BUSY_MARGIN: Final = 0.1
#: These end what has begun. They are written even if their callers have given up: the sooner the better.
_FINAL_STATEMENTS: Final = frozenset({queries.SETTLE, queries.MARK_UNKNOWN, queries.RESOLVE, change_queries.END})
#: The highest number of an operation, and of an id that was recorded: an older version of the program may have deleted
#: the operation. The conditions select the indexes, without which each claim would read the whole table.
_LAST_NUMBER: Final = """max(
    (SELECT coalesce(max(number), 0) FROM operations WHERE number IS NOT NULL),
    (SELECT coalesce(max(last_number), 0) FROM met WHERE last_number IS NOT NULL)
)"""
#: Number of writes, of about five pages each, from which a checkpoint is made.
_CHECKPOINT_AFTER: Final = 200


class _ProcessState:
    """A process's connections: one that only its writer thread uses, and one that reads."""

    def __init__(self, create_writer: Callable[[_ProcessState], WriterThread]) -> None:
        self.thread = create_writer(self)
        self.writer: RetryingConnection | None = None
        self.reader: RetryingConnection | None = None
        self.read_lock = threading.Lock()
        self.inode: int | None = None
        self.writes = 0  # since the last checkpoint


class SqliteJournal(SqlJournal):
    """A journal in a file, or in memory if `path` is None: for one process, and lost when it ends.

    All writes are made by one thread of the operating system, because a commit waits for the disk, and SQLite blocks
    the thread meanwhile. Reads have a connection of their own, which no writer blocks, and need no thread; a journal in
    memory has one connection. A connection must not be used after a fork, not even to close it: each process opens its
    own at the first use and does not touch inherited ones.
    """

    json_array_table: ClassVar[str] = "json_each(:ids)"
    next_number: ClassVar[str] = f"{_LAST_NUMBER} + 1"
    last_number: ClassVar[str] = _LAST_NUMBER

    def __init__(self, path: Path | None, threads: NativeThreads = NATIVE_THREADS) -> None:
        super().__init__()
        self._path = str(path.absolute()) if path else None  # a str: converting a Path at each write costs time
        self._threads = threads
        self._states: dict[int, _ProcessState] = {}

    def close(self) -> None:
        """Close this process's connections; the next use opens others."""
        state = self._state()
        with state.read_lock:
            if state.reader:
                state.reader.close()
                state.reader = None
        with suppress(JournalUnavailable):  # the thread still waits for the disk
            self._run(lambda _connection: self._close_writer(state))
        state.thread.stop()
        self._states.pop(os.getpid(), None)

    def checkpoint(self) -> None:
        """Copy the write-ahead log into the file outside a commit.

        Inside a commit this delays a create, by up to 60 ms with a file of 50,000 operations. Here it takes 5 ms at a
        hundred creates a second.
        """
        state = self._state()
        if state.writes < _CHECKPOINT_AFTER:
            return
        state.writes = 0
        self._run(lambda connection: connection.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchall())

    def read(self, statement: str, parameters: Parameters) -> Sequence[Row]:
        """Return the rows of one statement."""
        if self._path is None:
            return self._run(lambda connection: connection.execute(statement, parameters).fetchall())
        state, deadline = self._state(), time.monotonic() + _BUSY_TIMEOUT
        if state.inode is None:
            self._run(lambda _connection: None)  # creates the file and its tables
        with state.read_lock:
            self._check_not_moved(state)
            reader = state.reader = state.reader or self._connect()
            reader.deadline = deadline
            try:
                return reader.execute(statement, parameters).fetchall()
            except sqlite3.Error as error:
                if not is_busy(error):
                    state.reader = None
                raise _unavailable(error) from error

    def execute_write(self, statement: str, parameters: Parameters, seconds: float = math.inf) -> int:
        """Commit one statement and return how many rows it changed."""
        return self._run(
            lambda connection: connection.execute(statement, parameters).rowcount,
            seconds,
            shares_commit=True,
            finish_late=statement in _FINAL_STATEMENTS,
        )

    def run_transaction(self, work: Callable[[Execute], _T]) -> _T:
        """Return the result of work that executes several statements in one transaction."""

        def run(connection: RetryingConnection) -> _T:
            with immediate_transaction(connection) as execute:
                return work(execute)

        return self._run(run)

    def _run(
        self,
        work: Callable[[RetryingConnection], _T],
        seconds: float = math.inf,
        *,
        shares_commit: bool = False,
        finish_late: bool = False,
    ) -> _T:
        """Do work in the writer thread; raises JournalUnavailable after `seconds` or the busy timeout."""
        deadline = time.monotonic() + min(seconds, _BUSY_TIMEOUT)
        task = WriteTask(work, deadline=deadline, shares_commit=shares_commit)
        wait_seconds = min(seconds, _BUSY_TIMEOUT + _BUSY_MARGIN)
        result: _T = self._state().thread.run(task, wait_seconds, finish_late=finish_late)
        return result

    def _run_group(self, state: _ProcessState, group: Sequence[WriteTask]) -> None:
        """Run tasks in one transaction; if that fails, each in its own. This is the writer thread."""
        tasks = [task for task in group if not task.is_abandoned]
        if len(tasks) > 1:
            with suppress(Exception):
                connection = self._open(state, max(task.deadline for task in tasks))
                with immediate_transaction(connection):
                    results = [task.work(connection) for task in tasks]
                for task, result in zip(tasks, results, strict=True):
                    task.succeed(result)
                state.writes += len(tasks)
                return
        for task in tasks:
            try:
                task.succeed(task.work(self._open(state, task.deadline)))
                state.writes += task.shares_commit
            except sqlite3.Error as error:
                if self._path and not is_busy(error):  # a database in memory would be lost
                    self._close_writer(state)
                task.fail(_unavailable(error))
            except Exception as error:  # a value that cannot be stored: raised to the caller that passed it
                task.fail(error)

    def _state(self) -> _ProcessState:
        pid = os.getpid()
        return self._states.get(pid) or self._states.setdefault(pid, _ProcessState(self._create_writer))

    def _create_writer(self, state: _ProcessState) -> WriterThread:
        return WriterThread(self._threads, partial(self._run_group, state))

    def _open(self, state: _ProcessState, deadline: float) -> RetryingConnection:
        """Return the writer's connection; the first time it creates the file and its tables."""
        connection = state.writer or self._connect()
        connection.deadline = deadline
        if state.writer:
            self._check_not_moved(state)
            return connection
        connection.sleep = self._threads.sleep
        try:
            initialize(connection)
        except BaseException:
            connection.close()
            raise
        state.writer, state.inode = connection, self._inode()
        return connection

    def _close_writer(self, state: _ProcessState) -> None:
        """Close the writer's connection, even if it is broken; the next use opens another, and another to read."""
        if state.writer:
            with suppress(sqlite3.Error):
                state.writer.close()
            state.writer = state.reader = state.inode = None

    def _check_not_moved(self, state: _ProcessState) -> None:
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


def _unavailable(error: sqlite3.Error) -> JournalUnavailable:
    unavailable = JournalUnavailable(message("journal_failed", reason=getattr(error, "sqlite_errorname", "misuse")))
    unavailable.__cause__ = error
    return unavailable
