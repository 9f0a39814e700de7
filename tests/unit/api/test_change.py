"""Changing and deleting over the api: merge-patch, what is fixed, and what is sent for it."""

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
def there(client: FlaskClient, cmdb: FakeBackend) -> str:
    """The address of a module of CMDB's."""
    sent = body(cmdb, owners=["a", "b"], attributes={"remark": "x", "bk_module_type": "1"})
    address = client.post("/modules", json=sent).headers["Location"]
    cmdb.sent.clear()
    return address


@pytest.fixture
def tree(client: FlaskClient, projectman: FakeBackend) -> str:
    """The address of a module of ProjectMan's that has a child."""
    first = client.post("/modules", json=body(projectman, description="text"))
    client.post("/modules", json=body(projectman, name="child", parent=first.get_json()["native_id"]))
    projectman.sent.clear()
    return first.headers["Location"]


@pytest.mark.parametrize("content_type", ["application/json", "application/merge-patch+json"])
def test_merge(client: FlaskClient, cmdb: FakeBackend, there: str, content_type: str) -> None:
    """What is left out stays as it is; both content types mean the same; the module as it is now comes back."""
    response = client.patch(there, data=json.dumps({"name": " renamed "}), content_type=content_type)
    told = response.get_json()
    assert (response.status_code, response.headers["Gateway-Outcome"]) == (200, "applied")
    assert (told["name"], [owner["id"] for owner in told["owners"]]) == ("renamed", ["a", "b"])
    assert cmdb.sent == [("update", ModulePatch(name="renamed"))]
    assert client.get(there).get_json() == told


def test_null_empties(client: FlaskClient, cmdb: FakeBackend, there: str) -> None:
    """Null is a value of its own in a patch: owners and single attributes are emptied, the others are not touched."""
    told = client.patch(there, json={"owners": None, "attributes": {"remark": None}}).get_json()
    assert told["owners"] == []
    assert told["attributes"] == {"remark": None, "bk_module_type": "1"}
    assert cmdb.sent == [("update", ModulePatch(owners=None, attributes={"remark": None}))]


def test_null_description(client: FlaskClient, projectman: FakeBackend, tree: str) -> None:
    """Null empties a description; where the backend has none, it is no change at all."""
    assert client.patch(tree, json={"description": None}).get_json()["description"] is None
    assert projectman.sent == [("update", ModulePatch(description=None))]
    assert ModulePatch().description is UNSET


@pytest.mark.parametrize("patch", [{}, {"description": None}, {"attributes": {}}])
def test_nothing_to_change(client: FlaskClient, cmdb: FakeBackend, there: str, patch: dict[str, Any]) -> None:
    """A patch that changes nothing sends no write: the module is read and answered."""
    response = client.patch(there, json=patch)
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
def test_fixed(client: FlaskClient, cmdb: FakeBackend, there: str, field: str, value: str | None) -> None:
    """A module cannot be moved, nor its system fields set: 422 immutable_field, whatever the value."""
    told = assert_problem(client.patch(there, json={"name": "renamed", field: value}), 422, "immutable_field")
    assert field_errors(told) == {(f"/{field}", "immutable_field")}
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
    client: FlaskClient, cmdb: FakeBackend, there: str, patch: dict[str, Any], code: str, expected: set[tuple[str, str]]
) -> None:
    """A patch keeps the rules of a create: all mistakes at once, nothing sent."""
    assert field_errors(assert_problem(client.patch(there, json=patch), 422, code)) == expected
    assert cmdb.sent == []


@pytest.mark.parametrize("owners", [None, []])
def test_mandatory_owner(client: FlaskClient, projectman: FakeBackend, tree: str, owners: list[str] | None) -> None:
    """Where an owner is mandatory, a patch cannot take it away."""
    told = assert_problem(client.patch(tree, json={"owners": owners}), 422, "validation_failed")
    assert field_errors(told) == {("/owners", "required")}
    assert projectman.sent == []


def test_update_only(client: FlaskClient, there: str) -> None:
    """An attribute that exists for changes alone is taken here (and refused in a create)."""
    told = client.patch(there, json={"attributes": {"host_apply_enabled": True}}).get_json()
    assert told["attributes"]["host_apply_enabled"] is True


@pytest.mark.parametrize("method", ["GET", "PATCH", "DELETE"])
def test_not_there(client: FlaskClient, method: str) -> None:
    """An id of no module is 404."""
    sent: dict[str, Any] = {"json": {"owners": [OWNER]}} if method == "PATCH" else {}
    assert_problem(client.open("/modules/cmdb.1.10.9", method=method, **sent), 404, "module_not_found")


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
def test_rename_to_a_taken_name(
    client: FlaskClient,
    cmdb: FakeBackend,
    there: str,
    fails: dict[str, Exception],
    patch: dict[str, Any],
    existing: str | None,
) -> None:
    """A name that is taken is 409 with its holder, where the holder can be found; the refusal stands in any case."""
    client.post("/modules", json=body(cmdb, name="taken"))
    cmdb.fails |= {"update": ModuleAlreadyExists(), **fails}
    told = assert_problem(client.patch(there, json=patch), 409, "module_already_exists")
    assert told.get("existing") == existing


def test_delete(client: FlaskClient, cmdb: FakeBackend, there: str) -> None:
    """A delete is 204 without a body, and the module is gone."""
    response = client.delete(there)
    assert (response.status_code, response.data, response.headers["Gateway-Outcome"]) == (204, b"", "applied")
    assert "Content-Type" not in response.headers
    assert [operation for operation, _ in cmdb.sent] == ["delete"]
    assert_problem(client.delete(there), 404, "module_not_found")


def test_cascade(client: FlaskClient, projectman: FakeBackend, tree: str) -> None:
    """A module with children goes only with cascade=true, and they go with it."""
    assert_problem(client.delete(tree), 409, "module_not_empty")
    assert_problem(client.delete(f"{tree}?cascade=false"), 409, "module_not_empty")
    assert len(projectman.modules) == 2
    assert client.delete(f"{tree}?cascade=true").status_code == 204
    assert projectman.modules == {}
