"""Connections with credentials that the twins accept, and documented responses of their backends."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any, Final

from gateway.backends.cmdb import create_backend as create_cmdb
from gateway.backends.cmdb import options as cmdb
from gateway.backends.projectman import create_backend as create_projectman
from gateway.backends.projectman import options as projectman
from gateway.domain.backend import Backend
from gateway.domain.runtime import Clock
from gateway.settings import Secret
from gateway.transport import TransportSettings

PROJECT: Final = "0792b7d26cb74bd799cbae80063dc74a"
DEFAULT_LIMITS: Final = TransportSettings()
OWNER: Final = "09d75cde5180d4481f91c018e89cb8e2"

#: documented: cmdb.md §2, create response data, and §8 for the times of 3.14.8
CMDB_MODULE: Final[dict[str, Any]] = {
    "bk_module_id": 37825,
    "bk_module_name": "test",
    "bk_set_id": 10,
    "bk_parent_id": 10,
    "bk_biz_id": 1,
    "default": 0,
    "operator": "admin",
    "bk_module_type": "1",
    "create_time": "2022-02-22T12:25:19.049Z",
    "last_time": "2022-02-22T12:25:19.049Z",
}
#: documented: projectman.md §2, the node of a list
PM_NODE: Final[dict[str, Any]] = {
    "module_id": 46691,
    "module_name": "demo",
    "owner": {"user_id": OWNER, "user_num_id": 4091, "user_name": "demo_user_name_06", "nick_name": "模块demo"},
    "deepth": 1,
    "is_parent": False,
    "children": [],
}


def cmdb_options(base_url: str, route: Any = "esb", **changes: Any) -> cmdb.Options:
    options = cmdb.Options(
        base_url=base_url,
        route=route,
        app_code="gateway",
        app_secret=Secret("canary-app-secret"),
        username="admin",
        tenant_id="",
        attributes=("team",),
        settle_seconds=130.0,
        limits=DEFAULT_LIMITS,
    )
    return replace(options, **changes)


def access_key(**changes: Any) -> projectman.AccessKey:
    identity = projectman.AccessKey(
        access_key=Secret("AKTEST"), secret_key=Secret("SKTEST"), security_token=None, iam_project_id=""
    )
    return replace(identity, **changes)


def password(iam_url: str) -> projectman.IamPassword:
    return projectman.IamPassword(
        iam_url=iam_url,
        domain="demo-account",
        user="demo_user_name_06",
        password=Secret("demo-password"),
        project="cn-north-4",
    )


def projectman_options(base_url: str, **changes: Any) -> projectman.Options:
    options = projectman.Options(
        base_url=base_url,
        auth=access_key(),
        default_owner="",
        keeps_omitted_description=False,
        settle_seconds=130.0,
        limits=DEFAULT_LIMITS,
    )
    return replace(options, **changes)


def create_backends(
    clock: Clock, url: str = "http://127.0.0.1:9", limits: TransportSettings = DEFAULT_LIMITS
) -> dict[str, Backend]:
    """Return an adapter of each type; by default nothing listens at their address."""
    return {
        "cmdb": create_cmdb("cmdb", cmdb_options(url, attributes=("remark",), limits=limits), clock),
        "projectman": create_projectman("projectman", projectman_options(url, limits=limits), clock),
    }


def envelope(data: Any) -> bytes:
    """Return CMDB's envelope of a success; documented: cmdb.md §4."""
    document = {"result": True, "code": 0, "message": "success", "permission": None, "data": data}
    return json.dumps(document).encode()


def search_response(*modules: dict[str, Any]) -> bytes:
    """Return CMDB's response to a search; documented: cmdb.md §1, reading."""
    return envelope({"count": len(modules), "info": list(modules)})


def list_response(*nodes: dict[str, Any]) -> bytes:
    """Return ProjectMan's response to a list; documented: projectman.md §2."""
    return json.dumps({"total": len(nodes), "modules": list(nodes)}).encode()
