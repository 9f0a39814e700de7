"""Conformance items 28 and 29 of the CMDB facts (section 7): the ESB (sections 0, 1(a), 5)."""

import json
import re
from typing import Any

import pytest
from flask.testing import FlaskClient

from tests.unit.twins.cmdb.cmdb_client import ADMIN, CREATE, MODULE, create_client

APPS = {"apps": {"portal": "s"}}


def esb(client: FlaskClient, component: str, body: object, **headers: str) -> dict[str, Any]:
    content = body if isinstance(body, str) else json.dumps(body)
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    response = client.post(f"/api/c/compapi/v2/cc/{component}/", data=content, headers=named)
    assert response.status_code == 200
    envelope: dict[str, Any] = response.get_json()
    return envelope


def test_the_envelope() -> None:
    """Sections 0 and 8: six keys, a request id of 32 hex digits, HTTP 200 for success and failure alike."""
    client = create_client()
    for body in (CREATE, CREATE, {}):
        response = esb(client, "create_module", body)
        assert response.keys() == {"result", "code", "data", "message", "permission", "request_id"}
        assert re.fullmatch("[0-9a-f]{32}", response["request_id"])
    assert esb(client, "no_such", {})["code"] == 1306404


FORMS: list[tuple[str, object, str]] = [
    ("create_module", {"bk_biz_id": 1, "data": MODULE}, "set id [bk_set_id] This field is required."),
    ("create_module", {**CREATE, "bk_biz_id": "x"}, "business id [bk_biz_id] Enter a whole number."),
    ("create_module", {**CREATE, "data": {}}, "data [data] This field is required."),
    ("create_module", {**CREATE, "data": []}, "data [data] This field is required."),
    ("create_module", {"bk_biz_id": 1, "bk_set_id": 10}, "data [data] This field is required."),
    ("create_module", {**CREATE, "data": "x"}, "data [data] Must be the specified parameter data type dict"),
    ("create_module", "{broken", "Request JSON string is wrong in format, which cannot be analyzed."),
    ("create_module", "[1]", "business id [bk_biz_id] This field is required."),
    ("update_module", {"bk_biz_id": 1, "bk_set_id": 10}, "module id [bk_module_id] This field is required."),
    ("delete_module", {"bk_biz_id": 1, "bk_set_id": 10}, "module id [bk_module_id] This field is required."),
    ("search_module", {"bk_biz_id": 1, "page": [1]}, "page [page] Must be the specified parameter data type dict"),
]


@pytest.mark.parametrize(("component", "body", "message"), FORMS)
def test_a_form_rejects(component: str, body: object, message: str) -> None:
    """Items 28 and 29: 1306000 with Django's texts."""
    response = esb(create_client(), component, body)
    assert (response["code"], response["message"]) == (1306000, message)


def test_a_component_without_a_form_requires_the_business() -> None:
    """Section 5: 1306406 names the missing parameter of the path."""
    response = esb(create_client(), "find_module_batch", {"bk_ids": [31], "fields": ["bk_module_id"]})
    assert (response["code"], response["message"]) == (1306406, "Parameters error, param bk_biz_id is required")


def test_components_are_translated() -> None:
    """Item 29, section 1(a): "1" is an integer, an update without data changes nothing, a GET has a query."""
    client = create_client()
    module = esb(client, "create_module", {**CREATE, "bk_biz_id": "1"})["data"]["bk_module_id"]
    module_ids = {"bk_biz_id": 1, "bk_set_id": 10, "bk_module_id": module}
    assert esb(client, "update_module", module_ids)["result"]
    assert esb(client, "update_module", {**module_ids, "data": {"bk_module_type": "2"}})["result"]
    body = {"bk_biz_id": 1, "bk_set_id": 10, "fields": ["bk_module_type"], "condition": {"bk_module_name": "redis"}}
    assert esb(client, "search_module", body)["data"]["info"] == [{"bk_module_type": "2", "default": 0}]
    assert esb(client, "delete_module", module_ids)["data"] is None
    assert esb(client, "search_module", {"bk_biz_id": 1, "bk_set_id": 10})["data"]["count"] == 0
    assert esb(client, "search_set", {"bk_biz_id": 1, "filter": {"x": 1}})["data"]["count"] == 4
    assert esb(client, "search_business", {})["data"]["count"] == 3
    for component in ("get_biz_internal_module", "search_biz_inst_topo"):
        response = client.get(f"/api/c/compapi/v2/cc/{component}?bk_biz_id=1").get_json()
        assert response["result"], component
    assert client.get("/twin/requests").get_json()["search_module"] == 2


def test_a_module_of_another_supplier_account() -> None:
    """Section 6: the module has that account; account "0" cannot read it, but its name is in use."""
    client = create_client()
    assert esb(client, "create_module", {**CREATE, "bk_supplier_account": "9"})["data"]["bk_supplier_account"] == "9"
    body = {"bk_biz_id": 1, "condition": {"bk_module_name": "redis"}}
    assert esb(client, "search_module", body)["data"]["count"] == 0
    assert esb(client, "search_module", {**body, "bk_supplier_account": "9"})["data"]["count"] == 1
    assert esb(client, "create_module", CREATE)["code"] == 1199014


REJECTED: list[tuple[dict[str, str], int, str]] = [
    ({}, 1306000, "APP Code [bk_app_code] cannot be empty"),
    ({"bk_app_code": "portal"}, 1306000, "APP Secret [bk_app_secret] cannot be empty"),
    ({**ADMIN, "bk_app_code": "x"}, 1306000, "Invalid APP Code"),
    ({**ADMIN, "bk_app_secret": "x"}, 1306000, "APP Secret verification failed"),
    ({"bk_app_code": "portal", "bk_app_secret": "s"}, 1306000, "please provide a valid user identity"),
]


@pytest.mark.parametrize(("credentials", "code", "message"), REJECTED)
def test_credentials_are_rejected_with_http_200(credentials: dict[str, str], code: int, message: str) -> None:
    """Section 5: 1306000 with a text for each error; credentials in the body do not count beside the header."""
    response = esb(create_client(APPS, credentials), "create_module", {**CREATE, **ADMIN})
    assert response["code"] == code
    assert message in response["message"]


def test_credentials_in_the_parameters() -> None:
    """Section 1, Auth: body and query count without the header only; a header that is not JSON is 1306406."""
    client = create_client(APPS, None)
    assert esb(client, "create_module", {**CREATE, **ADMIN})["data"]["bk_created_by"] == "admin"
    query = {**ADMIN, "bk_biz_id": "1"}
    assert client.get("/api/c/compapi/v2/cc/search_biz_inst_topo/", query_string=query).get_json()["result"]
    assert esb(client, "create_module", {**CREATE, **ADMIN}, X_Bkapi_Authorization="{")["code"] == 1306406


def test_an_access_token(monkeypatch: pytest.MonkeyPatch) -> None:
    """Section 1, Auth: it stands for application and user; the seed can have it in the environment (`env:`)."""
    monkeypatch.setenv("TWIN_TOKEN", "t-1")
    seed = {**APPS, "users": {"tom": {"token": "env:TWIN_TOKEN"}}}
    client = create_client(seed, {"access_token": "t-1"})
    assert esb(client, "create_module", CREATE)["data"]["bk_created_by"] == "tom"
    any_token = esb(create_client(APPS, {"access_token": "whatever"}), "create_module", CREATE)
    assert any_token["data"]["bk_created_by"] == "admin"
    wrong = esb(create_client(seed, {"access_token": "t-2"}), "create_module", CREATE)
    assert (wrong["code"], wrong["result"]) == (1306000, False)


def test_an_unknown_path() -> None:
    """Section 5: 1199045 with IAM; plain text without it, which the ESB cannot parse: 1306000."""
    parameters = {"bk_biz_id": 1, "bk_supplier_account": "a/b"}
    assert esb(create_client(), "search_set", parameters)["code"] == 1199045
    response = esb(create_client({"iam": False}), "search_set", parameters)
    assert (response["code"], response["message"].endswith("not a json string: 404: Page Not Found")) == (1306000, True)
