"""One envelope for every failure: the api's own, Flask's, a backend's and a bug's."""

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
from tests.unit.api.fake_backend import FakeBackend, body
from tests.unit.api.problems import ALWAYS, assert_problem, field_errors
from tests.unit.api.test_registry import CONTRACT

ID = "/modules/cmdb.1.10.1"
LIST = "/modules?backend=cmdb&scope=1"


@pytest.mark.parametrize("method", ["GET", "POST", "PATCH", "PUT", "DELETE"])
def test_no_such_address(client: FlaskClient, method: str) -> None:
    """An unknown address is 404 not_found in the envelope, whatever the method."""
    told = assert_problem(client.open("/nope", method=method), 404, "not_found")
    assert told.keys() == ALWAYS


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
def test_no_such_method(client: FlaskClient, cmdb: FakeBackend, method: str, path: str, allow: str) -> None:
    """A method that an address does not have is 405 with those it has in Allow; nothing is sent."""
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
def test_a_bug(
    client: FlaskClient, cmdb: FakeBackend, caplog: pytest.LogCaptureFixture, target: str, operation: str, outcome: str
) -> None:
    """What nobody expected is 500 internal without a word of the exception: unknown on a write, logged with a trace."""
    method, path = target.split()
    cmdb.fails[operation] = RuntimeError("secret words")
    sent: dict[str, Any] = (
        {"json": body(cmdb) if method == "POST" else {"name": "x"}} if method in {"POST", "PATCH"} else {}
    )
    response = client.open(path, method=method, **sent)
    told = assert_problem(response, 500, "internal", outcome)
    assert told.keys() == ALWAYS
    assert "secret" not in response.text
    assert "RuntimeError" not in response.text
    record = next(each for each in caplog.records if each.levelno == logging.ERROR)
    assert record.message == "unexpected error"
    assert record.fields == {"request_id": told["request_id"]}  # type: ignore[attr-defined] # set by `extra`
    assert record.exc_info is not None
    assert record.exc_info[1] is cmdb.fails[operation]


def test_a_bug_in_a_create(client: FlaskClient, cmdb: FakeBackend, caplog: pytest.LogCaptureFixture) -> None:
    """A create that a bug ended is of unknown fate, an operation to be settled; no word of the exception goes out."""
    cmdb.fails["create"] = RuntimeError("secret words")
    response = client.post("/modules", json=body(cmdb))
    assert response.status_code in {500, 504}
    assert_problem(response, response.status_code, response.get_json()["code"], "unknown")
    assert "secret" not in response.text
    assert any(each.exc_info and each.exc_info[1] is cmdb.fails["create"] for each in caplog.records)


@pytest.mark.parametrize("code", sorted(set(CONTRACT) - {"internal"}))
def test_every_error_of_a_backend(client: FlaskClient, cmdb: FakeBackend, code: str) -> None:
    """Every registered error that an adapter raises is answered with its status, on a write with its outcome."""
    cmdb.fails["delete"] = REGISTRY[code]()
    status, outcome, _ = CONTRACT[code]
    if code in {"scope_not_found", "parent_not_found"}:
        status = 404  # named by the id in the address
    if code in {"backend_timeout", "backend_reply_invalid"}:
        code, status = "backend_unavailable", 503  # a read on the way to the write
    assert_problem(client.delete(ID), status, code, outcome)


@pytest.mark.parametrize("error", [ScopeNotFound, ParentNotFound, OwnerNotFound])
def test_always_in_one_place(client: FlaskClient, cmdb: FakeBackend, error: type[GatewayError]) -> None:
    """On a create, a scope, parent or owner that is not there is pointed at, though the adapter did not."""
    cmdb.fails["create"] = error()
    told = assert_problem(client.post("/modules", json=body(cmdb)), 422, error.code)
    assert field_errors(told) == {(error.pointer, error.code)}


def test_listing_nowhere(client: FlaskClient, cmdb: FakeBackend) -> None:
    """To list a scope that does not exist is 422 at /scope, and no empty list."""
    told = assert_problem(client.get("/modules?backend=cmdb&scope=2"), 422, "scope_not_found")
    assert field_errors(told) == {("/scope", "scope_not_found")}
    assert [operation for operation, _ in cmdb.sent] == ["list"]


@pytest.mark.parametrize("error", [ScopeNotFound, ParentNotFound])
@pytest.mark.parametrize("method", ["GET", "DELETE"])
def test_named_by_the_address(client: FlaskClient, cmdb: FakeBackend, error: type[GatewayError], method: str) -> None:
    """The same, of an id: the address is not found, and there is no field to point at."""
    cmdb.fails |= {"get": error(), "delete": error()}
    assert "errors" not in assert_problem(client.open(ID, method=method), 404, error.code)


def test_evidence(client: FlaskClient, cmdb: FakeBackend) -> None:
    """A backend's code, status and request id go out, and what to apply for; its words and its token do not."""
    fault = UpstreamFailure(
        backend="cmdb", operation="create", is_write=True, status=200, code="9900403", message="words of theirs",
        token="token", request_id="e43d", retry_after=7.2, permission={"system_id": "bk_cmdb"},
    )  # fmt: skip
    cmdb.fails["create"] = BackendPermissionDenied(context=ErrorContext(fault, fault.permission, 7.2))
    response = client.post("/modules", json=body(cmdb))
    told = assert_problem(response, 403, "backend_permission_denied")
    assert told["upstream"] == {"backend": "cmdb", "status": 200, "code": "9900403", "request_id": "e43d"}
    assert told["permission"] == {"system_id": "bk_cmdb"}
    assert "words of theirs" not in response.text
    assert "Retry-After" not in response.headers


@pytest.mark.parametrize(("seconds", "header"), [(7.2, "8"), (0.0, "0"), (None, None)])
def test_retry_after(client: FlaskClient, cmdb: FakeBackend, seconds: float | None, header: str | None) -> None:
    """Retry-After is in whole seconds, never sooner than the backend said; unknown parts of `upstream` are left out."""
    fault = UpstreamFailure(backend="cmdb", operation="list", is_write=False, status=429)
    cmdb.fails["list"] = RateLimited(context=ErrorContext(fault, None, seconds))
    response = client.get(LIST)
    assert assert_problem(response, 429, "rate_limited")["upstream"] == {"backend": "cmdb", "status": 429}
    assert response.headers.get("Retry-After") == header


def test_utf8(client: FlaskClient, cmdb: FakeBackend) -> None:
    """The envelope is UTF-8, as it reads: no escapes; what an error names is in `errors`, allowed values and all."""
    cmdb.fails["create"] = ModuleAlreadyExists(
        "模块已存在",
        errors=[FieldError("/name", "taken", "已存在", "另一个")],
        existing="cmdb.1.10.9",
        diff={"/name": 1},
    )
    cmdb.fails["find"] = ScopeNotFound()
    response = client.post("/modules", json=body(cmdb))
    assert "模块已存在" in response.data.decode()
    told = json.loads(response.data)
    assert told["errors"] == [{"pointer": "/name", "code": "taken", "detail": "已存在", "allowed": "另一个"}]
    assert (told["existing"], told["diff"]) == ("cmdb.1.10.9", {"/name": 1})
