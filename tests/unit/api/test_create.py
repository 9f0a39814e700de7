"""Creates: the module and its Location, if_exists and validate_only, and the calls to the backend."""

from __future__ import annotations

from typing import Any

import pytest
from flask.testing import FlaskClient

from gateway.domain.errors import BackendUnavailable, ModuleAlreadyExists, ScopeNotFound, TemplateManaged
from tests.unit.api.fake_backend import OWNER, FakeBackend, body, members
from tests.unit.api.problems import assert_problem


def _operations(backend: FakeBackend) -> list[str]:
    return [operation for operation, _ in backend.sent]


@pytest.mark.parametrize("name", ["cmdb", "projectman"])
def test_created(client: FlaskClient, request: pytest.FixtureRequest, name: str) -> None:
    """A create is one write; the response is 201 with all members of the module and its Location."""
    backend: FakeBackend = request.getfixturevalue(name)
    response = client.post("/modules", json=body(backend))
    document = response.get_json()
    assert response.status_code == 201
    assert response.content_type == "application/json"
    assert response.headers["Gateway-Outcome"] == "applied"
    assert list(document) == [
        *("id", "backend", "native_id", "scope", "parent", "name", "description", "owners", "attributes", "depth"),
        *("has_children", "built_in", "created_at", "updated_at", "unavailable", "etag"),
    ]
    assert _operations(backend) == ["create"]
    assert response.headers["Location"] == f"/modules/{document['id']}"
    assert client.get(response.headers["Location"]).get_json() == document


def test_all_fields_sent(client: FlaskClient, projectman: FakeBackend) -> None:
    """Every field of the body reaches the backend."""
    parent = client.post("/modules", json=body(projectman)).get_json()["native_id"]
    payload = body(projectman, name="模块", parent=int(parent), description="d" * 255)
    document = client.post("/modules", json=payload).get_json()
    assert members(document, "name", "parent", "description") == members(
        payload | {"parent": parent}, "name", "parent", "description"
    )
    assert document["owners"] == [{"id": OWNER, "name": None, "display_name": None}]


def test_name_taken(client: FlaskClient, cmdb: FakeBackend) -> None:
    """A second create of a name is 409 with the id of the existing module, which is found by its natural key."""
    first = client.post("/modules", json=body(cmdb)).get_json()
    response = client.post("/modules", json=body(cmdb))
    problem = assert_problem(response, 409, "module_already_exists")
    assert problem["existing"] == first["id"]
    assert "'demo'" in problem["detail"]
    assert "parent 10 of scope 1" in problem["detail"]
    assert _operations(cmdb) == ["create", "create", "find"]


def test_name_taken_without_parent(client: FlaskClient, projectman: FakeBackend) -> None:
    """Without a parent, the detail names the scope only."""
    client.post("/modules", json=body(projectman))
    problem = assert_problem(client.post("/modules", json=body(projectman)), 409, "module_already_exists")
    assert "in scope" in problem["detail"]


@pytest.mark.parametrize("if_exists", ["error", "adopt"])
@pytest.mark.parametrize("lookup_error", [None, BackendUnavailable()])
def test_name_taken_not_found(
    client: FlaskClient, cmdb: FakeBackend, if_exists: str, lookup_error: BackendUnavailable | None
) -> None:
    """If the existing module is not found, or the lookup fails, the problem has no `existing`."""
    cmdb.fails["create"] = ModuleAlreadyExists()
    if lookup_error is not None:
        cmdb.fails["find"] = lookup_error
    problem = assert_problem(
        client.post(f"/modules?if_exists={if_exists}", json=body(cmdb)), 409, "module_already_exists"
    )
    assert "existing" not in problem


@pytest.mark.parametrize("changes", [{}, {"owners": None}, {"owners": ["b", "a"]}, {"attributes": {"remark": None}}])
def test_adopted(client: FlaskClient, cmdb: FakeBackend, changes: dict[str, Any]) -> None:
    """if_exists=adopt returns the existing module if every field of the body is equal: 200, not applied."""
    first = client.post("/modules", json=body(cmdb, owners=["a", "b"], attributes={"remark": "x"})).get_json()
    response = client.post("/modules?if_exists=adopt", json=body(cmdb, owners=["a", "b"]) | changes)
    assert (response.status_code, response.get_json()) == (200, first)
    assert response.headers["Location"] == f"/modules/{first['id']}"
    assert response.headers["Gateway-Outcome"] == "not_applied"


def test_adopt_creates(client: FlaskClient, cmdb: FakeBackend) -> None:
    """if_exists=adopt creates a module if the name is free."""
    response = client.post("/modules?if_exists=adopt", json=body(cmdb))
    assert (response.status_code, response.headers["Gateway-Outcome"]) == (201, "applied")


def test_adopt_differs(client: FlaskClient, cmdb: FakeBackend) -> None:
    """A module of this name with other values is 409 with a diff by JSON pointer."""
    first = client.post("/modules", json=body(cmdb, owners=["a"], attributes={"remark": "x"})).get_json()
    payload = body(cmdb, owners=["b"], attributes={"remark": "y", "service_category_id": 2})
    problem = assert_problem(client.post("/modules?if_exists=adopt", json=payload), 409, "module_exists_differently")
    assert problem["existing"] == first["id"]
    assert problem["diff"] == {
        "/owners": {"wanted": ["b"], "found": ["a"]},
        "/attributes/remark": {"wanted": "y", "found": "x"},
        "/attributes/service_category_id": {"wanted": 2, "found": None},
    }
    assert len(cmdb.modules) == 1


def test_unreadable_field(client: FlaskClient, projectman: FakeBackend) -> None:
    """A field that the backend cannot read back, as ProjectMan's description, is not compared."""
    client.post("/modules", json=body(projectman, description="one"))
    assert client.post("/modules?if_exists=adopt", json=body(projectman, description="two")).status_code == 200


def test_would_create(client: FlaskClient, cmdb: FakeBackend) -> None:
    """validate_only=true checks rules, target and name, and sends no write."""
    response = client.post("/modules?validate_only=true", json=body(cmdb))
    assert response.status_code == 200
    assert response.get_json() == {
        "would": "create",
        "checks": [{"check": name, "passed": True} for name in ("rules", "place", "name_free")],
    }
    assert response.headers["Gateway-Outcome"] == "not_applied"
    assert _operations(cmdb) == ["check_target", "find"]


def test_would_conflict(client: FlaskClient, cmdb: FakeBackend) -> None:
    """A name that is taken is a conflict, with the id of the existing module."""
    first = client.post("/modules", json=body(cmdb)).get_json()
    document = client.post("/modules?validate_only=true", json=body(cmdb)).get_json()
    assert document["would"] == "conflict"
    assert members(document["checks"][2], "check", "passed", "code", "existing") == {
        "check": "name_free",
        "passed": False,
        "code": "module_already_exists",
        "existing": first["id"],
    }
    assert [operation for operation, _ in cmdb.writes] == ["create"]


@pytest.mark.parametrize(
    ("owner", "would", "code"), [(OWNER, "adopt", None), ("x", "conflict", "module_exists_differently")]
)
def test_would_adopt(client: FlaskClient, cmdb: FakeBackend, owner: str, would: str, code: str | None) -> None:
    """With if_exists=adopt, a module of equal values would be adopted, and one of other values is a conflict."""
    client.post("/modules", json=body(cmdb))
    query = "?validate_only=true&if_exists=adopt"
    document = client.post(f"/modules{query}", json=body(cmdb, owners=[owner])).get_json()
    assert (document["would"], document["checks"][2].get("code")) == (would, code)
    assert [operation for operation, _ in cmdb.writes] == ["create"]


@pytest.mark.parametrize(
    ("change", "fails", "code"),
    [
        ({"scope": "2"}, {}, "scope_not_found"),
        ({"parent": "12"}, {}, "parent_not_found"),
        ({}, {"check_target": TemplateManaged()}, "template_managed"),
    ],
)
def test_would_refuse(
    client: FlaskClient, cmdb: FakeBackend, change: dict[str, Any], fails: dict[str, Exception], code: str
) -> None:
    """A create at a missing or protected target would be refused; the name is then not checked."""
    cmdb.fails |= fails
    document = client.post("/modules?validate_only=true", json=body(cmdb, **change)).get_json()
    assert document["would"] == "refuse"
    assert [check.get("code") for check in document["checks"]] == [None, code]
    assert _operations(cmdb) == ["check_target"]


def test_unknown_scope(client: FlaskClient, cmdb: FakeBackend) -> None:
    """A create in an unknown scope is 422 at /scope."""
    problem = assert_problem(client.post("/modules", json=body(cmdb, scope="2")), 422, ScopeNotFound.code)
    assert problem["errors"][0]["pointer"] == "/scope"
