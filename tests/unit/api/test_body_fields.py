"""Bodies that are JSON but break a rule: all mistakes at once, each with its JSON pointer, and nothing sent."""

from __future__ import annotations

from typing import Any

import pytest
from flask.testing import FlaskClient

from tests.unit.api.fake import OWNER, FakeBackend, body
from tests.unit.api.replies import mistakes, problem

ARABIC, FULL_WIDTH = "١", "１"
WRONG_EVERYWHERE = [
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
WRONG_IN_CMDB = [
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
WRONG_IN_PROJECTMAN = [
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
    *(("cmdb", *row) for row in WRONG_EVERYWHERE + WRONG_IN_CMDB),
    *(("projectman", *row) for row in WRONG_EVERYWHERE + WRONG_IN_PROJECTMAN),
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
    """One wrong field is one mistake in its place with its code, 422, and nothing is sent, validate_only or not."""
    backend: FakeBackend = request.getfixturevalue(name)
    for address in ("/modules", "/modules?validate_only=true"):
        response = client.post(address, json=body(backend, **change))
        told = problem(response, 422, "unsupported_field" if code == "unsupported_field" else "validation_failed")
        assert {each["pointer"] for each in told["errors"]} == {pointer}
        assert code is None or (pointer, code) in mistakes(told)
    assert backend.sent == []


def test_all_at_once(client: FlaskClient, cmdb: FakeBackend) -> None:
    """A request full of mistakes is told all of them in one answer."""
    sent = {
        "backend": "cmdb",
        "scope": "x",
        "name": "a b",
        "description": "text",
        "owners": ["ok", "not ok", "-"],
        "attributes": {"nope": 1, "service_category_id": "2", "remark": "fine"},
        "extra": None,
    }
    told = problem(client.post("/modules", json=sent), 422, "validation_failed")
    assert mistakes(told) == {
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
    assert len(told["errors"]) == 9
    assert cmdb.sent == []


def test_a_mistake_is_told_once(client: FlaskClient, cmdb: FakeBackend) -> None:
    """A field whose type is wrong is not also called missing."""
    told = problem(client.post("/modules", json=body(cmdb, scope=True, name=None)), 422, "validation_failed")
    assert mistakes(told) == {("/scope", "type"), ("/name", "null")}
    assert len(told["errors"]) == 2


def test_the_rule_is_told(client: FlaskClient, projectman: FakeBackend) -> None:
    """A pattern comes in words along with the mistake: what is allowed, not only that it is not."""
    told = problem(client.post("/modules", json=body(projectman, name="a b")), 422, "validation_failed")
    assert told["errors"][0]["allowed"] == projectman.capabilities.name.allowed_description


@pytest.mark.parametrize(
    ("backend", "code", "mistake"),
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
def test_backend(client: FlaskClient, cmdb: FakeBackend, backend: Any, code: str, mistake: tuple[str, str]) -> None:
    """A connection that does not exist is 422 backend_unknown at /backend; a name of another type is not a text."""
    told = problem(client.post("/modules", json=body(cmdb, backend=backend)), 422, code)
    assert mistakes(told) == {mistake}
    assert cmdb.sent == []


def test_backend_missing(client: FlaskClient) -> None:
    """Without a backend nobody can say what else is missing; what is wrong in any case is told all the same."""
    told = problem(client.post("/modules", json={"name": 1}), 422, "validation_failed")
    assert mistakes(told) == {("/backend", "required"), ("/name", "type")}


def test_nothing_given(client: FlaskClient, cmdb: FakeBackend) -> None:
    """In a create null says *not given*: null where a backend has no such field, and empty attributes, are taken."""
    sent = body(cmdb, description=None, owners=None, attributes={"remark": None})
    assert client.post("/modules", json=sent).status_code == 201
    draft = cmdb.writes[0][1]
    assert (draft.description, draft.owners, draft.attributes) == (None, None, {})


def test_spelling(client: FlaskClient, cmdb: FakeBackend) -> None:
    """Ids may be integers, owners may be objects as the gateway renders them, and a name loses the space around it."""
    sent = body(cmdb, scope=1, parent=10, name=" \u3000demo\t", owners=[{"id": "admin", "display_name": None}, "b"])
    told = client.post("/modules", json=sent).get_json()
    assert (told["scope"], told["parent"], told["name"]) == ("1", "10", "demo")
    assert [owner["id"] for owner in told["owners"]] == ["admin", "b"]


def test_many_owners(client: FlaskClient, cmdb: FakeBackend) -> None:
    """Thousands of different owners are taken; the one that is there twice is named."""
    owners = [f"{index:x}" for index in range(7000)]
    told = problem(client.post("/modules", json=body(cmdb, owners=[*owners, "0"])), 422, "validation_failed")
    assert mistakes(told) == {("/owners/7000", "duplicate")}
