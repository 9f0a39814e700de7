"""Conformance items 24-26 of the CMDB facts (section 7), and the other reads of section 1."""

from typing import Any

import pytest
from flask.testing import FlaskClient

from tests.unit.twins.cmdb.cmdb_client import TOM, create_client

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
BATCH = "findmany/module/bk_biz_id/1"


@pytest.fixture
def cmdb() -> FlaskClient:
    return create_client({"businesses": BUSINESSES, "users": {"tom": {"denied": [2]}}}, TOM)


def post(cmdb: FlaskClient, path: str, body: Any, *, language: str = "en") -> dict[str, Any]:
    headers = {"X-Bkcmdb-Language": language}
    response: dict[str, Any] = cmdb.post(f"/api/v3/{path}", json=body, headers=headers).get_json()
    return response


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
def test_a_condition_is_a_mongodb_filter(cmdb: FlaskClient, condition: dict[str, Any], ids: list[int]) -> None:
    """Item 24, section 1: values compare within a type; business and set of the path replace the condition's."""
    data = post(cmdb, MODULE_SEARCH, {"condition": condition, "page": {"sort": "bk_module_id"}})["data"]
    assert [row["bk_module_id"] for row in data["info"]] == ids
    assert data["count"] == len(ids)


@pytest.mark.parametrize(
    ("path", "body"),
    [
        (MODULE_SEARCH, {"condition": {"bk_module_name": "alpha"}, "page": {"sort": "id"}}),
        ("module/search/0/1/0", {"bk_set_id": 10, "condition": {"bk_module_name": "alpha"}}),
        ("findmany/module/biz/1", {"condition": {"bk_set_id": 10, "bk_module_type": "1", "service_template_id": 0}}),
    ],
)
def test_each_form_of_the_search(cmdb: FlaskClient, path: str, body: dict[str, Any]) -> None:
    """Item 24: the set in the path, body or condition; sorting by an unknown field is not an error."""
    data = post(cmdb, path, body)["data"]
    assert data["count"] == len(data["info"]) == 1


REJECTED: list[tuple[str, Any, int]] = [
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


@pytest.mark.parametrize(("path", "body", "code"), REJECTED)
def test_a_search_is_rejected(cmdb: FlaskClient, path: str, body: Any, code: int) -> None:
    """Items 25 and 26, section 1: limits, required fields, wrong types, forbidden and unknown operators."""
    response = post(cmdb, path, body)
    assert (response["code"], response["data"]) == (code, None)


def test_fields_always_include_default(cmdb: FlaskClient) -> None:
    """Item 26: each row has exactly the requested field and `default`."""
    rows = post(cmdb, MODULE_SEARCH, {"fields": ["bk_module_name"]})["data"]["info"]
    assert [set(row) for row in rows] == [{"bk_module_name", "default"}] * 3


def test_the_count_ignores_the_page(cmdb: FlaskClient) -> None:
    """Item 26: limit 1 of 3 has count 3 and one row; no limit returns all; sort has two directions."""
    pages = [{"limit": 1, "sort": "-bk_module_id"}, {"sort": "bk_module_type:-1,bk_module_id"}, {"start": 2}]
    results = [post(cmdb, MODULE_SEARCH, {"page": page})["data"] for page in pages]
    assert [result["count"] for result in results] == [3, 3, 3]
    assert [[row["bk_module_id"] for row in result["info"]] for result in results[:2]] == [[43], [42, 41, 43]]
    assert len(results[2]["info"]) == 1


def test_there_is_no_default_order(cmdb: FlaskClient) -> None:
    """Section 1: without `sort` the rows are not sorted by id."""
    ids = [row["bk_module_id"] for row in post(cmdb, MODULE_SEARCH, {})["data"]["info"]]
    assert sorted(ids) == [41, 42, 43] != ids


def test_the_names_of_built_in_modules_are_translated(cmdb: FlaskClient) -> None:
    """Section 8: in results, by language; a search compares the stored Chinese name."""

    def names(name: str, language: str) -> list[str]:
        response = post(cmdb, "module/search/0/1/2", {"condition": {"bk_module_name": name}}, language=language)
        return [row["bk_module_name"] for row in response["data"]["info"]]

    assert names("空闲机", "en") == ["idle host"]
    assert names("空闲机", "cn") == ["空闲机"]
    assert names("idle host", "en") == []


def test_sets_and_businesses(cmdb: FlaskClient) -> None:
    """Section 1: sets include the idle pool; businesses are those that the user has access to."""
    sets = post(cmdb, "set/search/0/1", {"condition": {"default": 1}, "fields": ["bk_set_id"]})["data"]
    assert sets == {"count": 1, "info": [{"bk_set_id": 2, "default": 1}]}
    businesses = post(cmdb, "biz/search/0", {"fields": ["bk_biz_id", "bk_biz_name"]})["data"]
    assert businesses == {"count": 1, "info": [{"bk_biz_id": 1, "bk_biz_name": "demo", "default": 0}]}


def test_the_topology(cmdb: FlaskClient) -> None:
    """Section 1: business, sets, modules; the idle pool `with_default` only; [] for an unknown business."""
    (tree,) = post(cmdb, "find/topoinst/biz/1", {})["data"]
    assert [(node["bk_obj_id"], node["bk_inst_id"]) for node in tree["child"]] == [("set", 10)]
    assert sorted(node["bk_inst_name"] for node in tree["child"][0]["child"]) == ["alpha", "beta", "gamma"]
    (full,) = post(cmdb, "find/topoinst/biz/1?with_default=1", {})["data"]
    assert {node["bk_inst_id"] for node in full["child"]} == {2, 10}
    assert post(cmdb, "find/topoinst/biz/77", {})["data"] == []


def test_the_idle_pool_and_the_model(cmdb: FlaskClient) -> None:
    """Section 1: the built-in set with its modules; the attributes, custom ones of the business included."""
    pool = cmdb.get("/api/v3/topo/internal/0/1").get_json()["data"]
    assert (pool["bk_set_id"], [module["bk_module_id"] for module in pool["module"]]) == (2, [3])
    assert cmdb.get("/api/v3/topo/internal/0/2").get_json()["data"]["module"] is None
    assert post(cmdb, "find/objectattr", {"bk_obj_id": "host"})["data"] == []
    for biz, expected in ((1, True), (2, False)):
        attributes = post(cmdb, "find/objectattr", {"bk_obj_id": "module", "bk_biz_id": biz})["data"]
        names = {attribute["bk_property_id"] for attribute in attributes}
        assert {"bk_module_name", "remark"} <= names
        assert ("tier" in names) is expected


def test_a_service_template(cmdb: FlaskClient) -> None:
    """By its id, over both routes; an unknown one is 1199019 (core/process/service_template.go)."""
    template = {"id": 100, "bk_biz_id": 1, "name": "st", "service_category_id": 2}
    for path in (
        "/api/v3/find/proc/service_template/",
        "/api/c/compapi/v2/cc/get_service_template/?service_template_id=",
    ):
        assert cmdb.get(f"{path}100").get_json()["data"].items() >= template.items()
        assert cmdb.get(f"{path}9").get_json()["code"] == 1199019
