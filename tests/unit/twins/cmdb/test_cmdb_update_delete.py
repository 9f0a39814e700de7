"""Conformance items 18-23 of the CMDB facts (section 7): updates and deletes."""

from datetime import UTC, datetime, timedelta
from itertools import count
from typing import Any

import pytest
from flask.testing import FlaskClient

from tests.unit.twins.cmdb.cmdb_client import TOM, create_client

TEMPLATED, PLAIN, SIBLING, HOSTED, ASSOCIATED = 40, 41, 42, 43, 44
MODULES = [
    {"bk_module_id": TEMPLATED, "bk_module_name": "st", "service_template_id": 100, "bk_bak_operator": "tom"},
    {"bk_module_id": PLAIN, "bk_module_name": "plain"},
    {"bk_module_id": SIBLING, "bk_module_name": "sibling"},
    {"bk_module_id": HOSTED, "bk_module_name": "hosted", "hosts": 2},
    {"bk_module_id": ASSOCIATED, "bk_module_name": "bound", "associated": True},
]
IDLE = [{"bk_module_id": 2 + kind, "bk_module_name": f"m{kind}", "default": kind} for kind in (1, 2, 3)]
SETS = [
    {"bk_set_id": 2, "bk_set_name": "pool", "default": 1, "modules": IDLE},
    {"bk_set_id": 10, "bk_set_name": "web", "modules": MODULES},
    {"bk_set_id": 12, "set_template_id": 1, "modules": [{"bk_module_id": 50, "bk_module_name": "made"}]},
]
SEED = {"businesses": [{"bk_biz_id": 1, "bk_biz_name": "demo", "sets": SETS}]}


@pytest.fixture
def cmdb() -> FlaskClient:
    """A twin whose clock advances by a second with every call."""
    seconds = count()
    start = datetime(2026, 1, 1, tzinfo=UTC)
    return create_client(SEED, TOM, language="en", clock=lambda: start + timedelta(seconds=next(seconds)))


def update(cmdb: FlaskClient, module: int, body: dict[str, Any], path: str = "1/10") -> dict[str, Any]:
    response: dict[str, Any] = cmdb.put(f"/api/v3/module/{path}/{module}", json=body).get_json()
    return response


def delete(cmdb: FlaskClient, module: int, path: str = "1/10") -> dict[str, Any]:
    response: dict[str, Any] = cmdb.delete(f"/api/v3/module/{path}/{module}").get_json()
    return response


def row(cmdb: FlaskClient, module: int) -> dict[str, Any]:
    body = {"condition": {"bk_module_id": module}}
    rows: list[dict[str, Any]] = cmdb.post("/api/v3/module/search/0/1/0", json=body).get_json()["data"]["info"]
    return rows[0] if rows else {}


def test_a_rename(cmdb: FlaskClient) -> None:
    """Item 18: success with null data; user and time are set; a rename to the current name succeeds."""
    before = row(cmdb, PLAIN)
    assert update(cmdb, PLAIN, {"bk_module_name": " new "}) == {
        "result": True,
        "code": 0,
        "message": "success",
        "permission": None,
        "data": None,
    }
    after = row(cmdb, PLAIN)
    assert (after["bk_module_name"], after["bk_updated_by"]) == ("new", "tom")
    assert after["last_time"] > before["last_time"]
    assert after["create_time"] == before["create_time"]
    assert update(cmdb, PLAIN, {"bk_module_name": "new"})["result"]


def test_a_rename_frees_the_old_name(cmdb: FlaskClient) -> None:
    """Item 18, section 3: the unique index follows a rename."""
    update(cmdb, PLAIN, {"bk_module_name": "new"})
    assert update(cmdb, SIBLING, {"bk_module_name": "plain"})["result"]
    assert update(cmdb, PLAIN, {"bk_module_name": "plain"})["code"] == 1199014


REJECTED: list[tuple[int, int, str, dict[str, Any], int]] = [
    (18, PLAIN, "1/10", {"bk_module_name": "sibling"}, 1199014),
    (18, 10000, "1/10", {"bk_module_name": "x"}, 1199019),
    (18, PLAIN, "1/11", {"bk_module_name": "x"}, 1199019),
    (18, PLAIN, "2/10", {"bk_module_name": "x"}, 1199019),
    (20, TEMPLATED, "1/10", {"bk_module_name": "x", "service_category_id": 2, "service_template_id": 1000}, 1199083),
    (20, PLAIN, "1/10", {"set_template_id": 5}, 1199083),
    (20, TEMPLATED, "1/10", {"set_template_id": 5, "bk_module_name": "x"}, 1199083),
    (20, TEMPLATED, "1/10", {"bk_module_name": "renamed"}, 1101091),
    (20, TEMPLATED, "1/10", {"service_category_id": 3}, 1101090),
    (20, TEMPLATED, "1/10", {"bk_bak_operator": "admin"}, 1199083),
    (20, PLAIN, "1/10", {"service_template_id": "0"}, 1199006),
    (23, 3, "1/2", {"bk_module_name": "x"}, 1101098),
    (23, 4, "1/2", {}, 1101098),
    (12, PLAIN, "1/10", {"bk_module_type": "9"}, 1199011),
    (9, PLAIN, "1/10", {"bk_module_name": "a b"}, 1199011),
]


@pytest.mark.parametrize("case", REJECTED, ids=str)
def test_an_update_is_rejected(cmdb: FlaskClient, case: tuple[int, int, str, dict[str, Any], int]) -> None:
    """Items 18, 20, 23: the code; the row is unchanged."""
    _, module, path, body, code = case
    before = row(cmdb, module)
    assert update(cmdb, module, body, path)["code"] == code
    assert row(cmdb, module) == before
    assert cmdb.get("/twin/ledger").get_json()["writes"] == []


def test_an_update_cannot_move_a_module(cmdb: FlaskClient) -> None:
    """Item 19: set, business and parent are ignored, without an error."""
    assert update(cmdb, PLAIN, {"bk_set_id": 1, "bk_biz_id": 2, "bk_parent_id": 1})["result"]
    moved = row(cmdb, PLAIN)
    assert (moved["bk_biz_id"], moved["bk_set_id"], moved["bk_parent_id"]) == (1, 10, 10)


@pytest.mark.parametrize("name", ["tier", "bk_created_by", "create_time", "description"])
def test_an_update_of_a_read_only_attribute_is_ignored(cmdb: FlaskClient, name: str) -> None:
    """Section 2: success, and the row keeps its value: attributes of the server, and custom ones."""
    before = row(cmdb, PLAIN)
    assert update(cmdb, PLAIN, {name: "gold"})["result"]
    assert row(cmdb, PLAIN).get(name) == before.get(name)


@pytest.mark.parametrize("body", [{"bk_bak_operator": "tom"}, {"bk_module_type": "2"}, {"bk_module_name": ""}])
def test_an_update_of_a_module_from_a_template(cmdb: FlaskClient, body: dict[str, Any]) -> None:
    """Item 20, section 3: the fixed value, other attributes, and an empty name are allowed."""
    assert update(cmdb, TEMPLATED, body)["result"]
    assert row(cmdb, TEMPLATED)["bk_module_name"] == "st"


def test_an_update_stores_some_fields_unvalidated(cmdb: FlaskClient) -> None:
    """Section 8: `default` makes a module built-in, `bk_supplier_account` makes it unreadable."""
    assert update(cmdb, PLAIN, {"default": 1})["result"]
    assert update(cmdb, PLAIN, {"bk_module_name": "x"})["code"] == 1101098
    assert update(cmdb, SIBLING, {"bk_supplier_account": "9"})["result"]
    assert row(cmdb, SIBLING) == {}


def test_an_empty_update_sets_the_time(cmdb: FlaskClient) -> None:
    """Section 3: success; last_time changes."""
    before = row(cmdb, PLAIN)["last_time"]
    assert update(cmdb, PLAIN, {})["result"]
    assert row(cmdb, PLAIN)["last_time"] > before


def test_a_delete_can_be_repeated(cmdb: FlaskClient) -> None:
    """Item 21: a batch search returns the other module; a second delete succeeds without a write."""
    assert delete(cmdb, PLAIN)["result"]
    body = {"bk_ids": [SIBLING, PLAIN], "fields": ["bk_module_id"]}
    rows = cmdb.post("/api/v3/findmany/module/bk_biz_id/1", json=body).get_json()["data"]
    assert [module["bk_module_id"] for module in rows] == [SIBLING]
    assert delete(cmdb, PLAIN)["result"]
    assert [write["operation"] for write in cmdb.get("/twin/ledger").get_json()["writes"]] == ["delete_module"]


def test_a_module_with_hosts_cannot_be_deleted(cmdb: FlaskClient) -> None:
    """Item 22: 1101030 until the hosts are moved."""
    assert delete(cmdb, HOSTED)["code"] == 1101030
    assert cmdb.put("/twin/hosts/10000/0").status_code == 404
    assert cmdb.put(f"/twin/hosts/{HOSTED}/0").status_code == 204
    assert delete(cmdb, HOSTED)["result"]
    assert row(cmdb, HOSTED) == {}


@pytest.mark.parametrize(
    ("module", "path", "code"),
    [(3, "1/2", 1101098), (50, "1/12", 1101097), (ASSOCIATED, "1/10", 1101075), (PLAIN, "1/1000", 1199011)],
)
def test_a_delete_is_rejected(cmdb: FlaskClient, module: int, path: str, code: int) -> None:
    """Item 23, section 3: built-in, in a set from a template, with associations, in an unknown set."""
    before = row(cmdb, module)
    assert delete(cmdb, module, path)["code"] == code
    assert row(cmdb, module) == before


@pytest.mark.parametrize(("module", "path"), [(PLAIN, "1/2"), (PLAIN, "7/10"), (10000, "1/10")])
def test_a_delete_of_an_unknown_module_succeeds(cmdb: FlaskClient, module: int, path: str) -> None:
    """Section 3: also in the wrong set or business; nothing is deleted."""
    assert delete(cmdb, module, path)["result"]
    assert row(cmdb, PLAIN)["bk_module_name"] == "plain"


def test_the_id_of_a_deleted_module_is_not_reused(cmdb: FlaskClient) -> None:
    """Section 8: ids come from a sequence."""
    body = {"bk_parent_id": 10, "bk_module_name": "again"}
    ids = []
    for _ in range(2):
        ids.append(cmdb.post("/api/v3/module/1/10", json=body).get_json()["data"]["bk_module_id"])
        delete(cmdb, ids[-1])
    assert ids[1] > ids[0]


def test_text_is_trimmed(cmdb: FlaskClient) -> None:
    """White space of Unicode around text is removed; source: instance_validate.go, strings.TrimSpace."""
    assert update(cmdb, PLAIN, {"remark": " a b\u3000", "bk_module_name": "\u3000new\u3000"})["result"] is True
    assert (row(cmdb, PLAIN)["remark"], row(cmdb, PLAIN)["bk_module_name"]) == ("a b", "new")
