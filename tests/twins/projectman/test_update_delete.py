"""Update and delete, as sections 1, 2 and 5 of the facts have them; numbers are the conformance items'."""

from collections.abc import Callable, Mapping
from typing import Any

import pytest
from flask.testing import FlaskClient

DEMO = "0792b7d26cb74bd799cbae80063dc74a"
OTHER = "5b1e4c0a97d24f3c8e6a2d7f10b93c58"
OWNER = {"user_id": "09d75cde5180d4481f91c018e89cb8e2"}
MODULES = f"/v4/projects/{DEMO}/modules"

ClientWith = Callable[[Mapping[str, object]], FlaskClient]


def draft(**changes: Any) -> dict[str, Any]:
    return {"module_name": "demo", "owner": OWNER, **changes}


def tree(client: FlaskClient) -> Any:
    return client.get(f"{MODULES}?limit=1000&offset=0").get_json()["modules"]


@pytest.mark.parametrize("name", ["with space", "v1.2", "é", "a" * 30, ""])
def test_update_has_a_wider_rule_for_names(client: FlaskClient, name: str) -> None:
    """Section 2: create would refuse each of these; the length 0 is formally allowed."""
    reply = client.put(f"{MODULES}/2", json=draft(module_name=name))
    assert (reply.status_code, reply.get_json()["module_name"]) == (200, name)


@pytest.mark.parametrize("name", ["a/b", "a:b", "a*b", "a?b", "a\\b", "a" * 31])
def test_update_refuses_what_paths_are_made_of(client: FlaskClient, name: str) -> None:
    """Section 2: what may not be in a path or a pattern; the backslash is read as forbidden too."""
    assert_refused(client.put(f"{MODULES}/2", json=draft(module_name=name)), "PM.02175006")


def test_update_replaces_all_but_the_parent(client: FlaskClient) -> None:
    """Item 5: four keys come back; a parent in the body is ignored, and the list shows the old one."""
    owner = {"user_id": "1c6e2f0b9a8d4753b2e1f0c9d8a7b6e5"}
    reply = client.put(f"{MODULES}/2", json=draft(owner=owner, description="new", parent_module_id=3))
    assert (reply.status_code, set(reply.get_json())) == (200, {"description", "module_name", "module_id", "owner"})
    assert (reply.get_json()["module_name"], reply.get_json()["description"]) == ("demo", "new")
    assert reply.get_json()["owner"]["user_num_id"] == 4092
    moved = tree(client)[0]["children"][0]
    assert (moved["module_id"], moved["module_name"], moved["parent_module_id"]) == (2, "demo", 1)


def test_update_minds_names_of_others_only(client: FlaskClient) -> None:
    """Section 2 and item 25: the own name may be sent again, another's may not."""
    assert client.put(f"{MODULES}/2", json=draft(module_name="platform-api")).status_code == 200
    assert_refused(client.put(f"{MODULES}/2", json=draft(module_name="platform")), "PM.EMU00001")


@pytest.mark.parametrize(("omitted", "expected"), [("kept", "the top of the demo tree"), ("cleared", None)])
def test_an_omitted_description_is_kept_or_cleared(client_with: ClientWith, omitted: str, expected: str | None) -> None:
    """Section 5: open on the real service, so the seed decides; "" clears in either case."""
    client = client_with({"options": {"omitted_description": omitted}})
    assert client.put(f"{MODULES}/1", json=draft()).get_json()["description"] == expected
    assert client.put(f"{MODULES}/1", json=draft(description="")).get_json()["description"] == ""


def test_delete_says_nothing(client: FlaskClient) -> None:
    """Item 4 and 29: 204, zero bytes, no content type; the request's own content type asks for no body."""
    reply = client.delete(f"{MODULES}/3", content_type="application/json")
    assert (reply.status_code, reply.data, "Content-Type" in reply.headers) == (204, b"", False)


def test_delete_takes_sub_modules_along(client: FlaskClient) -> None:
    """Section 5 (IPD, the nearest documented): the whole branch goes, and a second delete finds nothing."""
    assert client.delete(f"{MODULES}/1").status_code == 204
    assert tree(client) == []
    assert [each["id"] for each in client.get("/twin/ledger").get_json()["writes"]] == [1, 2, 3]
    assert_refused(client.delete(f"{MODULES}/1"), "PM.EMU00003")


def test_delete_may_be_told_to_spare_families(client_with: ClientWith) -> None:
    """Section 5: what v4 does is open, so the seed can have it refuse; a leaf still goes."""
    client = client_with({"options": {"delete_with_children": "refused"}})
    assert_refused(client.delete(f"{MODULES}/2"), "PM.EMU00005")
    assert [client.delete(f"{MODULES}/{module}").status_code for module in (3, 2)] == [204, 204]


@pytest.mark.parametrize("method", ["PUT", "DELETE"])
@pytest.mark.parametrize(
    ("project", "module", "code"),
    [(DEMO, "99", "PM.EMU00003"), (OTHER, "1", "PM.EMU00003"), (DEMO, "0", "PM.02175006"), (DEMO, "x", "PM.02175006")],
)
def test_a_module_must_be_in_the_project(
    client: FlaskClient, method: str, project: str, module: str, code: str
) -> None:
    """Section 4c: what a missing module is really called is not known, hence the artificial code."""
    assert_refused(client.open(f"/v4/projects/{project}/modules/{module}", method=method, json=draft()), code)


def assert_refused(reply: Any, code: str) -> None:
    assert (reply.status_code, reply.get_json()["error_code"]) == (400, code)
    assert set(reply.get_json()) == {"error_code", "error_msg"}
