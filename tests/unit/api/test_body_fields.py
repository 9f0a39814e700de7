"""JSON bodies that break rules: all errors are reported with their JSON pointers, and nothing is sent."""

from __future__ import annotations

from typing import Any

import pytest
from flask.testing import FlaskClient

from tests.unit.api.fake_backend import OWNER, FakeBackend, body
from tests.unit.api.problems import assert_problem, field_errors

ARABIC, FULL_WIDTH = "١", "１"
INVALID_ON_BOTH = [
    ({"scope": True}, "/scope", "type"),
    ({"scope": 1.0}, "/scope", "type"),
    ({"scope": ["1"]}, "/scope", "type"),
    ({"scope": {}}, "/scope", "type"),
    ({"scope": None}, "/scope", "null"),
    ({"scope": ""}, "/scope", "required"),
    ({"scope": "../1"}, "/scope", "pattern"),
    ({"scope": "1\n"}, "/scope", "pattern"),
    ({"scope": "1\x00"}, "/scope", "pattern"),
    ({"scope": "1%2F2"}, "/scope", "pattern"),
    ({"scope": "9" * 4000}, "/scope", "pattern"),
    ({"scope": ARABIC * 32}, "/scope", "pattern"),
    ({"scope": FULL_WIDTH * 32}, "/scope", "pattern"),
    ({"scope": -1}, "/scope", "pattern"),
    ({"parent": False}, "/parent", "type"),
    ({"parent": {"id": 1}}, "/parent", "type"),
    ({"parent": ""}, "/parent", None),
    ({"parent": "10\r\nX: y"}, "/parent", "pattern"),
    ({"parent": ARABIC}, "/parent", "pattern"),
    ({"parent": FULL_WIDTH}, "/parent", "pattern"),
    ({"parent": "01"}, "/parent", "pattern"),
    ({"parent": 2**63}, "/parent", None),
    ({"name": 1}, "/name", "type"),
    ({"name": None}, "/name", "null"),
    ({"name": ["demo"]}, "/name", "type"),
    ({"name": ""}, "/name", "required"),
    ({"name": " \t\u3000"}, "/name", "required"),
    ({"name": "a/../b"}, "/name", "pattern"),
    ({"name": "a\r\nX-Injected: 1"}, "/name", "pattern"),
    ({"name": "a\x00b"}, "/name", "pattern"),
    ({"name": "n" * 300}, "/name", "too_long"),
    ({"owners": "admin"}, "/owners", "type"),
    ({"owners": {"id": "admin"}}, "/owners", "type"),
    ({"owners": [1]}, "/owners/0", "type"),
    ({"owners": [None]}, "/owners/0", "type"),
    ({"owners": [{}]}, "/owners/0", "type"),
    ({"owners": [{"id": OWNER, "role": "x"}]}, "/owners/0", "type"),
    ({"owners": [OWNER, {"id": OWNER}]}, "/owners/1", "duplicate"),
    ({"owners": [f"{OWNER}\r\nX: y"]}, "/owners/0", "pattern"),
    ({"owners": ["a,b"]}, "/owners/0", "pattern"),
    ({"owners": [f"{ARABIC}{FULL_WIDTH}"]}, "/owners/0", "pattern"),
    ({"attributes": []}, "/attributes", "type"),
    ({"attributes": None}, "/attributes", "null"),
    ({"attributes": {"nope": 1}}, "/attributes/nope", "unsupported_field"),
    ({"attributes": {"a/b~c": 1}}, "/attributes/a~1b~0c", "unsupported_field"),
    ({"attributes": {"bk_supplier_account": "0"}}, "/attributes/bk_supplier_account", "unsupported_field"),
    ({"description": 1}, "/description", "type"),
    ({"id": "cmdb.1.10.1"}, "/id", "unknown_field"),
    ({"Name": "x"}, "/Name", "unknown_field"),
    ({"a/b": 1}, "/a~1b", "unknown_field"),
]
INVALID_ON_CMDB = [
    ({"parent": None}, "/parent", "required"),
    ({"scope": 2**63}, "/scope", "range"),
    ({"description": "text"}, "/description", "unsupported_field"),
    ({"name": "模" * 86}, "/name", "too_long"),
    ({"name": "a#b"}, "/name", "pattern"),
    ({"owners": ["u" * 2001]}, "/owners", "too_long"),
    ({"attributes": {"service_category_id": True}}, "/attributes/service_category_id", "type"),
    ({"attributes": {"service_category_id": "2"}}, "/attributes/service_category_id", "type"),
    ({"attributes": {"service_category_id": -1}}, "/attributes/service_category_id", "range"),
    ({"attributes": {"host_apply_enabled": True}}, "/attributes/host_apply_enabled", "unsupported_field"),
    ({"attributes": {"remark": {"$ne": 1}}}, "/attributes/remark", "type"),
    ({"attributes": {"bk_module_type": "1\n"}}, "/attributes/bk_module_type", "pattern"),
]
INVALID_ON_PROJECTMAN = [
    ({"scope": 1}, "/scope", "pattern"),
    ({"parent": 2**31}, "/parent", "range"),
    ({"name": "a b"}, "/name", "pattern"),
    ({"name": "模" * 31}, "/name", "too_long"),
    ({"name": FULL_WIDTH}, "/name", "pattern"),
    ({"description": "d" * 256}, "/description", "too_long"),
    ({"owners": None}, "/owners", "required"),
    ({"owners": []}, "/owners", "required"),
    ({"owners": [OWNER, OWNER[::-1]]}, "/owners", "too_many"),
    ({"owners": [OWNER.upper()]}, "/owners/0", "pattern"),
    ({"attributes": {"remark": "x"}}, "/attributes/remark", "unsupported_field"),
]
ROWS = [
    *(("cmdb", *row) for row in INVALID_ON_BOTH + INVALID_ON_CMDB),
    *(("projectman", *row) for row in INVALID_ON_BOTH + INVALID_ON_PROJECTMAN),
]


@pytest.mark.parametrize(("name", "change", "pointer", "code"), ROWS)
def test_create_refused(
    client: FlaskClient,
    request: pytest.FixtureRequest,
    name: str,
    change: dict[str, Any],
    pointer: str,
    code: str | None,
) -> None:
    """An invalid field is one error with its pointer and code, also with validate_only; nothing is sent."""
    backend: FakeBackend = request.getfixturevalue(name)
    for path in ("/modules", "/modules?validate_only=true"):
        response = client.post(path, json=body(backend, **change))
        problem = assert_problem(
            response, 422, "unsupported_field" if code == "unsupported_field" else "validation_failed"
        )
        assert {error["pointer"] for error in problem["errors"]} == {pointer}
        assert code is None or (pointer, code) in field_errors(problem)
    assert backend.sent == []


def test_all_errors_reported(client: FlaskClient, cmdb: FakeBackend) -> None:
    """All errors of a request are reported in one response."""
    payload = {
        "backend": "cmdb",
        "scope": "x",
        "name": "a b",
        "description": "text",
        "owners": ["ok", "not ok", "-"],
        "attributes": {"nope": 1, "service_category_id": "2", "remark": "fine"},
        "extra": None,
    }
    problem = assert_problem(client.post("/modules", json=payload), 422, "validation_failed")
    assert field_errors(problem) == {
        ("/scope", "pattern"),
        ("/parent", "required"),
        ("/name", "pattern"),
        ("/description", "unsupported_field"),
        ("/owners/1", "pattern"),
        ("/owners/2", "pattern"),
        ("/attributes/nope", "unsupported_field"),
        ("/attributes/service_category_id", "type"),
        ("/extra", "unknown_field"),
    }
    assert len(problem["errors"]) == 9
    assert cmdb.sent == []


def test_one_error_per_field(client: FlaskClient, cmdb: FakeBackend) -> None:
    """A field of the wrong type is not also reported as missing."""
    problem = assert_problem(client.post("/modules", json=body(cmdb, scope=True, name=None)), 422, "validation_failed")
    assert field_errors(problem) == {("/scope", "type"), ("/name", "null")}
    assert len(problem["errors"]) == 2


def test_allowed_pattern(client: FlaskClient, projectman: FakeBackend) -> None:
    """A pattern error describes the permitted format in `allowed`."""
    problem = assert_problem(client.post("/modules", json=body(projectman, name="a b")), 422, "validation_failed")
    assert problem["errors"][0]["allowed"] == str(projectman.capabilities.name.allowed_description)


@pytest.mark.parametrize(
    ("backend", "code", "expected"),
    [
        ("nope", "backend_unknown", ("/backend", "backend_unknown")),
        ("", "backend_unknown", ("/backend", "backend_unknown")),
        ("CMDB", "backend_unknown", ("/backend", "backend_unknown")),
        ("cmdb\n", "backend_unknown", ("/backend", "backend_unknown")),
        (None, "validation_failed", ("/backend", "null")),
        (1, "validation_failed", ("/backend", "type")),
        (["cmdb"], "validation_failed", ("/backend", "type")),
    ],
)
def test_backend(client: FlaskClient, cmdb: FakeBackend, backend: Any, code: str, expected: tuple[str, str]) -> None:
    """An unknown connection is 422 backend_unknown at /backend; a name that is not a string is a type error."""
    problem = assert_problem(client.post("/modules", json=body(cmdb, backend=backend)), 422, code)
    assert field_errors(problem) == {expected}
    assert cmdb.sent == []


def test_backend_missing(client: FlaskClient) -> None:
    """Without a backend, only the errors that do not depend on it are reported."""
    problem = assert_problem(client.post("/modules", json={"name": 1}), 422, "validation_failed")
    assert field_errors(problem) == {("/backend", "required"), ("/name", "type")}


def test_null_means_absent(client: FlaskClient, cmdb: FakeBackend) -> None:
    """In a create null means *absent*: null for a field that the backend lacks, and empty attributes, are accepted."""
    payload = body(cmdb, description=None, owners=None, attributes={"remark": None})
    assert client.post("/modules", json=payload).status_code == 201
    draft = cmdb.writes[0][1]
    assert (draft.description, draft.owners, draft.attributes) == (None, None, {})


def test_accepted_forms(client: FlaskClient, cmdb: FakeBackend) -> None:
    """Ids may be integers, owners may be objects as in responses, and a name is trimmed."""
    payload = body(cmdb, scope=1, parent=10, name=" \u3000demo\t", owners=[{"id": "admin", "display_name": None}, "b"])
    document = client.post("/modules", json=payload).get_json()
    assert (document["scope"], document["parent"], document["name"]) == ("1", "10", "demo")
    assert [owner["id"] for owner in document["owners"]] == ["admin", "b"]


def test_many_owners(client: FlaskClient, cmdb: FakeBackend) -> None:
    """Of thousands of owners, the repeated one is reported."""
    owners = [f"{index:x}" for index in range(7000)]
    problem = assert_problem(client.post("/modules", json=body(cmdb, owners=[*owners, "0"])), 422, "validation_failed")
    assert field_errors(problem) == {("/owners/7000", "duplicate")}
