"""The lists: paging, and the two shapes a tree of three levels may have (sections 1 and 2 of the facts)."""

from collections.abc import Callable, Mapping
from typing import Any

import pytest
from flask.testing import FlaskClient

DEMO = "0792b7d26cb74bd799cbae80063dc74a"
OTHER = "5b1e4c0a97d24f3c8e6a2d7f10b93c58"
OWNER = "09d75cde5180d4481f91c018e89cb8e2"
MODULES = f"/v4/projects/{DEMO}/modules"
NODE = {"module_id", "module_name", "owner", "deepth", "is_parent"}

ClientWith = Callable[[Mapping[str, object]], FlaskClient]


def test_a_top_module_carries_its_branch(client: FlaskClient) -> None:
    """Item 13, nested: `deepth` from 1; children name their parent, a leaf has no `children`; no description."""
    listed = client.get(MODULES).get_json()
    top = listed["modules"][0]
    child = top["children"][0]
    grandchild = child["children"][0]
    assert listed["total"] == 1
    assert [set(top), set(child), set(grandchild)] == [
        NODE | {"children"},
        NODE | {"children", "parent_module_id"},
        NODE | {"parent_module_id"},
    ]
    assert [(each["module_id"], each["deepth"], each["is_parent"]) for each in (top, child, grandchild)] == [
        (1, 1, True),
        (2, 2, True),
        (3, 3, False),
    ]
    assert (child["parent_module_id"], grandchild["parent_module_id"]) == (1, 2)
    assert set(top["owner"]) == {"user_id", "user_num_id", "user_name", "nick_name"}


def test_a_branch_may_be_flat(client_with: ClientWith) -> None:
    """Item 13, flat: all descendants stand in the top module's list, none has `children`."""
    top = client_with({"options": {"children": "flat"}}).get(MODULES).get_json()["modules"][0]
    assert [(each["module_id"], each["parent_module_id"], each["deepth"]) for each in top["children"]] == [
        (2, 1, 2),
        (3, 2, 3),
    ]
    assert [set(each) for each in top["children"]] == [NODE | {"parent_module_id"}] * 2


def test_a_childless_top_module_has_an_empty_list(client: FlaskClient) -> None:
    """Section 2: `children` belongs to every top module."""
    client.post(f"/v4/projects/{OTHER}/module", json={"module_name": "demo", "owner": {"user_id": OWNER}})
    listed = client.get(f"/v4/projects/{OTHER}/modules").get_json()
    assert [(each["children"], each["is_parent"]) for each in listed["modules"]] == [([], False)]


def test_a_total_may_count_every_module(client_with: ClientWith) -> None:
    """Section 2: whether `total` counts the top or all is open, so the seed decides."""
    assert client_with({"options": {"total": "all"}}).get(MODULES).get_json()["total"] == 3


def many(number: int) -> dict[str, Any]:
    modules = [{"module_name": f"m{index}", "owner": OWNER} for index in range(number)]
    project = {"project_id": DEMO, "project_num_id": 1, "project_name": "demo", "members": [], "modules": modules}
    return {"projects": [project]}


def test_pages_hold_top_modules(client_with: ClientWith) -> None:
    """Item 12: 250 top modules are three pages of 100; items 11: ten where nothing is asked for."""
    client = client_with(many(250))
    pages = [client.get(MODULES, query_string={"offset": offset, "limit": 100}).get_json() for offset in (0, 100, 200)]
    assert [len(page["modules"]) for page in pages] == [100, 100, 50]
    names = [module["module_name"] for page in pages for module in page["modules"]]
    assert names == [f"m{index}" for index in range(250)]
    assert {page["total"] for page in pages} == {250}
    assert [module["module_name"] for module in client.get(MODULES).get_json()["modules"]] == names[:10]


def test_the_owner_of_a_listed_module_may_be_gone(client_with: ClientWith) -> None:
    """Section 2: every field may be null; here the owner is no member any more."""
    assert client_with(many(1)).get(MODULES).get_json()["modules"][0]["owner"] is None


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
def test_bad_paging_is_refused(client: FlaskClient, query: str) -> None:
    """Item 11: limits of 1 to 1000, offsets of 0 to 10000 in steps of the limit."""
    reply = client.get(f"{MODULES}?{query}")
    assert (reply.status_code, reply.get_json()["error_code"]) == (400, "PM.02174103")


@pytest.mark.parametrize("query", ["limit=1000", "offset=0&limit=1", "offset=10000&limit=1000", "limit=10&offset=20"])
def test_paging_up_to_the_limits_is_allowed(client: FlaskClient, query: str) -> None:
    """Item 11, the accepted side of each limit."""
    assert client.get(f"{MODULES}?{query}").status_code == 200


def test_a_get_may_claim_a_content_type(client: FlaskClient) -> None:
    """Item 29: the vendor's client sends `application/json` without a body; nothing is parsed."""
    assert client.get(MODULES, content_type="application/json").status_code == 200


def test_members_are_those_of_the_project(client: FlaskClient) -> None:
    """Section 1: who may own a module, at most 100 a page, offsets in steps of the limit."""
    path = f"/v4/projects/{DEMO}/members"
    listed = client.get(f"{path}?limit=100&offset=0").get_json()
    assert [(each["user_id"], each["user_num_id"], each["role_id"]) for each in listed["members"]] == [
        (OWNER, 4091, -1),
        ("1c6e2f0b9a8d4753b2e1f0c9d8a7b6e5", 4092, 4),
    ]
    assert listed["total"] == 2
    assert client.get(f"{path}?limit=1&offset=1").get_json()["members"] == listed["members"][1:]
    assert client.get(f"{path}?limit=101").get_json()["error_code"] == "PM.02174103"
    assert client.get(f"{path}?limit=10&offset=1").get_json()["error_code"] == "PM.02174103"


def test_projects_are_the_users_own_unless_all_are_asked_for(client_with: ClientWith) -> None:
    """Section 1: `search`, and `query_type` as the vendor's client documents it."""
    foreign = {"project_id": "f" * 32, "project_num_id": 9, "project_name": "foreign", "members": []}
    own = {
        "project_id": "a" * 32,
        "project_num_id": 8,
        "project_name": "own",
        "members": [{"user_id": OWNER, "user_num_id": 4091, "user_name": "u", "nick_name": "n"}],
    }
    client = client_with({"projects": [own, foreign]})

    def names(query: str) -> list[str]:
        return [each["project_name"] for each in client.get(f"/v4/projects?{query}").get_json()["projects"]]

    assert names("limit=1000&offset=0") == ["own"]
    assert names("query_type=domain_projects") == ["own", "foreign"]
    assert names("query_type=domain_projects&search=forei") == ["foreign"]
    assert names("query_type=domain_projects&offset=1&limit=10") == ["foreign"]
    assert client.get("/v4/projects?limit=1001").get_json()["error_code"] == "PM.02174103"


def test_a_user_learns_who_he_is(client: FlaskClient) -> None:
    """Section 1: GET /v4/user with its ten fields."""
    user = client.get("/v4/user").get_json()
    assert (user["user_id"], user["user_num_id"], user["user_name"]) == (OWNER, 4091, "demo_user_name_06")
    assert set(user) == {
        *("domain_id", "domain_name", "user_num_id", "user_id", "user_name"),
        *("nick_name", "created_time", "updated_time", "gender", "user_type"),
    }
