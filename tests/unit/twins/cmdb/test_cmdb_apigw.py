"""Conformance items 27 and 28 of the CMDB facts (section 7): the API gateway (sections 0, 1(b), 4, 5)."""

from typing import Any

import pytest

from tests.unit.twins.cmdb.cmdb_client import ADMIN, MODULE, create_client

APPS = {"apps": {"portal": "s"}}


@pytest.mark.parametrize(
    ("credentials", "reason"),
    [
        (None, "app code cannot be empty"),
        ({**ADMIN, "bk_app_secret": "x"}, "bk_app_code or bk_app_secret is incorrect"),
        ({**ADMIN, "bk_token": "x"}, "user authentication failed"),
    ],
)
def test_credentials_are_rejected_with_http_400(credentials: dict[str, str] | None, reason: str) -> None:
    """Section 5: 1640001 INVALID_ARGS in the gateway's envelope, with the header that marks it."""
    seed = {**APPS, "users": {"tom": {"token": "t"}}}
    response = create_client(seed, credentials).post("/api/bk-cmdb/prod/api/v3/module/1/10", json=MODULE)
    assert response.status_code == 400
    body = response.get_json()
    assert body.keys() == {"code_name", "code", "message", "result", "data"}
    assert (body["code_name"], body["code"], body["result"]) == ("INVALID_ARGS", 1640001, False)
    assert reason in body["message"]
    assert response.headers["X-Bkapi-Error-Code"] == "1640001"
    assert response.headers["X-Bkapi-Error-Message"] == body["message"]


def test_a_request_without_a_user_reaches_cmdb() -> None:
    """Section 4: CMDB responds "user is not set" with HTTP 200 and raw keys."""
    credentials = {"bk_app_code": "portal", "bk_app_secret": "s"}
    response = create_client(APPS, credentials).post("/api/bk-cmdb/prod/api/v3/module/1/10", json=MODULE)
    assert response.status_code == 200
    assert (response.get_json()["bk_error_code"], response.get_json()["bk_error_msg"]) == (1199998, "user is not set")


def test_an_unknown_route() -> None:
    """Section 5: 404 1640401."""
    response = create_client().patch("/api/bk-cmdb/prod/api/v3/module/1/10")
    assert (response.status_code, response.get_json()["code"]) == (404, 1640401)


def test_request_ids_are_headers() -> None:
    """Section 4: two headers, nothing in the body; the X-Request-Id of the request is used."""
    response = create_client().post(
        "/api/bk-cmdb/prod/api/v3/module/1/10", json=MODULE, headers={"X-Request-Id": "r-1"}
    )
    assert response.headers["X-Request-Id"] == "r-1"
    assert response.headers["X-Bkapi-Request-ID"]
    assert "request_id" not in response.get_json()
    response = create_client({"version": "3.13"}).post(
        "/api/v3/module/1/10", json=MODULE, headers={"X-Request-Id": "r-1"}
    )
    assert response.headers["Cc_Request_Id"] == "r-1"


@pytest.mark.parametrize(
    ("seed", "path", "keys"),
    [
        ({}, "1/12", {"result", "code", "message", "permission", "data"}),
        ({"apigw_dialect": "raw"}, "1/12", {"result", "bk_error_code", "bk_error_msg", "permission", "data"}),
        ({}, "abc/1", {"result", "bk_error_code", "bk_error_msg"}),
    ],
)
def test_the_keys_of_the_envelope(seed: dict[str, Any], path: str, keys: set[str]) -> None:
    """Section 0: relayed bodies are renamed, except by old gateways; those of the apiserver are not."""
    assert create_client(seed).post(f"/api/v3/module/{path}", json=MODULE).get_json().keys() == keys


@pytest.mark.parametrize("path", ["abc/1", "1/-10", f"1/{2**63}", f"1/{10**30}"])
def test_an_invalid_id_in_the_path(path: str) -> None:
    """Item 27: 1199045 with IAM, 1199009 without it."""
    response = create_client().post(f"/api/v3/module/{path}", json=MODULE).get_json()
    assert (response["bk_error_code"], response["bk_error_msg"]) == (1199045, "no matched rules")
    assert create_client({"iam": False}).post(f"/api/v3/module/{path}", json=MODULE).get_json()["code"] == 1199009


@pytest.mark.parametrize("body", ["[1]", "{broken", ""])
def test_a_body_that_is_not_a_json_object(body: str) -> None:
    """Item 28: 1199000."""
    assert create_client().post("/api/v3/module/1/10", data=body).get_json()["code"] == 1199000


def test_two_secrets_of_an_application() -> None:
    """bk-auth allows two (MaxSecretsPreApp); one that is removed is refused."""
    client = create_client(APPS)
    for secrets, status in ((["t", "s"], 200), ("s", 200), (["t"], 400)):
        assert client.put("/twin/apps", json={"portal": secrets}).status_code == 204
        assert client.post("/api/v3/module/search/0/1/10", json={}).status_code == status
