from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.integration.chaos.caller import Wanted
from tests.integration.chaos.stand import eventually
from tests.integration.envoy.stand import Mesh

pytestmark = pytest.mark.loopback

#: Longer than the short ways of the caller's sidecar, shorter than what the gateway itself waits for.
SLOW = 1.5


@pytest.fixture
def slow(mesh: Mesh) -> Iterator[Mesh]:
    """A mesh whose CMDB needs longer than Envoy waits."""
    mesh.stand.fault("cmdb", {"fault": "delay", "seconds": SLOW, "times": -1})
    yield mesh
    mesh.stand.twin("cmdb", "DELETE", "faults")


@pytest.mark.parametrize("way", ["short", "short-told"])
def test_the_gateway_answers_before_the_sidecar_gives_up(slow: Mesh, way: str) -> None:
    """A route's timeout reaches the gateway in Envoy's header or in our own, and its 504 names the operation."""
    wanted = Wanted("cmdb", f"module-{way}")
    answer = slow.ask(way, "POST", "/modules", wanted.body, headers=wanted.headers)
    assert (answer.status, answer.code) == (504, "outcome_unknown")
    assert slow.stand.creates_of("cmdb", wanted.name) == 0
    operation = answer.body["instance"]
    assert eventually(lambda: slow.ask("plain", "GET", operation).body["state"] == "succeeded", 20)
    again = slow.ask(way, "POST", "/modules", wanted.body, headers=wanted.headers)
    assert (again.status, again.headers["idempotency-replayed"]) == (201, "true")
    assert slow.stand.sent("cmdb", wanted.name) == 1


def test_envoy_gives_up_by_itself_where_nobody_was_told(slow: Mesh) -> None:
    """A sidecar that says nothing of its timeout answers in its own words; the same request finds the module."""
    wanted = Wanted("cmdb", "module-untold")
    answer = slow.ask("short-untold", "POST", "/modules", wanted.body, headers=wanted.headers)
    assert (answer.status, answer.body) == (504, "upstream request timeout")
    again = slow.ask("plain", "POST", "/modules", wanted.body, headers=wanted.headers)
    assert (again.status, again.headers["idempotency-replayed"]) == (201, "true")
    assert slow.stand.sent("cmdb", wanted.name) == 1
