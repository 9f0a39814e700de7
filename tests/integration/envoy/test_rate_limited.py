from __future__ import annotations

import pytest

from tests.integration.chaos.caller import CreateSpec
from tests.integration.envoy.mesh import Mesh

pytestmark = pytest.mark.loopback


@pytest.mark.parametrize("backend", ["cmdb", "projectman"])
def test_sidecar_does_not_retry_rate_limited_requests(mesh: Mesh, backend: str) -> None:
    """A 429 carries x-envoy-ratelimited, so that a sidecar that retries 429s leaves the retry to the caller."""
    mesh.testbed.fault(backend, {"fault": "rate-limited"})
    spec = CreateSpec(backend, "limited")
    response = spec.send(mesh.address("retried"), {})
    assert (response.status, response.code) == (429, "rate_limited")
    assert response.headers["x-envoy-ratelimited"] == "true"
    assert mesh.testbed.sent(backend, spec.name) == 1
    assert mesh.testbed.created_count(backend, spec.name) == 0
