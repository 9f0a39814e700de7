"""Every adapter sends the documented requests and reads the documented responses."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Final

import pytest
import responses

from gateway.app import SystemClock
from gateway.backends import cmdb, projectman
from gateway.domain.backend import Backend, CallContext
from gateway.domain.errors import GatewayError, ModuleAlreadyExists, OwnerNotFound
from gateway.domain.module import Module, ModuleDraft, ModulePatch, Owner
from tests.unit.backends.connections import OWNER, PROJECT, cmdb_options, projectman_options

BASE: Final = "http://backend.test"
_ESB: Final = f"{BASE}/api/c/compapi/v2/cc"
_MODULES: Final = f"{BASE}/v4/projects/{PROJECT}"


@dataclass(frozen=True)
class Exchange:
    """A documented request and its response."""

    method: str
    url: str
    sends: Any  # the body, whole; None: no body
    answer: Any
    status: int = 200


@dataclass(frozen=True)
class Case:
    """An operation of the adapter, its exchanges, and its result."""

    source: str
    backend: Callable[[], Backend]
    ask: Callable[[Backend, CallContext], Any]
    exchanges: tuple[Exchange, ...]
    answers: Any
    read: Callable[[Any], Any] = field(default=lambda answer: answer)


def _esb() -> Backend:
    return cmdb.create_backend("cmdb", cmdb_options(BASE, "esb", attributes=()), SystemClock())


def _apigw() -> Backend:
    return cmdb.create_backend("cmdb", cmdb_options(f"{BASE}/api/bk-cmdb/prod", "apigw", attributes=()), SystemClock())


def _projectman() -> Backend:
    return projectman.create_backend("projectman", projectman_options(BASE), SystemClock())


#: documented: ../seeds page of create_module, "return result example".
CMDB_MODULE: Final = {
    "bk_bak_operator": None,
    "bk_biz_id": 1,
    "bk_module_id": 37825,
    "bk_module_name": "test",
    "bk_module_type": "1",
    "bk_parent_id": 10,
    "bk_set_id": 10,
    "bk_supplier_account": "0",
    "create_time": "2022-02-22T20:25:19.049+08:00",
    "default": 0,
    "host_apply_enabled": False,
    "last_time": "2022-02-22T20:25:19.049+08:00",
    "operator": None,
    "service_category_id": 2,
    "service_template_id": 0,
    "set_template_id": 0,
}
_WHEN: Final = datetime(2022, 2, 22, 12, 25, 19, 49000, UTC)
CMDB_READ: Final = Module(
    backend="cmdb",
    ref="1.10.37825",
    native_id="37825",
    scope="1",
    parent="10",
    name="test",
    attributes={
        key: CMDB_MODULE[key]
        for key in (
            "bk_module_type", "bk_bak_operator", "service_category_id", "service_template_id",
            "host_apply_enabled", "set_template_id", "default", "bk_supplier_account",
        )
    },
    depth=1,
    has_children=False,
    created_at=_WHEN,
    updated_at=_WHEN,
    unavailable=("description",),
)  # fmt: skip
_ENVELOPE: Final = {"result": True, "code": 0, "message": "", "permission": None, "request_id": "e43d"}
_DRAFT: Final = ModuleDraft(scope="1", parent="10", name="test")
_ATTRIBUTES: Final = {"bk_parent_id": 10, "bk_module_name": "test"}

#: documented: ../seeds page of CreateProjectModule, request and response examples (at the singular path).
PM_MODULE: Final = {
    "description": "module demo",
    "module_name": "demo",
    "module_id": 46691,
    "owner": {
        "user_id": OWNER,
        "user_num_id": 4091,
        "user_name": "demo_user_name_06",
        "nick_name": "模块demo",
    },
}
_PM_DRAFT: Final = ModuleDraft(scope=PROJECT, parent="1", name="demo", description="module demo", owners=(OWNER,))
_PM_SENT: Final = {
    "description": "module demo",
    "module_name": "demo",
    "parent_module_id": 1,
    "owner": {"user_id": OWNER},
}
_PM_LIST: Final = {
    "total": 1,
    "modules": [
        {
            "module_id": 1, "module_name": "top", "owner": PM_MODULE["owner"], "deepth": 1, "is_parent": True,
            "children": [
                {"module_id": 46691, "module_name": "demo", "owner": PM_MODULE["owner"], "deepth": 2,
                 "is_parent": False, "parent_module_id": 1},
            ],
        },
    ],
}  # fmt: skip
_PM_LISTING: Final = Exchange("GET", f"{_MODULES}/modules?limit=100&offset=0", None, _PM_LIST)


def _place(module: Module) -> tuple[Any, ...]:
    return (module.id, module.name, module.parent, module.depth, module.has_children, module.owners)


CASES: Final = [
    Case(
        "seed of create_module, ESB",
        _esb,
        lambda backend, call: backend.create(_DRAFT, call),
        (
            Exchange(
                "POST",
                f"{_ESB}/create_module/",
                {"bk_biz_id": 1, "bk_set_id": 10, "data": _ATTRIBUTES},
                {**_ENVELOPE, "data": CMDB_MODULE},
            ),
        ),
        CMDB_READ,
    ),
    Case(
        "facts 1(b): create over the API gateway, flat body, renamed keys",
        _apigw,
        lambda backend, call: backend.create(_DRAFT, call),
        (
            Exchange(
                "POST",
                f"{BASE}/api/bk-cmdb/prod/api/v3/module/1/10",
                _ATTRIBUTES,
                {"result": True, "code": 0, "message": "success", "data": CMDB_MODULE},
            ),
        ),
        CMDB_READ,
    ),
    Case(
        "facts 3: the same name again, inside HTTP 200, raw keys",
        _apigw,
        lambda backend, call: backend.create(_DRAFT, call),
        (
            Exchange(
                "POST",
                f"{BASE}/api/bk-cmdb/prod/api/v3/module/1/10",
                _ATTRIBUTES,
                {
                    "result": False,
                    "bk_error_code": 1199014,
                    "bk_error_msg": "duplicated instances exist, fields [ bk_module_name: test ] duplicated",
                    "data": None,
                },
            ),
        ),
        ModuleAlreadyExists,
    ),
    Case(
        "facts 1: update answers data null, and the module is read back",
        _esb,
        lambda backend, call: backend.update("1.10.37825", ModulePatch(name="test"), call),
        (
            Exchange(
                "POST",
                f"{_ESB}/update_module/",
                {"bk_biz_id": 1, "bk_set_id": 10, "bk_module_id": 37825, "data": {"bk_module_name": "test"}},
                {**_ENVELOPE, "data": None},
            ),
            Exchange(
                "POST",
                f"{_ESB}/search_module/",
                {
                    "bk_biz_id": 1,
                    "bk_set_id": 10,
                    "fields": [
                        "bk_module_id", "bk_module_name", "bk_set_id", "operator", "create_time", "last_time",
                        "bk_created_by", "default",
                        "bk_module_type", "bk_bak_operator", "service_category_id", "service_template_id",
                        "host_apply_enabled", "set_template_id", "bk_supplier_account", "bk_updated_by",
                    ],
                    "condition": {"bk_module_id": 37825},
                    "page": {"start": 0, "limit": 1, "sort": "bk_module_id"},
                },
                {**_ENVELOPE, "data": {"count": 1, "info": [CMDB_MODULE]}},
            ),
        ),
        CMDB_READ,
    ),
    Case(
        "seed of CreateProjectModule",
        _projectman,
        lambda backend, call: backend.create(_PM_DRAFT, call),
        (Exchange("POST", f"{_MODULES}/module", _PM_SENT, PM_MODULE),),
        Module(
            backend="projectman",
            ref=f"{PROJECT}.46691",
            native_id="46691",
            scope=PROJECT,
            parent="1",
            name="demo",
            description="module demo",
            owners=(Owner(OWNER, "demo_user_name_06", "模块demo"),),
            depth=None,
            has_children=False,
            unavailable=("depth", "created_at", "updated_at"),
        ),
    ),
    Case(
        "facts 4c: an owner who is no member, a 400",
        _projectman,
        lambda backend, call: backend.create(_PM_DRAFT, call),
        (
            Exchange(
                "POST",
                f"{_MODULES}/module",
                _PM_SENT,
                {"error_code": "PM.02177003", "error_msg": "非目标项目成员"},
                400,
            ),
        ),
        OwnerNotFound,
    ),
    Case(
        "facts 2: a child is read off its parent's node",
        _projectman,
        lambda backend, call: backend.get(f"{PROJECT}.46691", call),
        (_PM_LISTING,),
        (f"projectman.{PROJECT}.46691", "demo", "1", 2, False, (Owner(OWNER, "demo_user_name_06", "模块demo"),)),
        _place,
    ),
    Case(
        "facts 1: delete answers 204 with nothing",
        _projectman,
        lambda backend, call: backend.delete(f"{PROJECT}.46691", call),
        (Exchange("DELETE", f"{_MODULES}/modules/46691", None, None, 204),),
        None,
    ),
]  # fmt: skip


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.source)
def test_documented_exchange(case: Case, call: CallContext, adapter: str) -> None:
    """The adapter sends exactly the documented requests, in this order, and reads the documented responses."""
    with responses.RequestsMock(registry=responses.registries.OrderedRegistry, target=adapter) as backend:
        for exchange in case.exchanges:
            match = [responses.matchers.json_params_matcher(exchange.sends)]
            backend.add(exchange.method, exchange.url, json=exchange.answer, status=exchange.status, match=match)
        if isinstance(case.answers, type) and issubclass(case.answers, GatewayError):
            with pytest.raises(case.answers):
                case.ask(case.backend(), call)
        else:
            assert case.read(case.ask(case.backend(), call)) == case.answers
