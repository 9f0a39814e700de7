"""The shared journal: a PostgreSQL database, for workers on several machines."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from typing import ClassVar, Final

import psycopg
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from gateway.domain.errors import JournalUnavailable
from gateway.journals.migrations import is_current, migrate
from gateway.journals.pg_pool import Connection, Connections
from gateway.journals.row_mapping import Row
from gateway.journals.sql import Execute, Parameters, SqlJournal

# What a URL may say otherwise. A claim relies on seeing what others have committed since it began.
_SETTINGS: Final = {
    "application_name": "module-gateway",
    "connect_timeout": "3",
    "tcp_user_timeout": "3000",
    "keepalives_idle": "15",
    "options": r"-c statement_timeout=3000 -c lock_timeout=2000 -c default_transaction_isolation=read\ committed",
}
# to_regclass() would do, were it not for its memory: what another process has made while we waited it does not see.
_HAS_VERSION: Final = "SELECT 1 FROM pg_class WHERE relname = 'schema_version' AND pg_table_is_visible(oid)"
_LOCK_SCHEMA: Final = "SELECT pg_advisory_xact_lock(7306930284709506)"  # any number, always the same


class PostgresJournal(SqlJournal):
    """A journal in a PostgreSQL database; each process has its own connections and leaves inherited ones alone."""

    each: ClassVar[str] = "json_array_elements_text(CAST(:ids AS json))"
    lock_rows: ClassVar[str] = " FOR UPDATE SKIP LOCKED"

    def __init__(self, url: str) -> None:
        self._conninfo = make_conninfo("", **{**_SETTINGS, **conninfo_to_dict(url)})
        self._links: dict[int, _Link] = {}

    def close(self) -> None:
        """Close this process's connections; the next use would open others."""
        self._link().connections.close()

    def _read(self, statement: str, parameters: Parameters) -> Sequence[Row]:
        with self._connection() as connection:
            return _execute(connection, statement, parameters)

    def _change(self, statement: str, parameters: Parameters) -> int:
        with self._connection() as connection:
            return connection.execute(_translated(statement), parameters).rowcount

    @contextmanager
    def _transaction(self) -> Iterator[Execute]:
        with self._connection() as connection, connection.transaction():
            yield _executor(connection)

    @contextmanager
    def _connection(self) -> Iterator[Connection]:
        """Lend a connection to a database with our schema; after a failure it may be another database."""
        link = self._link()
        try:
            with link.connections.borrow() as connection:
                if not link.prepared:
                    _prepare(connection)
                    link.prepared = True
                yield connection
        except psycopg.Error as error:
            link.prepared = False
            raise JournalUnavailable(
                f"The journal cannot be used: {error.sqlstate or type(error).__name__}."
            ) from error

    def _link(self) -> _Link:
        pid = os.getpid()
        return self._links.get(pid) or self._links.setdefault(pid, _Link(self._conninfo))


class _Link:
    """A process's connections, and whether it has seen to the schema."""

    def __init__(self, conninfo: str) -> None:
        self.connections = Connections(conninfo)
        self.prepared = False


def check_url(url: str) -> str | None:
    """Say what is wrong with a URL, without its words."""
    try:
        conninfo_to_dict(url)
    except psycopg.Error:
        return "is not a URL that PostgreSQL understands"
    return None


def _prepare(connection: Connection) -> None:
    if not is_current(_executor(connection), _HAS_VERSION):
        with connection.transaction():
            connection.execute(_LOCK_SCHEMA)
            migrate(_executor(connection), _HAS_VERSION)


def _executor(connection: Connection) -> Execute:
    return lambda statement, parameters: _execute(connection, statement, parameters)


def _execute(connection: Connection, statement: str, parameters: Parameters) -> Sequence[Row]:
    cursor = connection.execute(_translated(statement), parameters)
    return cursor.fetchall() if cursor.description else []


@cache
def _translated(statement: str) -> bytes:
    return re.sub(r":(\w+)", r"%(\1)s", statement).encode()
