"""Time: replies and writes that wait, writes that come after their answer, and what ends the waiting."""

import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from gateway.twins.faults.waits import MOST_LATE, LateWrites
from tests.twins.faults.stand import STANDS, Received, Stand, eventually

pytestmark = pytest.mark.loopback

LATE = {"fault": "drop", "operation": "create", "effect": "late", "seconds": 0.15}
TOLD = ["drop;effect=late"]


@pytest.mark.parametrize(("when", "already"), [("before", []), ("after", [("a", ["delay"])])])
def test_a_delay(stand: Stand, when: str, already: object) -> None:
    """While the client waits the write is not yet made, or made already; the reply is whole in the end."""
    stand.order({"fault": "delay", "operation": "create", "seconds": 0.25, "when": when})
    with ThreadPoolExecutor() as pool:
        began = time.monotonic()
        reply = pool.submit(stand.create, "a")
        eventually(stand.attempted, ["a"])
        time.sleep(0.05)
        assert stand.written() == already
        assert (reply.result().status, time.monotonic() - began >= 0.25) == (200, True)
    assert stand.written() == [("a", ["delay"])]


@pytest.mark.parametrize("when", ["before", "after"])
def test_a_reset_hangs_up_on_the_delayed(stand: Stand, when: str) -> None:
    """Whoever is delayed when the seed is laid anew gets no byte, and writes nothing into the new world."""
    stand.order({"fault": "delay", "operation": "create", "seconds": 30, "when": when})
    with ThreadPoolExecutor() as pool:
        reply = pool.submit(stand.create, "a")
        eventually(lambda: [len(stand.attempted()), len(stand.written())], [1, int(when == "after")])
        time.sleep(0.05)
        stand.send("POST", "/twin/reset")
        assert reply.result() == Received(b"")
    assert stand.written() == []


@pytest.mark.parametrize(("fault", "raw"), [("drop", b""), ("status", b"HTTP/1.1 503"), ("reset", b"")])
def test_a_late_write_is_answered_at_once(stand: Stand, fault: str, raw: bytes) -> None:
    """The answer comes first, when nothing is there; the write follows by itself, and the ledger names the fault."""
    stand.order({**LATE, "fault": fault})
    received = stand.create("a", X_Request_Id="r-1")
    assert received.raw[:12] == raw
    assert stand.listed() == []
    eventually(stand.listed, ["a"])
    (entry,) = stand.twin("ledger")["writes"]
    assert entry["faults"] == [f"{fault};effect=late"]
    assert "r-1" in (entry["request_id"], entry.get("headers", {}).get("X-Request-Id"))
    assert stand.twin("faults")["late_writes"] == {"waiting": 0, "performed": 1, "refused": []}


def test_a_late_write_is_judged_when_it_comes(stand: Stand) -> None:
    """A name that was free then and is taken now: the late write is refused, the other stays alone."""
    stand.order(LATE)
    stand.create("a")
    assert stand.create("a").status == 200
    eventually(lambda: stand.twin("faults")["late_writes"]["waiting"], 0)
    late = stand.twin("faults")["late_writes"]
    assert (late["performed"], len(late["refused"])) == (0, 1)
    assert stand.written() == [("a", [])]
    assert stand.attempted() == ["a", "a"]


def test_updates_and_deletes_can_be_late(stand: Stand) -> None:
    """Any write waits where writes commit."""
    told = stand.create("a").json
    number = told["data"]["bk_module_id"] if "data" in told else told["module_id"]
    path = f"{stand.shape.create_path}{'' if 'data' in told else 's'}/{number}"
    stand.order({**LATE, "operation": "delete"})
    assert stand.send("DELETE", path) == Received(b"")
    assert stand.listed() == ["a"]
    eventually(stand.listed, [])
    assert stand.written()[-1] == ("a", TOLD)


def test_a_reset_cancels_late_writes(stand: Stand) -> None:
    """Nothing of the old world comes into the new one."""
    stand.order(LATE)
    stand.create("a")
    stand.send("POST", "/twin/reset")
    time.sleep(0.25)
    assert stand.written() == []
    assert stand.twin("faults")["late_writes"] == {"waiting": 0, "performed": 0, "refused": []}


@pytest.mark.parametrize("name", sorted(STANDS))
@pytest.mark.parametrize("order", [{**LATE, "seconds": 60}, {"fault": "delay", "seconds": 60}])
def test_the_end_of_the_server_ends_all_waiting(name: str, order: dict[str, object]) -> None:
    """A stopped twin leaves no thread behind, neither of a late write nor of a delayed reply."""
    before = set(threading.enumerate())
    with ThreadPoolExecutor() as pool:
        with STANDS[name]() as stand:
            stand.order(order)
            reply = pool.submit(stand.create, "a")
            eventually(stand.attempted, ["a"])
            time.sleep(0.05)
        assert reply.result() == Received(b"")
    eventually(lambda: set(threading.enumerate()) - before, set())


def test_a_cancelled_write_whose_time_had_come() -> None:
    """Between a timer's end and its write there is room for a reset: the write is dropped."""
    late, written = LateWrites(KeyError), list[str]()
    late.schedule(60, lambda: written.append("a"))
    (timer,) = late._waiting.values()
    late.cancel()
    timer.function(*timer.args, **timer.kwargs)
    assert (written, late.told()["performed"]) == ([], 0)


def test_late_writes_are_bounded() -> None:
    """What is one too many is refused, and told."""
    late = LateWrites(KeyError)
    for _ in range(MOST_LATE + 1):
        late.schedule(60, list)
    assert late.told() == {
        "waiting": MOST_LATE,
        "performed": 0,
        "refused": [f"{MOST_LATE} late writes are waiting already"],
    }
    late.cancel()
