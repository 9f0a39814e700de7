"""Conformance items 1-17 of the CMDB facts (section 7): creates."""

from typing import Any

import pytest
from flask.testing import FlaskClient

from tests.unit.twins.cmdb.cmdb_client import MODULE, create_client

TEMPLATES = [
    {"id": 100, "name": "st", "bk_biz_id": 1, "service_category_id": 2},
    {"id": 101, "name": "foreign", "bk_biz_id": 2, "service_category_id": 2},
]
CUSTOM = [
    {"bk_property_id": "remark", "bk_property_type": "longchar"},
    {"bk_property_id": "code", "bk_property_type": "singlechar"},
    {"bk_property_id": "ports", "bk_property_type": "int"},
    {"bk_property_id": "public", "bk_property_type": "bool"},
    {"bk_property_id": "foreign", "bk_property_type": "int", "bk_biz_id": 2},
]


@pytest.fixture
def cmdb() -> FlaskClient:
    seed = {"iam": False, "service_templates": TEMPLATES, "attributes": CUSTOM}
    return create_client(seed, language="en")


def create(cmdb: FlaskClient, body: dict[str, Any], path: str = "1/10") -> dict[str, Any]:
    attributes = {name: value for name, value in {**MODULE, **body}.items() if value is not ...}
    response: dict[str, Any] = cmdb.post(f"/api/v3/module/{path}", json=attributes).get_json()
    return response


def search(cmdb: FlaskClient, name: str) -> list[dict[str, Any]]:
    body = {"condition": {"bk_module_name": name}}
    rows: list[dict[str, Any]] = cmdb.post("/api/v3/module/search/0/1/0", json=body).get_json()["data"]["info"]
    return rows


def test_a_create_returns_the_whole_row(cmdb: FlaskClient) -> None:
    """Item 1: set and parent are equal, the id is the next of the sequence; section 2 lists the keys."""
    data = create(cmdb, {"service_category_id": 2, "service_template_id": 0})["data"]
    assert data["bk_set_id"] == data["bk_parent_id"] == 10
    assert data["bk_module_id"] == 37825
    assert data.keys() >= {
        *("bk_bak_operator", "bk_biz_id", "bk_created_at", "bk_created_by", "bk_module_name", "bk_module_type"),
        *("bk_supplier_account", "bk_updated_at", "bk_updated_by", "create_time", "default", "host_apply_enabled"),
        *("last_time", "operator", "service_category_id", "service_template_id", "set_template_id"),
    }
    assert data["bk_created_by"] == "admin"
    assert data["create_time"] == data["last_time"] == data["bk_created_at"] == data["bk_updated_at"]


def test_a_create_without_service_fields_has_the_default_category(cmdb: FlaskClient) -> None:
    """Item 2: service_category_id is the default one, service_template_id 0."""
    data = create(cmdb, {})["data"]
    assert (data["service_category_id"], data["service_template_id"]) == (2, 0)


def test_a_name_is_unique_in_its_set(cmdb: FlaskClient) -> None:
    """Item 3: a duplicate in the set is 1199014; a name in another set, or in another case, is free."""
    create(cmdb, {})
    duplicate = create(cmdb, {})
    assert duplicate["code"] == 1199014
    assert 'bk_biz_id: 1, bk_set_id: 10, bk_module_name: "redis"' in duplicate["message"]
    assert create(cmdb, {"bk_parent_id": 20}, "2/20")["result"]
    assert create(cmdb, {"bk_module_name": "Redis"})["result"]
    assert len(search(cmdb, "redis")) == 1


REJECTED: list[tuple[int, str, str, dict[str, Any], str]] = [
    (4, "1000/10", "1199011", {}, "bk_biz_id/bk_set_id"),
    (4, "2/10", "1199011", {}, "bk_biz_id/bk_set_id"),
    (5, "1/1000", "1199011", {}, "bk_set_id"),
    (6, "1/10", "1199006", {"bk_parent_id": 1000}, "bk_parent_id"),
    (7, "1/10", "1199011", {"bk_parent_id": ...}, "bk_parent_id"),
    (8, "1/10", "1199010", {"bk_module_name": ...}, "bk_module_name"),
    (8, "1/10", "1199011", {"bk_module_name": ""}, "bk_module_name"),
    (8, "1/10", "1199011", {"bk_module_name": "   "}, "bk_module_name"),
    *[(9, "1/10", "1199011", {"bk_module_name": n}, "bk_module_name") for n in ("a b", "a:b", "a/b", "a#b")],
    *[(9, "1/10", "1199011", {"bk_module_name": n}, "bk_module_name") for n in ("a,b", 'a"b', "a\tb", "\ta")],
    (10, "1/10", "1199011", {"bk_module_name": "x" * 257}, "bk_module_name"),
    (10, "1/10", "1199011", {"bk_module_name": "模" * 86}, "bk_module_name"),
    (11, "1/10", "1199011", {"bk_module_name": 123}, "bk_module_name"),
    (11, "1/10", "1199011", {"bk_module_name": None}, "bk_module_name"),
    *[(11, "1/10", "1199006", {"bk_parent_id": p}, "bk_parent_id") for p in ("10", 10.0, None, True)],
    (12, "1/10", "1199011", {"bk_module_type": "9"}, "bk_module_type"),
    (12, "1/10", "1199011", {"bk_module_type": 1}, "bk_module_type"),
    *[(13, "1/10", "1199011", {"operator": o}, "operator") for o in ("admin, tom", "张三", ["admin"])],
    (13, "1/10", "1199011", {"bk_bak_operator": "a" * 2001}, "bk_bak_operator"),
    (13, "1/10", "1199011", {"bk_created_by": "admin,tom"}, "bk_created_by"),
    (13, "1/10", "1199011", {"create_time": "yesterday"}, "create_time"),
    (14, "1/10", "1199011", {"remark": 1}, "remark"),
    (14, "1/10", "1199011", {"code": "x" * 257}, "code"),
    (14, "1/10", "1199011", {"ports": "1"}, "ports"),
    (14, "1/10", "1199011", {"public": 1}, "public"),
    (9, "1/10", "1199011", {"bk_module_name": "\u3000"}, "bk_module_name"),
    (17, "1/10", "1199006", {"service_template_id": "100"}, "service_template_id"),
    (15, "1/10", "1199999", {"default": 0}, "topo"),
    (16, "1/10", "1199019", {"service_category_id": 12345}, "No relevant data found"),
    (16, "1/10", "1199006", {"service_category_id": 4}, "service_category_id"),
    (17, "1/10", "1199006", {"service_template_id": 10000}, "service_template_id"),
    (17, "1/10", "1199006", {"service_template_id": 101}, "service_template_id"),
    (17, "1/10", "1108036", {"service_template_id": 100, "service_category_id": 3}, "conincide"),
    (23, "1/12", "1101097", {"bk_parent_id": 12}, "set template"),
]


@pytest.mark.parametrize("case", REJECTED, ids=str)
def test_a_create_is_rejected(cmdb: FlaskClient, case: tuple[int, str, str, dict[str, Any], str]) -> None:
    """Items 4-13, 15-17, 23: the code and the first quoted token; nothing is stored or in the ledger."""
    _, path, code, body, token = case
    response = create(cmdb, body, path)
    assert (response["result"], str(response["code"]), response["data"]) == (False, code, None)
    assert token in response["message"]
    assert not search(cmdb, "redis")
    assert cmdb.get("/twin/ledger").get_json() == {"writes": []}


@pytest.mark.parametrize("name", ["redis-1", "模块(1)", "a;b", "a'b", "x" * 256, "模" * 85, "a\u3000b"])
def test_a_valid_name_is_stored_unchanged(cmdb: FlaskClient, name: str) -> None:
    """Items 9 and 10: the pattern, and up to 256 bytes."""
    assert create(cmdb, {"bk_module_name": name})["data"]["bk_module_name"] == name


def test_outer_spaces_are_trimmed(cmdb: FlaskClient) -> None:
    """Item 9: ` x ` is stored as `x`."""
    assert create(cmdb, {"bk_module_name": " x "})["data"]["bk_module_name"] == "x"
    assert len(search(cmdb, "x")) == 1


STORED: list[tuple[dict[str, Any], str, Any]] = [
    ({"bk_module_type": "2"}, "bk_module_type", "2"),
    ({}, "bk_module_type", "1"),
    ({"bk_module_type": None}, "bk_module_type", None),
    ({"operator": "admin,tom"}, "operator", "admin,tom"),
    ({}, "operator", None),
    ({"operator": ""}, "operator", ""),
    ({"host_apply_enabled": True}, "host_apply_enabled", False),
    ({"set_template_id": 7}, "set_template_id", 7),
    ({"bk_created_by": "tom"}, "bk_created_by", "admin"),
    ({"bk_biz_id": 2, "bk_set_id": 11}, "bk_set_id", 10),
    ({"bk_supplier_account": "9"}, "bk_supplier_account", "0"),
    ({"remark": "hello"}, "remark", "hello"),
    ({}, "remark", None),
    ({"ports": 80}, "ports", 80),
    ({"public": True}, "public", True),
    ({"last_time": "2026-01-01 00:00:00", "bk_created_at": ""}, "bk_module_name", "redis"),
]


@pytest.mark.parametrize(("body", "name", "stored"), STORED)
def test_a_create_stores(cmdb: FlaskClient, body: dict[str, Any], name: str, stored: Any) -> None:
    """Items 12 and 13, and section 2: defaults, nulls, and values that the server overwrites."""
    assert create(cmdb, body)["data"][name] == stored


def test_an_unknown_key_is_dropped(cmdb: FlaskClient) -> None:
    """Item 14: `description` is not an error, and neither in the response nor in a search."""
    created = create(cmdb, {"description": "x"})
    assert created["result"]
    assert "description" not in created["data"]
    assert "description" not in search(cmdb, "redis")[0]
    assert "foreign" not in create(cmdb, {"bk_module_name": "b", "foreign": 1})["data"]


def test_a_module_has_the_name_of_its_template(cmdb: FlaskClient) -> None:
    """Item 17: the template's name replaces that of the request; a second one in the set is a duplicate."""
    first = create(cmdb, {"bk_module_name": "test12345", "service_template_id": 100})
    assert (first["data"]["bk_module_name"], first["data"]["service_template_id"]) == ("st", 100)
    assert create(cmdb, {"bk_module_name": "other", "service_template_id": 100})["code"] == 1199014


def test_a_module_can_be_created_in_the_idle_pool(cmdb: FlaskClient) -> None:
    """Section 3: the kind of the set is not checked; the module is an ordinary one."""
    assert create(cmdb, {"bk_parent_id": 2}, "1/2")["data"]["default"] == 0
