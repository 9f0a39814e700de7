"""Responses to creates of one name by two callers: no answer names another's operation, request id or user."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient

from gateway.domain.backend import Backend
from gateway.domain.errors import OutcomeUnknown
from gateway.settings import AuthConfig
from tests.unit.api.callers import auth, caller, key
from tests.unit.api.fake_backend import FakeBackend, body
from tests.unit.api.problems import assert_problem

ASYNC = {"Prefer": "respond-async"}
FIRST = {**key("first"), "X-Request-Id": "id-of-first"}
SECOND = {**key("second"), "X-Request-Id": "id-of-second"}


@pytest.fixture
def client(build: Callable[[Mapping[str, Backend], AuthConfig], Flask], cmdb: FakeBackend) -> FlaskClient:
    """The service with two callers; the first one's create, op-1, has an unknown outcome."""
    config = auth(caller("first", "*:*:*"), caller("second", "*:*:*", acting_user="tom"))
    client = build({"cmdb": cmdb}, config).test_client()
    cmdb.fails["create"] = OutcomeUnknown()
    response = client.post("/modules", json=body(cmdb), headers=FIRST)
    assert assert_problem(response, 504, "outcome_unknown", "unknown")["instance"] == "/operations/op-1"
    del cmdb.fails["create"]
    return client


@pytest.mark.parametrize("headers", [{}, ASYNC, {"Idempotency-Key": "k"}, {"Idempotency-Key": "k", **ASYNC}])
def test_another_caller(client: FlaskClient, cmdb: FakeBackend, headers: dict[str, str]) -> None:
    """At its deadline it gets 409 without an operation, and when to try again; nothing is sent."""
    before = len(cmdb.sent)
    response = client.post("/modules", json=body(cmdb), headers={**SECOND, **headers})
    problem = assert_problem(response, 409, "create_in_progress")
    assert "instance" not in problem
    assert int(response.headers["Retry-After"]) > 0
    for secret in ("op-1", "id-of-first", '"first"'):
        assert secret not in response.text
    assert len(cmdb.sent) == before
    assert_problem(client.get("/operations/op-1", headers=SECOND), 404, "operation_not_found")


@pytest.mark.parametrize("changes", [{"owners": ["tom"]}, {"attributes": {"remark": "x"}}])
@pytest.mark.parametrize("headers", [FIRST, SECOND])
def test_another_body(client: FlaskClient, cmdb: FakeBackend, headers: dict[str, str], changes: dict[str, Any]) -> None:
    """It is refused at once, also its own caller's, without an operation."""
    response = client.post("/modules", json=body(cmdb, **changes), headers=headers)
    assert "instance" not in assert_problem(response, 409, "create_in_progress")
    assert "Retry-After" in response.headers


@pytest.mark.parametrize("headers", [{}, {"X-Request-Id": "new"}, {"Idempotency-Key": "k"}])
def test_same_caller(client: FlaskClient, cmdb: FakeBackend, headers: dict[str, str]) -> None:
    """A repeat of the caller's own create is unknown at its deadline, with its operation."""
    response = client.post("/modules", json=body(cmdb), headers={**FIRST, **headers})
    assert assert_problem(response, 504, "outcome_unknown", "unknown")["instance"] == "/operations/op-1"
    accepted = client.post("/modules", json=body(cmdb), headers={**FIRST, **headers, **ASYNC})
    assert (accepted.status_code, accepted.headers["Location"]) == (202, "/operations/op-1")
