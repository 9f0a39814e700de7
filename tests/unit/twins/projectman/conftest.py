"""Flask's test client of a ProjectMan twin whose clock is set by the tests."""

import hashlib
import hmac
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import quote, unquote

import pytest
from flask.testing import FlaskClient

from gateway.twins.projectman import create_twin

LOGIN = {
    "auth": {
        "identity": {
            "methods": ["password"],
            "password": {
                "user": {
                    "domain": {"name": "demo-account"},
                    "name": "demo_user_name_06",
                    "password": "demo-password",
                },
            },
        },
        "scope": {"project": {"name": "cn-north-4"}},
    },
}


class ManualClock:
    """Returns 2025-01-02 03:04:05 UTC, the time of the documented signature, until `now` is set."""

    def __init__(self) -> None:
        self.now = datetime(2025, 1, 2, 3, 4, 5, tzinfo=UTC)

    def __call__(self) -> datetime:
        """Return the time."""
        return self.now


@pytest.fixture(autouse=True)
def _no_access_key_in_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("HUAWEI_AK", raising=False)
    monkeypatch.delenv("HUAWEI_SK", raising=False)


@pytest.fixture(name="clock")
def _clock() -> ManualClock:
    return ManualClock()


@pytest.fixture(name="advance")
def _advance(clock: ManualClock) -> Callable[[float], None]:
    """Advance the twin's clock by seconds."""

    def advance(seconds: float) -> None:
        clock.now += timedelta(seconds=seconds)

    return advance


@pytest.fixture(name="anonymous_with")
def _anonymous_with(clock: ManualClock) -> Callable[[Mapping[str, object]], FlaskClient]:
    """Create a twin from a seed; the client sends no credentials."""
    return lambda seed: create_twin(seed, clock=clock).test_client()


@pytest.fixture(name="client_with")
def _client_with(
    anonymous_with: Callable[[Mapping[str, object]], FlaskClient],
) -> Callable[[Mapping[str, object]], FlaskClient]:
    """Create a twin from a seed; the client sends a token of the demo user."""

    def create(seed: Mapping[str, object]) -> FlaskClient:
        client = anonymous_with(seed)
        token = client.post("/v3/auth/tokens", json=LOGIN).headers["X-Subject-Token"]
        client.environ_base["HTTP_X_AUTH_TOKEN"] = token
        return client

    return create


@pytest.fixture(name="anonymous")
def _anonymous(anonymous_with: Callable[[Mapping[str, object]], FlaskClient]) -> FlaskClient:
    return anonymous_with({})


@pytest.fixture(name="client")
def _client(client_with: Callable[[Mapping[str, object]], FlaskClient]) -> FlaskClient:
    return client_with({})


@pytest.fixture(name="login")
def _login() -> dict[str, Any]:
    return LOGIN


@pytest.fixture(name="sign")
def _sign(clock: ManualClock) -> Callable[..., dict[str, str]]:
    """Sign with the reference function of the facts (section 8), which shares no code with the twin."""

    def sign(
        path: str,
        *,
        method: str = "GET",
        query: tuple[tuple[str, str], ...] = (),
        body: bytes = b"",
        secret: str = "SKTEST",
        **extra: str,
    ) -> dict[str, str]:
        headers = {"Host": "localhost", "X-Sdk-Date": clock.now.strftime("%Y%m%dT%H%M%SZ")}
        headers |= {name.replace("_", "-").title(): value for name, value in extra.items()}
        uri = "/".join(quote(segment, safe="~") for segment in unquote(path).split("/"))
        uri += "" if uri.endswith("/") else "/"
        sorted_query = "&".join(f"{quote(key, safe='~')}={quote(value, safe='~')}" for key, value in sorted(query))
        signed = {name.lower(): value.strip() for name, value in headers.items()}
        names = sorted(signed)
        header_lines = "".join(f"{name}:{signed[name]}\n" for name in names)
        parts = [method, uri, sorted_query, header_lines, ";".join(names), hashlib.sha256(body).hexdigest()]
        digest = hashlib.sha256("\n".join(parts).encode()).hexdigest()
        text = "\n".join(["SDK-HMAC-SHA256", signed["x-sdk-date"], digest])
        signature = hmac.new(secret.encode(), text.encode(), hashlib.sha256).hexdigest()
        authorization = f"SDK-HMAC-SHA256 Access=AKTEST, SignedHeaders={';'.join(names)}, Signature={signature}"
        return {**headers, "Authorization": authorization}

    return sign
