"""CORS: pages of configured origins may send requests and read the responses; others may not."""

from __future__ import annotations

from typing import Final

import pytest
from flask import Flask
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from gateway import identity
from gateway.api import AppDependencies, cors, create_api
from gateway.provisioning.change_feed import ChangeFeed
from gateway.provisioning.provisioner import Provisioner
from gateway.provisioning.resolve import ResolveService
from gateway.provisioning.update_delete import ChangeService
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
    "X-Bk-Token", "X-Request-Id", "X-Request-Timeout-Ms", "If-Match", "X-Own",
    # added by the tracing SDKs of browsers
    "traceparent", "tracestate", "baggage", "b3", "x-b3-traceid", "x-b3-spanid", "x-b3-parentspanid", "x-b3-sampled",
    "x-b3-flags", "uber-trace-id", "sentry-trace", "x-datadog-trace-id", "x-datadog-parent-id",
    "x-datadog-sampling-priority", "x-datadog-origin", "x-datadog-tags", "newrelic", "elastic-apm-traceparent",
    "request-id", "request-context", "x-correlation-id", "x-dtpc", "x-dtc", "x-instana-t", "x-instana-s", "x-instana-l",
    "sw8", "x-amzn-trace-id", "x-cloud-trace-context",
}  # fmt: skip
EXPOSED: Final = {
    "ETag", "Gateway-Outcome", "Idempotency-Replayed", "Location", "Preference-Applied", "Retry-After", "Server-Timing",
    "X-Request-Id",
}  # fmt: skip
#: Values that no browser sends for a page of either origin.
OTHER_ORIGINS: Final = [
    "https://evil.example", "null", "*", "", "https://portal.example.com:443", "https://portal.example.com:8443",
    "http://portal.example.com", "https://portal.example.com/", "https://PORTAL.example.com", "HTTPS://portal.example.com",
    "https://portal.example.com.evil.example", "https://evil-portal.example.com", "https://a.portal.example.com",
    "https://portalxexample.com", "portal.example.com", "http://localhost", "http://localhost:30000",
    f"{PORTAL}, {LOCAL}", f"{PORTAL} ", f"{PORTAL}\x00", "https://портал.example",
]  # fmt: skip


@pytest.fixture
def client(app: Flask) -> FlaskClient:
    """The service with two configured origins."""
    cors.init_app(app, CorsConfig((PORTAL, LOCAL), allow_headers=("X-Own",)))
    return app.test_client()


def _preflight(client: FlaskClient, path: str = "/modules", origin: str = PORTAL, method: str = "POST") -> TestResponse:
    headers = {"Origin": origin, "Access-Control-Request-Method": method, "Access-Control-Request-Headers": "x-api-key"}
    return client.options(path, headers=headers)


def _cors_headers(response: TestResponse) -> dict[str, str]:
    """Return the CORS headers."""
    return {name: value for name, value in response.headers if name.startswith("Access-Control")}


def _stable_headers(response: TestResponse) -> list[tuple[str, str]]:
    """Return the headers that do not depend on the time of the response."""
    return [(name, value) for name, value in response.headers if name not in {"Date", "Expires"}]


def _list(value: str) -> set[str]:
    return set(value.split(", "))


@pytest.mark.parametrize("origin", [PORTAL, LOCAL])
def test_preflight(client: FlaskClient, cmdb: FakeBackend, origin: str) -> None:
    """The preflight of a configured origin permits the methods and headers, for ten minutes."""
    response = _preflight(client, origin=origin)
    headers = _cors_headers(response)
    assert (response.status_code, response.data, "Content-Type" in response.headers) == (204, b"", False)
    assert headers.pop("Access-Control-Allow-Origin") == origin
    assert _list(headers.pop("Access-Control-Allow-Methods")) == {"GET", "POST", "PATCH", "DELETE"}
    assert _list(headers.pop("Access-Control-Allow-Headers")) == ALLOWED
    assert headers == {"Access-Control-Max-Age": "600"}
    assert cmdb.sent == []


@pytest.mark.parametrize(
    ("path", "method"),
    [("/nope", "GET"), ("/modules/x/y", "DELETE"), ("//modules", "POST"), ("/livez", "DELETE"), ("/modules", "PUT")],
)
def test_preflight_unknown_path(client: FlaskClient, path: str, method: str) -> None:
    """The preflight of an unknown path or method is the same, so that the page can read the 404."""
    assert _cors_headers(_preflight(client, path, method=method)) == _cors_headers(_preflight(client))
    assert _preflight(client, path, method=method).status_code == 204


@pytest.mark.parametrize("headers", [{"Origin": PORTAL}, {"Access-Control-Request-Method": "POST"}])
def test_options(client: FlaskClient, headers: dict[str, str]) -> None:
    """OPTIONS that is no preflight returns the methods of the path."""
    response = client.options("/modules", headers=headers)
    assert (response.status_code, set(response.allow)) == (200, {"GET", "HEAD", "OPTIONS", "POST"})
    assert "Access-Control-Allow-Methods" not in response.headers


ENDPOINTS: Final[list[tuple[str, str, int]]] = [
    ("GET", LIST, 200),
    ("HEAD", LIST, 200),
    ("GET", "/nope", 404),
    ("PUT", "/modules", 405),
    ("POST", "/modules", 415),
    ("GET", "/modules/cmdb.1.10.1", 500),
    ("GET", "/errors", 200),
    ("GET", "/openapi.json", 200),
    ("GET", "/docs/docs.js", 200),
]


@pytest.mark.parametrize(("method", "path", "status"), ENDPOINTS)
def test_configured_origin(client: FlaskClient, cmdb: FakeBackend, method: str, path: str, status: int) -> None:
    """Every response, unexpected errors included, may be read by the page of the configured origin."""
    cmdb.fails["get"] = RuntimeError()
    response = client.open(path, method=method, headers={"Origin": PORTAL}, buffered=True)
    headers = _cors_headers(response)
    assert response.status_code == status
    assert headers.pop("Access-Control-Allow-Origin") == PORTAL
    assert _list(headers.pop("Access-Control-Expose-Headers")) == EXPOSED
    assert headers == {}
    assert "Origin" in response.vary


@pytest.mark.parametrize("origin", OTHER_ORIGINS)
@pytest.mark.parametrize(("method", "path", "status"), ENDPOINTS)
def test_other_origin(client: FlaskClient, cmdb: FakeBackend, origin: str, method: str, path: str, status: int) -> None:
    """A request of any other origin gets the response of a request without Origin."""
    cmdb.fails["get"] = RuntimeError()
    headers = {"Origin": origin.encode().decode("latin-1"), "X-Request-Id": "same"}
    response = client.open(path, method=method, headers=headers, buffered=True)
    plain = client.open(path, method=method, headers={"X-Request-Id": "same"}, buffered=True)
    assert response.status_code == status
    assert (response.data, _stable_headers(response)) == (plain.data, _stable_headers(plain))
    assert _cors_headers(response) == {}
    assert "Origin" in response.vary


@pytest.mark.parametrize("origin", OTHER_ORIGINS)
def test_other_origin_preflight(client: FlaskClient, origin: str) -> None:
    """The preflight of another origin permits nothing."""
    response = _preflight(client, origin=origin.encode().decode("latin-1"))
    assert (response.status_code, _cors_headers(response)) == (204, {})
    assert "Origin" in response.vary


def test_language(client: FlaskClient) -> None:
    """The Vary header of a problem names Accept-Language and Origin."""
    response = client.get("/nope", headers={"Origin": PORTAL, "Accept-Language": "zh"})
    assert assert_problem(response, 404, "not_found")["title"] == "地址不存在"
    assert {"Origin", "Accept-Language"} <= set(response.vary)


@pytest.mark.parametrize("origins", [[], ["*"]])
def test_disabled(app: Flask, origins: list[str]) -> None:
    """Without origins, CORS is off; a wildcard is not interpreted."""
    cors.init_app(app, CorsConfig(tuple(origins)))
    client = app.test_client()
    assert _cors_headers(client.get("/livez", headers={"Origin": PORTAL})) == {}
    assert _cors_headers(_preflight(client)) == {}
    assert ("Origin" in client.get("/livez").vary) == bool(origins)


@pytest.fixture
def auth_client(
    clock: VirtualClock,
    provisioner: Provisioner,
    changes: ChangeService,
    change_feed: ChangeFeed,
    resolver: ResolveService,
    cmdb: FakeBackend,
) -> FlaskClient:
    """The service with authentication and one configured origin."""
    dependencies = AppDependencies(
        backends={cmdb.name: cmdb},
        provisioner=provisioner,
        changes=changes,
        change_feed=change_feed,
        resolver=resolver,
        render_metrics=bytes,
        clock=clock,
        new_id=lambda: "request",
        deadline_seconds=10.0,
        authenticator=identity.create_authenticator(auth(caller("portal", "*:*:*")), clock),
        cors=CorsConfig((PORTAL,), 60.5),
    )
    return create_api(dependencies).test_client()


def test_settings(auth_client: FlaskClient) -> None:
    """A preflight needs no credential; origin and maximum age, in whole seconds, are those of the configuration."""
    response = _preflight(auth_client)
    assert (response.status_code, response.headers["Access-Control-Allow-Origin"]) == (204, PORTAL)
    assert response.headers["Access-Control-Max-Age"] == "60"
    assert _cors_headers(_preflight(auth_client, origin=LOCAL)) == {}


def test_authentication(auth_client: FlaskClient, cmdb: FakeBackend) -> None:
    """The request after the preflight needs a credential; the page can read the 401."""
    refused = auth_client.post("/modules", json=body(cmdb), headers={"Origin": PORTAL})
    assert_problem(refused, 401, "unauthenticated")
    assert refused.headers["Access-Control-Allow-Origin"] == PORTAL
    assert cmdb.sent == []
    created = auth_client.post("/modules", json=body(cmdb), headers={"Origin": PORTAL, **key("portal")})
    assert (created.status_code, created.headers["Access-Control-Allow-Origin"]) == (201, PORTAL)
    assert "Access-Control-Allow-Credentials" not in created.headers


@pytest.mark.parametrize("method", ["GET", "POST", "DELETE"])
def test_not_a_preflight(auth_client: FlaskClient, cmdb: FakeBackend, method: str) -> None:
    """The headers of a preflight on another method do not skip authentication."""
    response = auth_client.open(LIST, method=method, headers={"Origin": PORTAL, "Access-Control-Request-Method": "GET"})
    assert response.status_code in {401, 405}
    assert cmdb.sent == []
