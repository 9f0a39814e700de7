from __future__ import annotations

import itertools
import os
import threading
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing, nullcontext
from http.client import HTTPConnection
from pathlib import Path
from typing import Final

import pytest

from tests.integration.chaos import database
from tests.integration.chaos.caller import CreateSpec
from tests.integration.chaos.replica import Replica
from tests.integration.chaos.testbed import eventually
from tests.integration.envoy.mesh import Mesh, MeshTopology, run_mesh
from tests.integration.envoy.sidecars import RETRY, Json
from tests.integration.http_client import CONNECTION_ERRORS, exchange

pytestmark = [pytest.mark.loopback, pytest.mark.timeout(900)]

LONG: Final = bool(os.environ.get("MESH_LONG"))
ROUNDS: Final = 6 if LONG else 1
CALLERS: Final = 24 if LONG else 9
JOURNALS: Final = ("sqlite", "postgres") if LONG else ("sqlite",)
#: The interval of Envoy's health checks, and the seconds that a replica serves after its check fails.
INTERVAL: Final = "0.25s"
LEAVE: Final = "1.5"


READ: Final = "/modules?backend=cmdb&scope=1&page_size=5"
#: A project holds a few hundred modules; further creates go to CMDB.
MAX_PROJECT_MODULES: Final = 300


@pytest.fixture(params=JOURNALS)
def journal_url(request: pytest.FixtureRequest) -> Iterator[str | None]:
    """The URL of the journal; None for SQLite, which the processes of one machine share."""
    with database.server() if request.param == "postgres" else nullcontext() as server:
        yield database.new_database(server) if server else None


class Traffic:
    """Callers that create and read through the mesh, each on one keep-alive connection, until `stopped` is set."""

    def __init__(self, address: str) -> None:
        self.responses: Counter[str] = Counter()
        self.created: Counter[tuple[str, str]] = Counter()  # backend and name of every module in a 201
        self.stopped = threading.Event()
        self._address = address
        self._numbers = itertools.count(1)

    def send_until_stopped(self, caller: int) -> None:
        """Send reads, as every third caller, or creates."""
        with closing(HTTPConnection(self._address, timeout=30)) as connection:
            while not self.stopped.wait(0.02):
                try:
                    if caller % 3 == 2:
                        self.responses[f"GET {exchange(connection, 'GET', READ).status}"] += 1
                    else:
                        self._create(connection)
                except CONNECTION_ERRORS as error:
                    self.responses[type(error).__name__] += 1
                    connection.close()

    def _create(self, connection: HTTPConnection) -> None:
        number = next(self._numbers)
        backend = "projectman" if number % 2 and number < 2 * MAX_PROJECT_MODULES else "cmdb"
        spec = CreateSpec(backend, f"rolling-{number}")
        response = exchange(connection, "POST", "/modules", spec.body)
        if response.status == 201:
            self.created[backend, spec.name] += 1
        self.responses[f"POST {response.status} {'' if response.status == 201 else response.body}".strip()] += 1


@pytest.mark.parametrize(
    ("leave", "retry"),
    [
        pytest.param(LEAVE, None, id="health-checks-alone"),
        pytest.param("0", RETRY, id="retries"),
    ],
)
def test_rolling_restart(envoy: None, tmp_path: Path, journal_url: str | None, leave: str, retry: Json | None) -> None:
    """Replicas restart one by one under load: every create and read succeeds, and no module is created twice.

    Either they fail their health check before they stop, or they stop at once and Envoy retries.
    """
    topology = MeshTopology(health=INTERVAL, retry=retry, environ={"GATEWAY_LEAVE_SECONDS": leave})
    with run_mesh(tmp_path / "mesh", topology, journal_url) as mesh:
        assert _all_healthy(mesh)
        traffic = Traffic(mesh.address())
        with ThreadPoolExecutor(CALLERS) as pool, ExitStack() as stack:
            stack.callback(traffic.stopped.set)
            callers = [pool.submit(traffic.send_until_stopped, number) for number in range(CALLERS)]
            assert _wait_for_traffic(traffic)
            for replica in mesh.testbed.replicas * ROUNDS:
                _restart(mesh, replica)
                assert _wait_for_traffic(traffic)
        assert [caller.exception() for caller in callers] == [None] * CALLERS
        assert set(traffic.responses) == {"POST 201", "GET 200"}, traffic.responses
        created = Counter(
            (backend, entry["natural_key"][-1])
            for backend in mesh.testbed.twins
            for entry in mesh.testbed.created(backend)
        )
        assert created == traffic.created
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
