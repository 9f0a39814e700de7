"""A simple service on FastAPI, pydantic and one httpx client, with none of the gateway's features."""

from __future__ import annotations

import os
from typing import Any, Final

from fastapi import FastAPI, HTTPException  # type: ignore[import-not-found] # installed for the benchmark only
from httpx import AsyncClient  # type: ignore[import-not-found] # installed for the benchmark only
from pydantic import BaseModel

from tests.performance.messages import CMDB_CREATE, CMDB_CREDENTIALS, CMDB_SEARCH


class Draft(BaseModel):
    backend: str
    scope: str
    parent: str
    name: str
    owners: list[str] = []


class Module(BaseModel):
    id: int
    name: str
    parent: str
    owner: str
    created_at: str


_client: Final = AsyncClient(base_url=os.environ["BENCH_CMDB"], timeout=10)


async def create(draft: Draft) -> Module:
    """Create a module in CMDB."""
    data = {"bk_parent_id": int(draft.parent), "bk_module_name": draft.name, "operator": ",".join(draft.owners)}
    scope = {"bk_biz_id": int(draft.scope), "bk_set_id": int(draft.parent)}
    return _to_module(await _call(CMDB_CREATE, {**scope, "data": data}))


async def read(module_id: str) -> Module:
    """Return a module of CMDB by the gateway's id, `cmdb.SCOPE.PARENT.MODULE`."""
    _, scope, parent, number = module_id.split(".")
    condition = {"bk_set_id": int(parent), "bk_module_id": int(number)}
    page = {"start": 0, "limit": 1}
    data = await _call(CMDB_SEARCH, {"bk_biz_id": int(scope), "condition": condition, "page": page})
    if not data["info"]:
        raise HTTPException(404, "module not found")
    return _to_module(data["info"][0])


async def _call(path: str, arguments: dict[str, Any]) -> Any:
    response = await _client.post(path, json={**CMDB_CREDENTIALS, **arguments})
    envelope = response.json()
    if not envelope["result"]:
        raise HTTPException(502, envelope["message"])
    return envelope["data"]


def _to_module(row: dict[str, Any]) -> Module:
    return Module(
        id=row["bk_module_id"],
        name=row["bk_module_name"],
        parent=str(row["bk_set_id"]),
        owner=row["operator"],
        created_at=row["create_time"],
    )


app: Final = FastAPI()
app.add_api_route("/modules", create, methods=["POST"], status_code=201)
app.add_api_route("/modules/{module_id}", read)
