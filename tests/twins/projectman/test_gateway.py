"""What surrounds the operations: unknown paths, big bodies, request ids, the ledger and a fresh start."""

import threading
import time
from collections.abc import Callable
from datetime import datetime
from typing import Any, ClassVar

import pytest
from flask.testing import FlaskClient

from gateway.twins.projectman.projects import Module, Projects
from gateway.twins.projectman.seed import read_seed
from gateway.twins.projectman.world import World

DEMO = "0792b7d26cb74bd799cbae80063dc74a"
OWNER = {"user_id": "09d75cde5180d4481f91c018e89cb8e2"}
CREATE = f"/v4/projects/{DEMO}/module"
MODULES = f"/v4/projects/{DEMO}/modules"


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
def test_what_is_not_published_does_not_exist(client: FlaskClient, method: str, path: str) -> None:
    """Items 2 and 3: 404 APIGW.0101 for a path or a method too many; the plural is not accepted for a create."""
    reply = client.open(path, method=method, json={"module_name": "demo", "owner": OWNER})
    assert (reply.status_code, reply.get_json()["error_code"]) == (404, "APIGW.0101")
    assert reply.get_json()["request_id"] == reply.headers["X-Request-Id"]
    assert client.get("/twin/ledger").get_json()["writes"] == []


@pytest.mark.parametrize("path", [CREATE, "/v3/auth/tokens"])
def test_a_body_beyond_12_megabytes_is_too_large(client: FlaskClient, path: str) -> None:
    """Section 4c: 413 APIGW.0201, from the byte after the limit; up to it ProjectMan has its say."""
    limit = 12 * 1024 * 1024
    reply = client.post(path, data=b" " * (limit + 1))
    assert (reply.status_code, reply.get_json()["error_code"]) == (413, "APIGW.0201")
    assert client.post(path, data=b" " * limit).status_code == 400


def test_every_reply_carries_an_id_of_its_own(client: FlaskClient) -> None:
    """Section 4a: X-Request-Id is the upstream's, not an echo of the caller's; ProjectMan's bodies leave it out."""
    replies = [client.get(path, headers={"X-Request-Id": "mine"}) for path in (MODULES, f"{MODULES}?limit=0", "/x")]
    ids = [reply.headers["X-Request-Id"] for reply in replies]
    assert len(set(ids)) == 3
    assert "mine" not in ids
    assert "request_id" not in replies[1].get_json()


def test_the_ledger_tells_what_took_effect(client: FlaskClient, move: Callable[[float], None]) -> None:
    """Ground truth: refusals leave no entry, a cascading delete one for each module, all under the caller's id."""
    client.post(CREATE, json={"module_name": "demo", "owner": OWNER}, headers={"X-Request-Id": "r1"})
    client.post(CREATE, json={"module_name": "demo", "owner": OWNER}, headers={"X-Request-Id": "r2"})
    move(60)
    client.put(f"{MODULES}/46691", json={"module_name": "renamed", "owner": OWNER}, headers={"X-Request-Id": "r3"})
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
    assert [tuple(each[key] for key in ("sequence", "operation", "id", "request_id")) for each in entries] == [
        (1, "create", 46691, "r1"),
        (2, "update", 46691, "r3"),
        (3, "delete", 2, None),
        (4, "delete", 3, None),
    ]
    assert entries[1]["natural_key"] == [DEMO, "renamed"]
    assert entries[1]["at"] == "2025-01-02T03:05:05+00:00"


def test_requests_are_counted_before_they_are_judged(anonymous: FlaskClient, login: dict[str, Any]) -> None:
    """A refused attempt is an attempt; questions to the twin itself are not counted."""
    for path in (MODULES, MODULES, "/nowhere"):
        anonymous.get(path)
    anonymous.post("/v3/auth/tokens", json={})
    anonymous.post("/v3/auth/tokens", json=login)
    expected = {"list_modules": 2, "not_published": 1, "issue_token": 2, "tokens_issued": 1}
    assert [anonymous.get("/twin/requests").get_json() for _ in range(2)] == [expected] * 2


def test_reset_lays_the_seed_anew(client: FlaskClient, login: dict[str, Any]) -> None:
    """Modules, ids, ledger, counts and tokens start over."""
    client.delete(f"{MODULES}/1")
    client.post(CREATE, json={"module_name": "demo", "owner": OWNER})
    assert client.post("/twin/reset").status_code == 204
    assert client.get("/twin/ledger").get_json() == {"writes": []}
    assert client.get("/twin/requests").get_json() == {"tokens_issued": 0}
    assert client.get(MODULES).get_json()["error_msg"] == "decrypt token fail"
    client.environ_base["HTTP_X_AUTH_TOKEN"] = client.post("/v3/auth/tokens", json=login).headers["X-Subject-Token"]
    assert [each["module_id"] for each in client.get(MODULES).get_json()["modules"]] == [1]
    assert client.post(CREATE, json={"module_name": "demo", "owner": OWNER}).get_json()["module_id"] == 46691


class SlowWrite:
    """A create that takes its time, and notes how many of its kind are being applied at once."""

    operation: ClassVar[str] = "create"
    project_id = DEMO

    def __init__(self) -> None:
        self.inside = 0
        self.peak = 0

    def apply(self, projects: Projects) -> list[Module]:
        """Change nothing."""
        self.inside += 1
        self.peak = max(self.peak, self.inside)
        time.sleep(0.005)
        self.inside -= 1
        return [projects.get(DEMO).modules[1]]


def test_one_write_is_applied_at_a_time(clock: Callable[[], datetime]) -> None:
    """Section 5: judging and storing are one step, however many threads ask; the ledger's numbers leave no gap."""
    world, write = World(read_seed({}), clock), SlowWrite()
    threads = [threading.Thread(target=world.commit, args=(write, "user", None)) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert write.peak == 1
    assert [entry.sequence for entry in world.entries] == [1, 2, 3, 4, 5, 6, 7, 8]
