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

from tests.integration.envoy.stand import Mesh, Shape, meshed

pytestmark = [pytest.mark.loopback, pytest.mark.timeout(600)]

LONG: Final = bool(os.environ.get("MESH_LONG"))
CONNECTIONS: Final = 200
BURSTS: Final = 50 if LONG else 4
#: Envoy hangs up on a connection that idled so long, gunicorn after the longer time; seconds.
SHORTER: Final = 1
LONGER: Final = 3
#: The pauses between two bursts, as parts of the shorter time: before it, at it, after it.
PAUSES: Final = (0.95, 0.99, 1.0, 1.01, 1.05)


@pytest.mark.parametrize(
    ("envoy_idles", "gunicorn_keeps", "safe"),
    [
        pytest.param(SHORTER, LONGER, True, id="envoy-hangs-up"),
        pytest.param(
            LONGER, SHORTER, False, id="gunicorn-hangs-up", marks=pytest.mark.skipif(not LONG, reason="MESH_LONG only")
        ),
    ],
)
def test_no_request_meets_a_connection_that_is_being_closed(
    envoy: None, tmp_path: Path, envoy_idles: int, gunicorn_keeps: int, safe: bool
) -> None:
    """Where Envoy's idle time is the shorter, requests at the edge of it all succeed; the other way round some fail."""
    shape = Shape(replicas=1, idle=f"{envoy_idles}s", environ={"GATEWAY_KEEPALIVE_SECONDS": str(gunicorn_keeps)})
    with meshed(tmp_path / "mesh", shape) as mesh:
        statuses = Counter(_asked(mesh))
        assert statuses.total() == BURSTS * CONNECTIONS
        assert (set(statuses) == {200}) == safe, statuses
        # Several hundred connections were open at once, and closed by the side that has the shorter time.
        assert mesh.inner.count("cluster.gateway.upstream_cx_total") > CONNECTIONS
        assert (mesh.inner.count("cluster.gateway.upstream_cx_idle_timeout") > CONNECTIONS) == safe


def _asked(mesh: Mesh) -> Iterator[int]:
    """Ask over many connections at once, again and again, and yield the statuses."""
    with ExitStack() as stack:
        address = mesh.at("plain")
        connections = [stack.enter_context(closing(HTTPConnection(address, timeout=30))) for _ in range(CONNECTIONS)]
        for burst in range(BURSTS):
            for connection in connections:
                connection.request("GET", "/livez")
            for connection in connections:
                with connection.getresponse() as reply:
                    reply.read()
                    yield reply.status
            time.sleep(SHORTER * PAUSES[burst % len(PAUSES)])
