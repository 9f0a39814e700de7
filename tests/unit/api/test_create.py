"""Creating over the api: the module and its address, what if_exists and validate_only say, and what is sent for it."""

from __future__ import annotations

from typing import Any

import pytest
from flask.testing import FlaskClient

from gateway.domain.errors import BackendUnavailable, ModuleAlreadyExists, ScopeNotFound, TemplateManaged
from tests.unit.api.fake_backend import OWNER, FakeBackend, body, facts
from tests.unit.api.problems import assert_problem


def _operations(backend: FakeBackend) -> list[str]:
    return [operation for operation, _ in backend.sent]


@pytest.mark.parametrize("name", ["cmdb", "projectman"])
def test_created(client: FlaskClient, request: pytest.FixtureRequest, name: str) -> None:
    """A create is one write: 201, the module with all its fields, and Location, under which it can be read."""
    backend: FakeBackend = request.getfixturevalue(name)
    response = client.post("/modules", json=body(backend))
    told = response.get_json()
    assert response.status_code == 201
    assert response.content_type == "application/json"
    assert response.headers["Gateway-Outcome"] == "applied"
    assert list(told) == [
        *("id", "backend", "native_id", "scope", "parent", "name", "description", "owners", "attributes", "depth"),
        *("has_children", "built_in", "created_at", "updated_at", "unavailable"),
    ]
    assert _operations(backend) == ["create"]
    assert response.headers["Location"] == f"/modules/{told['id']}"
    assert client.get(response.headers["Location"]).get_json() == told


def test_what_was_given_is_kept(client: FlaskClient, projectman: FakeBackend) -> None:
    """A child under a parent, with a description: every given field arrives at the backend."""
    parent = client.post("/modules", json=body(projectman)).get_json()["native_id"]
    sent = body(projectman, name="模块", parent=int(parent), description="d" * 255)
    told = client.post("/modules", json=sent).get_json()
    assert facts(told, "name", "parent", "description") == facts(
        sent | {"parent": parent}, "name", "parent", "description"
    )
    assert told["owners"] == [{"id": OWNER, "name": None, "display_name": None}]


def test_name_taken(client: FlaskClient, cmdb: FakeBackend) -> None:
    """A second create of a name is 409 with the id of the first; it is looked for, not sent again."""
    first = client.post("/modules", json=body(cmdb)).get_json()
    response = client.post("/modules", json=body(cmdb))
    told = assert_problem(response, 409, "module_already_exists")
    assert told["existing"] == first["id"]
    assert "'demo'" in told["detail"]
    assert "parent 10 of scope 1" in told["detail"]
    assert _operations(cmdb) == ["create", "create", "find"]


def test_name_taken_at_the_top(client: FlaskClient, projectman: FakeBackend) -> None:
    """Where there is no parent, the refusal names the scope alone."""
    client.post("/modules", json=body(projectman))
    told = assert_problem(client.post("/modules", json=body(projectman)), 409, "module_already_exists")
    assert "under scope" in told["detail"]


@pytest.mark.parametrize("if_exists", ["error", "adopt"])
@pytest.mark.parametrize("found", [None, BackendUnavailable()])
def test_name_taken_by_nobody_found(
    client: FlaskClient, cmdb: FakeBackend, if_exists: str, found: BackendUnavailable | None
) -> None:
    """Where the holder of the name cannot be found, or not be asked for, the plain refusal stands."""
    cmdb.fails["create"] = ModuleAlreadyExists()
    if found is not None:
        cmdb.fails["find"] = found
    told = assert_problem(client.post(f"/modules?if_exists={if_exists}", json=body(cmdb)), 409, "module_already_exists")
    assert "existing" not in told


@pytest.mark.parametrize("again", [{}, {"owners": None}, {"owners": ["b", "a"]}, {"attributes": {"remark": None}}])
def test_adopted(client: FlaskClient, cmdb: FakeBackend, again: dict[str, Any]) -> None:
    """if_exists=adopt answers the module that is there when every given field is equal: 200, not applied."""
    first = client.post("/modules", json=body(cmdb, owners=["a", "b"], attributes={"remark": "x"})).get_json()
    response = client.post("/modules?if_exists=adopt", json=body(cmdb, owners=["a", "b"]) | again)
    assert (response.status_code, response.get_json()) == (200, first)
    assert response.headers["Location"] == f"/modules/{first['id']}"
    assert response.headers["Gateway-Outcome"] == "not_applied"


def test_adopt_creates(client: FlaskClient, cmdb: FakeBackend) -> None:
    """if_exists=adopt of a name that is free creates it."""
    response = client.post("/modules?if_exists=adopt", json=body(cmdb))
    assert (response.status_code, response.headers["Gateway-Outcome"]) == (201, "applied")


def test_differs(client: FlaskClient, cmdb: FakeBackend) -> None:
    """A module of that name with other values is 409 with a diff, by JSON pointer: wanted and found."""
    first = client.post("/modules", json=body(cmdb, owners=["a"], attributes={"remark": "x"})).get_json()
    sent = body(cmdb, owners=["b"], attributes={"remark": "y", "service_category_id": 2})
    told = assert_problem(client.post("/modules?if_exists=adopt", json=sent), 409, "module_exists_differently")
    assert told["existing"] == first["id"]
    assert told["diff"] == {
        "/owners": {"wanted": ["b"], "found": ["a"]},
        "/attributes/remark": {"wanted": "y", "found": "x"},
        "/attributes/service_category_id": {"wanted": 2, "found": None},
    }
    assert len(cmdb.modules) == 1


def test_what_cannot_be_read_cannot_differ(client: FlaskClient, projectman: FakeBackend) -> None:
    """A field that the backend cannot tell is not compared: ProjectMan's description."""
    client.post("/modules", json=body(projectman, description="one"))
    assert client.post("/modules?if_exists=adopt", json=body(projectman, description="two")).status_code == 200


def test_would_create(client: FlaskClient, cmdb: FakeBackend) -> None:
    """validate_only=true looks at rules, place and name, answers 200 and sends no write."""
    response = client.post("/modules?validate_only=true", json=body(cmdb))
    assert response.status_code == 200
    assert response.get_json() == {
        "would": "create",
        "checks": [{"check": name, "passed": True} for name in ("rules", "place", "name_free")],
    }
    assert response.headers["Gateway-Outcome"] == "not_applied"
    assert _operations(cmdb) == ["check_place", "find"]


def test_would_conflict(client: FlaskClient, cmdb: FakeBackend) -> None:
    """A name that is taken would be a conflict, with the id of its holder."""
    first = client.post("/modules", json=body(cmdb)).get_json()
    told = client.post("/modules?validate_only=true", json=body(cmdb)).get_json()
    assert told["would"] == "conflict"
    assert facts(told["checks"][2], "check", "passed", "code", "existing") == {
        "check": "name_free",
        "passed": False,
        "code": "module_already_exists",
        "existing": first["id"],
    }
    assert [operation for operation, _ in cmdb.writes] == ["create"]


@pytest.mark.parametrize(
    ("change", "fails", "code"),
    [
        ({"scope": "2"}, {}, "scope_not_found"),
        ({"parent": "12"}, {}, "parent_not_found"),
        ({}, {"check_place": TemplateManaged()}, "template_managed"),
    ],
)
def test_no_place(
    client: FlaskClient, cmdb: FakeBackend, change: dict[str, Any], fails: dict[str, Exception], code: str
) -> None:
    """A place that is not there, or not ours to fill, is a conflict; whether the name is free is not asked then."""
    cmdb.fails |= fails
    told = client.post("/modules?validate_only=true", json=body(cmdb, **change)).get_json()
    assert told["would"] == "conflict"
    assert [each.get("code") for each in told["checks"]] == [None, code]
    assert _operations(cmdb) == ["check_place"]


def test_place_refused(client: FlaskClient, cmdb: FakeBackend) -> None:
    """A create in a scope that is not there is 422 at /scope."""
    told = assert_problem(client.post("/modules", json=body(cmdb, scope="2")), 422, ScopeNotFound.code)
    assert told["errors"][0]["pointer"] == "/scope"
