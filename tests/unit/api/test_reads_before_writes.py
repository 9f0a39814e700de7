"""A write that fails at a preceding read is not applied: 503. 504 is for writes that may have been applied."""

from __future__ import annotations

import pytest
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from gateway.domain.error_mapping import UpstreamFailure
from gateway.domain.errors import BackendReplyInvalid, BackendTimeout, ErrorContext, GatewayError, OutcomeUnknown
from tests.unit.api.fake_backend import FakeBackend, body
from tests.unit.api.problems import assert_problem

ID = "/modules/cmdb.1.10.1"
CONTEXT = ErrorContext(UpstreamFailure(backend="cmdb", operation="search", is_write=False, status=200), None, 3.0)
WRITES = [("POST /modules", "create"), (f"PATCH {ID}", "update"), (f"DELETE {ID}", "delete")]
LOOKUPS = [
    ("POST /modules?validate_only=true", "check_target"),
    ("POST /modules?validate_only=true", "find"),
    (f"PATCH {ID} empty-patch", "get"),
]
READS = [("/modules?backend=cmdb&scope=1", "list"), (ID, "get")]


def _send(client: FlaskClient, cmdb: FakeBackend, target: str) -> TestResponse:
    method, path, *empty_patch = target.split()
    bodies = {"POST": body(cmdb), "PATCH": {} if empty_patch else {"name": "renamed"}}
    return client.open(path, method=method, json=bodies.get(method))


@pytest.mark.parametrize(("target", "operation"), WRITES + LOOKUPS)
@pytest.mark.parametrize("error", [BackendTimeout, BackendReplyInvalid])
def test_preceding_read_fails(
    client: FlaskClient, cmdb: FakeBackend, target: str, operation: str, error: type[GatewayError]
) -> None:
    """A preceding read that times out or returns an invalid response is 503: retryable, not applied."""
    cmdb.fails[operation] = error(context=CONTEXT)
    response = _send(client, cmdb, target)
    problem = assert_problem(response, 503, "backend_unavailable")
    assert problem["retryable"] is True
    assert problem["upstream"] == {"backend": "cmdb", "status": 200}
    assert response.headers["Retry-After"] == "3"


@pytest.mark.parametrize(("target", "operation"), WRITES)
def test_unknown_outcome(client: FlaskClient, cmdb: FakeBackend, target: str, operation: str) -> None:
    """A write of unknown outcome is 504 and is sent once."""
    cmdb.fails[operation] = OutcomeUnknown()
    assert_problem(_send(client, cmdb, target), 504, "outcome_unknown", "unknown")
    assert [name for name, _ in cmdb.writes] == [operation]


@pytest.mark.parametrize(("path", "operation"), READS)
@pytest.mark.parametrize(
    ("error", "status"), [(BackendTimeout(), 504), (BackendReplyInvalid(), 502), (OutcomeUnknown(), 504)]
)
def test_read_fails(
    client: FlaskClient, cmdb: FakeBackend, path: str, operation: str, error: GatewayError, status: int
) -> None:
    """The timeout of a read is 504, its invalid response 502; a read applies nothing."""
    cmdb.fails[operation] = error
    assert_problem(client.get(path), status, error.code)
