"""The vendor's own API-gateway client, bkapi-client-core, over a running twin."""

import json
from collections.abc import Iterator
from typing import Any

import pytest
from bkapi_client_core.apigateway import APIGatewayClient, Operation, OperationGroup, bind_property
from bkapi_client_core.exceptions import APIGatewayResponseError

from gateway.twins.cmdb import create_twin
from gateway.twins.server import running

pytestmark = pytest.mark.loopback

WHO = {"bk_app_code": "portal", "bk_app_secret": "s", "bk_username": "admin"}
FLAT = {"bk_parent_id": 10, "bk_module_name": "test"}
MODULE = "/api/v3/module/{bk_biz_id}/{bk_set_id}"


class Modules(OperationGroup):  # type: ignore[misc]
    """The resources as the gateway's SDK generator declares them."""

    create = bind_property(Operation, name="create_module", method="POST", path=MODULE)
    update = bind_property(Operation, name="update_module", method="PUT", path=MODULE + "/{bk_module_id}")
    delete = bind_property(Operation, name="delete_module", method="DELETE", path=MODULE + "/{bk_module_id}")
    unknown = bind_property(Operation, name="unknown", method="POST", path="/api/v3/no/such/resource")
    search = bind_property(
        Operation,
        name="search_module",
        method="POST",
        path="/api/v3/module/search/{bk_supplier_account}/{bk_biz_id}/{bk_set_id}",
    )
    businesses = bind_property(
        Operation, name="search_business", method="POST", path="/api/v3/biz/search/{bk_supplier_account}"
    )
    sets = bind_property(
        Operation, name="search_set", method="POST", path="/api/v3/set/search/{bk_supplier_account}/{bk_biz_id}"
    )


class CmdbClient(APIGatewayClient):  # type: ignore[misc]
    """The API `bk-cmdb`, stage `prod`."""

    _api_name = "bk-cmdb"
    api = bind_property(Modules, name="api")


@pytest.fixture
def url() -> Iterator[str]:
    with running(create_twin({"apps": {"portal": "s"}})) as url:
        yield url


def client_of(url: str, **who: str) -> Any:
    client = CmdbClient(endpoint=f"{url}/api/{{api_name}}")
    client.update_bkapi_authorization(**who)
    return client


def test_the_life_of_a_module(url: str) -> None:
    """Section 1(b): flat bodies, ids in the path, `code`/`message`, no request id in the body."""
    parent = {"bk_biz_id": 1, "bk_set_id": 10}
    with client_of(url, **WHO) as client:
        created = client.api.create(FLAT, path_params=parent)
        assert created.keys() == {"result", "code", "message", "permission", "data"}
        module = {**parent, "bk_module_id": created["data"]["bk_module_id"]}
        assert client.api.create(FLAT, path_params=parent)["code"] == 1199014
        assert client.api.update({"bk_module_name": "new"}, path_params=module)["result"]
        search = {"condition": {"bk_module_name": "new"}}
        result = client.api.search(search, path_params={**parent, "bk_supplier_account": "0"})
        assert result["data"]["count"] == 1
        assert client.api.delete(path_params=module)["data"] is None


@pytest.mark.parametrize("who", [{**WHO, "bk_app_secret": "wrong"}, {"bk_username": "admin"}])
def test_an_error_of_the_gateway_is_raised(url: str, who: dict[str, str]) -> None:
    """Section 1, client behaviour: the header X-Bkapi-Error-Code makes an APIGatewayResponseError of the 400."""
    with client_of(url, **who) as client, pytest.raises(APIGatewayResponseError) as raised:
        client.api.create(FLAT, path_params={"bk_biz_id": 1, "bk_set_id": 10})
    assert raised.value.error_code == "1640001"
    assert raised.value.response.status_code == 400
    assert json.loads(raised.value.response.content)["code_name"] == "INVALID_ARGS"


def test_an_unknown_resource_is_raised(url: str) -> None:
    """Section 5: 404 1640401 API_NOT_FOUND."""
    with client_of(url, **WHO) as client, pytest.raises(APIGatewayResponseError) as raised:
        client.api.unknown({})
    assert (raised.value.error_code, raised.value.response.status_code) == ("1640401", 404)


def test_businesses_and_sets_page(url: str) -> None:
    """Section 1: `page` with start, limit and sort, `count` of all pages; sets continue after an id."""
    page = {"start": 1, "limit": 1, "sort": "bk_biz_id"}
    sets = {"condition": {"bk_set_id": {"$gte": 11}}, "fields": ["bk_set_name"], "page": {**page, "sort": "bk_set_id"}}
    with client_of(url, **WHO) as client:
        data = client.api.businesses({"page": page}, path_params={"bk_supplier_account": "0"})["data"]
        assert (data["count"], [row["bk_biz_id"] for row in data["info"]]) == (3, [2])
        data = client.api.sets(sets, path_params={"bk_supplier_account": "0", "bk_biz_id": 1})["data"]
        assert data == {"count": 2, "info": [{"bk_set_name": "templated", "default": 0}]}
