import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.integration.http_client import send
from tests.performance import backend
from tests.performance.messages import CMDB_CREATE, CMDB_SEARCH, DIRECT_CREATE
from tests.performance.servers import Server, run_asyncio_backend

pytestmark = pytest.mark.loopback


@pytest.fixture
def stub(tmp_path: Path) -> Iterator[Server]:
    with run_asyncio_backend(tmp_path) as server:
        yield server


def request(stub: Server, path: str, body: object = None) -> Any:
    return send(stub.address, "POST" if body else "GET", path, body).body


def test_business_size_is_its_id(stub: Server) -> None:
    """Pages continue after an id, the last page is shorter, and a module is found by its id."""

    def search(limit: int, condition: object) -> list[int]:
        conditions = {"bk_module_id": condition} if condition else {}
        arguments = {"bk_biz_id": 12, "condition": conditions, "page": {"limit": limit}}
        return [row["bk_module_id"] for row in request(stub, CMDB_SEARCH, arguments)["data"]["info"]]

    assert search(5, None) == [1, 2, 3, 4, 5]
    assert search(5, {"$gt": 10}) == [11, 12]
    assert search(5, {"$gt": 12}) == []
    assert search(1, 7) == [7]


def test_project_size_is_its_id(stub: Server) -> None:
    """Pages follow offset and limit, and contain the total."""
    path = f"/v4/projects/{backend.project(12)}/modules?limit=10&offset="
    pages = [request(stub, f"{path}{offset}") for offset in (0, 10)]
    assert [(len(page["modules"]), page["total"]) for page in pages] == [(10, 12), (2, 12)]


def test_request_count_and_unique_ids(stub: Server) -> None:
    """The request for the count is not counted."""
    ids = {request(stub, CMDB_CREATE, json.loads(DIRECT_CREATE.body))["data"]["bk_module_id"] for _ in range(3)}
    ids.add(request(stub, f"/v4/projects/{backend.project(1)}/module", {"module_name": "x"})["module_id"])
    assert len(ids) == 4
    assert request(stub, "/requests") == request(stub, "/requests") == 4
