"""The service over two fake backends with the capabilities of CMDB and ProjectMan."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cache

import pytest
from flask import Flask
from flask.testing import FlaskClient

from gateway.domain.backend import Backend
from gateway.domain.capabilities import Capabilities
from tests.conftest import VirtualClock
from tests.unit.api.fake_backend import FakeBackend
from tests.unit.backends.connections import PROJECT, create_backends


@cache
def capabilities(name: str) -> Capabilities:
    """Return the capabilities of the real adapter."""
    return create_backends(VirtualClock())[name].capabilities


@pytest.fixture
def cmdb() -> FakeBackend:
    return FakeBackend("cmdb", capabilities("cmdb"), scopes=("1",), parents=("10", "11"))


@pytest.fixture
def projectman() -> FakeBackend:
    return FakeBackend("projectman", capabilities("projectman"), scopes=(PROJECT,), unavailable=("description",))


@pytest.fixture
def app(build: Callable[[Mapping[str, Backend]], Flask], cmdb: FakeBackend, projectman: FakeBackend) -> Flask:
    """The service over both fake backends."""
    return build({"cmdb": cmdb, "projectman": projectman})


@pytest.fixture
def client(app: Flask) -> FlaskClient:
    return app.test_client()
