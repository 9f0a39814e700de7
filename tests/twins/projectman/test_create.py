"""Create, as sections 1, 2 and 5 of the facts have them; numbers are the conformance items'."""

from collections.abc import Callable, Mapping
from typing import Any

import pytest
from flask.testing import FlaskClient

DEMO = "0792b7d26cb74bd799cbae80063dc74a"
OTHER = "5b1e4c0a97d24f3c8e6a2d7f10b93c58"
OWNER = {"user_id": "09d75cde5180d4481f91c018e89cb8e2"}
STRANGER = {"user_id": "2d7f3a1c0b9e5864c3f2a1d0e9b8c7f6"}  # a member of the other project only
CREATE = f"/v4/projects/{DEMO}/module"
MODULES = f"/v4/projects/{DEMO}/modules"

ClientWith = Callable[[Mapping[str, object]], FlaskClient]


def draft(**changes: Any) -> dict[str, Any]:
    return {"module_name": "demo", "owner": OWNER, **changes}


def test_the_documented_request_is_answered_with_the_documented_reply(client: FlaskClient) -> None:
    """Item 1: 200, an integer module_id, and these four keys only (seed page, example)."""
    reply = client.post(CREATE, json=draft(description="module demo", parent_module_id=1))
    assert reply.status_code == 200
    assert reply.get_json() == {
        "description": "module demo",
        "module_name": "demo",
        "module_id": 46691,
        "owner": {**OWNER, "user_num_id": 4091, "user_name": "demo_user_name_06", "nick_name": "模块demo"},
    }


def test_ids_go_on_from_the_documented_one(client: FlaskClient) -> None:
    """One sequence numbers the modules of every project."""
    paths = (CREATE, f"/v4/projects/{OTHER}/module")
    assert [client.post(path, json=draft()).get_json()["module_id"] for path in paths] == [46691, 46692]


@pytest.mark.parametrize("name", ["a-b_c", "模块1", "-", "模" * 30, "龥", "A", "9"])
def test_a_name_by_the_rule_is_taken(client: FlaskClient, name: str) -> None:
    """Item 6, the accepted half."""
    reply = client.post(CREATE, json=draft(module_name=name))
    assert (reply.status_code, reply.get_json()["module_name"]) == (200, name)


@pytest.mark.parametrize("name", ["", "a b", "a.b", "龦", "ａ", "a\n", "a" * 31, "a/b", "é", "㐀", "😀", "–", 7, None])
def test_a_name_against_the_rule_is_refused(client: FlaskClient, name: object) -> None:
    """Item 6, the refused half; the whole name must match, so a trailing newline is refused as well."""
    assert_refused(client.post(CREATE, json=draft(module_name=name)), "PM.02175006")


@pytest.mark.parametrize("description", ["", "line\nline", "模" * 255, None])
def test_a_description_within_255_is_taken(client: FlaskClient, description: str | None) -> None:
    """Item 7, the accepted half; the reply is the only place that tells it."""
    assert client.post(CREATE, json=draft(description=description)).get_json()["description"] == description


@pytest.mark.parametrize("description", ["a" * 256, 5, {}])
def test_a_description_beyond_255_is_refused(client: FlaskClient, description: object) -> None:
    """Item 7, the refused half."""
    assert_refused(client.post(CREATE, json=draft(description=description)), "PM.02175006")


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{}",
        b"[]",
        b"null",
        b"not json",
        b'{"module_name": "demo"',
        b'{"module_name": "\xff"}',
        b"[" * 100_000,
        b'{"module_name": "demo"}',
        b'{"module_name": "demo", "owner": null}',
        b'{"module_name": "demo", "owner": {}}',
        b'{"module_name": "demo", "owner": "09d75cde5180d4481f91c018e89cb8e2"}',
        b'{"owner": {"user_id": "09d75cde5180d4481f91c018e89cb8e2"}}',
    ],
)
@pytest.mark.parametrize(("method", "path"), [("POST", CREATE), ("PUT", f"{MODULES}/1")])
def test_name_and_owner_are_mandatory(client: FlaskClient, method: str, path: str, body: bytes) -> None:
    """Item 8, for create and for update alike, and what is no JSON object at all."""
    assert_refused(client.open(path, method=method, data=body, content_type="application/json"), "PM.02175006")


@pytest.mark.parametrize(
    ("user_id", "code"),
    [
        ("09D75CDE5180D4481F91C018E89CB8E2", "PM.02175006"),
        ("09d75cde5180d4481f91c018e89cb8e", "PM.02175006"),
        (4091, "PM.02175006"),
        (STRANGER["user_id"], "PM.02177003"),
    ],
)
@pytest.mark.parametrize(("method", "path"), [("POST", CREATE), ("PUT", f"{MODULES}/1")])
def test_an_owner_is_a_member(client: FlaskClient, user_id: object, code: str, method: str, path: str) -> None:
    """Item 9: the shape is judged first, then the membership."""
    assert_refused(client.open(path, method=method, json=draft(owner={"user_id": user_id})), code)


@pytest.mark.parametrize(
    ("parent", "code"),
    [
        (0, "PM.02175006"),
        (-1, "PM.02175006"),
        ("1", "PM.02175006"),
        (True, "PM.02175006"),
        (1.0, "PM.02175006"),
        (12345678901, "PM.02175006"),
        (99, "PM.EMU00002"),
        (1234567890, "PM.EMU00002"),
    ],
)
def test_a_parent_is_a_module_of_the_project(client: FlaskClient, parent: object, code: str) -> None:
    """Item 10; what an unknown parent is really called is not known, hence the artificial code."""
    assert_refused(client.post(CREATE, json=draft(parent_module_id=parent)), code)


def test_a_parent_in_another_project_is_unknown(client: FlaskClient) -> None:
    """Item 10: module ids mean something only within their project."""
    assert_refused(client.post(f"/v4/projects/{OTHER}/module", json=draft(parent_module_id=1)), "PM.EMU00002")


def test_a_name_is_unique_in_its_project_only(client: FlaskClient) -> None:
    """Item 25: taken under another parent is taken; the same name in another project is free."""
    assert client.post(CREATE, json=draft()).status_code == 200
    assert_refused(client.post(CREATE, json=draft(parent_module_id=2)), "PM.EMU00001")
    assert client.post(CREATE, json=draft(module_name="Demo")).status_code == 200
    assert client.post(f"/v4/projects/{OTHER}/module", json=draft()).status_code == 200


def test_modules_nest_three_deep(client: FlaskClient) -> None:
    """Section 5: depth 3 by default; the seed's module 3 stands on the third level."""
    assert client.post(CREATE, json=draft(parent_module_id=2)).status_code == 200
    assert_refused(client.post(CREATE, json=draft(module_name="deeper", parent_module_id=3)), "PM.EMU00004")


def test_a_project_holds_so_many_modules(client_with: ClientWith) -> None:
    """Section 5: the limit counts children as well (here 3 are there, and 4 may be)."""
    client = client_with({"options": {"max_modules": 4}})
    assert client.post(CREATE, json=draft()).status_code == 200
    reply = client.post(CREATE, json=draft(module_name="one-more"))
    assert_refused(reply, "PM.02175101")
    assert reply.get_json()["error_msg"] == "number of sub items exceeds 4"


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", "/v4/projects/{}/module"),
        ("GET", "/v4/projects/{}/modules"),
        ("PUT", "/v4/projects/{}/modules/1"),
        ("DELETE", "/v4/projects/{}/modules/1"),
        ("GET", "/v4/projects/{}/members"),
    ],
)
@pytest.mark.parametrize(("project", "code"), [("0" * 32, "PM.02152005"), ("0792", "PM.02175006")])
def test_a_project_must_be_there(client: FlaskClient, method: str, path: str, project: str, code: str) -> None:
    """Section 4c: PM.02152005 for one that is missing; an id that is none is a bad parameter (item 27)."""
    assert_refused(client.open(path.format(project), method=method, json=draft()), code)


def test_names_arrive_escaped_or_as_utf_8(client: FlaskClient) -> None:
    """Item 30: the vendor's client escapes, others do not; the twin answers in raw UTF-8."""
    body = '{"module_name": "%s", "owner": {"user_id": "09d75cde5180d4481f91c018e89cb8e2"}}'
    assert client.post(CREATE, data=body % "\\u6a21").get_json()["module_name"] == "模"
    assert "块".encode() in client.post(CREATE, data=(body % "块").encode()).data


def test_a_lone_surrogate_does_not_break_the_reply(client: FlaskClient) -> None:
    """A description may be any characters at all; what UTF-8 cannot carry comes back as a question mark."""
    body = '{"module_name": "demo", "description": "\\ud800", "owner": {"user_id": "09d75cde5180d4481f91c018e89cb8e2"}}'
    assert client.post(CREATE, data=body).get_json()["description"] == "?"


def assert_refused(reply: Any, code: str) -> None:
    assert (reply.status_code, reply.get_json()["error_code"]) == (400, code)
    assert set(reply.get_json()) == {"error_code", "error_msg"}
