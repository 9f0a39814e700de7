from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from http.client import HTTPConnection
from pathlib import Path

import pytest

from tests.integration.chaos.caller import CreateSpec
from tests.integration.chaos.testbed import GatewayTestbed, Topology, eventually, run_testbed
from tests.integration.http_client import CONNECTION_ERRORS, HttpResponse, exchange

pytestmark = pytest.mark.loopback

TOPOLOGY = Topology(workers=2, deadline=5.0, hard=5.0)
#: Much less than gunicorn waits for an idle connection, in seconds.
ENDS_WITHIN = 15.0
IN_FLIGHT = 8


@pytest.fixture
def testbed(tmp_path: Path) -> Iterator[GatewayTestbed]:
    """A gateway whose backend takes one second for each create."""
    with run_testbed(tmp_path / "testbed", TOPOLOGY) as testbed:
        testbed.fault("cmdb", {"fault": "delay", "seconds": 1.0, "times": -1})
        yield testbed


@pytest.fixture
def idle(testbed: GatewayTestbed) -> Iterator[HTTPConnection]:
    """An open connection that has served a request."""
    with closing(HTTPConnection(testbed.addresses[0], timeout=15)) as connection:
        assert exchange(connection, "GET", "/readyz").status == 200
        yield connection


def _create(testbed: GatewayTestbed, number: int) -> HttpResponse:
    return CreateSpec("cmdb", f"module-{number}").send(testbed.addresses[0])


def test_creates_in_flight_finish(testbed: GatewayTestbed) -> None:
    """After SIGTERM every create in flight gets its 201, the process exits with 0, and no operation stays active."""
    with ThreadPoolExecutor(IN_FLIGHT) as pool:
        responses = [pool.submit(_create, testbed, number) for number in range(IN_FLIGHT)]
        assert eventually(lambda: testbed.sent("cmdb") == IN_FLIGHT, 10)
        testbed.replicas[0].terminate()
        assert [response.result().status for response in responses] == [201] * IN_FLIGHT
    # It ends by itself; gunicorn gives its workers 40 s, and a busy machine may need them.
    assert testbed.replicas[0].wait(60.0) == 0
    assert len(testbed.created("cmdb")) == IN_FLIGHT
    assert testbed.live() == 0


def test_a_draining_gateway_refuses_creates(testbed: GatewayTestbed, idle: HTTPConnection) -> None:
    """After SIGTERM /readyz and a new create get 503 or a closed connection; nothing is sent to the backend."""
    with ThreadPoolExecutor(1) as pool, closing(HTTPConnection(testbed.addresses[0], timeout=15)) as other:
        exchange(other, "GET", "/livez")
        first = pool.submit(_create, testbed, 1)
        assert eventually(lambda: testbed.sent("cmdb") == 1, 10)
        testbed.replicas[0].terminate()
        for connection in (idle, other):  # each may be one of another worker
            assert eventually(lambda: _refused(connection, "GET", "/readyz", None), 5)  # noqa: B023 - it runs at once
        assert _refused(other, "POST", "/modules", CreateSpec("cmdb", "too-late").body)
        assert first.result().status == 201
    assert testbed.replicas[0].wait(ENDS_WITHIN) == 0
    assert testbed.sent("cmdb") == 1


def _refused(connection: HTTPConnection, method: str, path: str, body: object) -> bool:
    """Send a request on this connection; return whether it is closed or the response says `draining`."""
    connection.auto_open = 0
    try:
        response = exchange(connection, method, path, body)
    except CONNECTION_ERRORS:
        return True
    return (response.status, response.code) == (503, "draining")


def test_an_idle_connection_does_not_delay_the_end(testbed: GatewayTestbed, idle: HTTPConnection) -> None:
    """An open, unused connection does not keep the process alive."""
    testbed.replicas[0].terminate()
    assert testbed.replicas[0].wait(ENDS_WITHIN) == 0
    with pytest.raises(CONNECTION_ERRORS):
        exchange(idle, "GET", "/readyz")
