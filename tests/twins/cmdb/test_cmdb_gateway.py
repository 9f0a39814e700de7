"""Conformance items 27 and 28 of the CMDB facts (section 7): the way in by the API gateway (sections 0, 1(b), 4, 5)."""

import json
from typing import Any

import pytest
from flask.testing import FlaskClient

from gateway.twins.cmdb import create_twin

ADMIN = {"bk_app_code": "portal", "bk_app_secret": "s", "bk_username": "admin"}
APPS = {"apps": {"portal": "s"}}
FLAT = {"bk_parent_id": 10, "bk_module_name": "redis"}


def twin(seed: dict[str, Any] | None = None, who: dict[str, str] | None = ADMIN) -> FlaskClient:
    client = create_twin(seed).test_client()
    if who is not None:
        client.environ_base["HTTP_X_BKAPI_AUTHORIZATION"] = json.dumps(who)
    return client


@pytest.mark.parametrize(
    ("who", "reason"),
    [
        (None, "app code cannot be empty"),
        ({**ADMIN, "bk_app_secret": "x"}, "bk_app_code or bk_app_secret is incorrect"),
        ({**ADMIN, "bk_token": "x"}, "user authentication failed"),
    ],
)
def test_the_gateway_refuses_credentials_with_a_400(who: dict[str, str] | None, reason: str) -> None:
    """Section 5: 1640001 INVALID_ARGS, its own envelope, and the header by which clients know it."""
    seed = {**APPS, "users": {"tom": {"token": "t"}}}
    reply = twin(seed, who).post("/api/bk-cmdb/prod/api/v3/module/1/10", json=FLAT)
    assert reply.status_code == 400
    body = reply.get_json()
    assert body.keys() == {"code_name", "code", "message", "result", "data"}
    assert (body["code_name"], body["code"], body["result"]) == ("INVALID_ARGS", 1640001, False)
    assert reason in body["message"]
    assert reply.headers["X-Bkapi-Error-Code"] == "1640001"
    assert reply.headers["X-Bkapi-Error-Message"] == body["message"]


def test_the_gateway_without_a_user_reaches_cmdb() -> None:
    """Section 4: CMDB answers "user is not set" in a 200, in raw keys."""
    who = {"bk_app_code": "portal", "bk_app_secret": "s"}
    reply = twin(APPS, who).post("/api/bk-cmdb/prod/api/v3/module/1/10", json=FLAT)
    assert reply.status_code == 200
    assert (reply.get_json()["bk_error_code"], reply.get_json()["bk_error_msg"]) == (1199998, "user is not set")


def test_the_gateway_knows_its_routes_only() -> None:
    """Section 5: 404 1640401."""
    reply = twin().patch("/api/bk-cmdb/prod/api/v3/module/1/10")
    assert (reply.status_code, reply.get_json()["code"]) == (404, 1640401)


def test_request_ids_travel_in_headers_on_the_gateway() -> None:
    """Section 4: two headers, none in the body; a caller's X-Request-Id is honoured."""
    reply = twin().post("/api/bk-cmdb/prod/api/v3/module/1/10", json=FLAT, headers={"X-Request-Id": "mine"})
    assert reply.headers["X-Request-Id"] == "mine"
    assert reply.headers["X-Bkapi-Request-ID"]
    assert "request_id" not in reply.get_json()
    old = twin({"version": "3.13"}).post("/api/v3/module/1/10", json=FLAT, headers={"X-Request-Id": "mine"})
    assert old.headers["Cc_Request_Id"] == "mine"


@pytest.mark.parametrize(
    ("seed", "path", "keys"),
    [
        ({}, "1/12", {"result", "code", "message", "permission", "data"}),
        ({"apigw_dialect": "raw"}, "1/12", {"result", "bk_error_code", "bk_error_msg", "permission", "data"}),
        ({}, "abc/1", {"result", "bk_error_code", "bk_error_msg"}),
    ],
)
def test_two_dialects(seed: dict[str, Any], path: str, keys: set[str]) -> None:
    """Section 0: bodies from behind are renamed, or not on old gateways; the apiserver's own keep their keys."""
    assert twin(seed).post(f"/api/v3/module/{path}", json=FLAT).get_json().keys() == keys


@pytest.mark.parametrize("path", ["abc/1", "1/-10", f"1/{2**63}", f"1/{10**30}"])
def test_a_bad_id_in_the_path(path: str) -> None:
    """Item 27: 1199045 with IAM, 1199009 without."""
    reply = twin().post(f"/api/v3/module/{path}", json=FLAT).get_json()
    assert (reply["bk_error_code"], reply["bk_error_msg"]) == (1199045, "no matched rules")
    assert twin({"iam": False}).post(f"/api/v3/module/{path}", json=FLAT).get_json()["code"] == 1199009


@pytest.mark.parametrize("body", ["[1]", "{broken", ""])
def test_what_does_not_deserialize(body: str) -> None:
    """Item 28: straight to CMDB it is 1199000."""
    assert twin().post("/api/v3/module/1/10", data=body).get_json()["code"] == 1199000
