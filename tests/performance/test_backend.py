import json
from http.client import HTTPConnection
from typing import Any

import pytest

from tests.performance import backend
from tests.performance.bodies import CMDB_CREATE, CMDB_DIRECT, CMDB_SEARCH

pytestmark = pytest.mark.loopback


def send(url: str, path: str, body: object = None) -> Any:
    connection = HTTPConnection(url.removeprefix("http://"), timeout=5)
    connection.request("POST" if body else "GET", path, json.dumps(body) if body else None)
    document = json.loads(connection.getresponse().read())
    connection.close()
    return document


def search(url: str, size: int, limit: int, condition: object) -> list[int]:
    arguments = {
        "bk_biz_id": size,
        "condition": {"bk_module_id": condition} if condition else {},
        "page": {"limit": limit},
    }
    return [row["bk_module_id"] for row in send(url, CMDB_SEARCH, arguments)["data"]["info"]]


def test_business_size_is_its_id() -> None:
    """Pages continue after an id, the last page is shorter, and a module is found by its id."""
    with backend.in_thread() as url:
        assert search(url, 12, 5, None) == [1, 2, 3, 4, 5]
        assert search(url, 12, 5, {"$gt": 10}) == [11, 12]
        assert search(url, 12, 5, {"$gt": 12}) == []
        assert search(url, 12, 1, 7) == [7]


def test_project_size_is_its_id() -> None:
    """Pages follow offset and limit, and contain the total."""
    with backend.in_thread() as url:
        pages = [
            send(url, f"/v4/projects/{backend.project(12)}/modules?limit=10&offset={offset}") for offset in (0, 10)
        ]
    assert [len(page["modules"]) for page in pages] == [10, 2]
    assert [page["total"] for page in pages] == [12, 12]


def test_request_count_and_unique_ids() -> None:
    """The request for the count is not counted."""
    with backend.in_thread() as url:
        body = json.loads(CMDB_DIRECT)
        ids = {send(url, CMDB_CREATE, body)["data"]["bk_module_id"] for _ in range(3)}
        ids.add(send(url, f"/v4/projects/{backend.project(1)}/module", {"module_name": "x"})["module_id"])
        assert len(ids) == 4
        assert send(url, "/requests") == send(url, "/requests") == 4
