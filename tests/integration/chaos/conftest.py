"""Fixtures that run processes for the tests."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.integration.chaos import database
from tests.integration.chaos.testbed import GatewayTestbed, Topology, run_testbed


@pytest.fixture(scope="module")
def topology() -> Topology:
    """The default topology; a test module may override it."""
    return Topology()


@pytest.fixture(scope="module")
def testbed(topology: Topology, tmp_path_factory: pytest.TempPathFactory) -> Iterator[GatewayTestbed]:
    """A testbed for the tests of one module, each of which uses module names of its own."""
    with run_testbed(tmp_path_factory.mktemp("testbed"), topology) as testbed:
        yield testbed


@pytest.fixture(scope="session")
def new_database() -> Iterator[database.NewDatabase]:
    """Creates databases in a PostgreSQL server that runs for the session."""
    with database.server() as postgres:
        yield lambda: database.new_database(postgres)
