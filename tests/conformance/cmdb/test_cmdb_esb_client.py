"""The vendor's own ESB client, bkapi-component-open, over a running twin."""

import json
from collections.abc import Iterator
from typing import Any

import pytest
import requests
from bkapi_component.open.client import Client

from gateway.twins.cmdb import create_twin
from gateway.twins.server import running

pytestmark = pytest.mark.loopback

WHO = {"bk_app_code": "portal", "bk_app_secret": "s", "bk_username": "admin"}
CREATE = {"bk_biz_id": 1, "bk_set_id": 10, "data": {"bk_parent_id": 10, "bk_module_name": "test"}}


@pytest.fixture
def url() -> Iterator[str]:
    with running(create_twin({"apps": {"portal": "s"}, "users": {"tom": {"denied": [1]}}})) as url:
        yield url


def client_of(url: str, **who: str) -> Any:
    client = Client(endpoint=url, bk_api_ver="v2")
    client.update_bkapi_authorization(**who)
    return client


@pytest.fixture
def client(url: str) -> Iterator[Any]:
    with client_of(url, **WHO) as client:
        yield client


def test_create_returns_the_documented_envelope(client: Any) -> None:
    """The page of create_module: the client returns the envelope, with every key of the documented sample."""
    response = client.cc.create_module(CREATE)
    assert (response["result"], response["code"], response["permission"]) == (True, 0, None)
    assert response["data"]["bk_module_id"] == 37825
    assert response["data"].keys() >= {
        *("bk_bak_operator", "bk_biz_id", "bk_module_id", "bk_module_name", "bk_module_type", "bk_parent_id"),
        *("bk_set_id", "bk_supplier_account", "create_time", "default", "host_apply_enabled", "last_time"),
        *("operator", "service_category_id", "service_template_id", "set_template_id"),
    }


def test_the_life_of_a_module(client: Any) -> None:
    """Items 18, 21, 24 over the wire: create, search, update, batch, delete, delete again."""
    where = {"bk_biz_id": 1, "bk_set_id": 10}
    module = client.cc.create_module(CREATE)["data"]["bk_module_id"]
    search = {**where, "condition": {"bk_module_name": "test"}, "fields": ["bk_module_id"], "page": {"limit": 2}}
    assert client.cc.search_module(search)["data"] == {"count": 1, "info": [{"bk_module_id": module, "default": 0}]}
    update = {**where, "bk_module_id": module, "data": {"bk_module_name": "new"}}
    assert client.cc.update_module(update)["data"] is None
    assert client.cc.search_module(search)["data"]["count"] == 0
    batch = {"bk_biz_id": 1, "bk_ids": [module, 31], "fields": ["bk_module_name"]}
    assert {row["bk_module_name"] for row in client.cc.find_module_batch(batch)["data"]} == {"new", "mysql"}
    for _ in range(2):
        assert client.cc.delete_module({**where, "bk_module_id": module})["result"]


def test_reads(client: Any) -> None:
    """Section 1(a): the other components that the gateway may use, two of them GETs with their data in the query."""
    assert client.cc.search_business({"fields": ["bk_biz_id"]})["data"]["count"] == 3
    assert client.cc.search_set({"bk_biz_id": 1, "condition": {"bk_set_id": 10}})["data"]["count"] == 1
    assert client.cc.get_biz_internal_module({"bk_biz_id": 1})["data"]["bk_set_id"] == 2
    assert client.cc.search_biz_inst_topo({"bk_biz_id": 1})["data"][0]["bk_inst_name"] == "demo"
    attributes = client.cc.search_object_attribute({"bk_obj_id": "module", "bk_biz_id": 1})["data"]
    assert "bk_module_name" in {attribute["bk_property_id"] for attribute in attributes}


def test_businesses_of_a_user(url: str) -> None:
    """Section 1: search_business returns those that the user has access to, an empty list for none of them."""

    def search(user: str, condition: Any) -> list[int]:
        body = {"condition": condition, "page": {"start": 0, "limit": 200, "sort": "bk_biz_id"}}
        with client_of(url, **{**WHO, "bk_username": user}) as client:
            return [row["bk_biz_id"] for row in client.cc.search_business(body)["data"]["info"]]

    assert [search(user, {}) for user in ("admin", "tom")] == [[1, 2, 3], [2, 3]]
    assert [search(user, {"bk_biz_id": {"$in": [1, 3, 9]}}) for user in ("admin", "tom")] == [[1, 3], [3]]
    assert search("tom", {"bk_biz_id": 1}) == []
    # topo_server/service/inst_business.go: other operators on ids count only for users with access to all businesses.
    assert [search(user, {"bk_biz_id": {"$gt": 2}}) for user in ("admin", "tom")] == [[3], [2, 3]]
    # The same: text is matched anywhere and in any case; archived businesses need a condition on their status.
    assert search("admin", {"bk_biz_name": "(STAGING"}) == [3]
    assert search("admin", {"bk_data_status": "disabled"}) == [4]


def test_a_failure_is_no_exception(client: Any) -> None:
    """Section 1, client behaviour: `result: false` is returned as it is, for CMDB and for the forms of the ESB."""
    client.cc.create_module(CREATE)
    for body, code in ((CREATE, 1199014), ({"bk_biz_id": 1}, 1306000)):
        response = client.cc.create_module(body)
        assert (response["result"], response["code"], response["data"]) == (False, code, None)


def test_wrong_credentials_are_no_exception(url: str) -> None:
    """Section 5: 1306000 with status 200; credentials in the body are ignored."""
    with client_of(url, **{**WHO, "bk_app_secret": "wrong"}) as client:
        response = client.cc.create_module({**CREATE, **WHO})
    assert (response["result"], response["code"]) == (False, 1306000)
    assert "verification failed" in response["message"]


def test_the_permission_reaches_the_client(url: str) -> None:
    """Item 30: 9900403 with the missing permission."""
    with client_of(url, **{**WHO, "bk_username": "tom"}) as client:
        response = client.cc.create_module(CREATE)
    assert response["code"] == 9900403
    assert response["permission"]["actions"][0]["id"] == "create_biz_topology"


def test_only_the_header_contains_the_credentials(client: Any, url: str) -> None:
    """Section 1, Auth: the client sends the parameters and one JSON header, as any client may."""
    sent = client.cc.create_module.request(CREATE).request
    assert json.loads(sent.headers["X-Bkapi-Authorization"]) == WHO
    assert json.loads(sent.body) == CREATE
    headers = {"X-Bkapi-Authorization": json.dumps(WHO)}
    again = requests.post(f"{url}/api/c/compapi/v2/cc/create_module/", json=CREATE, headers=headers, timeout=5)
    assert (again.status_code, again.json()["code"]) == (200, 1199014)
