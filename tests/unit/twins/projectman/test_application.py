"""Unknown paths, large bodies, request ids, the ledger, request counts and resets."""

import threading
import time
from collections.abc import Callable
from datetime import datetime
from typing import Any, ClassVar

import pytest
from flask.testing import FlaskClient

from gateway.twins.projectman.projects import Projects, StoredModule
from gateway.twins.projectman.seed import load_seed
from gateway.twins.projectman.store import Store
from tests.unit.twins.projectman.api import CREATE, DEMO, MODULES, module_body


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", MODULES),
        ("GET", f"{MODULES}/46691"),
        ("GET", CREATE),
        ("PATCH", f"{MODULES}/1"),
        ("OPTIONS", MODULES),
        ("POST", f"{CREATE}/"),
        ("POST", f"/v4//projects/{DEMO}/module"),
        ("GET", "/"),
        ("GET", "/v2/module/modules"),
    ],
)
def test_an_unpublished_path_or_method(client: FlaskClient, method: str, path: str) -> None:
    """Items 2 and 3: 404 APIGW.0101; a create has the singular in its path."""
    response = client.open(path, method=method, json=module_body())
    assert (response.status_code, response.get_json()["error_code"]) == (404, "APIGW.0101")
    assert response.get_json()["request_id"] == response.headers["X-Request-Id"]
    assert client.get("/twin/ledger").get_json()["writes"] == []


@pytest.mark.parametrize("path", [CREATE, "/v3/auth/tokens"])
def test_a_body_over_12_megabytes(client: FlaskClient, path: str) -> None:
    """Section 4c: 413 APIGW.0201 over the limit, a response of ProjectMan or IAM up to it."""
    limit = 12 * 1024 * 1024
    response = client.post(path, data=b" " * (limit + 1))
    assert (response.status_code, response.get_json()["error_code"]) == (413, "APIGW.0201")
    assert client.post(path, data=b" " * limit).status_code == 400


def test_every_response_has_a_request_id(client: FlaskClient) -> None:
    """Section 4a: X-Request-Id is not that of the request; ProjectMan's bodies do not contain it."""
    responses = [client.get(path, headers={"X-Request-Id": "r1"}) for path in (MODULES, f"{MODULES}?limit=0", "/x")]
    ids = [response.headers["X-Request-Id"] for response in responses]
    assert len(set(ids)) == 3
    assert "r1" not in ids
    assert "request_id" not in responses[1].get_json()


def test_the_ledger_lists_applied_writes(client: FlaskClient, advance: Callable[[float], None]) -> None:
    """No entry for a rejected write, one for each module of a cascading delete; with the request's id."""
    client.post(CREATE, json=module_body(), headers={"X-Request-Id": "r1"})
    client.post(CREATE, json=module_body(), headers={"X-Request-Id": "r2"})
    advance(60)
    client.put(f"{MODULES}/46691", json=module_body(module_name="renamed"), headers={"X-Request-Id": "r3"})
    client.delete(f"{MODULES}/2")
    entries = client.get("/twin/ledger").get_json()["writes"]
    assert entries[0] == {
        "sequence": 1,
        "at": "2025-01-02T03:04:05+00:00",
        "operation": "create",
        "natural_key": [DEMO, "demo"],
        "id": 46691,
        "user": "demo_user_name_06",
        "request_id": "r1",
    }
    assert [tuple(entry[key] for key in ("sequence", "operation", "id", "request_id")) for entry in entries] == [
        (1, "create", 46691, "r1"),
        (2, "update", 46691, "r3"),
        (3, "delete", 2, None),
        (4, "delete", 3, None),
    ]
    assert entries[1]["natural_key"] == [DEMO, "renamed"]
    assert entries[1]["at"] == "2025-01-02T03:05:05+00:00"


def test_request_counts(anonymous: FlaskClient, login: dict[str, Any]) -> None:
    """Rejected requests count too; requests to the control endpoints do not."""
    for path in (MODULES, MODULES, "/nowhere"):
        anonymous.get(path)
    anonymous.post("/v3/auth/tokens", json={})
    anonymous.post("/v3/auth/tokens", json=login)
    expected = {"list_modules": 2, "not_published": 1, "issue_token": 2, "tokens_issued": 1}
    assert [anonymous.get("/twin/requests").get_json() for _ in range(2)] == [expected] * 2


def test_a_reset_restores_the_seed(client: FlaskClient, login: dict[str, Any]) -> None:
    """Modules, ids, ledger, counts and tokens."""
    client.delete(f"{MODULES}/1")
    client.post(CREATE, json=module_body())
    assert client.post("/twin/reset").status_code == 204
    assert client.get("/twin/ledger").get_json() == {"writes": []}
    assert client.get("/twin/requests").get_json() == {"tokens_issued": 0}
    assert client.get(MODULES).get_json()["error_msg"] == "decrypt token fail"
    client.environ_base["HTTP_X_AUTH_TOKEN"] = client.post("/v3/auth/tokens", json=login).headers["X-Subject-Token"]
    assert [module["module_id"] for module in client.get(MODULES).get_json()["modules"]] == [1]
    assert client.post(CREATE, json=module_body()).get_json()["module_id"] == 46691


class SlowCreate:
    """A create that takes a while and records how many are applied concurrently."""

    operation: ClassVar[str] = "create"
    project_id = DEMO

    def __init__(self) -> None:
        self.running = 0
        self.max_running = 0

    def apply(self, projects: Projects) -> list[StoredModule]:
        """Change nothing."""
        self.running += 1
        self.max_running = max(self.max_running, self.running)
        time.sleep(0.005)
        self.running -= 1
        return [projects.get(DEMO).modules[1]]


def test_writes_are_applied_one_at_a_time(clock: Callable[[], datetime]) -> None:
    """Section 5: check and change are one step for concurrent threads; the ledger's numbers have no gap."""
    store, command = Store(load_seed({}), clock), SlowCreate()
    threads = [threading.Thread(target=store.commit, args=(command, "user", None)) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert command.max_running == 1
    assert [entry.sequence for entry in store.ledger] == [1, 2, 3, 4, 5, 6, 7, 8]
