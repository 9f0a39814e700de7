"""Updates and deletes, by sections 1, 2 and 5 of the facts; items are those of section 6."""

from typing import Any

import pytest
from flask.testing import FlaskClient

from tests.unit.twins.projectman.api import DEMO, MODULES, OTHER, ClientWith, assert_error, module_body


def tree(client: FlaskClient) -> Any:
    return client.get(f"{MODULES}?limit=1000&offset=0").get_json()["modules"]


@pytest.mark.parametrize("name", ["with space", "v1.2", "é", "a" * 30, ""])
def test_a_valid_name_in_an_update(client: FlaskClient, name: str) -> None:
    """Section 2: a create rejects each of these names; length 0 is allowed by the documented pattern."""
    response = client.put(f"{MODULES}/2", json=module_body(module_name=name))
    assert (response.status_code, response.get_json()["module_name"]) == (200, name)


@pytest.mark.parametrize("name", ["a/b", "a:b", "a*b", "a?b", "a\\b", "a" * 31])
def test_an_invalid_name_in_an_update(client: FlaskClient, name: str) -> None:
    """Section 2: the documented pattern; the backslash is read as forbidden too."""
    assert_error(client.put(f"{MODULES}/2", json=module_body(module_name=name)), "PM.02175006")


def test_an_update_replaces_all_but_the_parent(client: FlaskClient) -> None:
    """Item 5: four keys in the response; a parent in the body is ignored."""
    owner = {"user_id": "1c6e2f0b9a8d4753b2e1f0c9d8a7b6e5"}
    response = client.put(f"{MODULES}/2", json=module_body(owner=owner, description="new", parent_module_id=3))
    assert (response.status_code, set(response.get_json())) == (
        200,
        {"description", "module_name", "module_id", "owner"},
    )
    assert (response.get_json()["module_name"], response.get_json()["description"]) == ("demo", "new")
    assert response.get_json()["owner"]["user_num_id"] == 4092
    module = tree(client)[0]["children"][0]
    assert (module["module_id"], module["module_name"], module["parent_module_id"]) == (2, "demo", 1)


def test_an_update_to_a_name_in_use(client: FlaskClient) -> None:
    """Section 2 and item 25: the current name is allowed, that of another module is not."""
    assert client.put(f"{MODULES}/2", json=module_body(module_name="platform-api")).status_code == 200
    assert_error(client.put(f"{MODULES}/2", json=module_body(module_name="platform")), "PM.EMU00001")


@pytest.mark.parametrize(("option", "expected"), [("kept", "the top of the demo tree"), ("cleared", None)])
def test_an_omitted_description(client_with: ClientWith, option: str, expected: str | None) -> None:
    """Section 5: kept or cleared by an option, as the real behaviour is not known; "" always clears it."""
    client = client_with({"options": {"omitted_description": option}})
    assert client.put(f"{MODULES}/1", json=module_body()).get_json()["description"] == expected
    assert client.put(f"{MODULES}/1", json=module_body(description="")).get_json()["description"] == ""


def test_the_response_to_a_delete(client: FlaskClient) -> None:
    """Items 4 and 29: 204 without body and content type; a request with a content type needs no body."""
    response = client.delete(f"{MODULES}/3", content_type="application/json")
    assert (response.status_code, response.data, "Content-Type" in response.headers) == (204, b"", False)


def test_a_delete_cascades(client: FlaskClient) -> None:
    """Section 5 (IPD, the nearest documented): all descendants are deleted; a second delete is an error."""
    assert client.delete(f"{MODULES}/1").status_code == 204
    assert tree(client) == []
    assert [write["id"] for write in client.get("/twin/ledger").get_json()["writes"]] == [1, 2, 3]
    assert_error(client.delete(f"{MODULES}/1"), "PM.EMU00003")


def test_a_delete_with_children_can_be_an_error(client_with: ClientWith) -> None:
    """Section 5: by an option, as the behaviour of v4 is not known; a leaf can be deleted."""
    client = client_with({"options": {"delete_with_children": "refused"}})
    assert_error(client.delete(f"{MODULES}/2"), "PM.EMU00005")
    assert [client.delete(f"{MODULES}/{module}").status_code for module in (3, 2)] == [204, 204]


@pytest.mark.parametrize("method", ["PUT", "DELETE"])
@pytest.mark.parametrize(
    ("project", "module", "code"),
    [(DEMO, "99", "PM.EMU00003"), (OTHER, "1", "PM.EMU00003"), (DEMO, "0", "PM.02175006"), (DEMO, "x", "PM.02175006")],
)
def test_a_module_must_exist_in_the_project(
    client: FlaskClient, method: str, project: str, module: str, code: str
) -> None:
    """Section 4c: the real code for an unknown module is not known, so the twin's is artificial."""
    assert_error(client.open(f"/v4/projects/{project}/modules/{module}", method=method, json=module_body()), code)
