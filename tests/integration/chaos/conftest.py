from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.integration.chaos.testbed import GatewayTestbed, run_testbed


@pytest.fixture(scope="module")
def testbed(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[GatewayTestbed]:
    """The processes of a module's TOPOLOGY, for tests that use module names of their own."""
    with run_testbed(tmp_path_factory.mktemp("testbed"), request.module.TOPOLOGY) as testbed:
        yield testbed
