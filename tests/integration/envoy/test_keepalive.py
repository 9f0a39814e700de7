from __future__ import annotations

import os
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, closing
from http.client import HTTPConnection
from pathlib import Path
from typing import Final

import pytest

from tests.integration.envoy.mesh import Mesh, MeshTopology, run_mesh

pytestmark = [pytest.mark.loopback, pytest.mark.timeout(600)]

LONG: Final = bool(os.environ.get("MESH_LONG"))
CONNECTIONS: Final = 200
BURSTS: Final = 50 if LONG else 4
#: The two idle timeouts, in seconds.
SHORTER: Final = 1
LONGER: Final = 3
#: The pauses between two bursts as fractions of the shorter timeout: before, at and after it.
PAUSES: Final = (0.95, 0.99, 1.0, 1.01, 1.05)


@pytest.mark.parametrize(
    ("envoy_idle", "gunicorn_keepalive", "succeeds"),
    [
        pytest.param(SHORTER, LONGER, True, id="envoy-closes-first"),
        pytest.param(
            LONGER,
            SHORTER,
            False,
            id="gunicorn-closes-first",
            marks=pytest.mark.skipif(not LONG, reason="MESH_LONG only"),
        ),
    ],
)
def test_no_request_on_a_closing_connection(
    envoy: None, tmp_path: Path, envoy_idle: int, gunicorn_keepalive: int, succeeds: bool
) -> None:
    """If Envoy's idle timeout is the shorter one, requests near it all succeed; otherwise some fail."""
    topology = MeshTopology(
        replicas=1, idle=f"{envoy_idle}s", environ={"GATEWAY_KEEPALIVE_SECONDS": str(gunicorn_keepalive)}
    )
    with run_mesh(tmp_path / "mesh", topology) as mesh:
        statuses = Counter(_send_bursts(mesh))
        assert statuses.total() == BURSTS * CONNECTIONS
        assert (set(statuses) == {200}) == succeeds, statuses
        # Several hundred connections were open at once, and the side with the shorter timeout closed them.
        assert mesh.inner.count("cluster.gateway.upstream_cx_total") > CONNECTIONS
        assert (mesh.inner.count("cluster.gateway.upstream_cx_idle_timeout") > CONNECTIONS) == succeeds


def _send_bursts(mesh: Mesh) -> Iterator[int]:
    """Send bursts of requests over many connections and yield the statuses."""
    with ExitStack() as stack:
        address = mesh.address()
        connections = [stack.enter_context(closing(HTTPConnection(address, timeout=30))) for _ in range(CONNECTIONS)]
        for burst in range(BURSTS):
            for connection in connections:
                connection.request("GET", "/livez")
            for connection in connections:
                with connection.getresponse() as response:
                    response.read()
                    yield response.status
            time.sleep(SHORTER * PAUSES[burst % len(PAUSES)])
