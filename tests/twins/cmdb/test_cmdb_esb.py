"""Conformance items 28 and 29 of the CMDB facts (section 7): the way in by the ESB (sections 0, 1(a), 5)."""

import json
import re
from typing import Any

import pytest
from flask.testing import FlaskClient

from gateway.twins.cmdb import create_twin

ADMIN = {"bk_app_code": "portal", "bk_app_secret": "s", "bk_username": "admin"}
APPS = {"apps": {"portal": "s"}}
CREATE = {"bk_biz_id": 1, "bk_set_id": 10, "data": {"bk_parent_id": 10, "bk_module_name": "redis"}}
FLAT: dict[str, Any] = CREATE["data"]  # type: ignore[assignment]


def twin(seed: dict[str, Any] | None = None, who: dict[str, str] | None = ADMIN) -> FlaskClient:
    client = create_twin(seed).test_client()
    if who is not None:
        client.environ_base["HTTP_X_BKAPI_AUTHORIZATION"] = json.dumps(who)
    return client


def esb(client: FlaskClient, component: str, body: object, **headers: str) -> dict[str, Any]:
    sent = body if isinstance(body, str) else json.dumps(body)
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    reply = client.post(f"/api/c/compapi/v2/cc/{component}/", data=sent, headers=named)
    assert reply.status_code == 200
    parsed: dict[str, Any] = reply.get_json()
    return parsed


def test_the_envelope_of_the_esb() -> None:
    """Sections 0 and 8: six keys, a request id of 32 hex digits, HTTP 200 for success and failure alike."""
    client = twin()
    for body in (CREATE, CREATE, {}):
        reply = esb(client, "create_module", body)
        assert reply.keys() == {"result", "code", "data", "message", "permission", "request_id"}
        assert re.fullmatch("[0-9a-f]{32}", reply["request_id"])
    assert esb(client, "no_such", {})["code"] == 1306404


FORMS: list[tuple[str, object, str]] = [
    ("create_module", {"bk_biz_id": 1, "data": FLAT}, "set id [bk_set_id] This field is required."),
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
def test_a_form_refuses(component: str, body: object, message: str) -> None:
    """Items 28 and 29: 1306000 with Django's words, nothing reaches CMDB."""
    reply = esb(twin(), component, body)
    assert (reply["code"], reply["message"]) == (1306000, message)


def test_a_pass_through_component_needs_the_business_for_its_path() -> None:
    """Section 5: 1306406 names the parameter that is missing."""
    reply = esb(twin(), "find_module_batch", {"bk_ids": [31], "fields": ["bk_module_id"]})
    assert (reply["code"], reply["message"]) == (1306406, "Parameters error, param bk_biz_id is required")


def test_the_esb_translates() -> None:
    """Item 29, section 1(a): "1" is a whole number, an update without data a no-op, GETs read the query."""
    client = twin()
    module = esb(client, "create_module", {**CREATE, "bk_biz_id": "1"})["data"]["bk_module_id"]
    where = {"bk_biz_id": 1, "bk_set_id": 10, "bk_module_id": module}
    assert esb(client, "update_module", where)["result"]
    assert esb(client, "update_module", {**where, "data": {"bk_module_type": "2"}})["result"]
    body = {"bk_biz_id": 1, "bk_set_id": 10, "fields": ["bk_module_type"], "condition": {"bk_module_name": "redis"}}
    assert esb(client, "search_module", body)["data"]["info"] == [{"bk_module_type": "2", "default": 0}]
    assert esb(client, "delete_module", where)["data"] is None
    assert esb(client, "search_module", {"bk_biz_id": 1, "bk_set_id": 10})["data"]["count"] == 0
    assert esb(client, "search_set", {"bk_biz_id": 1, "filter": {"x": 1}})["data"]["count"] == 4
    assert esb(client, "search_business", {})["data"]["count"] == 2
    for component in ("get_biz_internal_module", "search_biz_inst_topo"):
        reply = client.get(f"/api/c/compapi/v2/cc/{component}?bk_biz_id=1").get_json()
        assert reply["result"], component
    assert client.get("/twin/requests").get_json()["search_module"] == 2


def test_a_foreign_supplier_account_hides_the_module() -> None:
    """Section 6: the record is made under that account; "0" does not see it, the unique index does."""
    client = twin()
    assert esb(client, "create_module", {**CREATE, "bk_supplier_account": "9"})["data"]["bk_supplier_account"] == "9"
    body = {"bk_biz_id": 1, "condition": {"bk_module_name": "redis"}}
    assert esb(client, "search_module", body)["data"]["count"] == 0
    assert esb(client, "search_module", {**body, "bk_supplier_account": "9"})["data"]["count"] == 1
    assert esb(client, "create_module", CREATE)["code"] == 1199014


WHO: list[tuple[dict[str, str], int, str]] = [
    ({}, 1306000, "APP Code [bk_app_code] cannot be empty"),
    ({"bk_app_code": "portal"}, 1306000, "APP Secret [bk_app_secret] cannot be empty"),
    ({**ADMIN, "bk_app_code": "x"}, 1306000, "Invalid APP Code"),
    ({**ADMIN, "bk_app_secret": "x"}, 1306000, "APP Secret verification failed"),
    ({"bk_app_code": "portal", "bk_app_secret": "s"}, 1306000, "please provide a valid user identity"),
]


@pytest.mark.parametrize(("who", "code", "message"), WHO)
def test_the_esb_refuses_credentials_inside_a_200(who: dict[str, str], code: int, message: str) -> None:
    """Section 5: 1306000 with a text of its own; a header that is there hides what the body says."""
    reply = esb(twin(APPS, who), "create_module", {**CREATE, **ADMIN})
    assert reply["code"] == code
    assert message in reply["message"]


def test_the_esb_reads_credentials_from_the_parameters_where_there_is_no_header() -> None:
    """Section 1, Auth: body and query count only without the header; a header that is no JSON is 1306406."""
    client = twin(APPS, None)
    assert esb(client, "create_module", {**CREATE, **ADMIN})["data"]["bk_created_by"] == "admin"
    query = {**ADMIN, "bk_biz_id": "1"}
    assert client.get("/api/c/compapi/v2/cc/search_biz_inst_topo/", query_string=query).get_json()["result"]
    assert esb(client, "create_module", {**CREATE, **ADMIN}, X_Bkapi_Authorization="{")["code"] == 1306406


def test_a_token_stands_for_its_user(monkeypatch: pytest.MonkeyPatch) -> None:
    """Section 1, Auth: bk_token names the user, access_token stands for application and user; `env:` hides secrets."""
    monkeypatch.setenv("TWIN_TOKEN", "t-1")
    seed = {**APPS, "users": {"tom": {"token": "env:TWIN_TOKEN"}}}
    client = twin(seed, {"access_token": "t-1"})
    assert esb(client, "create_module", CREATE)["data"]["bk_created_by"] == "tom"
    anyone = esb(twin(APPS, {"access_token": "whatever"}), "create_module", CREATE)
    assert anyone["data"]["bk_created_by"] == "admin"
    wrong = esb(twin(seed, {"access_token": "t-2"}), "create_module", CREATE)
    assert (wrong["code"], wrong["result"]) == (1306000, False)


def test_a_path_that_cmdb_does_not_know() -> None:
    """Section 5: with rights checked 1199045; without, plain text, which the ESB cannot read: 1306000."""
    astray = {"bk_biz_id": 1, "bk_supplier_account": "a/b"}
    assert esb(twin(), "search_set", astray)["code"] == 1199045
    reply = esb(twin({"iam": False}), "search_set", astray)
    assert (reply["code"], reply["message"].endswith("not a json string: 404: Page Not Found")) == (1306000, True)
