"""Stands for the tests: one for each test, in a folder of its own."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.chaos import database
from tests.chaos.stand import Shape, Stand, standing

Stands = Callable[[Shape], Stand]


@pytest.fixture
def stands(tmp_path: Path) -> Iterator[Stands]:
    """Starts a stand of a given shape; it ends with the test."""
    with ExitStack() as stack:
        yield lambda shape: stack.enter_context(standing(tmp_path / "stand", shape))


@pytest.fixture(scope="session")
def new_database() -> Iterator[database.NewDatabase]:
    """Makes databases in a server that is started when the first is wanted."""
    with database.server() as started:
        yield lambda: database.new_database(started)
