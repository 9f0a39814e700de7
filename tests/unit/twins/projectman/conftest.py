"""Flask's test client of a ProjectMan twin whose clock is set by the tests."""

from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from flask.testing import FlaskClient

from gateway.twins.projectman import create_twin
from tests.unit.twins.projectman.api import sign_at

USER = {"domain": {"name": "demo-account"}, "name": "demo_user_name_06", "password": "demo-password"}
LOGIN = {
    "auth": {
        "identity": {"methods": ["password"], "password": {"user": USER}},
        "scope": {"project": {"name": "cn-north-4"}},
    },
}


class ManualClock:
    """Returns 2025-01-02 03:04:05 UTC, the time of the documented signature, until a test advances it."""

    def __init__(self) -> None:
        self.now = datetime(2025, 1, 2, 3, 4, 5, tzinfo=UTC)

    def __call__(self) -> datetime:
        """Return the time."""
        return self.now

    def advance(self, seconds: float) -> None:
        self.now += timedelta(seconds=seconds)


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def advance(clock: ManualClock) -> Callable[[float], None]:
    """Advance the twin's clock by seconds."""
    return clock.advance


@pytest.fixture
def anonymous_with(clock: ManualClock) -> Callable[[Mapping[str, object]], FlaskClient]:
    """Create a twin from a seed; the client sends no credentials."""
    return lambda seed: create_twin(seed, clock=clock).test_client()


@pytest.fixture
def client_with(
    anonymous_with: Callable[[Mapping[str, object]], FlaskClient],
) -> Callable[[Mapping[str, object]], FlaskClient]:
    """Create a twin from a seed; the client sends a token of the demo user."""

    def create(seed: Mapping[str, object]) -> FlaskClient:
        client = anonymous_with(seed)
        token = client.post("/v3/auth/tokens", json=LOGIN).headers["X-Subject-Token"]
        client.environ_base["HTTP_X_AUTH_TOKEN"] = token
        return client

    return create


@pytest.fixture
def anonymous(anonymous_with: Callable[[Mapping[str, object]], FlaskClient]) -> FlaskClient:
    return anonymous_with({})


@pytest.fixture
def client(client_with: Callable[[Mapping[str, object]], FlaskClient]) -> FlaskClient:
    return client_with({})


@pytest.fixture
def login() -> dict[str, Any]:
    return LOGIN


@pytest.fixture
def sign(clock: ManualClock) -> Callable[..., dict[str, str]]:
    """Return the headers of a request that is signed at the time of the twin's clock; see `sign_at`."""
    return lambda path, **parts: sign_at(clock.now, path, **parts)
