"""Errors of the backends, in the formats of the facts, with and without the write."""

import pytest

from tests.unit.twins.faults.conftest import ESB, RawResponse, TwinClient, cmdb_twin

pytestmark = pytest.mark.loopback

EFFECTS = pytest.mark.parametrize("effect", ["now", "never"])
CREATE = {"bk_biz_id": 1, "bk_set_id": 10, "data": {"bk_parent_id": 10, "bk_module_name": "a"}}


def esb_create(twin: TwinClient) -> RawResponse:
    response = twin.send("POST", f"{ESB}/create_module/", CREATE)
    assert response.status == 200
    return response


@EFFECTS
def test_cmdb_proxy_timeout(cmdb: TwinClient, effect: str) -> None:
    """Section 4: raw keys with HTTP 500, without X-Bkapi-Error-Code, because CMDB wrote the response."""
    cmdb.add_rules({"fault": "proxy-timeout", "effect": effect})
    response = cmdb.create("a")
    assert (response.status, response.json["bk_error_code"], response.json["result"]) == (500, 1199998, False)
    assert response.json["bk_error_msg"].startswith("proxy request failed, Post ")
    assert "x-bkapi-error-code" not in response.headers
    assert response.headers["x-bkapi-request-id"]
    assert len(cmdb.ledger()) == (effect == "now")


@EFFECTS
@pytest.mark.parametrize(("dialect", "key"), [("renamed", "code"), ("raw", "bk_error_code")])
def test_cmdb_commit_failed(dialect: str, key: str, effect: str) -> None:
    """Sections 0 and 5: 1199066 with HTTP 200 and null data, renamed like every relayed response."""
    with cmdb_twin({"apigw_dialect": dialect, "faults": {"fault": "commit-failed", "effect": effect}}) as twin:
        response = twin.create("a")
        assert (response.status, response.json[key], response.json["data"]) == (200, 1199066, None)
        assert len(twin.ledger()) == (effect == "now")


def test_cmdb_rate_limit(cmdb: TwinClient) -> None:
    """Sections 5 and 8: 1199997 with HTTP 200, raw keys, without data and without a write."""
    cmdb.add_rules({"fault": "rate-limited"})
    response = cmdb.create("a")
    expected = {"result": False, "bk_error_code": 1199997, "bk_error_msg": "too many requests"}
    assert (response.status, response.json, cmdb.ledger()) == (200, expected, [])


@pytest.mark.parametrize(
    ("fault", "code"),
    [("proxy-timeout", 1199998), ("commit-failed", 1199066), ("write-conflict", 1199020), ("rate-limited", 1199997)],
)
def test_cmdb_errors_in_the_esbs_envelope(cmdb: TwinClient, fault: str, code: int) -> None:
    """Section 0: always HTTP 200, the six keys, a request id of 32 digits."""
    cmdb.add_rules({"fault": fault})
    body = esb_create(cmdb).json
    assert body.keys() == {"result", "code", "data", "message", "permission", "request_id"}
    assert (body["code"], body["result"], body["data"], len(body["request_id"])) == (code, False, None, 32)


def test_the_api_gateways_rate_limit(cmdb: TwinClient) -> None:
    """Section 5: 429 with the gateway's header, without Retry-After; HTTP 200 on the ESB's gateway (section 0)."""
    cmdb.add_rules({"fault": "gateway-rate-limited", "reset": 7, "times": 2})
    via_apigw, via_esb = cmdb.create("a"), esb_create(cmdb)
    assert via_apigw.status == 429
    for response in (via_apigw, via_esb):
        assert (response.json["code"], response.json["code_name"]) == (1642902, "RATE_LIMIT_RESTRICTION")
        assert response.json.keys() == {"code_name", "code", "message", "result", "data"}
        headers = response.headers
        assert (headers["x-bkapi-error-code"], headers["x-bkapi-ratelimit-reset"]) == ("1642902", "7")
        assert "retry-after" not in headers
    assert cmdb.ledger() == []


@EFFECTS
@pytest.mark.parametrize(
    ("fault", "status", "code", "from_apigw"),
    [("gateway-timeout", 504, "APIGW.0201", True), ("busy", 400, "PM.02175000", False)],
)
def test_projectman_unavailable(
    projectman: TwinClient, effect: str, fault: str, status: int, code: str, *, from_apigw: bool
) -> None:
    """Section 4: the API gateway repeats the request id in the body, ProjectMan does not."""
    projectman.add_rules({"fault": fault, "effect": effect})
    response = projectman.create("a")
    assert (response.status, response.json["error_code"]) == (status, code)
    assert response.json.get("request_id") == (response.headers["x-request-id"] if from_apigw else None)
    assert len(projectman.ledger()) == (effect == "now")


@pytest.mark.parametrize(
    ("fault", "status", "code"), [("gateway-rate-limited", 429, "APIGW.0308"), ("rate-limited", 400, "PM.02153001")]
)
def test_projectman_rate_limit(projectman: TwinClient, fault: str, status: int, code: str) -> None:
    """Section 4: 429 from the API gateway, 400 from the service; no Retry-After, no write, no parameter `effect`."""
    projectman.add_rules({"fault": fault})
    response = projectman.create("a")
    assert (response.status, response.json["error_code"], projectman.ledger()) == (status, code, [])
    assert "retry-after" not in response.headers
    rejected = projectman.send("POST", "/twin/faults", {"fault": fault, "effect": "now"})
    assert rejected.json == {"error": f"{fault} has no parameter effect; its parameters: none"}
