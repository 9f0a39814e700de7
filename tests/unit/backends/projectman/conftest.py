"""ProjectMan connections on the virtual clock, over stubs of the service and of IAM, and a create that is refused."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any, Final

import pytest
import responses

from gateway.backends.projectman.adapter import ProjectManBackend
from gateway.domain.backend import Backend, CallContext
from gateway.domain.errors import GatewayError
from tests.conftest import VirtualClock
from tests.unit.backends.connections import OWNER, PROJECT, list_response, password, projectman_options
from tests.unit.backends.projectman.service_stub import BASE, DRAFT, IAM, IamStub, ServiceStub

URL: Final = f"{BASE}/v4/projects/{PROJECT}"
Connect = Callable[..., ProjectManBackend]
Refused = Callable[..., GatewayError]


@pytest.fixture
def service() -> ServiceStub:
    return ServiceStub()


@pytest.fixture
def connect(service: ServiceStub, clock: VirtualClock) -> Connect:
    """A function that creates a backend over the service; keywords change its options."""

    def over(**changes: Any) -> ProjectManBackend:
        return ProjectManBackend("projectman", projectman_options(BASE, **changes), service, clock)  # type: ignore[arg-type] # quacks like a transport

    return over


@pytest.fixture
def backend(connect: Connect) -> ProjectManBackend:
    """A backend with the default options."""
    return connect()


@pytest.fixture
def iam(clock: VirtualClock) -> IamStub:
    """IAM and the service behind one transport."""
    return IamStub(clock=clock)


@pytest.fixture
def by_token(iam: IamStub, clock: VirtualClock) -> ProjectManBackend:
    """A backend that authenticates with tokens."""
    options = projectman_options(BASE, auth=password(IAM))
    return ProjectManBackend("projectman", options, iam, clock)  # type: ignore[arg-type] # quacks like a transport


@pytest.fixture
def refused(wire: responses.RequestsMock, backend: Backend, call: CallContext) -> Refused:
    """Return the error of a create with a response; the lists that are read afterwards show no cause."""

    def create(status: int, body: Any, **headers: str) -> GatewayError:
        sent = {"module_name": "demo", "owner": {"user_id": OWNER}}
        match = [
            responses.matchers.json_params_matcher(sent),
            responses.matchers.header_matcher({"X-Request-Id": "test-request"}),
        ]
        raw = body if isinstance(body, bytes) else json.dumps(body)
        wire.post(f"{URL}/module", body=raw, status=status, headers=headers, match=match)
        wire.assert_all_requests_are_fired = False
        wire.get(f"{URL}/modules?limit=100&offset=0", body=list_response())
        wire.get(f"{URL}/members?limit=100&offset=0", json={"total": 1, "members": [{"user_id": OWNER}]})
        with pytest.raises(GatewayError) as caught:
            backend.create(DRAFT, call)
        assert sum(made.request.method == "POST" for made in wire.calls) == 1
        return caught.value

    return create
