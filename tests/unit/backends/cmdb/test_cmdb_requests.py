"""The exact requests to CMDB over both routes; documented: cmdb.md §1 (a) and (b)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import pytest
import responses

from gateway.backends.cmdb import create_backend
from gateway.domain.backend import Backend, CallContext
from gateway.domain.module import Module, ModuleDraft, ModulePatch, ModuleQuery
from tests.conftest import VirtualClock
from tests.unit.backends.cmdb.conftest import BASE, DRAFT, HEADERS
from tests.unit.backends.connections import CMDB_MODULE, cmdb_options
from tests.unit.backends.exchanges import Exchange

_ESB: Final = "/api/c/compapi/v2/cc"
_FIELDS: Final = [
    *("bk_module_id", "bk_module_name", "bk_set_id", "operator", "create_time", "last_time"),
    *("bk_created_by", "default"),
    *("bk_module_type", "bk_bak_operator", "service_category_id", "service_template_id", "host_apply_enabled"),
    *("set_template_id", "bk_supplier_account", "bk_updated_by", "team"),
]
_SET_FIELDS: Final = ["bk_set_id", "set_template_id"]
_ONE_MODULE: Final = {"count": 1, "info": [CMDB_MODULE]}
_NO_ROWS: Final = {"count": 0, "info": []}
_ONE_SET: Final = {"count": 1, "info": [{"bk_set_id": 10, "set_template_id": 0, "default": 0}]}


def search(route: str, biz: int, set_id: int, condition: Any, limit: int, data: Any) -> Exchange:
    payload = {
        "fields": _FIELDS,
        "condition": condition,
        "page": {"start": 0, "limit": limit, "sort": "bk_module_id"},
    }
    ids = {"bk_biz_id": biz, **({"bk_set_id": set_id} if set_id else {})}
    if route == "esb":
        return exchange("POST", f"{_ESB}/search_module/", {**ids, **payload}, data)
    return exchange("POST", f"/api/v3/module/search/0/{biz}/{set_id}", payload, data)


def search_set(route: str, condition: Any, data: Any) -> Exchange:
    payload = {"fields": _SET_FIELDS, "condition": condition, "page": {"start": 0, "limit": 1, "sort": "bk_set_id"}}
    if route == "esb":
        return exchange("POST", f"{_ESB}/search_set/", {"bk_biz_id": 1, **payload}, data)
    return exchange("POST", "/api/v3/set/search/0/1", payload, data)


def template(route: str, data: Any) -> Exchange:
    """documented: docs/apidoc of get_service_template: GET, the id in the query (ESB) or in the path."""
    if route == "esb":
        return exchange("GET", f"{_ESB}/get_service_template/?service_template_id=7", None, data)
    return exchange("GET", "/api/v3/find/proc/service_template/7", None, data)


def exchange(method: str, path: str, body: Any, data: Any) -> Exchange:
    response = {"result": True, "code": 0, "message": "success", "permission": None, "data": data}
    return Exchange(method=method, url=BASE + path, headers=HEADERS, body=body, response=response)


def write(route: str, operation: str, data: Any, sent: Any = None) -> Exchange:
    """Return the exchange of one write to set 10 of business 1, for module 37825 unless it is a create."""
    method = {"create": "POST", "update": "PUT", "delete": "DELETE"}[operation]
    ids: dict[str, Any] = {"bk_biz_id": 1, "bk_set_id": 10}
    path = "/api/v3/module/1/10"
    if operation != "create":
        ids["bk_module_id"] = 37825
        path += "/37825"
    if route == "esb":
        return exchange("POST", f"{_ESB}/{operation}_module/", ids if sent is None else {**ids, "data": sent}, data)
    return exchange(method, path, sent, data)


_FULL: Final = ModuleDraft(
    scope="1",
    parent="10",
    name="test",
    owners=("admin", "tom"),
    attributes={"bk_module_type": "2", "service_category_id": 2, "team": "core"},
)
_FULL_SENT: Final = {
    "bk_parent_id": 10,
    "bk_module_name": "test",
    "operator": "admin,tom",
    "bk_module_type": "2",
    "service_category_id": 2,
    "team": "core",
}
_OF_TEMPLATE: Final = ModuleDraft(scope="1", parent="10", name="test", attributes={"service_template_id": 7})
_TEMPLATE_SENT: Final = {"bk_parent_id": 10, "bk_module_name": "test", "service_template_id": 7}
_PATCH: Final = ModulePatch(name="new", owners=None, attributes={"host_apply_enabled": True})
_PATCH_SENT: Final = {"bk_module_name": "new", "operator": "", "host_apply_enabled": True}
_REF: Final = "1.10.37825"
_BY_ID: Final = {"bk_module_id": 37825}
Case = tuple[Callable[[Backend, CallContext], Any], Callable[[str], list[Exchange]]]
CASES: Final[dict[str, Case]] = {
    "create": (
        lambda backend, call: backend.create(_FULL, call),
        lambda route: [write(route, "create", CMDB_MODULE, _FULL_SENT)],
    ),
    "create without owners": (
        lambda backend, call: backend.create(DRAFT, call),
        lambda route: [write(route, "create", CMDB_MODULE, {"bk_parent_id": 10, "bk_module_name": "test"})],
    ),
    "create from a template": (
        lambda backend, call: backend.create(_OF_TEMPLATE, call),
        lambda route: [template(route, {"id": 7, "name": "test"}), write(route, "create", CMDB_MODULE, _TEMPLATE_SENT)],
    ),
    "get": (
        lambda backend, call: backend.get(_REF, call),
        lambda route: [search(route, 1, 10, _BY_ID, 1, _ONE_MODULE)],
    ),
    "update": (
        lambda backend, call: backend.update(_REF, _PATCH, call),
        lambda route: [write(route, "update", None, _PATCH_SENT), search(route, 1, 10, _BY_ID, 1, _ONE_MODULE)],
    ),
    "delete": (
        lambda backend, call: backend.delete(_REF, call),
        lambda route: [search(route, 1, 10, _BY_ID, 1, _ONE_MODULE), write(route, "delete", None)],
    ),
    "find": (
        lambda backend, call: backend.find_by_natural_key(DRAFT, call),
        lambda route: [search(route, 1, 10, {"bk_module_name": "test"}, 2, _ONE_MODULE)],
    ),
    "find by template": (
        lambda backend, call: backend.find_by_natural_key(
            ModuleDraft(scope="1", parent="10", name="x", attributes={"service_template_id": 7}), call
        ),
        lambda route: [search(route, 1, 10, {"service_template_id": 7}, 2, _ONE_MODULE)],
    ),
    "check the target": (
        lambda backend, call: backend.check_target(DRAFT, call),
        lambda route: [search_set(route, {"bk_set_id": 10}, _ONE_SET)],
    ),
    "list a business": (
        lambda backend, call: backend.list(ModuleQuery(scope="1"), 50, None, call),
        lambda route: [search(route, 1, 0, {"default": 0}, 51, _ONE_MODULE)],
    ),
    "list a set by name": (
        lambda backend, call: backend.list(
            ModuleQuery(scope="1", parent="10", name="test", include_built_in=True), 1, "37824", call
        ),
        lambda route: [
            search(route, 1, 10, {"bk_module_name": "test", "bk_module_id": {"$gt": 37824}}, 2, _ONE_MODULE)
        ],
    ),
    "list an empty set": (
        lambda backend, call: backend.list(ModuleQuery(scope="1", parent="10"), 50, None, call),
        lambda route: [
            search(route, 1, 10, {"default": 0}, 51, _NO_ROWS),
            search_set(route, {"bk_set_id": 10}, _ONE_SET),
        ],
    ),
}


@pytest.mark.parametrize("route", ["esb", "apigw"])
@pytest.mark.parametrize("name", CASES)
def test_every_request_is_exact(
    name: str, route: Any, wire: responses.RequestsMock, clock: VirtualClock, call: CallContext
) -> None:
    """Method, path, body and headers are the documented ones, on the ESB and on the API gateway."""
    act, exchanges = CASES[name]
    for expected in exchanges(route):
        expected.register(wire)
    result = act(create_backend("cmdb", cmdb_options(BASE, route), clock), call)
    if isinstance(result, Module):
        assert result.id == "cmdb.1.10.37825"


def test_a_configured_tenant_is_sent(wire: responses.RequestsMock, clock: VirtualClock, call: CallContext) -> None:
    """documented: cmdb.md §6, X-Bk-Tenant-Id of 3.15."""
    expected = search("esb", 1, 10, _BY_ID, 1, _ONE_MODULE)
    Exchange(
        method=expected.method,
        url=expected.url,
        headers={**HEADERS, "X-Bk-Tenant-Id": "default"},
        body=expected.body,
        response=expected.response,
    ).register(wire)
    create_backend("cmdb", cmdb_options(BASE, tenant_id="default"), clock).get(_REF, call)
