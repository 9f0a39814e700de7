"""Invalid queries and page tokens are refused, and nothing is sent."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest
from flask.testing import FlaskClient

from gateway.api.page_tokens import filter_digest
from tests.unit.api.fake_backend import FakeBackend, body
from tests.unit.api.problems import assert_problem, field_errors

LIST = "/modules?backend=cmdb&scope=1"


def _token(*parts: object) -> str:
    return base64.urlsafe_b64encode(json.dumps(parts).encode()).decode().rstrip("=")


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("/modules", ("?backend", "required")),
        ("/modules?scope=1", ("?backend", "required")),
        ("/modules?backend=cmdb", ("?scope", "required")),
        ("/modules?backend=cmdb&scope=", ("?scope", "required")),
        ("/modules?backend=cmdb&scope=%D9%A1", ("?scope", "pattern")),
        ("/modules?backend=cmdb&scope=%EF%BC%91", ("?scope", "pattern")),
        ("/modules?backend=cmdb&scope=1%0a", ("?scope", "pattern")),
        ("/modules?backend=cmdb&scope=1%00", ("?scope", "pattern")),
        ("/modules?backend=cmdb&scope=..%2f1", ("?scope", "pattern")),
        ("/modules?backend=cmdb&scope=%ff", ("?scope", "pattern")),
        ("/modules?backend=cmdb&scope=9223372036854775808", ("?scope", "range")),
        (f"{LIST}&parent=", ("?parent", "required")),
        (f"{LIST}&parent=%D9%A1%D9%A0", ("?parent", "pattern")),
        (f"{LIST}&parent=10%0d%0aX:%20y", ("?parent", "pattern")),
        (f"{LIST}&name=", ("?name", "required")),
        (f"{LIST}&include=", ("?include", "choice")),
        (f"{LIST}&include=everything", ("?include", "choice")),
        (f"{LIST}&page_size=", ("?page_size", "type")),
        (f"{LIST}&page_size=0", ("?page_size", "range")),
        (f"{LIST}&page_size=201", ("?page_size", "range")),
        (f"{LIST}&page_size=-1", ("?page_size", "type")),
        (f"{LIST}&page_size=1e3", ("?page_size", "type")),
        (f"{LIST}&page_size=1%0a", ("?page_size", "type")),
        (f"{LIST}&page_size=%D9%A1", ("?page_size", "type")),
        (f"{LIST}&page_size=" + "1" * 5000, ("?page_size", "type")),
        (f"{LIST}&page_size=1&page_size=2", ("?page_size", "repeated")),
        (f"{LIST}&scope=1", ("?scope", "repeated")),
        (f"{LIST}&limit=1", ("?limit", "unknown_field")),
        (f"{LIST}&", None),
        (f"{LIST}&=1", ("?", "unknown_field")),
        ("/modules/cmdb.1.10.1?fields=name", ("?fields", "unknown_field")),
    ],
)
def test_read(client: FlaskClient, cmdb: FakeBackend, path: str, expected: tuple[str, str] | None) -> None:
    """A parameter that is unknown, empty, repeated or malformed is 422 and named as such."""
    response = client.get(path)
    if expected is None:
        assert response.status_code == 200
        return
    assert expected in field_errors(assert_problem(response, 422, "validation_failed"))
    assert cmdb.sent == []


@pytest.mark.parametrize(
    ("method", "path", "pointer"),
    [
        ("POST", "/modules?if_exists=", "?if_exists"),
        ("POST", "/modules?if_exists=replace", "?if_exists"),
        ("POST", "/modules?if_exists=adopt&if_exists=error", "?if_exists"),
        ("POST", "/modules?validate_only=1", "?validate_only"),
        ("POST", "/modules?validate_only=", "?validate_only"),
        ("POST", "/modules?validate_only=True", "?validate_only"),
        ("POST", "/modules?dry_run=true", "?dry_run"),
        ("PATCH", "/modules/cmdb.1.10.1?force=true", "?force"),
        ("DELETE", "/modules/cmdb.1.10.1?cascade=yes", "?cascade"),
        ("DELETE", "/modules/cmdb.1.10.1?cascade=false&cascade=true", "?cascade"),
        ("DELETE", "/modules/cmdb.1.10.1?validate_only=true", "?validate_only"),
    ],
)
def test_write(client: FlaskClient, cmdb: FakeBackend, method: str, path: str, pointer: str) -> None:
    """A write with an invalid parameter is refused, and nothing is sent."""
    arguments: dict[str, Any] = {"json": body(cmdb) if method == "POST" else {}} if method != "DELETE" else {}
    problem = assert_problem(client.open(path, method=method, **arguments), 422, "validation_failed")
    assert {parameter for parameter, _ in field_errors(problem)} == {pointer}
    assert cmdb.sent == []


@pytest.mark.parametrize("name", ["nope", "", "CMDB", "cmdb%00", "c%C2%ADmdb"])
def test_unknown_backend(client: FlaskClient, name: str) -> None:
    """Listing an unknown connection is 422 backend_unknown at /backend."""
    problem = assert_problem(client.get(f"/modules?backend={name}&scope=1"), 422, "backend_unknown")
    assert field_errors(problem) == {("?backend", "backend_unknown")}


@pytest.mark.parametrize(
    "token",
    [
        "",
        "x",
        "====",
        "%00",
        "%D9%A1",
        _token("1"),
        _token("1", "0" * 16),
        _token(1, 2, 3),
        base64.b64encode(b"null").decode(),
        base64.b64encode(b'{"a": 1}').decode(),
        base64.b64encode(b"[" * 6000).decode(),  # exceeds the parser's depth
        base64.b64encode(b"1" * 6000).decode(),
        "A" * 10_000,
    ],
)
def test_forged_token(client: FlaskClient, cmdb: FakeBackend, token: str) -> None:
    """A token that the gateway did not issue is 422 at /page_token."""
    problem = assert_problem(client.get(f"{LIST}&page_token={token}"), 422, "validation_failed")
    assert field_errors(problem) == {("?page_token", "pattern")}
    assert cmdb.sent == []


@pytest.mark.parametrize("cursor", ["-1", "1\n", "١", "{}", "x" * 400, 1, None, ["1"], "\ud800"])
def test_forged_cursor(client: FlaskClient, cmdb: FakeBackend, cursor: object) -> None:
    """The digest is not secret: a forged cursor with the right digest is refused by the adapter's parser."""
    token = _token(cursor, filter_digest(("cmdb", "1", None, None, False)))
    problem = assert_problem(client.get(f"{LIST}&page_token={token}"), 422, "validation_failed")
    assert field_errors(problem) == {("?page_token", "pattern")}
    assert cmdb.sent == []


@pytest.mark.parametrize("other", ["parent=10", "name=demo", "include=built_in", "scope=2", "backend=projectman"])
def test_token_of_another_filter(client: FlaskClient, cmdb: FakeBackend, projectman: FakeBackend, other: str) -> None:
    """A token is bound to connection, scope and every filter; with another one it is refused."""
    projectman.capabilities = cmdb.capabilities
    cmdb.scopes, projectman.scopes = ("1", "2"), ("1",)
    for name in ("demo", "other"):
        client.post("/modules", json=body(cmdb, name=name))
    token = client.get(f"{LIST}&page_size=1").get_json()["next_page_token"]
    sent = len(cmdb.sent)
    query = {"backend": "cmdb", "scope": "1", "page_size": "1", "page_token": token} | dict([other.split("=")])
    assert_problem(client.get("/modules", query_string=query), 422, "validation_failed")
    assert (len(cmdb.sent), projectman.sent) == (sent, [])
