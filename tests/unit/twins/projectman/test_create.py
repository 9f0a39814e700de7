"""Creates, by sections 1, 2 and 5 of the facts; items are those of section 6."""

import pytest
from flask.testing import FlaskClient

from tests.unit.twins.projectman.api import CREATE, MODULES, OTHER, OWNER, ClientWith, assert_error, module_body

MEMBER_OF_OTHER = "2d7f3a1c0b9e5864c3f2a1d0e9b8c7f6"  # not a member of the demo project


def test_the_documented_example(client: FlaskClient) -> None:
    """Item 1: 200, an integer module_id, and only these four keys (seed page, example)."""
    response = client.post(CREATE, json=module_body(description="module demo", parent_module_id=1))
    assert response.status_code == 200
    assert response.get_json() == {
        "description": "module demo",
        "module_name": "demo",
        "module_id": 46691,
        "owner": {**OWNER, "user_num_id": 4091, "user_name": "demo_user_name_06", "nick_name": "模块demo"},
    }


def test_ids_continue_the_documented_one(client: FlaskClient) -> None:
    """One sequence numbers the modules of every project."""
    paths = (CREATE, f"/v4/projects/{OTHER}/module")
    assert [client.post(path, json=module_body()).get_json()["module_id"] for path in paths] == [46691, 46692]


@pytest.mark.parametrize("name", ["a-b_c", "模块1", "-", "模" * 30, "龥", "A", "9"])
def test_a_valid_name(client: FlaskClient, name: str) -> None:
    """Item 6, accepted names."""
    response = client.post(CREATE, json=module_body(module_name=name))
    assert (response.status_code, response.get_json()["module_name"]) == (200, name)


@pytest.mark.parametrize("name", ["", "a b", "a.b", "龦", "ａ", "a\n", "a" * 31, "a/b", "é", "㐀", "😀", "–", 7, None])
def test_an_invalid_name(client: FlaskClient, name: object) -> None:
    """Item 6, rejected names; the whole name must match, so a trailing newline is rejected too."""
    assert_error(client.post(CREATE, json=module_body(module_name=name)), "PM.02175006")


@pytest.mark.parametrize("description", ["", "line\nline", "模" * 255, None])
def test_a_valid_description(client: FlaskClient, description: str | None) -> None:
    """Item 7, accepted descriptions; only this response contains it."""
    assert client.post(CREATE, json=module_body(description=description)).get_json()["description"] == description


@pytest.mark.parametrize("description", ["a" * 256, 5, {}])
def test_an_invalid_description(client: FlaskClient, description: object) -> None:
    """Item 7, rejected descriptions."""
    assert_error(client.post(CREATE, json=module_body(description=description)), "PM.02175006")


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
def test_name_and_owner_are_required(client: FlaskClient, method: str, path: str, body: bytes) -> None:
    """Item 8, for create and update; also bodies that are not a JSON object."""
    assert_error(client.open(path, method=method, data=body, content_type="application/json"), "PM.02175006")


@pytest.mark.parametrize(
    ("user_id", "code"),
    [
        ("09D75CDE5180D4481F91C018E89CB8E2", "PM.02175006"),
        ("09d75cde5180d4481f91c018e89cb8e", "PM.02175006"),
        (4091, "PM.02175006"),
        (MEMBER_OF_OTHER, "PM.02177003"),
    ],
)
@pytest.mark.parametrize(("method", "path"), [("POST", CREATE), ("PUT", f"{MODULES}/1")])
def test_an_owner_must_be_a_member(client: FlaskClient, user_id: object, code: str, method: str, path: str) -> None:
    """Item 9: the format is checked first, then the membership."""
    assert_error(client.open(path, method=method, json=module_body(owner={"user_id": user_id})), code)


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
def test_a_parent_must_be_a_module_of_the_project(client: FlaskClient, parent: object, code: str) -> None:
    """Item 10; the real code for an unknown parent is not known, so the twin's is artificial."""
    assert_error(client.post(CREATE, json=module_body(parent_module_id=parent)), code)


def test_a_parent_in_another_project_is_unknown(client: FlaskClient) -> None:
    """Item 10: a module id is valid in its project only."""
    assert_error(client.post(f"/v4/projects/{OTHER}/module", json=module_body(parent_module_id=1)), "PM.EMU00002")


def test_a_name_is_unique_in_its_project(client: FlaskClient) -> None:
    """Item 25: also under another parent; the name is free in another project."""
    assert client.post(CREATE, json=module_body()).status_code == 200
    assert_error(client.post(CREATE, json=module_body(parent_module_id=2)), "PM.EMU00001")
    assert client.post(CREATE, json=module_body(module_name="Demo")).status_code == 200
    assert client.post(f"/v4/projects/{OTHER}/module", json=module_body()).status_code == 200


def test_modules_have_three_levels(client: FlaskClient) -> None:
    """Section 5: three by default; the seed's module 3 is on the third level."""
    assert client.post(CREATE, json=module_body(parent_module_id=2)).status_code == 200
    assert_error(client.post(CREATE, json=module_body(module_name="deeper", parent_module_id=3)), "PM.EMU00004")


def test_the_number_of_modules_is_limited(client_with: ClientWith) -> None:
    """Section 5: the limit includes children: here 4, of which 3 exist."""
    client = client_with({"options": {"max_modules": 4}})
    assert client.post(CREATE, json=module_body()).status_code == 200
    response = client.post(CREATE, json=module_body(module_name="one-more"))
    assert_error(response, "PM.02175101")
    assert response.get_json()["error_msg"] == "number of sub items exceeds 4"


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
def test_a_project_must_exist(client: FlaskClient, method: str, path: str, project: str, code: str) -> None:
    """Section 4c: PM.02152005 for an unknown project; a malformed id is a bad parameter (item 27)."""
    assert_error(client.open(path.format(project), method=method, json=module_body()), code)


def test_a_name_can_be_escaped_or_utf_8(client: FlaskClient) -> None:
    """Item 30: the vendor's client escapes, others do not; the twin sends raw UTF-8."""
    body = '{"module_name": "%s", "owner": {"user_id": "09d75cde5180d4481f91c018e89cb8e2"}}'
    assert client.post(CREATE, data=body % "\\u6a21").get_json()["module_name"] == "模"
    assert "块".encode() in client.post(CREATE, data=(body % "块").encode()).data


def test_a_lone_surrogate_in_a_description(client: FlaskClient) -> None:
    """A character that UTF-8 cannot encode becomes a question mark in the response."""
    body = '{"module_name": "demo", "description": "\\ud800", "owner": {"user_id": "09d75cde5180d4481f91c018e89cb8e2"}}'
    assert client.post(CREATE, data=body).get_json()["description"] == "?"
