"""The requests of the benchmark, and the documented responses of both backends."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Final, NamedTuple

PROJECT: Final = "0792b7d26cb74bd799cbae80063dc74a"
OWNER: Final = "09d75cde5180d4481f91c018e89cb8e2"
#: The id of the module that is read, on both backends.
READ_ID: Final = 37825
#: The number of modules in the listed scope.
PAGE_LENGTH: Final = 10
CMDB_CREATE: Final = "/api/c/compapi/v2/cc/create_module/"
CMDB_SEARCH: Final = "/api/c/compapi/v2/cc/search_module/"
CMDB_CREDENTIALS: Final = {"bk_app_code": "gateway", "bk_app_secret": "secret", "bk_username": "admin"}
API_KEY: Final = "benchmark-key-of-forty-three-characters-000"
#: Stands for text of the same length that is unique to a request.
UNIQUE: Final = "@" * 12
JSON: Final = {"Content-Type": "application/json"}
_GATEWAY: Final = {**JSON, "X-Request-Id": f"r{UNIQUE}", "Authorization": f"Bearer {API_KEY}"}


class Request(NamedTuple):
    """A kind of request; `text` is its HTTP/1.1 form."""

    method: str
    path: str
    body: str = ""
    headers: Mapping[str, str] = JSON

    @property
    def text(self) -> str:
        headers = {"Host": "127.0.0.1", **self.headers}
        if self.body:
            headers["Content-Length"] = str(len(self.body))
        lines = (f"{self.method} {self.path} HTTP/1.1", *(f"{name}: {value}" for name, value in headers.items()))
        return "\r\n".join([*lines, "", self.body])


def unique(run: str, number: int) -> str:
    """Return the text that replaces UNIQUE in a request of a run; wrk.lua does the same."""
    return run + str(number).zfill(len(UNIQUE) - len(run))


def get(path: str) -> Request:
    """Return a GET request to the gateway."""
    return Request("GET", path, headers=_GATEWAY)


def _create(draft: Mapping[str, Any], **headers: str) -> Request:
    return Request("POST", "/modules", json.dumps(draft), {**_GATEWAY, **headers})


_NAME: Final = f"m{UNIQUE}"
_DRAFT: Final = {"backend": "cmdb", "scope": "1", "parent": "10", "name": _NAME, "owners": ["admin"]}
_PROJECTMAN_DRAFT: Final = {
    "backend": "projectman",
    "scope": PROJECT,
    "name": _NAME,
    "description": "module demo",
    "owners": [OWNER],
}
_DATA: Final = {"bk_parent_id": 10, "bk_module_name": _NAME, "operator": "admin"}
CREATE_CMDB: Final = _create(_DRAFT)
CREATE_CMDB_WITH_KEY: Final = _create(_DRAFT, **{"Idempotency-Key": f"k{UNIQUE}"})
CREATE_PROJECTMAN: Final = _create(_PROJECTMAN_DRAFT)
READ_CMDB: Final = get(f"/modules/cmdb.1.10.{READ_ID}")
READ_PROJECTMAN: Final = get(f"/modules/projectman.{PROJECT}.{READ_ID}")
#: The same create and read as direct calls of CMDB's ESB.
DIRECT_CREATE: Final = Request("POST", CMDB_CREATE, json.dumps({"bk_biz_id": 1, "bk_set_id": 10, "data": _DATA}))
DIRECT_READ: Final = Request(
    "POST",
    CMDB_SEARCH,
    json.dumps({"bk_biz_id": 1, "condition": {"bk_module_id": 1}, "page": {"start": 0, "limit": 1}}),
)


#: The samples of create_module and search_module.
_CMDB_ROW: Final = json.loads("""{
    "bk_bak_operator": "", "bk_biz_id": 1, "bk_module_type": "1", "bk_parent_id": 10, "bk_set_id": 10,
    "bk_supplier_account": "0", "create_time": "2022-02-22T20:25:19.049+08:00", "default": 0,
    "host_apply_enabled": false, "last_time": "2022-02-22T20:25:19.049+08:00", "operator": "admin",
    "service_category_id": 2, "service_template_id": 0, "set_template_id": 0
}""")
_CMDB_ENVELOPE: Final = json.loads("""{
    "result": true, "code": 0, "message": "success", "permission": null,
    "request_id": "e43da4ef221746868dc4c837d36f3807"
}""")


def cmdb_row(module_id: Any, name: str) -> dict[str, Any]:
    """Return a module of CMDB."""
    return {**_CMDB_ROW, "bk_module_id": module_id, "bk_module_name": name}


def cmdb_envelope(data: Any) -> dict[str, Any]:
    """Return the ESB's envelope of a successful call."""
    return {**_CMDB_ENVELOPE, "data": data}


def cmdb_page(total: int, ids: range) -> dict[str, Any]:
    """Return one page of a search."""
    return cmdb_envelope({"count": total, "info": [cmdb_row(module_id, f"module-{module_id}") for module_id in ids]})


def projectman_module(module_id: Any, name: str, **other: Any) -> dict[str, Any]:
    """Return a module of ProjectMan (source: the samples of CreateProjectModule and ListProjectModules)."""
    user = {"user_id": OWNER, "user_num_id": 4091, "user_name": "demo_user_name_06", "nick_name": "模块demo"}
    return {"module_name": name, "module_id": module_id, "owner": user, **other}


def projectman_created(module_id: Any, name: str) -> dict[str, Any]:
    """Return the response to a create."""
    return projectman_module(module_id, name, description="module demo")


def projectman_page(total: int, ids: range) -> dict[str, Any]:
    """Return one page of a project's tree: top-level nodes without children."""
    node: dict[str, Any] = {"deepth": 1, "is_parent": False, "children": []}
    return {"total": total, "modules": [projectman_module(number, f"module-{number}", **node) for number in ids]}
