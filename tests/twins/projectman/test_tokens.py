"""Tokens: how IAM gives them, and what the API gateway thinks of one (section 3a, and 4 for the errors)."""

from collections.abc import Callable, Mapping
from copy import deepcopy
from typing import Any

import pytest
from flask.testing import FlaskClient

MODULES = "/v4/projects/0792b7d26cb74bd799cbae80063dc74a/modules"
TOKENS = "/v3/auth/tokens"
INVALID = "The request body is invalid."

ClientWith = Callable[[Mapping[str, object]], FlaskClient]


def test_a_password_buys_a_token(anonymous: FlaskClient, login: dict[str, Any]) -> None:
    """Section 3a: 201, the token in the header only, a life of 24 hours told in microseconds."""
    reply = anonymous.post(f"{TOKENS}?nocatalog=true", json=login)
    token = reply.headers["X-Subject-Token"]
    told = reply.get_json()["token"]
    assert reply.status_code == 201
    assert (token[:3], len(token), token in reply.text) == ("MII", 3000, False)
    assert (told["issued_at"], told["expires_at"]) == ("2025-01-02T03:04:05.000000Z", "2025-01-03T03:04:05.000000Z")
    assert told["methods"] == ["password"]
    assert (told["user"]["id"], told["user"]["name"]) == ("09d75cde5180d4481f91c018e89cb8e2", "demo_user_name_06")
    assert (told["project"]["id"], told["project"]["name"]) == ("0000000000000000000000000000000a", "cn-north-4")
    assert told["user"]["domain"] == told["project"]["domain"]
    assert "X-IAM-Trace-Id" in reply.headers


def test_the_catalog_is_dropped_on_request(anonymous: FlaskClient, login: dict[str, Any]) -> None:
    """Section 3a: any `nocatalog` that is not empty drops it."""
    found = [
        "catalog" in anonymous.post(TOKENS + query, json=login).get_json()["token"] for query in ("", "?nocatalog=no")
    ]
    assert found == [True, False]


@pytest.mark.parametrize(
    ("scope", "expected"),
    [
        ({"project": {"id": "0000000000000000000000000000000a"}}, "project"),
        ({"project": {"name": "cn-north-4"}, "domain": {"name": "demo-account"}}, "project"),
        ({"domain": {"name": "demo-account"}}, "domain"),
        (None, "domain"),
    ],
)
def test_a_project_wins_the_scope(
    anonymous: FlaskClient, login: dict[str, Any], scope: dict[str, Any] | None, expected: str
) -> None:
    """Section 3a: with both given project wins; without a scope the token is the account's."""
    told = anonymous.post(TOKENS, json={"auth": {**login["auth"], "scope": scope}}).get_json()["token"]
    assert [key for key in ("project", "domain") if key in told] == [expected]


@pytest.mark.parametrize("field", ["name", "password", "domain"])
def test_wrong_credentials_are_refused_in_keystones_shape(
    anonymous: FlaskClient, login: dict[str, Any], field: str
) -> None:
    """Item 24 and section 4a: the code is an integer, and nothing tells which of the three was wrong."""
    asked = deepcopy(login)
    asked["auth"]["identity"]["password"]["user"][field] = {"name": "wrong"} if field == "domain" else "wrong"
    reply = anonymous.post(TOKENS, json=asked)
    assert reply.status_code == 401
    assert reply.get_json() == {
        "error": {"code": 401, "message": "The username or password is wrong.", "title": "Unauthorized"}
    }
    assert "X-Subject-Token" not in reply.headers


def test_a_user_may_be_kept_from_the_api(client_with: ClientWith, login: dict[str, Any]) -> None:
    """Section 4c: IAM 403, a user without programmatic access."""
    user = {
        "domain": "demo-account",
        "user_name": "console-only",
        "password": "p",
        "user_id": "c" * 32,
        "user_num_id": 5,
        "nick_name": "c",
        "projects": {},
        "programmatic_access": False,
    }
    demo = {**user, "user_name": "demo_user_name_06", "password": "demo-password", "programmatic_access": True}
    client = client_with({"iam_users": [{**demo, "projects": {"cn-north-4": "a" * 32}}, user]})
    asked = deepcopy(login)
    asked["auth"]["identity"]["password"]["user"] |= {"name": "console-only", "password": "p"}
    assert client.post(TOKENS, json=asked).get_json()["error"]["code"] == 403


@pytest.mark.parametrize("project", [{"name": "mars-1"}, {"id": "0" * 32}, {}, "cn-north-4"])
def test_a_scope_must_be_the_users(anonymous: FlaskClient, login: dict[str, Any], project: object) -> None:
    """Section 4c: IAM 404, the project is not found."""
    reply = anonymous.post(TOKENS, json={"auth": {**login["auth"], "scope": {"project": project}}})
    assert (reply.status_code, reply.get_json()["error"]["code"]) == (404, 404)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"x",
        b"[]",
        b"{}",
        b'{"auth": {"identity": {}}}',
        b'{"auth": {"identity": {"methods": ["hw_ak_sk"]}}}',
        b'{"auth": {"identity": {"methods": ["password"], "password": {"user": {"name": "n", "password": "p"}}}}}',
        b"[" * 100_000,
    ],
)
def test_a_body_that_is_no_login_is_refused(anonymous: FlaskClient, body: bytes) -> None:
    """Section 4c: IAM 400; the undocumented method hw_ak_sk is not known here."""
    reply = anonymous.post(TOKENS, data=body)
    assert (reply.status_code, reply.get_json()["error"]["message"]) == (400, INVALID)


def test_a_scope_that_is_no_object_is_refused(anonymous: FlaskClient, login: dict[str, Any]) -> None:
    """Section 4c: IAM 400."""
    reply = anonymous.post(TOKENS, json={"auth": {**login["auth"], "scope": "project"}})
    assert (reply.status_code, reply.get_json()["error"]["message"]) == (400, INVALID)


def test_nobody_is_refused(anonymous: FlaskClient) -> None:
    """Item 15: neither a token nor a signature; another scheme of Authorization is neither."""
    for headers in ({}, {"Authorization": "Bearer x"}):
        reply = anonymous.get(MODULES, headers=headers)
        assert (reply.status_code, reply.get_json()["error_code"]) == (401, "APIGW.0301")
        assert reply.get_json()["error_msg"] == "x-auth-token not found"


def test_an_unknown_token_cannot_be_read(anonymous: FlaskClient) -> None:
    """Section 3a: APIGW.0301 with "decrypt token fail", which asks for a new token."""
    reply = anonymous.get(MODULES, headers={"X-Auth-Token": "MII" + "0" * 20})
    assert (reply.status_code, reply.get_json()["error_code"]) == (401, "APIGW.0301")
    assert reply.get_json()["error_msg"] == "decrypt token fail"


def test_a_token_lives_as_long_as_it_said(client_with: ClientWith, move: Callable[[float], None]) -> None:
    """Item 16: APIGW.0307 from the second it told as `expires_at`, which the seed may bring near."""
    client = client_with({"options": {"token_seconds": 60}})
    move(59.999)
    assert client.get(MODULES).status_code == 200
    move(0.001)
    reply = client.get(MODULES)
    assert (reply.status_code, reply.get_json()["error_code"]) == (401, "APIGW.0307")
    assert reply.get_json()["error_msg"] == "The token must be updated."
    assert reply.get_json()["request_id"] == reply.headers["X-Request-Id"]


def test_a_new_token_leaves_the_old_one_valid(client: FlaskClient, login: dict[str, Any]) -> None:
    """Section 3a; both count as issued."""
    client.post(TOKENS, json=login)
    assert client.get(MODULES).status_code == 200
    assert client.get("/twin/requests").get_json()["tokens_issued"] == 2


def test_a_token_may_be_20_kilobytes_long(client_with: ClientWith) -> None:
    """Item 28: the length is the seed's to choose."""
    client = client_with({"options": {"token_length": 20_480}})
    assert len(client.environ_base["HTTP_X_AUTH_TOKEN"]) == 20_480
    assert client.get(MODULES).status_code == 200


@pytest.mark.parametrize(
    ("query", "names"), [("", ["cn-north-4"]), ("?name=cn-north-4", ["cn-north-4"]), ("?name=x", [])]
)
def test_iam_projects_are_found_by_region(client: FlaskClient, query: str, names: list[str]) -> None:
    """Section 6b: the vendor's client asks for the project of its region when it is given none."""
    assert [each["name"] for each in client.get(f"/v3/projects{query}").get_json()["projects"]] == names
