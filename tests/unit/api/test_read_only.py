"""A connection with mode = "read_only": writes are refused and claim nothing; reads and replays go on."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from flask.testing import FlaskClient

from gateway.domain.errors import OutcomeUnknown
from gateway.domain.journal import Journal
from gateway.domain.messages import message
from tests.conftest import VirtualClock
from tests.unit.api.fake_backend import FakeBackend, body
from tests.unit.api.problems import assert_problem


@pytest.fixture
def close(cmdb: FakeBackend) -> Callable[[], None]:
    """A function that sets the connection to read only, as a reload does."""

    def set_mode() -> None:
        cmdb.capabilities = replace(cmdb.capabilities, mode="read_only", read_only_retry_after=90.0)
        cmdb.sent.clear()

    return set_mode


def _send(client: FlaskClient, cmdb: FakeBackend, write: str, **changes: Any) -> Any:
    ref = f"cmdb.{next(iter(cmdb.modules.values())).ref}" if cmdb.modules else "cmdb.1.10.1"
    return {
        "create": lambda: client.post("/modules", json=body(cmdb, **changes)),
        "adopt": lambda: client.post("/modules?if_exists=adopt", json=body(cmdb, **changes)),
        "async": lambda: client.post("/modules", json=body(cmdb, **changes), headers={"Prefer": "respond-async"}),
        "update": lambda: client.patch(f"/modules/{ref}", json={"name": "other"}),
        "empty update": lambda: client.patch(f"/modules/{ref}", json={}),
        "delete": lambda: client.delete(f"/modules/{ref}"),
        "cascade": lambda: client.delete(f"/modules/{ref}?cascade=true"),
    }[write]()


@pytest.mark.parametrize("probes", [False, True])
@pytest.mark.parametrize("write", ["create", "adopt", "async", "update", "empty update", "delete", "cascade"])
def test_a_write_is_refused(
    client: FlaskClient, cmdb: FakeBackend, journal: Journal, close: Callable[[], None], write: str, probes: bool
) -> None:
    """503 with the setting's Retry-After: nothing is sent, not even a read before the write, and nothing is claimed."""
    client.post("/modules", json=body(cmdb))
    cmdb.capabilities = replace(cmdb.capabilities, probe_before_create=probes)
    close()
    before = journal.counts()
    response = _send(client, cmdb, write, name="new")
    assert_problem(response, 503, "backend_read_only")
    assert (response.headers["Retry-After"], response.headers["Gateway-Outcome"]) == ("90", "not_applied")
    assert response.get_json()["retryable"] is True
    assert (cmdb.sent, journal.counts()) == ([], before)


def test_reads_go_on(client: FlaskClient, cmdb: FakeBackend, close: Callable[[], None]) -> None:
    """Lists, reads and the operation are as before; the connection shows its mode, and so do its capabilities."""
    created = client.post("/modules", json=body(cmdb))
    assert client.get("/backends/cmdb").get_json()["mode"] == "read_write"
    close()
    assert client.get(created.headers["Location"]).get_json() == created.get_json()
    assert client.get("/modules?backend=cmdb&scope=1").get_json()["modules"] == [created.get_json()]
    assert client.get("/backends/cmdb").get_json()["mode"] == "read_only"
    modes = {item["name"]: item["mode"] for item in client.get("/backends").get_json()["backends"]}
    assert modes == {"cmdb": "read_only", "projectman": "read_write"}


REPEATS = [{"Idempotency-Key": "key"}, {"X-Request-Id": "same-request-id"}]


@pytest.mark.parametrize("headers", REPEATS, ids=["key", "request id"])
@pytest.mark.parametrize("probes", [False, True])
def test_a_repeated_create_is_replayed(
    client: FlaskClient, cmdb: FakeBackend, close: Callable[[], None], headers: dict[str, str], probes: bool
) -> None:
    """A create that holds its module is replayed, also with respond-async; another content under its key is refused."""
    first = client.post("/modules", json=body(cmdb), headers=headers)
    cmdb.capabilities = replace(cmdb.capabilities, probe_before_create=probes)
    close()
    again = client.post("/modules", json=body(cmdb), headers=headers)
    assert (again.status_code, again.headers["Idempotency-Replayed"]) == (201, "true")
    assert again.get_json() == first.get_json()
    later = client.post("/modules", json=body(cmdb), headers={**headers, "Prefer": "respond-async"})
    assert (later.status_code, later.get_json()["module"]) == (202, first.get_json())
    other = client.post("/modules", json=body(cmdb, name="other"), headers=headers)
    expected = (422, "idempotency_key_reused") if "Idempotency-Key" in headers else (503, "backend_read_only")
    assert_problem(other, *expected)
    assert cmdb.sent == []


@pytest.mark.parametrize("headers", REPEATS, ids=["key", "request id"])
def test_a_create_that_is_not_settled_is_joined(
    client: FlaskClient, cmdb: FakeBackend, close: Callable[[], None], clock: VirtualClock, headers: dict[str, str]
) -> None:
    """The requester's own create of the same content is joined; another one of that name gets 503 at once."""
    cmdb.fails["create"] = OutcomeUnknown(message("connection_lost_after_send"))
    first = client.post("/modules", json=body(cmdb), headers=headers).get_json()
    close()
    assert client.post("/modules", json=body(cmdb), headers=headers).get_json()["instance"] == first["instance"]
    assert client.post("/modules", json=body(cmdb)).get_json()["instance"] == first["instance"]  # the same content
    started_at = clock.seconds
    assert_problem(client.post("/modules", json=body(cmdb, owners=["tom"])), 503, "backend_read_only")
    assert (clock.seconds, cmdb.sent) == (started_at, [])


def test_a_create_whose_module_was_changed_is_no_replay(
    client: FlaskClient, cmdb: FakeBackend, close: Callable[[], None]
) -> None:
    """A change ends the request deduplication: the repeated create would be a new one, and is refused."""
    headers = {"X-Request-Id": "same-request-id"}
    created = client.post("/modules", json=body(cmdb), headers=headers)
    client.delete(created.headers["Location"])
    close()
    for _ in range(2):
        assert_problem(client.post("/modules", json=body(cmdb), headers=headers), 503, "backend_read_only")


def test_a_preview_says_refuse(client: FlaskClient, cmdb: FakeBackend, close: Callable[[], None]) -> None:
    """validate_only makes its checks all the same, and adds the one that fails."""
    close()
    document = client.post("/modules?validate_only=true", json=body(cmdb)).get_json()
    assert document["would"] == "refuse"
    failed = [(check["check"], check["code"]) for check in document["checks"] if not check["passed"]]
    assert failed == [("writable", "backend_read_only")]
    assert [operation for operation, _ in cmdb.sent] == ["check_target", "find"]
