"""Reads with a lag, skewed clocks, expired tokens."""

from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pytest

from gateway.twins.faults.injector import ReadLag
from tests.unit.twins.faults.conftest import ESB, TwinClient, eventually, issue_token

pytestmark = pytest.mark.loopback

LAG = {"fault": "read-lag", "seconds": 0.2}


def test_a_create_is_read_with_a_lag(twin: TwinClient) -> None:
    """The create is in the ledger at once and in reads later; its name is in use meanwhile."""
    twin.add_rules(LAG)
    assert twin.list_names() == []  # the rule does not apply to reads
    assert twin.create("a").status == 200
    assert (twin.ledger(), twin.list_names()) == ([("a", ["read-lag"])], [])
    twin.create("a")
    assert len(twin.ledger()) == 1
    eventually(twin.list_names, ["a"])


def test_a_lag_and_a_drop(twin: TwinClient) -> None:
    """Both apply to one create: no response, nothing in reads, and yet it is applied."""
    twin.add_rules(LAG, {"fault": "drop", "operation": "create"})
    assert twin.create("a").raw == b""
    assert (twin.ledger(), twin.list_names()) == ([("a", ["drop", "read-lag"])], [])
    eventually(twin.list_names, ["a"])


def test_updates_and_deletes_are_read_with_a_lag(twin: TwinClient) -> None:
    """Reads return the old name, and the deleted module, during the lag."""
    path = twin.create_module_path("a")
    twin.add_rules({**LAG, "operation": "update"}, {**LAG, "operation": "delete"})
    assert twin.send("PUT", path, twin.create_body("b")).status == 200
    assert twin.list_names() == ["a"]
    eventually(twin.list_names, ["b"])
    assert twin.send("DELETE", path).status in (200, 204)
    assert twin.list_names() == ["b"]
    eventually(twin.list_names, [])


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/api/v3/module/search/0/1/10", {"condition": {"bk_module_name": "a"}}),
        ("/api/v3/findmany/module/biz/1", {"condition": {"bk_set_id": 10}}),
        (f"{ESB}/search_module/", {"bk_biz_id": 1, "bk_set_id": 10, "condition": {"bk_module_name": "a"}}),
    ],
)
def test_all_searches_of_cmdb_have_the_lag(cmdb: TwinClient, path: str, body: dict[str, Any]) -> None:
    """By name, which uses the index, by set, and over the ESB."""
    cmdb.add_rules(LAG)
    cmdb.create("a")
    assert cmdb.send("POST", path, body).json["data"]["info"] == []
    eventually(lambda: cmdb.send("POST", path, body).json["data"]["count"], 1)


def test_a_search_by_id_has_the_lag(cmdb: TwinClient) -> None:
    """find_module_batch has the lag of the searches."""
    cmdb.add_rules(LAG)
    module_id = cmdb.create("a").json["data"]["bk_module_id"]
    body = {"bk_ids": [module_id], "fields": ["bk_module_id"]}
    assert cmdb.send("POST", "/api/v3/findmany/module/bk_biz_id/1", body).json["data"] == []


def test_a_lag_over_two_writes() -> None:
    """Two hidden writes of one row show the row before the first."""
    lag: ReadLag[int, str] = ReadLag()
    rows = {1: "c"}
    assert lag.visible(rows) is rows
    lag.hide(60, {1: None})
    lag.hide(60, {1: "b"})
    assert (lag.visible(rows), rows) == ({}, {1: "c"})


@pytest.mark.parametrize("seconds", [-86400, 3600])
def test_a_skewed_creation_time(cmdb: TwinClient, seconds: int) -> None:
    """create_time is off by the skew for one create, and correct for the next."""
    cmdb.add_rules({"fault": "clock-skew", "seconds": seconds})
    skewed, correct = (
        datetime.fromisoformat(cmdb.create(name).json["data"]["create_time"].replace("Z", "0").ljust(23, "0")[:23])
        for name in "ab"
    )
    assert abs(skewed - correct - timedelta(seconds=seconds)) < timedelta(seconds=5)


def test_a_skewed_clock_expires_tokens(projectman: TwinClient) -> None:
    """A skew of a day expires a token for one request only."""
    projectman.add_rules({"fault": "clock-skew", "seconds": 86_401, "operation": "list"})
    assert [projectman.send(*projectman.list_request).status for _ in range(2)] == [401, 200]


def test_an_expired_token(projectman: TwinClient) -> None:
    """APIGW.0307 for all issued tokens from the next request with a token on; a new token is valid."""
    projectman.add_rules({"fault": "token-expired"})
    anonymous = replace(projectman, headers={})
    assert anonymous.create("a").json["error_code"] == "APIGW.0301"  # the rule does not apply without a token
    second_token = issue_token(anonymous)
    for _ in range(2):
        response = projectman.create("a")
        assert (response.status, response.json["error_code"]) == (401, "APIGW.0307")
    assert replace(projectman, headers=second_token).create("a").status == 401
    assert replace(projectman, headers=issue_token(anonymous)).create("a").status == 200
    assert projectman.ledger() == [("a", [])]
