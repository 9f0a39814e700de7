import json
from http.client import HTTPConnection
from typing import Any

import pytest

from tests.performance import backend
from tests.performance.bodies import CMDB_CREATE, CMDB_DIRECT, CMDB_SEARCH

pytestmark = pytest.mark.loopback


def ask(url: str, path: str, body: object = None) -> Any:
    connection = HTTPConnection(url.removeprefix("http://"), timeout=5)
    connection.request("POST" if body else "GET", path, json.dumps(body) if body else None)
    told = json.loads(connection.getresponse().read())
    connection.close()
    return told


def searched(url: str, size: int, limit: int, condition: object) -> list[int]:
    asked = {"bk_biz_id": size, "condition": {"bk_module_id": condition} if condition else {}, "page": {"limit": limit}}
    return [row["bk_module_id"] for row in ask(url, CMDB_SEARCH, asked)["data"]["info"]]


def test_a_business_holds_as_many_modules_as_its_number() -> None:
    """Pages follow the last id seen, the last one is short, and one module is found by its id."""
    with backend.in_thread() as url:
        assert searched(url, 12, 5, None) == [1, 2, 3, 4, 5]
        assert searched(url, 12, 5, {"$gt": 10}) == [11, 12]
        assert searched(url, 12, 5, {"$gt": 12}) == []
        assert searched(url, 12, 1, 7) == [7]


def test_a_project_holds_as_many_modules_as_its_number() -> None:
    """Pages are cut by offset and limit; the total is told."""
    with backend.in_thread() as url:
        pages = [ask(url, f"/v4/projects/{backend.project(12)}/modules?limit=10&offset={at}") for at in (0, 10)]
    assert [len(page["modules"]) for page in pages] == [10, 2]
    assert [page["total"] for page in pages] == [12, 12]


def test_requests_are_counted_and_ids_are_new() -> None:
    """The question for the count does not count itself."""
    with backend.in_thread() as url:
        sent = json.loads(CMDB_DIRECT)
        ids = {ask(url, CMDB_CREATE, sent)["data"]["bk_module_id"] for _ in range(3)}
        ids.add(ask(url, f"/v4/projects/{backend.project(1)}/module", {"module_name": "x"})["module_id"])
        assert len(ids) == 4
        assert ask(url, "/requests") == ask(url, "/requests") == 4
