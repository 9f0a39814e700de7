"""Pages of other origins: those that are listed may call and read what they need, all others nothing."""

from __future__ import annotations

from typing import Final

import pytest
from flask import Flask
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from gateway import identity
from gateway.api import AppDependencies, cors, create_api
from gateway.domain.journal import Journal
from gateway.provisioning.known_modules import KnownModules
from gateway.provisioning.provisioner import Provisioner
from gateway.settings import CorsConfig
from tests.conftest import VirtualClock
from tests.unit.api.callers import auth, caller, key
from tests.unit.api.fake_backend import FakeBackend, body
from tests.unit.api.problems import assert_problem

PORTAL: Final = "https://portal.example.com"
LOCAL: Final = "http://localhost:3000"
LIST: Final = "/modules?backend=cmdb&scope=1"
ALLOWED: Final = {
    "Accept-Language", "Authorization", "Content-Type", "Idempotency-Key", "Prefer", "X-Api-Key", "X-Auth-Token",
    "X-Bk-Token", "X-Request-Id", "X-Request-Timeout-Ms", "traceparent", "tracestate",
}  # fmt: skip
EXPOSED: Final = {
    "Gateway-Outcome", "Idempotency-Replayed", "Location", "Preference-Applied", "Retry-After", "Server-Timing",
    "X-Request-Id",
}  # fmt: skip
#: What no browser sends for a page of either origin.
STRANGERS: Final = [
    "https://evil.example", "null", "*", "", "https://portal.example.com:443", "https://portal.example.com:8443",
    "http://portal.example.com", "https://portal.example.com/", "https://PORTAL.example.com", "HTTPS://portal.example.com",
    "https://portal.example.com.evil.example", "https://evil-portal.example.com", "https://a.portal.example.com",
    "https://portalxexample.com", "portal.example.com", "http://localhost", "http://localhost:30000",
    f"{PORTAL}, {LOCAL}", f"{PORTAL} ", f"{PORTAL}\x00", "https://портал.example",
]  # fmt: skip


@pytest.fixture
def client(app: Flask) -> FlaskClient:
    """The service with two origins listed."""
    cors.init_app(app, [PORTAL, LOCAL], 600.0)
    return app.test_client()


def _preflight(client: FlaskClient, path: str = "/modules", origin: str = PORTAL, method: str = "POST") -> TestResponse:
    asked = {"Origin": origin, "Access-Control-Request-Method": method, "Access-Control-Request-Headers": "x-api-key"}
    return client.options(path, headers=asked)


def _access(response: TestResponse) -> dict[str, str]:
    """Return the headers that are addressed to browsers."""
    return {name: value for name, value in response.headers if name.startswith("Access-Control")}


def _timeless(response: TestResponse) -> list[tuple[str, str]]:
    """Return the headers that do not tell when the response was made: a second may pass between two of them."""
    return [(name, value) for name, value in response.headers if name not in {"Date", "Expires"}]


def _list(value: str) -> set[str]:
    return set(value.split(", "))


@pytest.mark.parametrize("origin", [PORTAL, LOCAL])
def test_preflight(client: FlaskClient, cmdb: FakeBackend, origin: str) -> None:
    """A listed origin's page may ask with our methods and headers, and need not ask again for ten minutes."""
    response = _preflight(client, origin=origin)
    told = _access(response)
    assert (response.status_code, response.data, "Content-Type" in response.headers) == (204, b"", False)
    assert told.pop("Access-Control-Allow-Origin") == origin
    assert _list(told.pop("Access-Control-Allow-Methods")) == {"GET", "POST", "PATCH", "DELETE"}
    assert _list(told.pop("Access-Control-Allow-Headers")) == ALLOWED
    assert told == {"Access-Control-Max-Age": "600"}
    assert cmdb.sent == []


@pytest.mark.parametrize(
    ("path", "method"),
    [("/nope", "GET"), ("/modules/x/y", "DELETE"), ("//modules", "POST"), ("/livez", "DELETE"), ("/modules", "PUT")],
)
def test_preflight_of_nothing(client: FlaskClient, path: str, method: str) -> None:
    """Asked about an address or method that is not there, the answer is the same: the page may read the 404 itself."""
    assert _access(_preflight(client, path, method=method)) == _access(_preflight(client))
    assert _preflight(client, path, method=method).status_code == 204


@pytest.mark.parametrize("headers", [{"Origin": PORTAL}, {"Access-Control-Request-Method": "POST"}])
def test_options(client: FlaskClient, headers: dict[str, str]) -> None:
    """OPTIONS that is no preflight names the methods of the address, as it does for everybody."""
    response = client.options("/modules", headers=headers)
    assert (response.status_code, set(response.allow)) == (200, {"GET", "HEAD", "OPTIONS", "POST"})
    assert "Access-Control-Allow-Methods" not in response.headers


ASKED: Final[list[tuple[str, str, int]]] = [
    ("GET", LIST, 200),
    ("HEAD", LIST, 200),
    ("GET", "/nope", 404),
    ("PUT", "/modules", 405),
    ("POST", "/modules", 415),
    ("DELETE", "/modules/cmdb.1.10.1", 500),
    ("GET", "/errors", 200),
    ("GET", "/openapi.json", 200),
    ("GET", "/docs/docs.js", 200),
]


@pytest.mark.parametrize(("method", "path", "status"), ASKED)
def test_listed(client: FlaskClient, cmdb: FakeBackend, method: str, path: str, status: int) -> None:
    """Every answer, errors and bugs too, may be read by a listed origin's page, and by this origin's alone."""
    cmdb.fails["delete"] = RuntimeError()
    response = client.open(path, method=method, headers={"Origin": PORTAL}, buffered=True)
    told = _access(response)
    assert response.status_code == status
    assert told.pop("Access-Control-Allow-Origin") == PORTAL
    assert _list(told.pop("Access-Control-Expose-Headers")) == EXPOSED
    assert told == {}
    assert "Origin" in response.vary


@pytest.mark.parametrize("origin", STRANGERS)
@pytest.mark.parametrize(("method", "path", "status"), ASKED)
def test_stranger(client: FlaskClient, cmdb: FakeBackend, origin: str, method: str, path: str, status: int) -> None:
    """Any other origin, however near, is answered as if it had sent none: no header for browsers, and nothing else."""
    cmdb.fails["delete"] = RuntimeError()
    sent = {"Origin": origin.encode().decode("latin-1"), "X-Request-Id": "same"}
    response = client.open(path, method=method, headers=sent, buffered=True)
    plain = client.open(path, method=method, headers={"X-Request-Id": "same"}, buffered=True)
    assert response.status_code == status
    assert (response.data, _timeless(response)) == (plain.data, _timeless(plain))
    assert _access(response) == {}
    assert "Origin" in response.vary


@pytest.mark.parametrize("origin", STRANGERS)
def test_stranger_preflight(client: FlaskClient, origin: str) -> None:
    """A stranger's preflight is answered, and permits nothing."""
    response = _preflight(client, origin=origin.encode().decode("latin-1"))
    assert (response.status_code, _access(response)) == (204, {})
    assert "Origin" in response.vary


def test_language(client: FlaskClient) -> None:
    """A problem varies by language and by origin, and says both."""
    response = client.get("/nope", headers={"Origin": PORTAL, "Accept-Language": "zh"})
    assert assert_problem(response, 404, "not_found")["title"] == "地址不存在"
    assert {"Origin", "Accept-Language"} <= set(response.vary)


@pytest.mark.parametrize("origins", [[], ["*"]])
def test_not_open(app: Flask, origins: list[str]) -> None:
    """Without origins nothing is installed; a wildcard opens nothing to anybody."""
    cors.init_app(app, origins, 600.0)
    client = app.test_client()
    assert _access(client.get("/livez", headers={"Origin": PORTAL})) == {}
    assert _access(_preflight(client)) == {}
    assert ("Origin" in client.get("/livez").vary) == bool(origins)


@pytest.fixture
def guarded(clock: VirtualClock, journal: Journal, cmdb: FakeBackend) -> FlaskClient:
    """The service as it is configured: one caller with a key, one origin."""
    gateway = AppDependencies(
        backends={cmdb.name: cmdb},
        provisioner=Provisioner(
            journal=journal,
            runtime=clock,
            new_id=lambda: "operation",
            worker_id="test",
            known_modules=KnownModules(journal, clock),
        ),
        render_metrics=bytes,
        clock=clock,
        new_id=lambda: "request",
        deadline_seconds=10.0,
        authenticator=identity.create_authenticator(auth(caller("portal", "*:*:*")), clock),
        cors=CorsConfig((PORTAL,), 60.5),
    )
    return create_api(gateway).test_client()


def test_configured(guarded: FlaskClient) -> None:
    """The configuration's origins and seconds, in whole ones, are what a browser is told; nobody is asked who he is."""
    response = _preflight(guarded)
    assert (response.status_code, response.headers["Access-Control-Allow-Origin"]) == (204, PORTAL)
    assert response.headers["Access-Control-Max-Age"] == "60"
    assert _access(_preflight(guarded, origin=LOCAL)) == {}


def test_request_proves_itself(guarded: FlaskClient, cmdb: FakeBackend) -> None:
    """Behind a preflight the request itself needs its proof; the page can read what is missing."""
    refused = guarded.post("/modules", json=body(cmdb), headers={"Origin": PORTAL})
    assert_problem(refused, 401, "unauthenticated")
    assert refused.headers["Access-Control-Allow-Origin"] == PORTAL
    assert cmdb.sent == []
    created = guarded.post("/modules", json=body(cmdb), headers={"Origin": PORTAL, **key("portal")})
    assert (created.status_code, created.headers["Access-Control-Allow-Origin"]) == (201, PORTAL)
    assert "Access-Control-Allow-Credentials" not in created.headers


@pytest.mark.parametrize("method", ["GET", "POST", "DELETE"])
def test_no_way_in(guarded: FlaskClient, cmdb: FakeBackend, method: str) -> None:
    """A preflight's headers on another method open nothing."""
    response = guarded.open(LIST, method=method, headers={"Origin": PORTAL, "Access-Control-Request-Method": "GET"})
    assert response.status_code in {401, 405}
    assert cmdb.sent == []
