"""Lists: paging, and the two formats of a tree with three levels (sections 1 and 2 of the facts)."""

from typing import Any

import pytest
from flask.testing import FlaskClient

from tests.unit.twins.projectman.api import DEMO, MODULES, OTHER, OWNER, ClientWith, module_body

USER_ID = OWNER["user_id"]
NODE = {"module_id", "module_name", "owner", "deepth", "is_parent"}


def test_a_nested_tree(client: FlaskClient) -> None:
    """Item 13: `deepth` from 1; children have the parent's id, a leaf has no `children`; no description."""
    page = client.get(MODULES).get_json()
    top = page["modules"][0]
    child = top["children"][0]
    grandchild = child["children"][0]
    assert page["total"] == 1
    assert [set(top), set(child), set(grandchild)] == [
        NODE | {"children"},
        NODE | {"children", "parent_module_id"},
        NODE | {"parent_module_id"},
    ]
    assert [(node["module_id"], node["deepth"], node["is_parent"]) for node in (top, child, grandchild)] == [
        (1, 1, True),
        (2, 2, True),
        (3, 3, False),
    ]
    assert (child["parent_module_id"], grandchild["parent_module_id"]) == (1, 2)
    assert set(top["owner"]) == {"user_id", "user_num_id", "user_name", "nick_name"}


def test_a_flat_tree(client_with: ClientWith) -> None:
    """Item 13: the top module lists all descendants, none of which has `children`."""
    top = client_with({"options": {"children": "flat"}}).get(MODULES).get_json()["modules"][0]
    assert [(node["module_id"], node["parent_module_id"], node["deepth"]) for node in top["children"]] == [
        (2, 1, 2),
        (3, 2, 3),
    ]
    assert [set(node) for node in top["children"]] == [NODE | {"parent_module_id"}] * 2


def test_a_top_module_without_children(client: FlaskClient) -> None:
    """Section 2: every top module has `children`."""
    client.post(f"/v4/projects/{OTHER}/module", json=module_body())
    page = client.get(f"/v4/projects/{OTHER}/modules").get_json()
    assert [(node["children"], node["is_parent"]) for node in page["modules"]] == [([], False)]


def test_the_total_can_count_all_modules(client_with: ClientWith) -> None:
    """Section 2: by an option, as the real behaviour is not known."""
    assert client_with({"options": {"total": "all"}}).get(MODULES).get_json()["total"] == 3


def seed_with_modules(number: int) -> dict[str, Any]:
    modules = [{"module_name": f"m{index}", "owner": USER_ID} for index in range(number)]
    project = {"project_id": DEMO, "project_num_id": 1, "project_name": "demo", "members": [], "modules": modules}
    return {"projects": [project]}


def test_pages_of_top_modules(client_with: ClientWith) -> None:
    """Item 12: 250 top modules are three pages of 100; item 11: ten without a limit."""
    client = client_with(seed_with_modules(250))
    pages = [client.get(MODULES, query_string={"offset": offset, "limit": 100}).get_json() for offset in (0, 100, 200)]
    assert [len(page["modules"]) for page in pages] == [100, 100, 50]
    names = [module["module_name"] for page in pages for module in page["modules"]]
    assert names == [f"m{index}" for index in range(250)]
    assert {page["total"] for page in pages} == {250}
    assert [module["module_name"] for module in client.get(MODULES).get_json()["modules"]] == names[:10]


def test_an_owner_who_is_not_a_member(client_with: ClientWith) -> None:
    """Section 2: every field may be null; here the owner has left the project."""
    assert client_with(seed_with_modules(1)).get(MODULES).get_json()["modules"][0]["owner"] is None


@pytest.mark.parametrize(
    "query",
    [
        "limit=0",
        "limit=1001",
        "offset=-1",
        "offset=5&limit=10",
        "offset=5",
        "limit=abc",
        "limit=",
        "limit=1.0",
        "offset=10010&limit=10",
        "limit=٣",
        "limit=" + "9" * 5000,
    ],
)
def test_invalid_paging(client: FlaskClient, query: str) -> None:
    """Item 11: the limit is 1 to 1000; the offset is 0 to 10000 and a multiple of the limit."""
    response = client.get(f"{MODULES}?{query}")
    assert (response.status_code, response.get_json()["error_code"]) == (400, "PM.02174103")


@pytest.mark.parametrize("query", ["limit=1000", "offset=0&limit=1", "offset=10000&limit=1000", "limit=10&offset=20"])
def test_valid_paging(client: FlaskClient, query: str) -> None:
    """Item 11, the bounds of limit and offset."""
    assert client.get(f"{MODULES}?{query}").status_code == 200


def test_a_get_with_a_content_type(client: FlaskClient) -> None:
    """Item 29: the vendor's client sends `application/json` without a body."""
    assert client.get(MODULES, content_type="application/json").status_code == 200


def test_the_members_of_a_project(client: FlaskClient) -> None:
    """Section 1: at most 100 in a page; the offset is a multiple of the limit."""
    path = f"/v4/projects/{DEMO}/members"
    page = client.get(f"{path}?limit=100&offset=0").get_json()
    assert [(member["user_id"], member["user_num_id"], member["role_id"]) for member in page["members"]] == [
        (USER_ID, 4091, -1),
        ("1c6e2f0b9a8d4753b2e1f0c9d8a7b6e5", 4092, 4),
    ]
    assert page["total"] == 2
    assert client.get(f"{path}?limit=1&offset=1").get_json()["members"] == page["members"][1:]
    assert client.get(f"{path}?limit=101").get_json()["error_code"] == "PM.02174103"
    assert client.get(f"{path}?limit=10&offset=1").get_json()["error_code"] == "PM.02174103"


def test_the_projects_of_a_user(client_with: ClientWith) -> None:
    """Section 1: those of which the user is a member, or all by `query_type`; `search` filters by name."""
    other = {"project_id": "f" * 32, "project_num_id": 9, "project_name": "other", "members": []}
    member_of = {
        "project_id": "a" * 32,
        "project_num_id": 8,
        "project_name": "member-of",
        "members": [{"user_id": USER_ID, "user_num_id": 4091, "user_name": "u", "nick_name": "n"}],
    }
    client = client_with({"projects": [member_of, other]})

    def names(query: str) -> list[str]:
        return [project["project_name"] for project in client.get(f"/v4/projects?{query}").get_json()["projects"]]

    assert names("limit=1000&offset=0") == ["member-of"]
    assert names("query_type=domain_projects") == ["member-of", "other"]
    assert names("query_type=domain_projects&search=othe") == ["other"]
    assert names("query_type=domain_projects&offset=1&limit=10") == ["other"]
    assert client.get("/v4/projects?limit=1001").get_json()["error_code"] == "PM.02174103"


def test_the_current_user(client: FlaskClient) -> None:
    """Section 1: GET /v4/user has ten fields."""
    user = client.get("/v4/user").get_json()
    assert (user["user_id"], user["user_num_id"], user["user_name"]) == (USER_ID, 4091, "demo_user_name_06")
    assert set(user) == {
        *("domain_id", "domain_name", "user_num_id", "user_id", "user_name"),
        *("nick_name", "created_time", "updated_time", "gender", "user_type"),
    }
