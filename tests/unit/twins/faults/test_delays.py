"""Delayed responses, writes that are applied after their response, and what ends the waiting."""

import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from flask import Flask

from gateway.twins.faults.injector import MAX_DELAYED_WRITES, DelayedWrites
from tests.unit.twins.faults.conftest import CLOSED, TWINS, TwinClient, eventually

pytestmark = pytest.mark.loopback

LATE = {"fault": "drop", "operation": "create", "effect": "late", "seconds": 0.15}


@pytest.mark.parametrize(("when", "ledger"), [("before", []), ("after", [("a", ["delay"])])])
def test_a_delay(twin: TwinClient, when: str, ledger: object) -> None:
    """The client waits before or after the commit and gets the whole response."""
    twin.add_rules({"fault": "delay", "operation": "create", "seconds": 0.25, "when": when})
    with ThreadPoolExecutor() as pool:
        started_at = time.monotonic()
        response = pool.submit(twin.create, "a")
        eventually(twin.attempted_names, ["a"])
        time.sleep(0.05)
        assert twin.ledger() == ledger
        assert (response.result().status, time.monotonic() - started_at >= 0.25) == (200, True)
    assert twin.ledger() == [("a", ["delay"])]


@pytest.mark.parametrize("when", ["before", "after"])
def test_a_reset_closes_delayed_connections(twin: TwinClient, when: str) -> None:
    """A request that is delayed during a reset gets no byte and writes nothing afterwards."""
    twin.add_rules({"fault": "delay", "operation": "create", "seconds": 30, "when": when})
    with ThreadPoolExecutor() as pool:
        response = pool.submit(twin.create, "a")
        eventually(lambda: [len(twin.attempted_names()), len(twin.ledger())], [1, int(when == "after")])
        time.sleep(0.05)
        twin.send("POST", "/twin/reset")
        assert response.result() == CLOSED
    assert twin.ledger() == []


@pytest.mark.parametrize(("fault", "raw"), [("drop", b""), ("status", b"HTTP/1.1 503"), ("reset", b"")])
def test_a_late_write_follows_its_response(twin: TwinClient, fault: str, raw: bytes) -> None:
    """The write is applied after the response, and the ledger names the fault."""
    twin.add_rules({**LATE, "fault": fault})
    response = twin.create("a", X_Request_Id="r-1")
    assert response.raw[:12] == raw
    assert twin.list_names() == []
    eventually(twin.list_names, ["a"])
    (entry,) = twin.get_control("ledger")["writes"]
    assert entry["faults"] == [f"{fault};effect=late"]
    assert "r-1" in (entry["request_id"], entry.get("headers", {}).get("X-Request-Id"))
    assert twin.get_control("faults")["late_writes"] == {"waiting": 0, "performed": 1, "refused": []}


def test_a_late_write_is_checked_when_it_is_applied(twin: TwinClient) -> None:
    """The name was free at the request and is in use later: the late write is rejected."""
    twin.add_rules(LATE)
    twin.create("a")
    assert twin.create("a").status == 200
    eventually(lambda: twin.get_control("faults")["late_writes"]["waiting"], 0)
    late_writes = twin.get_control("faults")["late_writes"]
    assert (late_writes["performed"], len(late_writes["refused"])) == (0, 1)
    assert twin.ledger() == [("a", [])]
    assert twin.attempted_names() == ["a", "a"]


def test_a_late_delete(twin: TwinClient) -> None:
    """Every kind of write can be late."""
    path = twin.create_module_path("a")
    twin.add_rules({**LATE, "operation": "delete"})
    assert twin.send("DELETE", path) == CLOSED
    assert twin.list_names() == ["a"]
    eventually(twin.list_names, [])
    assert twin.ledger()[-1] == ("a", ["drop;effect=late"])


def test_a_reset_cancels_late_writes(twin: TwinClient) -> None:
    """A write from before the reset is not applied after it."""
    twin.add_rules(LATE)
    twin.create("a")
    twin.send("POST", "/twin/reset")
    time.sleep(0.25)
    assert twin.ledger() == []
    assert twin.get_control("faults")["late_writes"] == {"waiting": 0, "performed": 0, "refused": []}


@pytest.mark.parametrize("name", sorted(TWINS))
@pytest.mark.parametrize("rule", [{**LATE, "seconds": 60}, {"fault": "delay", "seconds": 60}])
def test_stopping_the_server_ends_all_waits(name: str, rule: dict[str, object]) -> None:
    """A stopped twin leaves no thread of a late write or a delayed response."""
    before = set(threading.enumerate())
    with ThreadPoolExecutor() as pool:
        with TWINS[name]() as twin:
            twin.add_rules(rule)
            response = pool.submit(twin.create, "a")
            eventually(twin.attempted_names, ["a"])
            time.sleep(0.05)
        assert response.result() == CLOSED
    eventually(lambda: set(threading.enumerate()) - before, set())


def test_a_write_cancelled_after_its_timer_is_dropped() -> None:
    """A reset can come between the end of a timer and its write."""
    writes, applied = DelayedWrites(Flask("twin"), KeyError), list[str]()
    writes.schedule(60, lambda: applied.append("a"))
    (timer,) = writes._timers.values()
    writes.cancel()
    timer.function(*timer.args, **timer.kwargs)
    assert (applied, writes.to_dict()["performed"]) == ([], 0)


def test_late_writes_are_limited() -> None:
    """A write over the limit is rejected and listed."""
    writes = DelayedWrites(Flask("twin"), KeyError)
    for _ in range(MAX_DELAYED_WRITES + 1):
        writes.schedule(60, list)
    assert writes.to_dict() == {
        "waiting": MAX_DELAYED_WRITES,
        "performed": 0,
        "refused": [f"{MAX_DELAYED_WRITES} late writes are waiting already"],
    }
    writes.cancel()
