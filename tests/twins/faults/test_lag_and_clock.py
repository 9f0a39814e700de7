"""Reads that follow late, clocks that are wrong, tokens that are void."""

from datetime import datetime, timedelta
from typing import Any

import pytest

from gateway.twins.faults import ReadLag
from tests.twins.faults.stand import ESB, Stand, eventually, token

pytestmark = pytest.mark.loopback

LAG = {"fault": "read-lag", "seconds": 0.2}


def test_a_write_is_read_late(stand: Stand) -> None:
    """Answered and in the ledger at once, seen by reads later; meanwhile its name is taken."""
    stand.order(LAG)
    assert stand.listed() == []  # a read does not use the order up
    assert stand.create("a").status == 200
    assert (stand.written(), stand.listed()) == ([("a", ["read-lag"])], [])
    stand.create("a")
    assert len(stand.written()) == 1
    eventually(stand.listed, ["a"])


def test_a_lag_hides_what_a_drop_has_hidden(stand: Stand) -> None:
    """Both strike one create: no reply, no trace in a read, and yet it is there."""
    stand.order(LAG, {"fault": "drop", "operation": "create"})
    assert stand.create("a").raw == b""
    assert (stand.written(), stand.listed()) == ([("a", ["drop", "read-lag"])], [])
    eventually(stand.listed, ["a"])


def test_updates_and_deletes_are_read_late(stand: Stand) -> None:
    """The old name is read while the rename, and the module while its delete, is hidden."""
    told = stand.create("a").json
    number = told["data"]["bk_module_id"] if "data" in told else told["module_id"]
    path = f"{stand.shape.create_path}{'' if 'data' in told else 's'}/{number}"
    stand.order({**LAG, "operation": "update"}, {**LAG, "operation": "delete"})
    assert stand.send("PUT", path, stand.shape.draft("b")).status == 200
    assert stand.listed() == ["a"]
    eventually(stand.listed, ["b"])
    assert stand.send("DELETE", path).status in (200, 204)
    assert stand.listed() == ["b"]
    eventually(stand.listed, [])


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/api/v3/module/search/0/1/10", {"condition": {"bk_module_name": "a"}}),
        ("/api/v3/findmany/module/biz/1", {"condition": {"bk_set_id": 10}}),
        ("/api/v3/findmany/module/with_relation/biz/1", {"bk_set_ids": [10], "fields": ["bk_module_name"]}),
        (f"{ESB}/search_module/", {"bk_biz_id": 1, "bk_set_id": 10, "condition": {"bk_module_name": "a"}}),
    ],
)
def test_every_search_of_cmdb_follows_late(cmdb: Stand, path: str, body: dict[str, Any]) -> None:
    """By name, by set, by relation, over the ESB; the one that reads an index is no exception."""
    cmdb.order(LAG)
    cmdb.create("a")
    assert cmdb.send("POST", path, body).json["data"]["info"] == []
    eventually(lambda: cmdb.send("POST", path, body).json["data"]["count"], 1)


def test_cmdb_finds_by_id_late(cmdb: Stand) -> None:
    """The look-up by ids follows late as the searches do."""
    cmdb.order(LAG)
    number = cmdb.create("a").json["data"]["bk_module_id"]
    asked = {"bk_ids": [number], "fields": ["bk_module_id"]}
    assert cmdb.send("POST", "/api/v3/findmany/module/bk_biz_id/1", asked).json["data"] == []


def test_a_lag_is_undone_newest_first() -> None:
    """Two hidden writes on one row show what was there before the first."""
    lag: ReadLag[int, str] = ReadLag()
    rows = {1: "c"}
    assert lag.seen(rows) is rows
    lag.hide(60, {1: None})
    lag.hide(60, {1: "b"})
    assert (lag.seen(rows), rows) == ({}, {1: "c"})


@pytest.mark.parametrize("seconds", [-86400, 3600])
def test_cmdb_dates_by_a_wrong_clock(cmdb: Stand, seconds: int) -> None:
    """create_time is so many seconds off for the struck create, and right for the next."""
    cmdb.order({"fault": "clock-skew", "seconds": seconds})
    struck, right = (
        datetime.fromisoformat(cmdb.create(name).json["data"]["create_time"].replace("Z", "0").ljust(23, "0")[:23])
        for name in "ab"
    )
    assert abs(struck - right - timedelta(seconds=seconds)) < timedelta(seconds=5)


def test_a_wrong_clock_outdates_tokens(projectman: Stand) -> None:
    """A day later a token is of no use; without the skew it is."""
    projectman.order({"fault": "clock-skew", "seconds": 86_401, "operation": "list"})
    method, path, _ = projectman.shape.list_call
    assert [projectman.send(method, path).status for _ in range(2)] == [401, 200]


def test_an_expired_token(projectman: Stand) -> None:
    """APIGW.0307 for the next use of a token and ever after; a new one is good; asking for one is no use."""
    projectman.order({"fault": "token-expired"})
    nobody = Stand(projectman.url, projectman.shape, {})
    assert nobody.create("a").json["error_code"] == "APIGW.0301"  # without a token there is none to expire
    other = {"X-Auth-Token": token(nobody)}
    for _ in range(2):
        refused = projectman.create("a")
        assert (refused.status, refused.json["error_code"]) == (401, "APIGW.0307")
    assert Stand(projectman.url, projectman.shape, other).create("a").status == 401
    fresh = Stand(projectman.url, projectman.shape, {"X-Auth-Token": token(nobody)})
    assert fresh.create("a").status == 200
    assert projectman.written() == [("a", [])]
