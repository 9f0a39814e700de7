"""Request bodies of the benchmark, and both backends' documented responses."""

from __future__ import annotations

import json
from typing import Any, Final

PROJECT: Final = "0792b7d26cb74bd799cbae80063dc74a"
OWNER: Final = "09d75cde5180d4481f91c018e89cb8e2"
#: The id of the module that is read, on both backends.
READ_ID: Final = 37825
#: The number of modules in the listed scope.
PAGE_LENGTH: Final = 10

CMDB_CREATE: Final = "/api/c/compapi/v2/cc/create_module/"
CMDB_SEARCH: Final = "/api/c/compapi/v2/cc/search_module/"
CMDB_CREDENTIALS: Final = {"bk_app_code": "gateway", "bk_app_secret": "secret", "bk_username": "admin"}

#: The load generator replaces it by a number that is unique to the request.
UNIQUE: Final = "@"

CMDB_DRAFT: Final = json.dumps(
    {"backend": "cmdb", "scope": "1", "parent": "10", "name": f"m{UNIQUE}", "owners": ["admin"]}
)
PROJECTMAN_DRAFT: Final = json.dumps(
    {
        "backend": "projectman",
        "scope": PROJECT,
        "name": f"m{UNIQUE}",
        "description": "module demo",
        "owners": [OWNER],
    }
)
#: The same create as a direct call of CMDB's ESB.
CMDB_DIRECT: Final = json.dumps(
    {
        "bk_biz_id": 1,
        "bk_set_id": 10,
        "data": {"bk_parent_id": 10, "bk_module_name": f"m{UNIQUE}", "operator": "admin"},
    }
)


def cmdb_row(module_id: Any, name: str) -> dict[str, Any]:
    """Return a module of CMDB (source: the samples of create_module and search_module)."""
    return {
        "bk_bak_operator": "",
        "bk_biz_id": 1,
        "bk_module_id": module_id,
        "bk_module_name": name,
        "bk_module_type": "1",
        "bk_parent_id": 10,
        "bk_set_id": 10,
        "bk_supplier_account": "0",
        "create_time": "2022-02-22T20:25:19.049+08:00",
        "default": 0,
        "host_apply_enabled": False,
        "last_time": "2022-02-22T20:25:19.049+08:00",
        "operator": "admin",
        "service_category_id": 2,
        "service_template_id": 0,
        "set_template_id": 0,
    }


def cmdb_envelope(data: Any) -> dict[str, Any]:
    """Return the ESB's envelope of a successful call."""
    return {
        "result": True,
        "code": 0,
        "message": "success",
        "permission": None,
        "request_id": "e43da4ef221746868dc4c837d36f3807",
        "data": data,
    }


def projectman_created(module_id: Any, name: str) -> dict[str, Any]:
    """Return the response to a create (source: the sample of CreateProjectModule)."""
    return {
        "description": "module demo",
        "module_name": name,
        "module_id": module_id,
        "owner": _owner(),
    }


def projectman_node(module_id: int) -> dict[str, Any]:
    """Return a top-level node of the module tree, without children."""
    return {
        "module_id": module_id,
        "module_name": f"module-{module_id}",
        "owner": _owner(),
        "deepth": 1,
        "is_parent": False,
        "children": [],
    }


def projectman_page(total: int, ids: range) -> dict[str, Any]:
    """Return one page of a project's tree."""
    return {"total": total, "modules": [projectman_node(module_id) for module_id in ids]}


def cmdb_page(total: int, ids: range) -> dict[str, Any]:
    """Return one page of a search."""
    return cmdb_envelope({"count": total, "info": [cmdb_row(module_id, f"module-{module_id}") for module_id in ids]})


def _owner() -> dict[str, Any]:
    return {"user_id": OWNER, "user_num_id": 4091, "user_name": "demo_user_name_06", "nick_name": "模块demo"}
