"""Tokens: issued by IAM, verified by the API gateway (section 3a; errors in section 4)."""

from collections.abc import Callable
from copy import deepcopy
from typing import Any

import pytest
from flask.testing import FlaskClient

from tests.unit.twins.projectman.api import MODULES, ClientWith

TOKENS = "/v3/auth/tokens"
INVALID = "The request body is invalid."


def test_a_token_for_a_password(anonymous: FlaskClient, login: dict[str, Any]) -> None:
    """Section 3a: 201, the token in the header only, valid for 24 hours; times have microseconds."""
    response = anonymous.post(f"{TOKENS}?nocatalog=true", json=login)
    token = response.headers["X-Subject-Token"]
    body = response.get_json()["token"]
    assert response.status_code == 201
    assert (token[:3], len(token), token in response.text) == ("MII", 3000, False)
    assert (body["issued_at"], body["expires_at"]) == ("2025-01-02T03:04:05.000000Z", "2025-01-03T03:04:05.000000Z")
    assert body["methods"] == ["password"]
    assert (body["user"]["id"], body["user"]["name"]) == ("09d75cde5180d4481f91c018e89cb8e2", "demo_user_name_06")
    assert (body["project"]["id"], body["project"]["name"]) == ("0000000000000000000000000000000a", "cn-north-4")
    assert body["user"]["domain"] == body["project"]["domain"]
    assert "X-IAM-Trace-Id" in response.headers


def test_a_token_without_the_catalog(anonymous: FlaskClient, login: dict[str, Any]) -> None:
    """Section 3a: with any `nocatalog` that is not empty."""
    has_catalog = [
        "catalog" in anonymous.post(TOKENS + query, json=login).get_json()["token"] for query in ("", "?nocatalog=no")
    ]
    assert has_catalog == [True, False]


@pytest.mark.parametrize(
    ("scope", "expected"),
    [
        ({"project": {"id": "0000000000000000000000000000000a"}}, "project"),
        ({"project": {"name": "cn-north-4"}, "domain": {"name": "demo-account"}}, "project"),
        ({"domain": {"name": "demo-account"}}, "domain"),
        (None, "domain"),
    ],
)
def test_the_scope_of_a_token(
    anonymous: FlaskClient, login: dict[str, Any], scope: dict[str, Any] | None, expected: str
) -> None:
    """Section 3a: a project precedes a domain; without a scope the token is for the account."""
    body = anonymous.post(TOKENS, json={"auth": {**login["auth"], "scope": scope}}).get_json()["token"]
    assert [key for key in ("project", "domain") if key in body] == [expected]


@pytest.mark.parametrize("field", ["name", "password", "domain"])
def test_wrong_credentials(anonymous: FlaskClient, login: dict[str, Any], field: str) -> None:
    """Item 24 and section 4a: Keystone's format, an integer code, and no hint which of the three was wrong."""
    wrong_login = deepcopy(login)
    wrong_login["auth"]["identity"]["password"]["user"][field] = {"name": "wrong"} if field == "domain" else "wrong"
    response = anonymous.post(TOKENS, json=wrong_login)
    assert response.status_code == 401
    assert response.get_json() == {
        "error": {"code": 401, "message": "The username or password is wrong.", "title": "Unauthorized"}
    }
    assert "X-Subject-Token" not in response.headers


def test_a_user_without_programmatic_access(client_with: ClientWith, login: dict[str, Any]) -> None:
    """Section 4c: IAM 403."""
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
    wrong_login = deepcopy(login)
    wrong_login["auth"]["identity"]["password"]["user"] |= {"name": "console-only", "password": "p"}
    assert client.post(TOKENS, json=wrong_login).get_json()["error"]["code"] == 403


@pytest.mark.parametrize("project", [{"name": "mars-1"}, {"id": "0" * 32}, {}, "cn-north-4"])
def test_an_unknown_project_in_the_scope(anonymous: FlaskClient, login: dict[str, Any], project: object) -> None:
    """Section 4c: IAM 404."""
    response = anonymous.post(TOKENS, json={"auth": {**login["auth"], "scope": {"project": project}}})
    assert (response.status_code, response.get_json()["error"]["code"]) == (404, 404)


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
def test_an_invalid_body(anonymous: FlaskClient, body: bytes) -> None:
    """Section 4c: IAM 400; the undocumented method hw_ak_sk is not supported."""
    response = anonymous.post(TOKENS, data=body)
    assert (response.status_code, response.get_json()["error"]["message"]) == (400, INVALID)


def test_an_invalid_scope(anonymous: FlaskClient, login: dict[str, Any]) -> None:
    """Section 4c: IAM 400."""
    response = anonymous.post(TOKENS, json={"auth": {**login["auth"], "scope": "project"}})
    assert (response.status_code, response.get_json()["error"]["message"]) == (400, INVALID)


def test_a_request_without_credentials(anonymous: FlaskClient) -> None:
    """Item 15: neither a token nor a signature; another scheme of Authorization does not count."""
    for headers in ({}, {"Authorization": "Bearer x"}):
        response = anonymous.get(MODULES, headers=headers)
        assert (response.status_code, response.get_json()["error_code"]) == (401, "APIGW.0301")
        assert response.get_json()["error_msg"] == "x-auth-token not found"


def test_an_unknown_token(anonymous: FlaskClient) -> None:
    """Section 3a: APIGW.0301 "decrypt token fail", on which a client requests a new token."""
    response = anonymous.get(MODULES, headers={"X-Auth-Token": "MII" + "0" * 20})
    assert (response.status_code, response.get_json()["error_code"]) == (401, "APIGW.0301")
    assert response.get_json()["error_msg"] == "decrypt token fail"


def test_an_expired_token(client_with: ClientWith, advance: Callable[[float], None]) -> None:
    """Item 16: APIGW.0307 from `expires_at` on; the seed sets the lifetime."""
    client = client_with({"options": {"token_seconds": 60}})
    advance(59.999)
    assert client.get(MODULES).status_code == 200
    advance(0.001)
    response = client.get(MODULES)
    assert (response.status_code, response.get_json()["error_code"]) == (401, "APIGW.0307")
    assert response.get_json()["error_msg"] == "The token must be updated."
    assert response.get_json()["request_id"] == response.headers["X-Request-Id"]


def test_a_new_token_leaves_the_old_one_valid(client: FlaskClient, login: dict[str, Any]) -> None:
    """Section 3a; both are counted."""
    client.post(TOKENS, json=login)
    assert client.get(MODULES).status_code == 200
    assert client.get("/twin/requests").get_json()["tokens_issued"] == 2


def test_a_token_of_20_kilobytes(client_with: ClientWith) -> None:
    """Item 28: the seed sets the length."""
    client = client_with({"options": {"token_length": 20_480}})
    assert len(client.environ_base["HTTP_X_AUTH_TOKEN"]) == 20_480
    assert client.get(MODULES).status_code == 200


@pytest.mark.parametrize(
    ("query", "names"), [("", ["cn-north-4"]), ("?name=cn-north-4", ["cn-north-4"]), ("?name=x", [])]
)
def test_iam_projects_by_region(client: FlaskClient, query: str, names: list[str]) -> None:
    """Section 6b: the vendor's client looks up the project of its region if it has none."""
    assert [project["name"] for project in client.get(f"/v3/projects{query}").get_json()["projects"]] == names


def test_a_password_that_is_changed(anonymous: FlaskClient, login: dict[str, Any]) -> None:
    """The old one is refused at once; a token that was issued for it stays valid."""
    token = anonymous.post(TOKENS, json=login).headers["X-Subject-Token"]
    assert anonymous.put("/twin/passwords", json={"demo_user_name_06": "new"}).status_code == 204
    assert anonymous.post(TOKENS, json=login).status_code == 401
    (changed := deepcopy(login))["auth"]["identity"]["password"]["user"]["password"] = "new"
    assert anonymous.post(TOKENS, json=changed).status_code == 201
    assert anonymous.get(MODULES, headers={"X-Auth-Token": token}).status_code == 200
