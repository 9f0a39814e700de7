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
from gateway.journals.group_commit import Change
from gateway.journals.row_mapping import Row
from gateway.journals.sql import Execute, Parameters, SqlJournal
from gateway.journals.sqlite_connection import ProcessState, RetryingConnection, is_busy, prepare, writing

_BUSY_SECONDS: Final = 2.0  # so long another process may keep us from writing
#: Changes, each of about five pages, after which that is worth doing early.
_COPY_BACK_CHANGES: Final = 200


class SqliteJournal(SqlJournal):
    """A journal in a file, or in memory where `path` is None: for one process, and gone with it.

    A connection must not cross a fork, not even to be closed: each process opens its own when it first needs one, and
    leaves those it inherited as they are. Threads take turns on it.
    """

    each: ClassVar[str] = "json_each(:ids)"

    def __init__(self, path: Path | None) -> None:
        self._path = str(path.absolute()) if path else None  # of a Path, the system would have to be told each time
        self._links: dict[int, ProcessState] = {}

    def close(self) -> None:
        """Close this process's connection; the next use would open another."""
        link = self._link()
        with link.lock:
            link.close()

    def checkpoint(self) -> None:
        """Copy changes back into the file while nobody waits for it.

        Inside a commit a create would wait, up to 60 ms in a file of 50,000 operations. Here it is 5 ms at a hundred
        creates a second, and between them.
        """
        link = self._link()
        if link.changes < _COPY_BACK_CHANGES:
            return
        link.changes = 0
        with self._connection() as connection:
            connection.execute("PRAGMA wal_checkpoint(PASSIVE)")

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

    def _write(self, link: ProcessState, waiting: Sequence[Change], until: float) -> None:
        """Write all in one commit; where that fails, nothing of it is written, and each fails or succeeds alone."""
        link.changes += len(waiting)
        if len(waiting) > 1:
            with suppress(Exception):
                connection = self._open(link, until)
                with writing(connection):
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
        with self._connection() as connection, writing(connection) as execute:
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

    def _link(self) -> ProcessState:
        pid = os.getpid()
        return self._links.get(pid) or self._links.setdefault(pid, ProcessState())

    def _open(self, link: ProcessState, until: float) -> RetryingConnection:
        connection = link.connection or self._connect()
        connection.until = until
        if link.connection:
            self._check_place(link)
            return connection
        try:
            prepare(connection)
        except BaseException:
            connection.close()
            raise
        link.connection, link.file = connection, self._file()
        return connection

    def _check_place(self, link: ProcessState) -> None:
        """Refuse to write on into a file that was moved or deleted: a process started later would not see it."""
        if link.file != self._file():
            raise JournalUnavailable("The journal's file is not where it was; put it back, or start anew.")

    def _file(self) -> int | None:
        """Return what tells the journal's file from any other; None where there is none."""
        try:
            return os.stat(self._path).st_ino if self._path else None  # noqa: PTH116 - on every change, at half the cost
        except OSError:
            return None

    def _connect(self) -> RetryingConnection:
        if self._path:
            try:
                Path(self._path).parent.mkdir(parents=True, exist_ok=True)
            except OSError as error:
                raise JournalUnavailable("The journal's folder cannot be made.") from error
        return sqlite3.connect(
            self._path or ":memory:",
            timeout=0,
            isolation_level=None,
            check_same_thread=False,
            factory=RetryingConnection,
        )

    def _failed(self, link: ProcessState, error: sqlite3.Error) -> JournalUnavailable:
        """Begin anew with the next call, in case it was the connection; what is in memory would be lost by that."""
        if self._path and not is_busy(error):
            link.close()
        return JournalUnavailable(f"The journal cannot be used: {getattr(error, 'sqlite_errorname', 'misuse')}.")
