from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.integration.chaos.caller import CreateSpec
from tests.integration.chaos.testbed import eventually
from tests.integration.envoy.mesh import Mesh
from tests.integration.http_client import send

pytestmark = pytest.mark.loopback

#: Seconds: longer than the short timeout of the caller's sidecar, shorter than the gateway's deadline.
SLOW = 1.5


@pytest.fixture
def slow(mesh: Mesh) -> Iterator[Mesh]:
    """A mesh whose CMDB takes longer than Envoy's timeout."""
    mesh.testbed.fault("cmdb", {"fault": "delay", "seconds": SLOW, "times": -1})
    yield mesh
    mesh.testbed.twin("cmdb", "DELETE", "faults")


@pytest.mark.parametrize("route", ["short", "short-own-header"])
def test_gateway_responds_before_the_sidecar_times_out(slow: Mesh, route: str) -> None:
    """The timeout of a route reaches the gateway in Envoy's header or its own; its 504 names the operation.

    It is sent 50 ms before the sidecar's own, which may come first on a busy machine, but not every time.
    """
    specs = [CreateSpec("cmdb", f"module-{route}-{number}") for number in range(5)]
    answers = ((spec, spec.send(slow.address(route))) for spec in specs)
    spec, response = next(((spec, answer) for spec, answer in answers if answer.code), (specs[-1], None))
    assert response is not None, "every response was the sidecar's own"
    assert (response.status, response.code) == (504, "outcome_unknown")
    assert slow.testbed.created_count("cmdb", spec.name) == 0
    operation = response.body["instance"]
    assert eventually(lambda: send(slow.address(), "GET", operation).body["state"] == "succeeded", 20)
    replay = spec.send(slow.address(route))
    assert (replay.status, replay.headers["idempotency-replayed"]) == (201, "true")
    assert slow.testbed.sent("cmdb", spec.name) == 1


def test_sidecar_times_out_without_a_timeout_header(slow: Mesh) -> None:
    """Without a timeout header the sidecar itself responds 504; the same request then gets the module."""
    spec = CreateSpec("cmdb", "module-no-header")
    response = spec.send(slow.address("short-unknown-header"))
    assert (response.status, response.body) == (504, "upstream request timeout")
    replay = spec.send(slow.address())
    assert (replay.status, replay.headers["idempotency-replayed"]) == (201, "true")
    assert slow.testbed.sent("cmdb", spec.name) == 1
