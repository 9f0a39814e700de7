"""Conformance items 18-23 of the CMDB facts (section 7): updates and deletes."""

import json
from datetime import UTC, datetime, timedelta
from itertools import count
from typing import Any

import pytest
from flask.testing import FlaskClient

from gateway.twins.cmdb import create_twin

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
    """Return a twin whose clock moves a second at every look."""
    ticks = count()
    start = datetime(2026, 1, 1, tzinfo=UTC)
    client = create_twin(SEED, clock=lambda: start + timedelta(seconds=next(ticks))).test_client()
    who = {"bk_app_code": "portal", "bk_app_secret": "s", "bk_username": "tom"}
    client.environ_base["HTTP_X_BKAPI_AUTHORIZATION"] = json.dumps(who)
    client.environ_base["HTTP_X_BKCMDB_LANGUAGE"] = "en"
    return client


def update(cmdb: FlaskClient, module: int, body: dict[str, Any], path: str = "1/10") -> dict[str, Any]:
    reply: dict[str, Any] = cmdb.put(f"/api/v3/module/{path}/{module}", json=body).get_json()
    return reply


def delete(cmdb: FlaskClient, module: int, path: str = "1/10") -> dict[str, Any]:
    reply: dict[str, Any] = cmdb.delete(f"/api/v3/module/{path}/{module}").get_json()
    return reply


def row(cmdb: FlaskClient, module: int) -> dict[str, Any]:
    body = {"condition": {"bk_module_id": module}}
    found: list[dict[str, Any]] = cmdb.post("/api/v3/module/search/0/1/0", json=body).get_json()["data"]["info"]
    return found[0] if found else {}


def test_a_rename_shows_in_the_search(cmdb: FlaskClient) -> None:
    """Item 18: success with null data, the server notes who and when; to its own name is success too."""
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


def test_a_name_given_up_is_free_again(cmdb: FlaskClient) -> None:
    """Item 18, section 3: the unique index follows a rename."""
    update(cmdb, PLAIN, {"bk_module_name": "new"})
    assert update(cmdb, SIBLING, {"bk_module_name": "plain"})["result"]
    assert update(cmdb, PLAIN, {"bk_module_name": "plain"})["code"] == 1199014


REFUSED: list[tuple[int, int, str, dict[str, Any], int]] = [
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


@pytest.mark.parametrize("case", REFUSED, ids=str)
def test_an_update_is_refused(cmdb: FlaskClient, case: tuple[int, int, str, dict[str, Any], int]) -> None:
    """Items 18, 20, 23: the code, and the row is what it was."""
    _, module, path, body, code = case
    before = row(cmdb, module)
    assert update(cmdb, module, body, path)["code"] == code
    assert row(cmdb, module) == before
    assert cmdb.get("/twin/ledger").get_json()["writes"] == []


def test_nothing_moves(cmdb: FlaskClient) -> None:
    """Item 19: set, business and parent in an update are ignored, with success."""
    assert update(cmdb, PLAIN, {"bk_set_id": 1, "bk_biz_id": 2, "bk_parent_id": 1})["result"]
    moved = row(cmdb, PLAIN)
    assert (moved["bk_biz_id"], moved["bk_set_id"], moved["bk_parent_id"]) == (1, 10, 10)


@pytest.mark.parametrize("name", ["tier", "bk_created_by", "create_time", "description"])
def test_what_cannot_be_edited_is_dropped(cmdb: FlaskClient, name: str) -> None:
    """Section 2: success, and the row keeps its value, be it the server's or a custom attribute not editable."""
    before = row(cmdb, PLAIN)
    assert update(cmdb, PLAIN, {name: "gold"})["result"]
    assert row(cmdb, PLAIN).get(name) == before.get(name)


@pytest.mark.parametrize("body", [{"bk_bak_operator": "tom"}, {"bk_module_type": "2"}, {"bk_module_name": ""}])
def test_a_module_of_a_template_takes_what_the_template_leaves_open(cmdb: FlaskClient, body: dict[str, Any]) -> None:
    """Item 20, section 3: the fixed value itself, other attributes, and an empty name are fine."""
    assert update(cmdb, TEMPLATED, body)["result"]
    assert row(cmdb, TEMPLATED)["bk_module_name"] == "st"


def test_an_update_writes_some_fields_raw(cmdb: FlaskClient) -> None:
    """Section 8: `default` turns a module into a built-in one, `bk_supplier_account` makes it disappear."""
    assert update(cmdb, PLAIN, {"default": 1})["result"]
    assert update(cmdb, PLAIN, {"bk_module_name": "x"})["code"] == 1101098
    assert update(cmdb, SIBLING, {"bk_supplier_account": "9"})["result"]
    assert row(cmdb, SIBLING) == {}


def test_an_empty_update_touches_the_time(cmdb: FlaskClient) -> None:
    """Section 3: success; last_time is bumped."""
    before = row(cmdb, PLAIN)["last_time"]
    assert update(cmdb, PLAIN, {})["result"]
    assert row(cmdb, PLAIN)["last_time"] > before


def test_a_delete_can_be_repeated(cmdb: FlaskClient) -> None:
    """Item 21: of [kept, deleted] one row is left, and deleting again is success without a write."""
    assert delete(cmdb, PLAIN)["result"]
    body = {"bk_ids": [SIBLING, PLAIN], "fields": ["bk_module_id"]}
    left = cmdb.post("/api/v3/findmany/module/bk_biz_id/1", json=body).get_json()["data"]
    assert [each["bk_module_id"] for each in left] == [SIBLING]
    assert delete(cmdb, PLAIN)["result"]
    assert [each["operation"] for each in cmdb.get("/twin/ledger").get_json()["writes"]] == ["delete_module"]


def test_a_module_with_hosts_stays(cmdb: FlaskClient) -> None:
    """Item 22: 1101030 until the hosts have moved away."""
    assert delete(cmdb, HOSTED)["code"] == 1101030
    assert cmdb.put("/twin/hosts/10000/0").status_code == 404
    assert cmdb.put(f"/twin/hosts/{HOSTED}/0").status_code == 204
    assert delete(cmdb, HOSTED)["result"]
    assert row(cmdb, HOSTED) == {}


@pytest.mark.parametrize(
    ("module", "path", "code"),
    [(3, "1/2", 1101098), (50, "1/12", 1101097), (ASSOCIATED, "1/10", 1101075), (PLAIN, "1/1000", 1199011)],
)
def test_a_delete_is_refused(cmdb: FlaskClient, module: int, path: str, code: int) -> None:
    """Item 23, section 3: built-in, in a template's set, with associations, in a set that is not there."""
    before = row(cmdb, module)
    assert delete(cmdb, module, path)["code"] == code
    assert row(cmdb, module) == before


@pytest.mark.parametrize(("module", "path"), [(PLAIN, "1/2"), (PLAIN, "7/10"), (10000, "1/10")])
def test_a_delete_beside_the_mark_is_a_silent_success(cmdb: FlaskClient, module: int, path: str) -> None:
    """Section 3: a wrong set or business, or an unknown module, is success; nothing is removed."""
    assert delete(cmdb, module, path)["result"]
    assert row(cmdb, PLAIN)["bk_module_name"] == "plain"


def test_the_id_of_a_deleted_module_never_comes_back(cmdb: FlaskClient) -> None:
    """Section 8: ids come from a sequence."""
    body = {"bk_parent_id": 10, "bk_module_name": "again"}
    ids = []
    for _ in range(2):
        ids.append(cmdb.post("/api/v3/module/1/10", json=body).get_json()["data"]["bk_module_id"])
        delete(cmdb, ids[-1])
    assert ids[1] > ids[0]
