"""What a real CMDB 3.9 answers and later releases do not; source: facts, section 9."""

from __future__ import annotations

from typing import Any

import pytest
from flask.testing import FlaskClient

from tests.unit.twins.cmdb.cmdb_client import MODULE, create_client


@pytest.fixture
def cmdb() -> FlaskClient:
    return create_client({"version": "3.9", "iam": False}, language="en")


def modules(cmdb: FlaskClient) -> list[str]:
    rows = cmdb.post("/api/v3/module/search/0/1/0", json={"condition": {"default": 0}}).get_json()["data"]["info"]
    return sorted(row["bk_module_name"] for row in rows)


@pytest.mark.parametrize(
    ("path", "code"),
    [("1/999", 1199019), ("999/999", 1199019), ("999/10", 1199011), ("2/10", 1199011)],
)
def test_a_create_in_an_unknown_set(cmdb: FlaskClient, path: str, code: int) -> None:
    """The set is looked for first: 1199019 without one, 1199011 where it belongs to another business."""
    body = {**MODULE, "bk_parent_id": int(path.split("/")[1])}
    response = cmdb.post(f"/api/v3/module/{path}", json=body).get_json()
    assert (response["result"], response["bk_error_code"], response["data"]) == (False, code, None)


@pytest.mark.parametrize("body", [{}, {"bk_parent_id": 10}])
def test_a_create_without_a_name_succeeds_and_creates_nothing(cmdb: FlaskClient, body: dict[str, Any]) -> None:
    """`result: true` with `data: null`."""
    before = modules(cmdb)
    response = cmdb.post("/api/v3/module/1/10", json=body).get_json()
    assert (response["result"], response["bk_error_code"], response["data"]) == (True, 0, None)
    assert modules(cmdb) == before


@pytest.mark.parametrize(("name", "code"), [("redis", 1101099), (" redis ", 1199014)])
def test_a_duplicate(cmdb: FlaskClient, name: str, code: int) -> None:
    """1101099; a name with blanks passes that check and is refused by the unique index, which names its fields."""
    cmdb.post("/api/v3/module/1/10", json=MODULE)
    response = cmdb.post("/api/v3/module/1/10", json={**MODULE, "bk_module_name": name}).get_json()
    assert response["bk_error_code"] == code
    assert ("fields [business id,set id,module name] duplicated" in response["bk_error_msg"]) is (code == 1199014)


@pytest.mark.parametrize(
    ("path", "result"), [("1/10/999", True), ("999/11/31", True), ("1/10/31", True), ("1/999/31", False)]
)
def test_a_delete_of_an_absent_module(cmdb: FlaskClient, path: str, *, result: bool) -> None:
    """Success, except under an unknown set (1199019); nothing is deleted."""
    before = modules(cmdb)
    response = cmdb.delete(f"/api/v3/module/{path}").get_json()
    assert (response["result"], response["bk_error_code"]) == (result, 0 if result else 1199019)
    assert modules(cmdb) == before


def test_a_request_without_a_user() -> None:
    """HTTP 500, 1199027."""
    client = create_client({"version": "3.9"}, {"bk_app_code": "portal", "bk_app_secret": "s"})
    response = client.post("/api/v3/module/1/10", json=MODULE)
    assert (response.status_code, response.get_json()["bk_error_code"]) == (500, 1199027)


def test_an_unknown_route(cmdb: FlaskClient) -> None:
    """HTTP 500, 1199037, from the apiserver itself: no API gateway is in front that knows the routes."""
    response = cmdb.post("/api/v3/modules/1/10", json=MODULE)
    assert (response.status_code, response.get_json()["bk_error_code"]) == (500, 1199037)


@pytest.mark.parametrize("character", ["x", "模"])
def test_the_longest_name(cmdb: FlaskClient, character: str) -> None:
    """32 characters, ASCII and Chinese alike; 33 are 1199073."""
    codes = [
        cmdb.post("/api/v3/module/1/10", json={**MODULE, "bk_module_name": character * count}).get_json()
        for count in (32, 33)
    ]
    assert [response["bk_error_code"] for response in codes] == [0, 1199073]


def test_a_built_in_module_keeps_its_name(cmdb: FlaskClient) -> None:
    """An update succeeds and changes other attributes only; a delete is 1101098."""
    body = {"bk_module_name": "new", "operator": "tom"}
    assert cmdb.put("/api/v3/module/1/2/3", json=body).get_json()["result"] is True
    search = {"condition": {"bk_module_id": 3}}
    (row,) = cmdb.post("/api/v3/module/search/0/1/2", json=search).get_json()["data"]["info"]
    assert (row["bk_module_name"], row["operator"]) == ("idle host", "tom")
    assert cmdb.delete("/api/v3/module/1/2/3").get_json()["bk_error_code"] == 1101098
