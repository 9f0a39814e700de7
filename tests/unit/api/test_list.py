"""Lists of modules and connections; health and metrics."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
from flask.testing import FlaskClient

from gateway.api.context import EXTENSION_KEY
from gateway.domain.errors import JournalUnavailable
from gateway.domain.messages import message
from gateway.domain.module import ModuleQuery
from tests.unit.api.fake_backend import FakeBackend, body
from tests.unit.api.problems import assert_problem

LIST = "/modules?backend=cmdb&scope=1"


@pytest.fixture
def seven_ids(client: FlaskClient, cmdb: FakeBackend) -> list[str]:
    """The ids of seven modules; the last two are in another set."""
    documents = [body(cmdb, name=f"m{index}", parent="10" if index < 5 else "11") for index in range(7)]
    ids = [client.post("/modules", json=document).get_json()["id"] for document in documents]
    cmdb.sent.clear()
    return ids


@pytest.mark.parametrize(("size", "pages"), [(1, 7), (2, 4), (3, 3), (7, 1), (200, 1)])
def test_pages(client: FlaskClient, seven_ids: list[str], size: int, pages: int) -> None:
    """The pages contain every module once, in one order, and at most page_size each."""
    ids, token = [], ""
    for page in range(1, pages + 1):
        document = client.get(f"{LIST}&page_size={size}{token}").get_json()
        assert document.keys() == {"modules", "next_page_token"}
        assert 0 < len(document["modules"]) <= size
        ids += [module["id"] for module in document["modules"]]
        assert (document["next_page_token"] is None) == (page == pages)
        token = f"&page_token={document['next_page_token']}"
    assert ids == seven_ids


@pytest.mark.usefixtures("seven_ids")
def test_page_size_may_change(client: FlaskClient) -> None:
    """A token is bound to the filter, not to the page size."""
    token = client.get(f"{LIST}&page_size=2").get_json()["next_page_token"]
    assert len(client.get(f"{LIST}&page_token={token}&page_size=4").get_json()["modules"]) == 4


def test_filters(client: FlaskClient, cmdb: FakeBackend, seven_ids: list[str]) -> None:
    """parent, name and include=built_in are passed to the backend; the default page size is 50."""
    document = client.get(f"{LIST}&parent=11&name=%20m6&include=built_in").get_json()
    assert [module["id"] for module in document["modules"]] == seven_ids[6:]
    query = ModuleQuery(scope="1", parent="11", name="m6", include_built_in=True)
    assert cmdb.sent == [("list", (query, 50, None))]


def test_empty(client: FlaskClient) -> None:
    """A list without matches is empty."""
    document = client.get(f"{LIST}&name=absent").get_json()
    assert document == {"modules": [], "next_page_token": None}


def test_times(client: FlaskClient, cmdb: FakeBackend, seven_ids: list[str]) -> None:
    """Times are RFC 3339 in UTC with milliseconds; an unknown time is null."""
    time = datetime(2022, 2, 22, 12, 25, 19, 49_999, tzinfo=UTC)
    cmdb.modules["1"] = replace(cmdb.modules["1"], created_at=time)
    document = client.get(f"/modules/{seven_ids[0]}").get_json()
    assert (document["created_at"], document["updated_at"]) == ("2022-02-22T12:25:19.049Z", None)
    cmdb.modules["1"] = replace(cmdb.modules["1"], created_at=time.astimezone(timezone(timedelta(hours=8))))
    assert client.get(f"/modules/{seven_ids[0]}").get_json()["created_at"] == "2022-02-22T12:25:19.049Z"


def test_utf8(client: FlaskClient, cmdb: FakeBackend) -> None:
    """Responses are UTF-8 without escapes."""
    assert "模块".encode() in client.post("/modules", json=body(cmdb, name="模块")).data


def test_backends(client: FlaskClient, cmdb: FakeBackend) -> None:
    """/backends lists the connections with type and state; nothing is sent."""
    cmdb.state = "reachable"
    document = client.get("/backends").get_json()["backends"]
    assert document == [
        {"name": "cmdb", "type": "cmdb", "title": "BlueKing CMDB", "state": "reachable", "mode": "read_write"},
        {
            "name": "projectman",
            "type": "projectman",
            "title": "Huawei Cloud ProjectMan",
            "state": "unused",
            "mode": "read_write",
        },
    ]
    assert cmdb.sent == []


@pytest.mark.parametrize("name", ["nope", "CMDB", "cmdb%00", "..", "cmdb%20"])
def test_unknown_connection(client: FlaskClient, name: str) -> None:
    """An unknown connection is 404 not_found."""
    assert_problem(client.get(f"/backends/{name}"), 404, "not_found")


@pytest.mark.parametrize(("path", "status"), [("/livez", "alive"), ("/readyz", "ready")])
def test_health(client: FlaskClient, cmdb: FakeBackend, path: str, status: str) -> None:
    """Liveness and readiness depend neither on a backend nor on the Accept header."""
    cmdb.state = "unreachable"
    for accept in ("*/*", "text/plain", "application/json;q=0"):
        assert client.get(path, headers={"Accept": accept}).get_json() == {"status": status}
    assert cmdb.sent == []


def test_not_ready_without_a_journal(build: Any, cmdb: FakeBackend) -> None:
    """While the journal does not answer, the process is alive and not ready, and reads work."""
    app = build({"cmdb": cmdb})
    error = JournalUnavailable(message("journal_failed", reason="25006"))
    app.extensions[EXTENSION_KEY] = replace(app.extensions[EXTENSION_KEY], journal_error=lambda: error)
    client = app.test_client()
    assert_problem(client.get("/readyz"), 503, "journal_unavailable")
    assert [client.get(path).status_code for path in ("/livez", "/modules?backend=cmdb&scope=1")] == [200, 200]


@pytest.mark.parametrize(
    "accept",
    ["application/openmetrics-text;version=1.0.0,text/plain;version=0.0.4;q=0.5,*/*;q=0.1", "text/plain", "*/*"],
)
def test_metrics(client: FlaskClient, cmdb: FakeBackend, accept: str) -> None:
    """The metrics are plain text; no backend is involved."""
    response = client.get("/metrics", headers={"Accept": accept})
    assert (response.status_code, response.mimetype) == (200, "text/plain")
    assert cmdb.sent == []
