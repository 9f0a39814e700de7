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
from tests.integration.chaos.stand import eventually
from tests.integration.envoy.resources import Json
from tests.integration.envoy.sidecars import RETRIED
from tests.integration.envoy.stand import Mesh, Shape, meshed
from tests.integration.envoy.traffic import Traffic

pytestmark = [pytest.mark.loopback, pytest.mark.timeout(900)]

LONG: Final = bool(os.environ.get("MESH_LONG"))
ROUNDS: Final = 6 if LONG else 1
CALLERS: Final = 24 if LONG else 9
JOURNALS: Final = ("sqlite", "postgres") if LONG else ("sqlite",)
#: How often Envoy asks /readyz, and how long a replica stays after it has said no; seconds.
INTERVAL: Final = "0.25s"
LEAVE: Final = "1.5"


@pytest.fixture(params=JOURNALS)
def journal(request: pytest.FixtureRequest) -> Iterator[str | None]:
    """The journal's URL; None for SQLite, which the processes of one machine may share."""
    with ExitStack() as stack:
        yield database.new_database(stack.enter_context(database.server())) if request.param == "postgres" else None


@pytest.mark.parametrize(
    ("leave", "retry"),
    [
        pytest.param(LEAVE, None, id="health-checks-alone"),
        pytest.param("0", RETRIED, id="retries"),
    ],
)
def test_a_rolling_restart_fails_no_request(
    envoy: None, tmp_path: Path, journal: str | None, leave: str, retry: Json | None
) -> None:
    """Replicas restart one after the other under load: every create and read succeeds, and nothing is made twice.

    Either they leave before they end, and nobody has to repeat anything; or they end at once, and Envoy repeats.
    """
    shape = Shape(health=INTERVAL, retry=retry, journal=journal, environ={"GATEWAY_LEAVE_SECONDS": leave})
    with meshed(tmp_path / "mesh", shape) as mesh:
        assert _all_healthy(mesh)
        traffic = Traffic(mesh, "plain")
        with traffic.flowing(CALLERS):
            assert _flows(traffic)
            for _ in range(ROUNDS):
                for replica in mesh.stand.replicas:
                    _restart(mesh, replica)
                    assert _flows(traffic)
        assert traffic.failed == {}
        made = Counter(
            (backend, each["natural_key"][-1]) for backend in mesh.stand.twins for each in mesh.stand.created(backend)
        )
        assert made == Counter(traffic.made)
        assert mesh.stand.live() == 0


def _restart(mesh: Mesh, replica: Replica) -> None:
    replica.terminate()
    assert replica.wait(60.0) == 0
    replica.start()
    assert _all_healthy(mesh)


def _all_healthy(mesh: Mesh) -> bool:
    """Wait until Envoy has seen that every replica is ready."""
    return eventually(lambda: mesh.inner.count("cluster.gateway.membership_healthy") == len(mesh.stand.replicas), 10)


def _flows(traffic: Traffic) -> bool:
    """Wait until everybody has been answered a few times more."""
    enough = traffic.answers.total() + 5 * CALLERS
    return eventually(lambda: traffic.answers.total() > enough, 30)
