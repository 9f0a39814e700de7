"""Conformance items 24-26 of the CMDB facts (section 7), and the other searches of section 1."""

import json
from typing import Any

import pytest
from flask.testing import FlaskClient

from gateway.twins.cmdb import create_twin

MODULES = [
    {"bk_module_id": 41, "bk_module_name": "alpha", "bk_module_type": "1"},
    {"bk_module_id": 42, "bk_module_name": "beta", "bk_module_type": "2", "operator": "tom"},
    {"bk_module_id": 43, "bk_module_name": "gamma", "bk_module_type": "1", "service_template_id": 100},
]
POOL = {
    "bk_set_id": 2,
    "bk_set_name": "空闲机池",
    "default": 1,
    "modules": [{"bk_module_id": 3, "bk_module_name": "空闲机", "default": 1}],
}
WEB = {"bk_set_id": 10, "bk_set_name": "web", "modules": MODULES}
BUSINESSES = [
    {"bk_biz_id": 1, "bk_biz_name": "demo", "sets": [POOL, WEB]},
    {"bk_biz_id": 2, "bk_biz_name": "other", "sets": []},
]
MODULE_SEARCH = "module/search/0/1/10"
RELATION = "findmany/module/with_relation/biz/1"
BATCH = "findmany/module/bk_biz_id/1"


@pytest.fixture
def cmdb() -> FlaskClient:
    client = create_twin({"businesses": BUSINESSES, "users": {"tom": {"denied": [2]}}}).test_client()
    who = {"bk_app_code": "portal", "bk_app_secret": "s", "bk_username": "tom"}
    client.environ_base["HTTP_X_BKAPI_AUTHORIZATION"] = json.dumps(who)
    return client


def ask(cmdb: FlaskClient, path: str, body: Any, *, language: str = "en") -> dict[str, Any]:
    headers = {"X-Bkcmdb-Language": language}
    reply: dict[str, Any] = cmdb.post(f"/api/v3/{path}", json=body, headers=headers).get_json()
    return reply


CONDITIONS: list[tuple[dict[str, Any], list[int]]] = [
    ({}, [41, 42, 43]),
    ({"bk_module_name": "alpha"}, [41]),
    ({"bk_module_name": "ALPHA"}, []),
    ({"bk_module_name": {"$regex": "^(al|be)"}}, [41, 42]),
    ({"bk_module_id": {"$in": [41, 43, 99]}}, [41, 43]),
    ({"bk_module_id": {"$nin": [41, 43]}}, [42]),
    ({"bk_module_id": {"$gt": 41, "$lte": 43}}, [42, 43]),
    ({"bk_module_id": {"$gte": 42, "$lt": 43}}, [42]),
    ({"bk_module_type": {"$ne": "1"}}, [42]),
    ({"bk_module_id": "41"}, []),
    ({"host_apply_enabled": 0}, []),
    ({"operator": None}, [41, 43]),
    ({"operator": {"$exists": True}, "bk_module_type": {"$eq": "2"}}, [42]),
    ({"$or": [{"bk_module_id": 41}, {"bk_module_name": "beta"}]}, [41, 42]),
    ({"bk_biz_id": 2, "bk_set_id": 2}, [41, 42, 43]),
]


@pytest.mark.parametrize(("condition", "ids"), CONDITIONS)
def test_a_condition_is_a_mongo_filter(cmdb: FlaskClient, condition: dict[str, Any], ids: list[int]) -> None:
    """Item 24 and section 1: filters compare within a type; business and set of the path override the condition."""
    data = ask(cmdb, MODULE_SEARCH, {"condition": condition, "page": {"sort": "bk_module_id"}})["data"]
    assert [each["bk_module_id"] for each in data["info"]] == ids
    assert data["count"] == len(ids)


@pytest.mark.parametrize(
    ("path", "body"),
    [
        (MODULE_SEARCH, {"condition": {"bk_module_name": "alpha"}, "page": {"sort": "id"}}),
        ("module/search/0/1/0", {"bk_set_id": 10, "condition": {"bk_module_name": "alpha"}}),
        ("findmany/module/biz/1", {"condition": {"bk_set_id": 10, "bk_module_type": "1", "service_template_id": 0}}),
        (
            RELATION,
            {
                "bk_set_ids": [10],
                "bk_service_template_ids": [0],
                "fields": ["bk_module_type"],
                "page": {"start": 0, "limit": 500},
            },
        ),
    ],
)
def test_every_search_finds_the_same(cmdb: FlaskClient, path: str, body: dict[str, Any]) -> None:
    """Item 24: each way of searching counts what is there; sorting by an unknown field is no error."""
    data = ask(cmdb, path, body)["data"]
    assert data["count"] == len(data["info"]) == (2 if path == RELATION else 1)


REFUSED: list[tuple[str, Any, int]] = [
    (RELATION, {"fields": ["a"], "page": {"limit": 501}}, 1199015),
    (RELATION, {"fields": ["a"], "bk_set_ids": list(range(201))}, 1199015),
    (RELATION, {"bk_set_ids": [10]}, 1199010),
    (BATCH, {"bk_ids": [], "fields": ["a"]}, 1199089),
    (BATCH, {"bk_ids": list(range(501)), "fields": ["a"]}, 1199089),
    (BATCH, {"bk_ids": [1]}, 1199006),
    (MODULE_SEARCH, {"page": {"limit": "10"}}, 1199000),
    (MODULE_SEARCH, {"fields": "a"}, 1199000),
    (MODULE_SEARCH, {"condition": []}, 1199000),
    (MODULE_SEARCH, {"fields": [1]}, 1199000),
    ("findmany/module/biz/1", {"bk_set_id": "10"}, 1199000),
    (BATCH, {"bk_ids": ["1"], "fields": ["a"]}, 1199000),
    (MODULE_SEARCH, {"condition": {"bk_module_name": {"$regex": "("}}}, 1199998),
    (MODULE_SEARCH, {"page": {"start": -1}}, 1199998),
    (MODULE_SEARCH, {"condition": {"$or": [{"$where": "1"}]}}, 1199998),
    (MODULE_SEARCH, {"condition": {"bk_module_id": {"$near": 1}}}, 1199998),
    (MODULE_SEARCH, {"condition": {"bk_module_id": {"$in": 1}}}, 1199998),
]


@pytest.mark.parametrize(("path", "body", "code"), REFUSED)
def test_a_search_is_refused(cmdb: FlaskClient, path: str, body: Any, code: int) -> None:
    """Items 25 and 26, section 1: bounds, required fields, wrong types, forbidden and unknown operators."""
    refused = ask(cmdb, path, body)
    assert (refused["code"], refused["data"]) == (code, None)


@pytest.mark.parametrize("path", [MODULE_SEARCH, RELATION])
def test_fields_bring_default_along(cmdb: FlaskClient, path: str) -> None:
    """Item 26: each row has exactly the field asked for and `default`."""
    rows = ask(cmdb, path, {"fields": ["bk_module_name"]})["data"]["info"]
    assert [set(row) for row in rows] == [{"bk_module_name", "default"}] * len(rows)


def test_the_count_ignores_the_page(cmdb: FlaskClient) -> None:
    """Item 26: limit 1 of 3 is count 3, info 1; no limit is all; sort runs both ways."""
    pages = [{"limit": 1, "sort": "-bk_module_id"}, {"sort": "bk_module_type:-1,bk_module_id"}, {"start": 2}]
    found = [ask(cmdb, MODULE_SEARCH, {"page": page})["data"] for page in pages]
    assert [each["count"] for each in found] == [3, 3, 3]
    assert [[row["bk_module_id"] for row in each["info"]] for each in found[:2]] == [[43], [42, 41, 43]]
    assert len(found[2]["info"]) == 1


def test_an_order_not_asked_for_is_not_given(cmdb: FlaskClient) -> None:
    """Section 1: there is no default order, so the twin must not happen to sort by id."""
    ids = [each["bk_module_id"] for each in ask(cmdb, MODULE_SEARCH, {})["data"]["info"]]
    assert sorted(ids) == [41, 42, 43] != ids


def test_built_in_names_do_not_round_trip(cmdb: FlaskClient) -> None:
    """Section 8: stored in Chinese, shown by the language, found only by what is stored."""

    def names(name: str, language: str) -> list[str]:
        reply = ask(cmdb, "module/search/0/1/2", {"condition": {"bk_module_name": name}}, language=language)
        return [each["bk_module_name"] for each in reply["data"]["info"]]

    assert names("空闲机", "en") == ["idle host"]
    assert names("空闲机", "cn") == ["空闲机"]
    assert names("idle host", "en") == []


def test_sets_and_businesses(cmdb: FlaskClient) -> None:
    """Section 1: the idle pool is among the sets; businesses are those the user has a right to."""
    sets = ask(cmdb, "set/search/0/1", {"condition": {"default": 1}, "fields": ["bk_set_id"]})["data"]
    assert sets == {"count": 1, "info": [{"bk_set_id": 2, "default": 1}]}
    found = ask(cmdb, "biz/search/0", {"fields": ["bk_biz_id", "bk_biz_name"]})["data"]
    assert found == {"count": 1, "info": [{"bk_biz_id": 1, "bk_biz_name": "demo", "default": 0}]}
    by_id = ask(cmdb, "findmany/set/bk_biz_id/1", {"bk_ids": [10, 99], "fields": ["bk_set_name"]})["data"]
    assert by_id == [{"bk_set_name": "web", "default": 0}]


def test_the_topology_leaves_the_idle_pool_out(cmdb: FlaskClient) -> None:
    """Section 1: business, sets, modules; `with_default` brings the pool; an unknown business is an empty list."""
    (tree,) = ask(cmdb, "find/topoinst/biz/1", {})["data"]
    assert [(each["bk_obj_id"], each["bk_inst_id"]) for each in tree["child"]] == [("set", 10)]
    assert sorted(each["bk_inst_name"] for each in tree["child"][0]["child"]) == ["alpha", "beta", "gamma"]
    (full,) = ask(cmdb, "find/topoinst/biz/1?with_default=1", {})["data"]
    assert {each["bk_inst_id"] for each in full["child"]} == {2, 10}
    assert ask(cmdb, "find/topoinst/biz/77", {})["data"] == []


def test_the_idle_pool_and_the_model(cmdb: FlaskClient) -> None:
    """Section 1: the internal set with its modules; the attributes tell of custom fields by business."""
    pool = cmdb.get("/api/v3/topo/internal/0/1").get_json()["data"]
    assert (pool["bk_set_id"], [each["bk_module_id"] for each in pool["module"]]) == (2, [3])
    assert cmdb.get("/api/v3/topo/internal/0/2").get_json()["data"]["module"] is None
    assert ask(cmdb, "find/objectattr", {"bk_obj_id": "host"})["data"] == []
    for biz, known in ((1, True), (2, False)):
        listed = ask(cmdb, "find/objectattr", {"bk_obj_id": "module", "bk_biz_id": biz})["data"]
        names = {each["bk_property_id"] for each in listed}
        assert {"bk_module_name", "remark"} <= names
        assert ("tier" in names) is known
