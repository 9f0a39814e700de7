"""The embedded journal: one SQLite file, shared by the worker processes of one machine."""

from __future__ import annotations

import os
import sqlite3
import threading
import time
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, ClassVar, Final

from gateway.domain.errors import JournalUnavailable
from gateway.journals.changes import Change
from gateway.journals.rows import Row
from gateway.journals.schema import is_current, migrate
from gateway.journals.sql import Execute, Parameters, SqlJournal

_BUSY_SECONDS: Final = 2.0  # so long another process may keep us from writing
_PAUSE_SECONDS: Final = 0.002
_HAS_VERSION: Final = "SELECT 1 FROM sqlite_master WHERE name = 'schema_version'"


class SqliteJournal(SqlJournal):
    """A journal in a file, or in memory where `path` is None: for one process, and gone with it.

    A connection must not cross a fork, not even to be closed: each process opens its own when it first needs one, and
    leaves those it inherited as they are. Threads take turns on it.
    """

    each: ClassVar[str] = "json_each(:ids)"

    def __init__(self, path: Path | None) -> None:
        self._path = str(path.absolute()) if path else None  # of a Path, the system would have to be told each time
        self._links: dict[int, _Link] = {}

    def close(self) -> None:
        """Close this process's connection; the next use would open another."""
        link = self._link()
        with link.lock:
            link.close()

    def _read(self, statement: str, parameters: Parameters) -> Sequence[Row]:
        with self._connection() as connection:
            return connection.execute(statement, parameters).fetchall()

    def _change(self, statement: str, parameters: Parameters) -> int:
        """Write together with whoever else wants to write now: the first to get his turn does it for all of them.

        Most of what a commit costs is the disk's, and that is the same for one change and for fifty: at full load this
        halves the cost of a create.
        """
        link, change = self._link(), Change(statement, parameters)
        link.waiting.append(change)
        time.sleep(0)  # others who are ready come first; under gevent nobody would, once SQLite is at work
        until = time.monotonic() + _BUSY_SECONDS
        with link.lock:
            if not change.done:
                self._write(link, [link.waiting.popleft() for _ in range(len(link.waiting))], until)
        return change.result()

    def _write(self, link: _Link, waiting: Sequence[Change], until: float) -> None:
        """Write all in one commit; where that fails, nothing of it is written, and each fails or succeeds alone."""
        if len(waiting) > 1:
            with suppress(Exception):
                connection = self._open(link, until)
                with _writing(connection):
                    counts = [connection.execute(each.statement, each.parameters).rowcount for each in waiting]
                for each, count in zip(waiting, counts, strict=True):
                    each.count = count
                return
        for each in waiting:
            try:
                each.count = self._open(link, until).execute(each.statement, each.parameters).rowcount
            except sqlite3.Error as error:
                each.error = self._failed(link, error)
            except Exception as error:  # a value that cannot be written: his who brought it
                each.error = error

    @contextmanager
    def _transaction(self) -> Iterator[Execute]:
        with self._connection() as connection, _writing(connection) as execute:
            yield execute

    @contextmanager
    def _connection(self) -> Iterator[sqlite3.Connection]:
        """Lend the connection to one thread at a time; the time it waited for its turn is part of its patience."""
        link, until = self._link(), time.monotonic() + _BUSY_SECONDS
        with link.lock:
            try:
                yield self._open(link, until)
            except sqlite3.Error as error:
                raise self._failed(link, error) from error

    def _link(self) -> _Link:
        pid = os.getpid()
        return self._links.get(pid) or self._links.setdefault(pid, _Link())

    def _open(self, link: _Link, until: float) -> _Connection:
        connection = link.connection or self._connect()
        connection.until = until
        if link.connection:
            self._check_place(link)
            return connection
        try:
            _prepare(connection)
        except BaseException:
            connection.close()
            raise
        link.connection, link.file = connection, self._file()
        return connection

    def _check_place(self, link: _Link) -> None:
        """Refuse to write on into a file that was moved or deleted: a process started later would not see it."""
        if link.file != self._file():
            raise JournalUnavailable("The journal's file is not where it was; put it back, or start anew.")

    def _file(self) -> int | None:
        """Return what tells the journal's file from any other; None where there is none."""
        try:
            return os.stat(self._path).st_ino if self._path else None  # noqa: PTH116 - on every change, at half the cost
        except OSError:
            return None

    def _connect(self) -> _Connection:
        if self._path:
            try:
                Path(self._path).parent.mkdir(parents=True, exist_ok=True)
            except OSError as error:
                raise JournalUnavailable("The journal's folder cannot be made.") from error
        return sqlite3.connect(
            self._path or ":memory:", timeout=0, isolation_level=None, check_same_thread=False, factory=_Connection
        )

    def _failed(self, link: _Link, error: sqlite3.Error) -> JournalUnavailable:
        """Begin anew with the next call, in case it was the connection; what is in memory would be lost by that."""
        if self._path and not _is_busy(error):
            link.close()
        return JournalUnavailable(f"The journal cannot be used: {getattr(error, 'sqlite_errorname', 'misuse')}.")


class _Connection(sqlite3.Connection):
    """Waits for other processes' writes by sleeping: SQLite's own way of waiting would stop every greenlet of ours."""

    until = 0.0

    def execute(self, statement: str, parameters: Any = (), /) -> sqlite3.Cursor:
        """Execute one statement; where others keep it from beginning, again and again until it is too late."""
        while True:
            try:
                return super().execute(statement, parameters)
            except sqlite3.OperationalError as error:
                if not _is_busy(error) or time.monotonic() > self.until:
                    raise
            time.sleep(_PAUSE_SECONDS)


class _Link:
    """A process's connection, whose turn it is, and what waits to be written."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.waiting: deque[Change] = deque()
        self.connection: _Connection | None = None
        self.file: int | None = None

    def close(self) -> None:
        if self.connection:
            with suppress(sqlite3.Error):
                self.connection.close()
            self.connection = None


def _prepare(connection: sqlite3.Connection) -> None:
    """Make every commit durable, and the schema the one we know."""
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = FULL")
    connection.execute("PRAGMA wal_autocheckpoint = 4000")  # pages; one that changes often is copied back less often
    if not is_current(_executor(connection), _HAS_VERSION):
        with _writing(connection) as execute:
            migrate(execute, _HAS_VERSION)


@contextmanager
def _writing(connection: sqlite3.Connection) -> Iterator[Execute]:
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


def _is_busy(error: sqlite3.Error) -> bool:
    return (getattr(error, "sqlite_errorcode", 0) & 0xFF) == sqlite3.SQLITE_BUSY  # extended codes stand above
