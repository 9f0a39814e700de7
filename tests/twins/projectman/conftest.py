"""A twin on a clock that stands still until told, seen over Flask's test client."""

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


class StandingClock:
    """Tells 2025-01-02 03:04:05 UTC, the moment of the documented signature, until it is moved."""

    def __init__(self) -> None:
        self.now = datetime(2025, 1, 2, 3, 4, 5, tzinfo=UTC)

    def __call__(self) -> datetime:
        """Tell the time."""
        return self.now


@pytest.fixture(autouse=True)
def _no_keys_around(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("HUAWEI_AK", raising=False)
    monkeypatch.delenv("HUAWEI_SK", raising=False)


@pytest.fixture(name="clock")
def _clock() -> StandingClock:
    return StandingClock()


@pytest.fixture(name="move")
def _move(clock: StandingClock) -> Callable[[float], None]:
    """Move the twin's clock by seconds."""

    def move(seconds: float) -> None:
        clock.now += timedelta(seconds=seconds)

    return move


@pytest.fixture(name="anonymous_with")
def _anonymous_with(clock: StandingClock) -> Callable[[Mapping[str, object]], FlaskClient]:
    """Build a twin from a seed; the client carries no credentials."""
    return lambda seed: create_twin(seed, clock=clock).test_client()


@pytest.fixture(name="client_with")
def _client_with(
    anonymous_with: Callable[[Mapping[str, object]], FlaskClient],
) -> Callable[[Mapping[str, object]], FlaskClient]:
    """Build a twin from a seed; the client carries a token of the demo user."""

    def build(seed: Mapping[str, object]) -> FlaskClient:
        client = anonymous_with(seed)
        token = client.post("/v3/auth/tokens", json=LOGIN).headers["X-Subject-Token"]
        client.environ_base["HTTP_X_AUTH_TOKEN"] = token
        return client

    return build


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
def _sign(clock: StandingClock) -> Callable[..., dict[str, str]]:
    """Sign with the reference function of the facts (section 8), which shares nothing with the twin's verifier."""

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
        low = {name.lower(): value.strip() for name, value in headers.items()}
        names = sorted(low)
        block = "".join(f"{name}:{low[name]}\n" for name in names)
        request = [method, uri, sorted_query, block, ";".join(names), hashlib.sha256(body).hexdigest()]
        hashed = hashlib.sha256("\n".join(request).encode()).hexdigest()
        text = "\n".join(["SDK-HMAC-SHA256", low["x-sdk-date"], hashed])
        signature = hmac.new(secret.encode(), text.encode(), hashlib.sha256).hexdigest()
        claim = f"SDK-HMAC-SHA256 Access=AKTEST, SignedHeaders={';'.join(names)}, Signature={signature}"
        return {**headers, "Authorization": claim}

    return sign
