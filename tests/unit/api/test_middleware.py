"""Request id, timings and security headers of every response, and the access log."""

from __future__ import annotations

import io
import json
import logging
import re
from collections.abc import Callable
from typing import Any
from unittest import mock

import pytest
from flask import Flask
from flask.testing import FlaskClient

from gateway.identity import create_authenticator
from gateway.settings import JwtConfig
from gateway.telemetry import logging_config
from tests.conftest import VirtualClock
from tests.unit.api.callers import auth, caller
from tests.unit.api.fake_backend import FakeBackend, body
from tests.unit.api.problems import assert_problem

LIST = "/modules?backend=cmdb&scope=1"


@pytest.mark.parametrize(
    "request_id",
    ["a", "x" * 128, "0198c2d4-8d0b-7e4d", "Root=1-5759e988-bd862e3fe1be46a994272793", "a.b_c:d@e/f+g=="],
)
def test_request_id_valid(client: FlaskClient, request_id: str) -> None:
    """A request id of up to 128 permitted characters is returned."""
    assert client.get("/livez", headers={"X-Request-Id": request_id}).headers["X-Request-Id"] == request_id


@pytest.mark.parametrize(
    "request_id",
    [None, "", " ", "x" * 129, "a b", "a,b", 'a"b', "a;b", "<script>", "a\tb", "ï", "{}", "a%0d%0aX: y", "${jndi:x}"],
)
def test_request_id_replaced(client: FlaskClient, cmdb: FakeBackend, request_id: str | None) -> None:
    """Any other request id is replaced by a new one; the request is not refused."""
    headers = {} if request_id is None else {"X-Request-Id": request_id}
    response = client.get("/modules?backend=cmdb&scope=2", headers=headers)
    assert assert_problem(response, 422, "scope_not_found")["request_id"] == "request-1"
    assert len(cmdb.sent) == 1


def test_request_id_injection(client: FlaskClient) -> None:
    """A line feed in the request id, which a lenient server could pass, reaches no response header."""
    response = client.get("/livez", environ_overrides={"HTTP_X_REQUEST_ID": "a\r\nX-Injected: 1"})
    assert response.headers["X-Request-Id"] == "request-1"
    assert "X-Injected" not in response.headers


def test_call_context(
    client: FlaskClient, cmdb: FakeBackend, clock: VirtualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The call to the backend has the same request id, and a deadline of ten seconds."""
    calls = []
    monkeypatch.setattr(FakeBackend, "_send", lambda _self, _operation, _argument, call: calls.append(call))
    client.get(LIST, headers={"X-Request-Id": "caller-id"})
    assert [(call.request_id, call.deadline - clock.monotonic()) for call in calls] == [("caller-id", 10.0)]
    assert cmdb.sent == []


def test_timings(client: FlaskClient, cmdb: FakeBackend, clock: VirtualClock, monkeypatch: pytest.MonkeyPatch) -> None:
    """Server-Timing separates the time of the backend from that of the gateway, in milliseconds."""
    cmdb.takes = 0.25
    monkeypatch.setattr(FakeBackend, "_module", lambda _self, _id: clock.sleep(0.3))
    response = client.delete("/modules/cmdb.1.10.1")
    assert response.headers["Server-Timing"] == "upstream;dur=250.0, gateway;dur=50.0"


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/livez"),
        ("GET", "/errors"),
        ("GET", "/openapi.json"),
        ("GET", "/docs"),
        ("GET", "/docs/docs.js"),
        ("GET", "/docs/nope"),
        ("GET", "/nope"),
        ("PUT", "/modules"),
        ("POST", "/modules"),
        ("GET", LIST),
        ("HEAD", LIST),
        ("OPTIONS", "/modules"),
        ("DELETE", "/modules/cmdb.1.10.1"),
        ("PATCH", "/modules/cmdb.1.10.1"),
    ],
)
def test_security_headers(client: FlaskClient, cmdb: FakeBackend, method: str, path: str) -> None:
    """Every response, unexpected errors included, has the security headers."""
    cmdb.fails["delete"] = RuntimeError()
    headers = client.open(path, method=method, buffered=True).headers
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert headers["X-Frame-Options"] == "DENY"
    assert headers["Referrer-Policy"] == "no-referrer"
    assert "default-src 'none'" in headers["Content-Security-Policy"]
    assert "frame-ancestors 'none'" in headers["Content-Security-Policy"]
    assert headers["X-Request-Id"] == "request-1"
    assert re.fullmatch(r"upstream;dur=\d+\.\d, gateway;dur=\d+\.\d", headers["Server-Timing"])
    if not path.startswith("/docs") or path == "/docs/nope":
        assert headers["Cache-Control"] == "no-store"


@pytest.mark.parametrize(
    "path", [LIST, "/modules?backend=nope&scope=1", "/modules/cmdb.1.10.1", "/modules/x", "/backends", "/docs", "/nope"]
)
def test_head(client: FlaskClient, path: str) -> None:
    """HEAD has the status and the length of GET, without the body."""
    head, get = client.head(path, buffered=True), client.get(path, buffered=True)
    assert head.data == b""
    assert (head.status_code, head.content_type) == (get.status_code, get.content_type)
    assert head.content_length == get.content_length


@pytest.mark.parametrize(
    ("path", "allow"),
    [
        ("/modules", {"GET", "HEAD", "OPTIONS", "POST"}),
        ("/modules/cmdb.1.10.1", {"GET", "HEAD", "OPTIONS", "PATCH", "DELETE"}),
        ("/backends", {"GET", "HEAD", "OPTIONS"}),
    ],
)
def test_options(client: FlaskClient, cmdb: FakeBackend, path: str, allow: set[str]) -> None:
    """OPTIONS returns the methods; it contains no CORS headers, and nothing is sent."""
    response = client.options(path)
    assert (response.status_code, set(response.allow), response.data) == (200, allow, b"")
    assert not [name for name in response.headers.keys() if name.startswith("Access-Control")]  # noqa: SIM118 - pairs otherwise
    assert cmdb.sent == []


@pytest.fixture
def log() -> Any:
    """The lines of the access log as JSON."""
    stream = io.StringIO()
    handler = logging.StreamHandler(stream)
    handler.setFormatter(logging_config.JsonFormatter())
    logger = logging.getLogger("gateway.access")
    level = logger.level
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    yield lambda: [json.loads(line) for line in stream.getvalue().splitlines()]
    logger.removeHandler(handler)
    logger.setLevel(level)


def test_access_log(client: FlaskClient, cmdb: FakeBackend, log: Any) -> None:
    """A request is one line with method, route, status, code, outcome and id, without body and query."""
    document = body(cmdb, scope="2", name="hidden")
    client.post("/modules?if_exists=adopt", json=document, headers={"X-Request-Id": "caller-id"})
    (line,) = log()
    assert line["message"] == "request"
    assert {
        key: line[key] for key in ("method", "route", "path", "status", "code", "outcome", "request_id", "remote")
    } == {
        "method": "POST",
        "route": "/modules",
        "path": "/modules",
        "status": 422,
        "code": "scope_not_found",
        "outcome": "not_applied",
        "request_id": "caller-id",
        "remote": "127.0.0.1",
    }
    assert "hidden" not in json.dumps(line)


def test_access_log_of_a_module(client: FlaskClient, cmdb: FakeBackend, log: Any) -> None:
    """The line names the connection, the module, its operation and the user on whose behalf the backend acts."""
    id_ = client.post("/modules", json=body(cmdb)).get_json()["id"]
    client.post("/modules", json=body(cmdb))
    client.get(f"/modules/{id_}")
    names = ("backend", "module", "user", "operation", "code")
    assert [tuple(line[name] for name in names) for line in log()] == [
        ("cmdb", id_, "admin", "op-1", None),
        ("cmdb", id_, "admin", None, "module_already_exists"),
        ("cmdb", id_, "admin", None, None),
    ]


@pytest.mark.parametrize(
    ("headers", "facts"),
    [
        ({"X-Forwarded-Client-Cert": "URI=spiffe://a/b"}, {"refused": "client certificate", "hop": "127.0.0.1"}),
        ({"Authorization": "Bearer a.b.c"}, {"refused": "format"}),
    ],
)
def test_a_refused_credential(
    build: Callable[..., Flask], caplog: pytest.LogCaptureFixture, headers: dict[str, str], facts: dict[str, str]
) -> None:
    """The log says why a credential was refused; the answer does not."""
    issuer = JwtConfig(issuer="i", audience="a", jwks_url="https://h/keys", algorithms=("RS256",))
    settings = auth(caller("portal", "*:*:*"), jwt=(issuer,))
    authenticator = create_authenticator(settings, VirtualClock(), lambda _issuer: dict)
    response = build({}, authenticator=authenticator).test_client().get("/backends", headers=headers)
    detail = assert_problem(response, 401, "unauthenticated")["detail"]
    assert not any(value in detail for value in facts.values())
    (record,) = [record for record in caplog.records if record.getMessage() == "credential refused"]
    assert {"request_id": "request-1", **facts}.items() <= record.__dict__["fields"].items()


def test_access_log_injection(client: FlaskClient, log: Any) -> None:
    """A path with line feeds is escaped and a long one truncated; the route of an unknown path is null."""
    client.get("/a%0a%7b%22message%22:%22forged%22%7d" + "x" * 9000)
    client.get("/%ff%e2%80%a8")
    first, second = log()
    assert first["message"] == second["message"] == "request"
    assert first["path"].startswith('/a\n{"message":"forged"}')
    assert len(first["path"]) == 200
    assert (first["route"], first["code"], first["outcome"]) == (None, "not_found", None)


@pytest.mark.parametrize("host", ["a" * 64, "a:" + "1" * 5000, "a/b", "[::1]:8000", "a.example:80"])
def test_any_host_is_served(client: FlaskClient, host: str) -> None:
    """Nothing depends on the host."""
    assert client.get("/livez", headers={"Host": host}).status_code == 200


def test_a_body_has_the_deadline_of_the_request(client: FlaskClient) -> None:
    """The server that can limit the reading of a body gets the deadline."""
    deadlines: list[float] = []
    stream = io.BytesIO()
    limited = mock.Mock(wraps=stream, set_deadline=deadlines.append)
    client.get("/livez", environ_overrides={"wsgi.input": limited})
    assert len(deadlines) == 1
