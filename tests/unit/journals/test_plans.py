"""No statement reads a whole table, so a journal of a million operations is as fast as an empty one."""

from __future__ import annotations

import re
import sqlite3
from collections import defaultdict
from contextlib import closing
from pathlib import Path
from typing import Final

import psycopg
import pytest

from gateway.journals import change_queries, create_journal, queries
from gateway.journals.postgres import PostgresJournal, _to_pyformat
from gateway.journals.sql import SqlJournal
from gateway.journals.sqlite import SqliteJournal

#: COUNTS is for measurements; the version tables have one row.
_EXCEPTIONS: Final = {"COUNTS", "CREATE_VERSION", "GET_VERSION", "SET_VERSION", "COLUMNS"}
STATEMENTS: Final = {
    f"{module.__name__.rpartition('.')[2]}.{name}": value
    for module in (queries, change_queries)
    for name, value in vars(module).items()
    if name.isupper() and isinstance(value, str) and name not in _EXCEPTIONS and not name.startswith("_")
}
_VALUES: Final[defaultdict[str, str]] = defaultdict(lambda: "1")


def _statement(name: str, journal: type[SqlJournal]) -> str:
    return STATEMENTS[name].format(
        json_array_table=journal.json_array_table,
        next_number=journal.next_number,
        last_number=journal.last_number,
        conditions="module_id = :id"
        if "published_changes" in STATEMENTS[name]
        else "caller = :caller AND id < :before",
        table="changes",
    )


@pytest.mark.parametrize("name", STATEMENTS)
def test_sqlite_reads_indexes(name: str, tmp_path: Path) -> None:
    """SQLite scans no table; of an index it scans only one of active or ambiguous operations."""
    path = tmp_path / "journal.db"
    with closing(create_journal(f"sqlite:///{path}")) as journal:
        journal.counts()
    with closing(sqlite3.connect(path)) as connection:
        rows = connection.execute(f"EXPLAIN QUERY PLAN {_statement(name, SqliteJournal)}", _VALUES).fetchall()
    # The log is read from its oldest row on, with a limit.
    limited = re.compile("SCAN (json_each|CONSTANT|published_changes$|oldest$)")
    scans = {row[3] for row in rows if row[3].startswith("SCAN") and not limited.match(row[3])}
    assert all(
        re.search(
            "INDEX (operations_name|operations_ambiguous|operations_unpublished|changes_unpublished|changes_hold)", scan
        )
        for scan in scans
    ), scans


@pytest.fixture(scope="module")
def plans(request: pytest.FixtureRequest) -> dict[str, str]:
    """PostgreSQL's plan of each statement, if it may not choose to read a small table as a whole."""
    postgres = request.getfixturevalue("postgres")
    with psycopg.connect(postgres.get_uri(), autocommit=True) as connection:
        connection.execute("CREATE DATABASE plans")
    url = postgres.get_uri(database="plans")
    with closing(create_journal(url)) as journal:
        journal.counts()
    with psycopg.connect(url, autocommit=True) as connection:  # the plan for an empty table is another one
        numbers = "SELECT n, n, 'update', n, n FROM generate_series(1, 10000) AS n"
        connection.execute(f"INSERT INTO changes (id, module_id, action, started_at, lease_until) {numbers}".encode())
        connection.execute("ANALYZE")
    with psycopg.connect(url, cursor_factory=psycopg.ClientCursor) as connection:
        connection.execute("SET enable_seqscan = off")
        return {
            name: "\n".join(
                row[0]
                for row in connection.execute(
                    b"EXPLAIN " + _to_pyformat(_statement(name, PostgresJournal)), _VALUES
                ).fetchall()
            )
            for name in STATEMENTS
        }


@pytest.mark.loopback
@pytest.mark.parametrize("name", STATEMENTS)
def test_postgres_reads_indexes(name: str, plans: dict[str, str]) -> None:
    """PostgreSQL has an index for every table of a statement."""
    assert not re.findall(r"Seq Scan on (?!operation_numbers)\w+", plans[name]), plans[name]
