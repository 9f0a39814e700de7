"""The shared journal: a PostgreSQL database, for workers on several machines."""

from __future__ import annotations

import math
import os
import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from typing import ClassVar, Final, TypeVar

import psycopg
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from gateway.domain.errors import JournalUnavailable
from gateway.domain.messages import message
from gateway.journals import change_queries, queries
from gateway.journals.migrations import is_current, migrate
from gateway.journals.pg_pool import RESPONSE_TIMEOUT, ConnectionPool, Cursor, TimeoutConnection
from gateway.journals.row_mapping import Row
from gateway.journals.sql import SqlJournal
from gateway.journals.sql_changes import Execute, Parameters
from gateway.settings import Secret

_T = TypeVar("_T")
# Defaults that a URL can override.
_SETTINGS: Final = {
    "application_name": "module-gateway",
    "connect_timeout": "3",
    "tcp_user_timeout": "3000",
    "keepalives_idle": "15",
    "target_session_attrs": "read-write",  # of several hosts, the primary
}
# Each transaction begins with these, in the message of its first statement: behind a pooler in transaction mode a
# session has no settings of its own. A claim relies on seeing what other transactions committed since it started, and
# on being on disk when it returns, whatever the server's or the role's defaults are.
_BEGIN: Final = b"""
    SET TRANSACTION ISOLATION LEVEL READ COMMITTED; SET LOCAL synchronous_commit = on;
    SET LOCAL statement_timeout = 3000; SET LOCAL lock_timeout = 2000;
"""
_BEGIN_MIGRATION: Final = b"SET LOCAL statement_timeout = 0; SET LOCAL lock_timeout = 0;"
_MIGRATION_TIMEOUT: Final = 600.0  # seconds; an index on a large table takes a while
# Not to_regclass(): its cache misses a table that another process created while this one waited for the lock.
_HAS_TABLE: Final = "SELECT 1 FROM pg_class WHERE relname = :table AND pg_table_is_visible(oid)"
_LOCK_SCHEMA: Final = "SELECT pg_advisory_xact_lock(7306930284709506)"  # an arbitrary constant
_ADDITIONS: Final = (
    (
        "CREATE SEQUENCE operation_numbers",
        "SELECT nextval('operation_numbers')",  # before the first call, the last value is the next one
        *queries.ADDITIONS,
        "ALTER TABLE operations ALTER COLUMN number SET DEFAULT nextval('operation_numbers')",
    ),
    tuple(
        statement.format(
            serial_key="BIGSERIAL PRIMARY KEY", scope_of_draft="CAST(draft AS json) -> 'draft' ->> 'scope'"
        )
        for statement in (*change_queries.ADDITIONS, *queries.LIST_ADDITIONS)
    ),
    queries.INDEX_ADDITIONS,
)
_IS_FSYNC_OFF: Final = "SELECT 1 WHERE current_setting('fsync') = 'off'"


class PostgresJournal(SqlJournal):
    """A journal in a PostgreSQL database; each process has its own connections and does not touch inherited ones."""

    json_array_table: ClassVar[str] = "json_array_elements_text(CAST(:ids AS json))"
    lock_clause: ClassVar[str] = " FOR UPDATE SKIP LOCKED"
    publisher_lock: ClassVar[str] = "SELECT pg_try_advisory_xact_lock(7306930284709507)"  # an arbitrary constant
    next_number: ClassVar[str] = "nextval('operation_numbers')"
    last_number: ClassVar[str] = "(SELECT last_value FROM operation_numbers)"

    def __init__(self, url: Secret) -> None:
        super().__init__()
        self._url = url
        self._settings = {**_SETTINGS, **conninfo_to_dict(url.value)}
        self._states: dict[int, _ProcessState] = {}

    def close(self) -> None:
        """Close this process's idle connections; the next use opens others."""
        self._state().pool.close()

    def check(self) -> Sequence[str]:
        """Raise JournalUnavailable if the server accepts no writes; warn of commits that a failover may lose."""
        super().check()
        standbys = self.read("SELECT current_setting('synchronous_standby_names')", {})[0][0]
        return () if standbys else ("there is no synchronous standby: a failover may lose the last commits",)

    def read(self, statement: str, parameters: Parameters) -> Sequence[Row]:
        """Return the rows of one statement."""
        with self._connection() as connection:
            return _fetch(_execute(connection, statement, parameters))

    def execute_write(self, statement: str, parameters: Parameters, seconds: float = math.inf) -> int:
        """Commit one statement and return how many rows it changed."""
        with self._connection() as connection, connection.response_timeout(min(seconds, RESPONSE_TIMEOUT)):
            return _execute(connection, statement, parameters).rowcount

    def run_transaction(self, work: Callable[[Execute], _T]) -> _T:
        """Return the result of work that executes several statements in one transaction."""
        with self._connection() as connection, connection.transaction():
            connection.execute(_BEGIN)
            return work(_executor(connection))

    @contextmanager
    def _connection(self) -> Iterator[TimeoutConnection]:
        """Check out a connection to a migrated database; after a failure the schema is checked again."""
        state = self._state()
        try:
            with state.pool.connection() as connection:
                if not state.schema_checked:
                    _ensure_schema(connection)
                    state.schema_checked = True
                yield connection
        except psycopg.Error as error:
            state.schema_checked = False
            reason = error.sqlstate or type(error).__name__
            raise JournalUnavailable(message("journal_failed", reason=reason)) from error

    def _state(self) -> _ProcessState:
        pid = os.getpid()
        return self._states.get(pid) or self._states.setdefault(pid, _ProcessState(self._conninfo, self._url.reread))

    def _conninfo(self) -> str:
        """Return the parameters of a new connection, with user and password as they are in the URL now.

        Host and database stay those of the start: the processes of a gateway must not use two databases at once.
        """
        current = conninfo_to_dict(self._url.value)
        login = {name: value for name, value in current.items() if name in {"user", "password"}}
        return make_conninfo("", **{**self._settings, **login})


class _ProcessState:
    """A process's connections, and whether it has checked the schema."""

    def __init__(self, conninfo: Callable[[], str], reread: Callable[[], None]) -> None:
        self.pool = ConnectionPool(conninfo, reread)
        self.schema_checked = False


def check_url(url: str) -> str | None:
    """Return the error in a URL, without the URL; None if it is valid."""
    try:
        conninfo_to_dict(url)
    except psycopg.Error:
        return "is not a URL that PostgreSQL understands"
    return None


def _ensure_schema(connection: TimeoutConnection) -> None:
    """Migrate the database; raises JournalUnavailable if the server does not write its commits to the disk."""
    execute = _executor(connection)
    if execute(_IS_FSYNC_OFF, {}):
        raise JournalUnavailable(message("journal_not_durable"))
    if is_current(execute, _HAS_TABLE, _ADDITIONS):
        return
    with connection.transaction(), connection.response_timeout(_MIGRATION_TIMEOUT):
        connection.execute(_BEGIN_MIGRATION)
        connection.execute(_LOCK_SCHEMA)
        migrate(execute, _HAS_TABLE, _ADDITIONS)


def _executor(connection: TimeoutConnection) -> Execute:
    """Return a function that executes one statement of a transaction."""
    return lambda statement, parameters: _fetch(connection.execute(_to_pyformat(statement), parameters))


def _execute(connection: TimeoutConnection, statement: str, parameters: Parameters) -> Cursor:
    """Execute one statement in a transaction of its own, sent as one message."""
    cursor = connection.execute(_BEGIN + _to_pyformat(statement), parameters)
    while cursor.nextset():  # to the result of the last statement
        pass
    return cursor


def _fetch(cursor: Cursor) -> Sequence[Row]:
    return cursor.fetchall() if cursor.description else []


@cache
def _to_pyformat(statement: str) -> bytes:
    return re.sub(r":(\w+)", r"%(\1)s", statement).encode()
