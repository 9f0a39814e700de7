"""The backends' own failures, in the shapes of the facts, with the write made and without."""

from typing import Any

import pytest

from tests.twins.faults.stand import ESB, Stand, cmdb_stand

pytestmark = pytest.mark.loopback

EFFECTS = pytest.mark.parametrize("effect", ["now", "never"])
DRAFT = {"bk_biz_id": 1, "bk_set_id": 10, "data": {"bk_parent_id": 10, "bk_module_name": "a"}}


def esb_create(stand: Stand) -> Any:
    received = stand.send("POST", f"{ESB}/create_module/", DRAFT)
    assert received.status == 200
    return received


@EFFECTS
def test_cmdbs_proxy_times_out(cmdb: Stand, effect: str) -> None:
    """Section 4: raw keys inside HTTP 500, no X-Bkapi-Error-Code, for the backend wrote it itself."""
    cmdb.order({"fault": "proxy-timeout", "effect": effect})
    received = cmdb.create("a")
    assert (received.status, received.json["bk_error_code"], received.json["result"]) == (500, 1199998, False)
    assert received.json["bk_error_msg"].startswith("proxy request failed, Post ")
    assert "x-bkapi-error-code" not in received.head
    assert received.head["x-bkapi-request-id"]
    assert len(cmdb.written()) == (effect == "now")


@EFFECTS
@pytest.mark.parametrize(("dialect", "key"), [("renamed", "code"), ("raw", "bk_error_code")])
def test_cmdb_cannot_commit(dialect: str, key: str, effect: str) -> None:
    """Sections 0 and 5: 1199066 inside HTTP 200, renamed like all that is proxied, with data null."""
    with cmdb_stand({"apigw_dialect": dialect, "faults": {"fault": "commit-failed", "effect": effect}}) as stand:
        received = stand.create("a")
        assert (received.status, received.json[key], received.json["data"]) == (200, 1199066, None)
        assert len(stand.written()) == (effect == "now")


def test_cmdb_limits_the_rate(cmdb: Stand) -> None:
    """Sections 5 and 8: 1199997 inside HTTP 200, raw keys, no data at all, no write."""
    cmdb.order({"fault": "rate-limited"})
    received = cmdb.create("a")
    expected = {"result": False, "bk_error_code": 1199997, "bk_error_msg": "too many requests"}
    assert (received.status, received.json, cmdb.written()) == (200, expected, [])


@pytest.mark.parametrize(
    ("fault", "code"), [("proxy-timeout", 1199998), ("commit-failed", 1199066), ("rate-limited", 1199997)]
)
def test_the_esb_wraps_cmdbs_errors(cmdb: Stand, fault: str, code: int) -> None:
    """Section 0: always HTTP 200, the six keys, a request id of 32 digits."""
    cmdb.order({"fault": fault})
    body = esb_create(cmdb).json
    assert body.keys() == {"result", "code", "data", "message", "permission", "request_id"}
    assert (body["code"], body["result"], body["data"], len(body["request_id"])) == (code, False, None, 32)


def test_the_gateway_limits_the_rate(cmdb: Stand) -> None:
    """Section 5: 429 with its own header and no Retry-After; on the ESB's gateway the same inside 200 (section 0)."""
    cmdb.order({"fault": "gateway-rate-limited", "reset": 7, "times": 2})
    direct, wrapped = cmdb.create("a"), esb_create(cmdb)
    assert direct.status == 429
    for received in (direct, wrapped):
        assert (received.json["code"], received.json["code_name"]) == (1642902, "RATE_LIMIT_RESTRICTION")
        assert received.json.keys() == {"code_name", "code", "message", "result", "data"}
        assert (received.head["x-bkapi-error-code"], received.head["x-bkapi-ratelimit-reset"]) == ("1642902", "7")
        assert "retry-after" not in received.head
    assert cmdb.written() == []


@EFFECTS
@pytest.mark.parametrize(
    ("fault", "status", "code", "from_gateway"),
    [("gateway-timeout", 504, "APIGW.0201", True), ("busy", 400, "PM.02175000", False)],
)
def test_projectman_fails(
    projectman: Stand, effect: str, fault: str, status: int, code: str, *, from_gateway: bool
) -> None:
    """Section 4: the API gateway repeats the request id in its body, ProjectMan does not; written, or not."""
    projectman.order({"fault": fault, "effect": effect})
    received = projectman.create("a")
    assert (received.status, received.json["error_code"]) == (status, code)
    assert received.json.get("request_id") == (received.head["x-request-id"] if from_gateway else None)
    assert len(projectman.written()) == (effect == "now")


@pytest.mark.parametrize(
    ("fault", "status", "code"), [("gateway-rate-limited", 429, "APIGW.0308"), ("rate-limited", 400, "PM.02153001")]
)
def test_projectman_limits_the_rate(projectman: Stand, fault: str, status: int, code: str) -> None:
    """Section 4: 429 from the API gateway, 400 from the service; no Retry-After, no write, no effect to order."""
    projectman.order({"fault": fault})
    received = projectman.create("a")
    assert (received.status, received.json["error_code"], projectman.written()) == (status, code, [])
    assert "retry-after" not in received.head
    refused = projectman.send("POST", "/twin/faults", {"fault": fault, "effect": "now"})
    assert refused.json == {"error": f"{fault} takes no effect; its parameters: none"}
