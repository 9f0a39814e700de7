"""The problem document of every error: the API's own, Flask's, a backend's and unexpected ones."""

from __future__ import annotations

import json
import logging
from typing import Any

import pytest
from flask.testing import FlaskClient

from gateway.domain.error_mapping import UpstreamFailure
from gateway.domain.errors import (
    REGISTRY,
    BackendPermissionDenied,
    ErrorContext,
    FieldError,
    GatewayError,
    ModuleAlreadyExists,
    OwnerNotFound,
    ParentNotFound,
    RateLimited,
    ScopeNotFound,
)
from gateway.domain.messages import verbatim
from tests.unit.api.fake_backend import FakeBackend, body
from tests.unit.api.problems import ALWAYS, assert_problem, field_errors
from tests.unit.api.test_registry import CONTRACT

ID = "/modules/cmdb.1.10.1"
LIST = "/modules?backend=cmdb&scope=1"


@pytest.mark.parametrize("method", ["GET", "POST", "PATCH", "PUT", "DELETE"])
def test_unknown_path(client: FlaskClient, method: str) -> None:
    """An unknown path is 404 not_found, whatever the method."""
    problem = assert_problem(client.open("/nope", method=method), 404, "not_found")
    assert problem.keys() == ALWAYS


@pytest.mark.parametrize(
    ("method", "path", "allow"),
    [
        ("PUT", "/modules", "GET, HEAD, OPTIONS, POST"),
        ("DELETE", "/modules", "GET, HEAD, OPTIONS, POST"),
        ("POST", ID, "DELETE, GET, HEAD, OPTIONS, PATCH"),
        ("PROPFIND", ID, "DELETE, GET, HEAD, OPTIONS, PATCH"),
        ("TRACE", "/modules", "GET, HEAD, OPTIONS, POST"),
        ("POST", "/backends", "GET, HEAD, OPTIONS"),
        ("PATCH", "/docs", "GET, HEAD, OPTIONS"),
        ("POST", "/livez", "GET, HEAD, OPTIONS"),
    ],
)
def test_unknown_method(client: FlaskClient, cmdb: FakeBackend, method: str, path: str, allow: str) -> None:
    """An unknown method is 405 with the permitted ones in Allow; nothing is sent."""
    response = client.open(path, method=method)
    assert_problem(response, 405, "method_not_allowed")
    assert response.headers["Allow"] == allow
    assert cmdb.sent == []


@pytest.mark.parametrize(
    ("target", "operation", "outcome"),
    [
        (f"GET {LIST}", "list", "not_applied"),
        (f"GET {ID}", "get", "not_applied"),
        ("POST /modules?validate_only=true", "find", "unknown"),
        (f"PATCH {ID}", "update", "unknown"),
        (f"DELETE {ID}", "delete", "unknown"),
    ],
)
def test_unexpected_error(
    client: FlaskClient, cmdb: FakeBackend, caplog: pytest.LogCaptureFixture, target: str, operation: str, outcome: str
) -> None:
    """An unexpected exception is 500 without its text; the outcome of a write is unknown, and the traceback logged."""
    method, path = target.split()
    cmdb.fails[operation] = RuntimeError("secret text")
    arguments: dict[str, Any] = (
        {"json": body(cmdb) if method == "POST" else {"name": "x"}} if method in {"POST", "PATCH"} else {}
    )
    response = client.open(path, method=method, **arguments)
    problem = assert_problem(response, 500, "internal", outcome)
    assert problem.keys() == ALWAYS
    assert "secret" not in response.text
    assert "RuntimeError" not in response.text
    record = next(record for record in caplog.records if record.levelno == logging.ERROR)
    assert record.message == "unexpected error"
    assert record.fields == {"request_id": problem["request_id"]}  # type: ignore[attr-defined] # set by `extra`
    assert record.exc_info is not None
    assert record.exc_info[1] is cmdb.fails[operation]


def test_unexpected_error_in_create(client: FlaskClient, cmdb: FakeBackend, caplog: pytest.LogCaptureFixture) -> None:
    """The outcome of a create that ends in an unexpected exception is unknown; its text is not in the response."""
    cmdb.fails["create"] = RuntimeError("secret text")
    response = client.post("/modules", json=body(cmdb))
    assert response.status_code in {500, 504}
    assert_problem(response, response.status_code, response.get_json()["code"], "unknown")
    assert "secret" not in response.text
    assert any(record.exc_info and record.exc_info[1] is cmdb.fails["create"] for record in caplog.records)


@pytest.mark.parametrize("code", sorted(set(CONTRACT) - {"internal"}))
def test_backend_errors(client: FlaskClient, cmdb: FakeBackend, code: str) -> None:
    """Every registered error of an adapter has its status, and its outcome on a write."""
    cmdb.fails["delete"] = REGISTRY[code]()
    status, outcome, _ = CONTRACT[code]
    if code in {"scope_not_found", "parent_not_found"}:
        status = 404  # part of the id in the path
    if code in {"backend_timeout", "backend_reply_invalid"}:
        code, status = "backend_unavailable", 503  # of a read that precedes the write
    assert_problem(client.delete(ID), status, code, outcome.split(" or ")[-1])


@pytest.mark.parametrize("error", [ScopeNotFound, ParentNotFound, OwnerNotFound])
def test_default_pointer(client: FlaskClient, cmdb: FakeBackend, error: type[GatewayError]) -> None:
    """On a create, an unknown scope, parent or owner has a pointer, even if the adapter gave none."""
    cmdb.fails["create"] = error()
    problem = assert_problem(client.post("/modules", json=body(cmdb)), 422, error.code)
    assert field_errors(problem) == {(error.pointer, error.code)}


def test_list_unknown_scope(client: FlaskClient, cmdb: FakeBackend) -> None:
    """Listing an unknown scope is 422 at the parameter scope."""
    problem = assert_problem(client.get("/modules?backend=cmdb&scope=2"), 422, "scope_not_found")
    assert field_errors(problem) == {("?scope", "scope_not_found")}
    assert [operation for operation, _ in cmdb.sent] == ["list"]


@pytest.mark.parametrize("error", [ScopeNotFound, ParentNotFound])
@pytest.mark.parametrize("method", ["GET", "DELETE"])
def test_scope_in_path(client: FlaskClient, cmdb: FakeBackend, error: type[GatewayError], method: str) -> None:
    """An unknown scope or parent in the id of the path is 404 without field errors."""
    cmdb.fails |= {"get": error(), "delete": error()}
    assert "errors" not in assert_problem(client.open(ID, method=method), 404, error.code)


def test_upstream(client: FlaskClient, cmdb: FakeBackend) -> None:
    """The problem contains a backend's code, status, request id and permission, but not its message or token."""
    failure = UpstreamFailure(
        backend="cmdb", operation="create", is_write=True, status=200, code="9900403", message="backend's message",
        word="word", request_id="e43d", retry_after=7.2, permission={"system_id": "bk_cmdb"},
    )  # fmt: skip
    cmdb.fails["create"] = BackendPermissionDenied(context=ErrorContext(failure, failure.permission, 7.2))
    response = client.post("/modules", json=body(cmdb))
    problem = assert_problem(response, 403, "backend_permission_denied")
    assert problem["upstream"] == {"backend": "cmdb", "status": 200, "code": "9900403", "request_id": "e43d"}
    assert problem["permission"] == {"system_id": "bk_cmdb"}
    assert "backend's message" not in response.text
    assert "Retry-After" not in response.headers


@pytest.mark.parametrize(("seconds", "header"), [(7.2, "8"), (0.0, "0"), (None, "1")])
def test_retry_after(client: FlaskClient, cmdb: FakeBackend, seconds: float | None, header: str) -> None:
    """Retry-After is in whole seconds, 1 if the backend tells none; unknown members of `upstream` are left out."""
    failure = UpstreamFailure(backend="cmdb", operation="list", is_write=False, status=429)
    cmdb.fails["list"] = RateLimited(context=ErrorContext(failure, None, seconds))
    response = client.get(LIST)
    assert assert_problem(response, 429, "rate_limited")["upstream"] == {"backend": "cmdb", "status": 429}
    assert response.headers.get("Retry-After") == header


def test_utf8(client: FlaskClient, cmdb: FakeBackend) -> None:
    """The problem document is UTF-8 without escapes; field errors have their permitted values."""
    cmdb.fails["create"] = ModuleAlreadyExists(
        verbatim("模块已存在"),
        errors=[FieldError("/name", "taken", verbatim("已存在"), verbatim("另一个"))],
        existing="cmdb.1.10.9",
        diff={"/name": 1},
    )
    cmdb.fails["find"] = ScopeNotFound()
    response = client.post("/modules", json=body(cmdb))
    assert "模块已存在" in response.data.decode()
    document = json.loads(response.data)
    assert document["errors"] == [{"pointer": "/name", "code": "taken", "detail": "已存在", "allowed": "另一个"}]
    assert (document["existing"], document["diff"]) == ("cmdb.1.10.9", {"/name": 1})
