"""A create that the mocked service refuses."""

from __future__ import annotations

from typing import Any, Final

import pytest
import responses

from gateway.domain.backend import Backend, CallContext
from gateway.domain.errors import GatewayError
from tests.unit.backends.connections import OWNER, PROJECT, list_response
from tests.unit.backends.projectman.service_stub import BASE, DRAFT

URL: Final = f"{BASE}/v4/projects/{PROJECT}"


def refused(
    wire: responses.RequestsMock, backend: Backend, call: CallContext, status: int, body: Any, **headers: str
) -> GatewayError:
    """Return the error of a create with this response; the lists that are read afterwards show no cause."""
    sent = {"module_name": "demo", "owner": {"user_id": OWNER}}
    match = [
        responses.matchers.json_params_matcher(sent),
        responses.matchers.header_matcher({"X-Request-Id": "test-request"}),
    ]
    raw = body if isinstance(body, bytes) else None
    wire.post(
        f"{URL}/module", body=raw, json=None if raw is not None else body, status=status, headers=headers, match=match
    )
    wire.assert_all_requests_are_fired = False
    wire.get(f"{URL}/modules?limit=100&offset=0", body=list_response())
    wire.get(f"{URL}/members?limit=100&offset=0", json={"total": 1, "members": [{"user_id": OWNER}]})
    with pytest.raises(GatewayError) as caught:
        backend.create(DRAFT, call)
    assert sum(made.request.method == "POST" for made in wire.calls) == 1
    return caught.value
