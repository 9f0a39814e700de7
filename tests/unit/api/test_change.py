"""PATCH and DELETE: merge-patch, immutable fields, and the calls to the backend."""

from __future__ import annotations

import json
from typing import Any

import pytest
from flask.testing import FlaskClient

from gateway.domain.errors import BackendUnavailable, ModuleAlreadyExists
from gateway.domain.module import UNSET, ModulePatch
from tests.unit.api.fake_backend import OWNER, FakeBackend, body
from tests.unit.api.problems import assert_problem, field_errors


@pytest.fixture
def module_path(client: FlaskClient, cmdb: FakeBackend) -> str:
    """The path of a module in CMDB."""
    payload = body(cmdb, owners=["a", "b"], attributes={"remark": "x", "bk_module_type": "1"})
    location = client.post("/modules", json=payload).headers["Location"]
    cmdb.sent.clear()
    return location


@pytest.fixture
def parent_path(client: FlaskClient, projectman: FakeBackend) -> str:
    """The path of a module in ProjectMan that has a child."""
    first = client.post("/modules", json=body(projectman, description="text"))
    client.post("/modules", json=body(projectman, name="child", parent=first.get_json()["native_id"]))
    projectman.sent.clear()
    return first.headers["Location"]


@pytest.mark.parametrize("content_type", ["application/json", "application/merge-patch+json"])
def test_merge(client: FlaskClient, cmdb: FakeBackend, module_path: str, content_type: str) -> None:
    """An absent member stays as it is; both content types mean the same; the changed module is returned."""
    response = client.patch(module_path, data=json.dumps({"name": " renamed "}), content_type=content_type)
    document = response.get_json()
    assert (response.status_code, response.headers["Gateway-Outcome"]) == (200, "applied")
    assert (document["name"], [owner["id"] for owner in document["owners"]]) == ("renamed", ["a", "b"])
    assert cmdb.sent == [("update", ModulePatch(name="renamed"))]
    assert client.get(module_path).get_json() == document


def test_null_values(client: FlaskClient, cmdb: FakeBackend, module_path: str) -> None:
    """Null empties the owners and single attributes of a module; the others are not changed."""
    document = client.patch(module_path, json={"owners": None, "attributes": {"remark": None}}).get_json()
    assert document["owners"] == []
    assert document["attributes"] == {"remark": None, "bk_module_type": "1"}
    assert cmdb.sent == [("update", ModulePatch(owners=None, attributes={"remark": None}))]


def test_null_description(client: FlaskClient, projectman: FakeBackend, parent_path: str) -> None:
    """Null empties a description; on a backend without descriptions it changes nothing."""
    assert client.patch(parent_path, json={"description": None}).get_json()["description"] is None
    assert projectman.sent == [("update", ModulePatch(description=None))]
    assert ModulePatch().description is UNSET


@pytest.mark.parametrize("patch", [{}, {"description": None}, {"attributes": {}}])
def test_empty_patch(client: FlaskClient, cmdb: FakeBackend, module_path: str, patch: dict[str, Any]) -> None:
    """A patch without changes sends no write; the module is read and returned."""
    response = client.patch(module_path, json=patch)
    assert (response.status_code, response.get_json()["name"]) == (200, "demo")
    assert cmdb.writes == []
    assert [operation for operation, _ in cmdb.sent] == ["get"]


@pytest.mark.parametrize(
    "field",
    [
        *("id", "backend", "native_id", "scope", "parent", "depth", "has_children", "built_in"),
        *("created_at", "updated_at", "unavailable"),
    ],
)
@pytest.mark.parametrize("value", ["1", None])
def test_immutable_fields(
    client: FlaskClient, cmdb: FakeBackend, module_path: str, field: str, value: str | None
) -> None:
    """Moving a module or setting a system field is 422 immutable_field, whatever the value."""
    problem = assert_problem(client.patch(module_path, json={"name": "renamed", field: value}), 422, "immutable_field")
    assert field_errors(problem) == {(f"/{field}", "immutable_field")}
    assert cmdb.sent == []


@pytest.mark.parametrize(
    ("patch", "code", "expected"),
    [
        ({"name": None}, "validation_failed", {("/name", "null")}),
        ({"name": ""}, "validation_failed", {("/name", "required")}),
        ({"name": "a b", "owners": ["-"]}, "validation_failed", {("/name", "pattern"), ("/owners/0", "pattern")}),
        ({"owners": "a"}, "validation_failed", {("/owners", "type")}),
        ({"description": "x"}, "unsupported_field", {("/description", "unsupported_field")}),
        ({"nope": 1}, "validation_failed", {("/nope", "unknown_field")}),
        ({"attributes": None}, "validation_failed", {("/attributes", "null")}),
        ({"attributes": {"default": 1}}, "unsupported_field", {("/attributes/default", "unsupported_field")}),
        (
            {"attributes": {"service_template_id": 1}},
            "immutable_field",
            {("/attributes/service_template_id", "immutable_field")},
        ),
        (
            {"scope": "2", "attributes": {"host_apply_enabled": 1, "nope": 1}},
            "validation_failed",
            {
                ("/scope", "immutable_field"),
                ("/attributes/host_apply_enabled", "type"),
                ("/attributes/nope", "unsupported_field"),
            },
        ),
    ],
)
def test_refused(
    client: FlaskClient,
    cmdb: FakeBackend,
    module_path: str,
    patch: dict[str, Any],
    code: str,
    expected: set[tuple[str, str]],
) -> None:
    """All errors of a patch are reported, and nothing is written; a refused value is compared with the old one."""
    assert field_errors(assert_problem(client.patch(module_path, json=patch), 422, code)) == expected
    assert cmdb.writes == []


@pytest.mark.parametrize("owners", [None, []])
def test_mandatory_owner(
    client: FlaskClient, projectman: FakeBackend, parent_path: str, owners: list[str] | None
) -> None:
    """A patch cannot remove a mandatory owner."""
    problem = assert_problem(client.patch(parent_path, json={"owners": owners}), 422, "validation_failed")
    assert field_errors(problem) == {("/owners", "required")}
    assert projectman.sent == []


def test_update_only(client: FlaskClient, module_path: str) -> None:
    """An attribute that is writable by updates only is accepted here (and refused in a create)."""
    document = client.patch(module_path, json={"attributes": {"host_apply_enabled": True}}).get_json()
    assert document["attributes"]["host_apply_enabled"] is True


@pytest.mark.parametrize("method", ["GET", "PATCH", "DELETE"])
def test_unknown_module(client: FlaskClient, method: str) -> None:
    """An unknown id is 404."""
    payload: dict[str, Any] = {"json": {"owners": [OWNER]}} if method == "PATCH" else {}
    assert_problem(client.open("/modules/cmdb.1.10.9", method=method, **payload), 404, "module_not_found")


@pytest.mark.parametrize(
    ("fails", "patch", "existing"),
    [
        ({}, {"name": "taken"}, "cmdb.1.10.2"),
        ({}, {"name": "free"}, None),
        ({"find": BackendUnavailable()}, {"name": "taken"}, None),
        ({"get": BackendUnavailable()}, {"name": "taken"}, None),
        ({}, {"owners": ["c"]}, None),
    ],
)
def test_name_taken(
    client: FlaskClient,
    cmdb: FakeBackend,
    module_path: str,
    fails: dict[str, Exception],
    patch: dict[str, Any],
    existing: str | None,
) -> None:
    """A name that is taken is 409, with the id of the existing module if it can be found."""
    client.post("/modules", json=body(cmdb, name="taken"))
    cmdb.fails |= {"update": ModuleAlreadyExists(), **fails}
    problem = assert_problem(client.patch(module_path, json=patch), 409, "module_already_exists")
    assert problem.get("existing") == existing


def test_delete(client: FlaskClient, cmdb: FakeBackend, module_path: str) -> None:
    """A delete is 204 without a body; the module no longer exists."""
    response = client.delete(module_path)
    assert (response.status_code, response.data, response.headers["Gateway-Outcome"]) == (204, b"", "applied")
    assert "Content-Type" not in response.headers
    assert [operation for operation, _ in cmdb.sent] == ["delete"]
    assert_problem(client.delete(module_path), 404, "module_not_found")


def test_cascade(client: FlaskClient, projectman: FakeBackend, parent_path: str) -> None:
    """A module with children is deleted only with cascade=true, together with them."""
    assert_problem(client.delete(parent_path), 409, "module_not_empty")
    assert_problem(client.delete(f"{parent_path}?cascade=false"), 409, "module_not_empty")
    assert len(projectman.modules) == 2
    assert client.delete(f"{parent_path}?cascade=true").status_code == 204
    assert projectman.modules == {}
