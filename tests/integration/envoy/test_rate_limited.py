from __future__ import annotations

import pytest

from tests.integration.chaos.caller import Wanted
from tests.integration.envoy.stand import Mesh

pytestmark = pytest.mark.loopback


@pytest.mark.parametrize("backend", ["cmdb", "projectman"])
def test_a_sidecar_does_not_repeat_what_was_limited(mesh: Mesh, backend: str) -> None:
    """A 429 says that it is a limit, so that a sidecar told to repeat 429s lets the caller decide when to come back."""
    mesh.stand.fault(backend, {"fault": "rate-limited"})
    wanted = Wanted(backend, "limited")
    answer = mesh.ask("retried", "POST", "/modules", wanted.body)
    assert (answer.status, answer.code) == (429, "rate_limited")
    assert answer.headers["x-envoy-ratelimited"] == "true"
    assert mesh.stand.sent(backend, wanted.name) == 1
    assert mesh.stand.creates_of(backend, wanted.name) == 0
