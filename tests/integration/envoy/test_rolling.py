from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Final

import pytest

from tests.integration.chaos import database
from tests.integration.chaos.replica import Replica
from tests.integration.chaos.testbed import eventually
from tests.integration.envoy.mesh import Mesh, MeshConfig, run_mesh
from tests.integration.envoy.resources import Json
from tests.integration.envoy.sidecars import RETRY
from tests.integration.envoy.traffic import Traffic

pytestmark = [pytest.mark.loopback, pytest.mark.timeout(900)]

LONG: Final = bool(os.environ.get("MESH_LONG"))
ROUNDS: Final = 6 if LONG else 1
CALLERS: Final = 24 if LONG else 9
JOURNALS: Final = ("sqlite", "postgres") if LONG else ("sqlite",)
#: The interval of Envoy's health checks, and the seconds that a replica serves after its check fails.
INTERVAL: Final = "0.25s"
LEAVE: Final = "1.5"


@pytest.fixture(params=JOURNALS)
def journal(request: pytest.FixtureRequest) -> Iterator[str | None]:
    """The URL of the journal; None for SQLite, which the processes of one machine share."""
    with ExitStack() as stack:
        yield database.new_database(stack.enter_context(database.server())) if request.param == "postgres" else None


@pytest.mark.parametrize(
    ("leave", "retry"),
    [
        pytest.param(LEAVE, None, id="health-checks-alone"),
        pytest.param("0", RETRY, id="retries"),
    ],
)
def test_rolling_restart(envoy: None, tmp_path: Path, journal: str | None, leave: str, retry: Json | None) -> None:
    """Replicas restart one by one under load: every create and read succeeds, and no module is created twice.

    Either they fail their health check before they stop, or they stop at once and Envoy retries.
    """
    config = MeshConfig(health=INTERVAL, retry=retry, journal=journal, environ={"GATEWAY_LEAVE_SECONDS": leave})
    with run_mesh(tmp_path / "mesh", config) as mesh:
        assert _all_healthy(mesh)
        traffic = Traffic(mesh, "plain")
        with traffic.run(CALLERS):
            assert _wait_for_traffic(traffic)
            for _ in range(ROUNDS):
                for replica in mesh.testbed.replicas:
                    _restart(mesh, replica)
                    assert _wait_for_traffic(traffic)
        assert traffic.failures == {}
        created = Counter(
            (backend, entry["natural_key"][-1])
            for backend in mesh.testbed.twins
            for entry in mesh.testbed.created(backend)
        )
        assert created == Counter(traffic.created)
        assert mesh.testbed.live() == 0


def _restart(mesh: Mesh, replica: Replica) -> None:
    replica.terminate()
    assert replica.wait(60.0) == 0
    replica.start()
    assert _all_healthy(mesh)


def _all_healthy(mesh: Mesh) -> bool:
    """Wait until Envoy's health checks of all replicas succeed."""
    return eventually(lambda: mesh.inner.count("cluster.gateway.membership_healthy") == len(mesh.testbed.replicas), 10)


def _wait_for_traffic(traffic: Traffic) -> bool:
    """Wait for a few more responses to every caller."""
    expected = traffic.responses.total() + 5 * CALLERS
    return eventually(lambda: traffic.responses.total() > expected, 30)
