from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from http.client import HTTPConnection
from pathlib import Path

import pytest

from tests.integration.chaos.caller import CreateSpec as Wanted
from tests.integration.chaos.testbed import GatewayTestbed as Stand
from tests.integration.chaos.testbed import Topology as Shape
from tests.integration.chaos.testbed import eventually
from tests.integration.chaos.testbed import run_testbed as match
from tests.integration.http_client import CONNECTION_ERRORS as BROKEN
from tests.integration.http_client import HttpResponse as Answer
from tests.integration.http_client import exchange
from tests.integration.http_client import send as ask

pytestmark = pytest.mark.loopback

SHAPE = Shape(workers=2, deadline=5.0, hard=5.0)
#: Far less than what gunicorn would wait for a connection on which nobody asks anything.
ENDS_WITHIN = 15.0
IN_FLIGHT = 8


@pytest.fixture
def stand(tmp_path: Path) -> Iterator[Stand]:
    """A gateway whose backend takes a second for every create."""
    with match(tmp_path / "stand", SHAPE) as stand:
        stand.fault("cmdb", {"fault": "delay", "seconds": 1.0, "times": -1})
        yield stand


@pytest.fixture
def idle(stand: Stand) -> Iterator[HTTPConnection]:
    """A connection that has been used and is kept open."""
    with closing(HTTPConnection(stand.addresses[0], timeout=15)) as connection:
        assert exchange(connection, "GET", "/readyz").status == 200
        yield connection


def _create(stand: Stand, number: int) -> Answer:
    wanted = Wanted("cmdb", f"module-{number}")
    return ask(stand.addresses[0], "POST", "/modules", wanted.body, wanted.headers)


def test_creates_on_their_way_are_answered(stand: Stand) -> None:
    """After SIGTERM every create in flight gets its 201, the process ends with status 0, and nothing stays open."""
    with ThreadPoolExecutor(IN_FLIGHT) as pool:
        answers = [pool.submit(_create, stand, number) for number in range(IN_FLIGHT)]
        assert eventually(lambda: stand.sent("cmdb") == IN_FLIGHT, 10)
        stand.replicas[0].terminate()
        assert [answer.result().status for answer in answers] == [201] * IN_FLIGHT
    # That it ends by itself is the fact here; gunicorn gives its workers 40 s, and a busy machine may use them.
    assert stand.replicas[0].wait(60.0) == 0
    assert len(stand.created("cmdb")) == IN_FLIGHT
    assert stand.live() == 0


def test_a_draining_gateway_takes_no_new_creates(stand: Stand, idle: HTTPConnection) -> None:
    """After SIGTERM /readyz answers 503 and a new create is refused 503 or hung up on; nothing of it is sent."""
    with ThreadPoolExecutor(1) as pool, closing(HTTPConnection(stand.addresses[0], timeout=15)) as other:
        exchange(other, "GET", "/livez")
        first = pool.submit(_create, stand, 1)
        assert eventually(lambda: stand.sent("cmdb") == 1, 10)
        stand.replicas[0].terminate()
        assert eventually(lambda: _refused(idle, "GET", "/readyz", None), 5)
        assert _refused(other, "POST", "/modules", Wanted("cmdb", "too-late").body)
        assert first.result().status == 201
    assert stand.replicas[0].wait(ENDS_WITHIN) == 0
    assert stand.sent("cmdb") == 1


def _refused(connection: HTTPConnection, method: str, path: str, body: object) -> bool:
    """Ask on an open connection and on no other; tell whether the gateway says that it is going, or is gone."""
    connection.auto_open = 0
    try:
        answer = exchange(connection, method, path, body)
    except BROKEN:
        return True
    return (answer.status, answer.code) == (503, "draining")


def test_an_idle_connection_does_not_hold_it(stand: Stand, idle: HTTPConnection) -> None:
    """A connection that is open and unused does not keep the process from ending."""
    stand.replicas[0].terminate()
    assert stand.replicas[0].wait(ENDS_WITHIN) == 0
    with pytest.raises(BROKEN):
        exchange(idle, "GET", "/readyz")
