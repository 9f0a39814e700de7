"""What the tests stand on: processes that end with them."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.integration.chaos import database
from tests.integration.chaos.stand import Shape, Stand, match


@pytest.fixture(scope="module")
def shape() -> Shape:
    """A file of tests says for itself how its processes are to be."""
    return Shape()


@pytest.fixture(scope="module")
def shared_stand(shape: Shape, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stand]:
    """A stand for the tests of one file, each of which makes modules of names of its own."""
    with match(tmp_path_factory.mktemp("stand"), shape) as stand:
        yield stand


@pytest.fixture(scope="session")
def new_database() -> Iterator[database.NewDatabase]:
    """Makes databases in a server that is started when the first is wanted."""
    with database.server() as started:
        yield lambda: database.new_database(started)
