"""The same in the other style: FastAPI, pydantic and one httpx client, without one of the gateway's promises."""

from __future__ import annotations

import os
from typing import Any, Final

from fastapi import FastAPI, HTTPException  # type: ignore[import-not-found] # installed for the benchmark alone
from httpx import AsyncClient  # type: ignore[import-not-found] # the same
from pydantic import BaseModel

from tests.performance.bodies import CMDB_CREATE


class Draft(BaseModel):
    """What a caller sends."""

    backend: str
    scope: str
    parent: str
    name: str
    owners: list[str] = []


class Created(BaseModel):
    """What a caller gets."""

    id: int
    name: str
    parent: str
    owner: str
    created_at: str


_client: Final = AsyncClient(base_url=os.environ["BENCH_CMDB"], timeout=10)


async def ready() -> dict[str, str]:
    """Answer."""
    return {"status": "ready"}


async def create(draft: Draft) -> Created:
    """Create a module in CMDB."""
    reply = await _client.post(
        CMDB_CREATE,
        json={
            "bk_app_code": "gateway",
            "bk_app_secret": "secret",
            "bk_username": "admin",
            "bk_biz_id": int(draft.scope),
            "bk_set_id": int(draft.parent),
            "data": {
                "bk_parent_id": int(draft.parent),
                "bk_module_name": draft.name,
                "operator": ",".join(draft.owners),
            },
        },
    )
    envelope: dict[str, Any] = reply.json()
    if not envelope["result"]:
        raise HTTPException(502, envelope["message"])
    told = envelope["data"]
    return Created(
        id=told["bk_module_id"],
        name=told["bk_module_name"],
        parent=str(told["bk_set_id"]),
        owner=told["operator"],
        created_at=told["create_time"],
    )


app: Final = FastAPI()
app.add_api_route("/", ready)
app.add_api_route("/modules", create, methods=["POST"], status_code=201)
