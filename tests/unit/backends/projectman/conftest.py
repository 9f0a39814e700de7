"""ProjectMan connections on the virtual clock, over stubs of the service and of IAM."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from gateway.backends.projectman.adapter import ProjectManBackend
from tests.conftest import VirtualClock
from tests.unit.backends.connections import password, projectman_options
from tests.unit.backends.projectman.iam_stub import IAM, IamStub
from tests.unit.backends.projectman.service_stub import BASE, ServiceStub


@pytest.fixture
def service() -> ServiceStub:
    return ServiceStub()


Connect = Callable[..., ProjectManBackend]


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
    return IamStub(clock)


@pytest.fixture
def by_token(iam: IamStub, clock: VirtualClock) -> ProjectManBackend:
    """A backend that authenticates with tokens."""
    options = projectman_options(BASE, auth=password(IAM))
    return ProjectManBackend("projectman", options, iam, clock)  # type: ignore[arg-type] # quacks like a transport
