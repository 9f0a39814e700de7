"""One run of the matrix: a create whose worker is killed or frozen, other creates, repetitions, and a verification."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any, Final

from tests.integration.chaos import caller
from tests.integration.chaos.caller import CreateSpec
from tests.integration.chaos.kill_points import INSIDE, OUTSIDE, POINTS
from tests.integration.chaos.testbed import (
    HARD_TIMEOUT,
    SETTLE,
    TARGETS,
    GatewayTestbed,
    Topology,
    eventually,
    run_testbed,
)
from tests.integration.chaos.verifier import Totals, verify

_APPLICATION: Final = "tests.integration.chaos.app:app"
JOURNALS: Final = {
    "sqlite": Topology(workers=2, application=_APPLICATION),
    "postgres": Topology(replicas=2, workers=1, application=_APPLICATION),
}
_DELAY: Final = {"fault": "delay", "seconds": 1.0}
_FAULTS: Final[Mapping[str, list[Mapping[str, Any]]]] = {
    "after-send": [_DELAY],
    "after-send-lost": [_DELAY, {"fault": "status", "effect": "never"}],
    "after-commit": [{**_DELAY, "when": "after"}],
    "during-drain": [_DELAY],
    "mid-reconcile": [{"fault": "drop", "effect": "now"}],
}
_BYSTANDERS: Final = 6
_TIMEOUT: Final = 15.0
#: Longer than the sender's lease and the settle window that follows it, less than gunicorn's own timeout; seconds.
_FREEZE_SECONDS: Final = 2 * (HARD_TIMEOUT + 5.0) + SETTLE + 8.0


@dataclass(frozen=True)
class Cell:
    """One combination; `by` is how repetitions are identified, `signal` ends the worker or freezes it for a while."""

    point: str
    backend: str
    journal: str
    by: str
    signal: str = "kill"

    def __str__(self) -> str:
        return f"{self.point} {self.backend} {self.journal} {self.by} {self.signal}"


def cells() -> Iterator[Cell]:
    """Yield all cells of the matrix."""
    yield from (Cell(*values) for values in product(POINTS, TARGETS, JOURNALS, ("key", "request-id")))
    yield from (Cell(*values) for values in product(INSIDE, TARGETS, JOURNALS, ("key",), ("freeze",)))


def run(cell: Cell, folder: Path, journal_url: str | None) -> Totals:
    """Run one cell on a new testbed."""
    with run_testbed(folder, JOURNALS[cell.journal], journal_url) as testbed:
        return run_on(testbed, cell)


def run_on(testbed: GatewayTestbed, cell: Cell) -> Totals:
    """Run one cell on this testbed and verify it; raise AssertionError unless a worker was killed or frozen."""
    victim = CreateSpec(cell.backend, "victim", cell.by)
    orders = testbed.kill_orders
    if cell.point in OUTSIDE:
        orders.watch_sender(victim.name)
    elif cell.signal == "freeze":
        orders.freeze(cell.point, victim.name)
    else:
        orders.add(cell.point, victim.name)
    if faults := _FAULTS.get(cell.point):
        testbed.fault(cell.backend, *faults)
    with ThreadPoolExecutor(_BYSTANDERS + 1) as pool:
        futures = [pool.submit(caller.create, testbed.addresses, victim)]
        if faults:  # only the victim may consume them
            assert eventually(lambda: testbed.sent(cell.backend, victim.name) > 0, _TIMEOUT), cell
        for number in range(_BYSTANDERS):
            by = ("key", "request-id")[number // 3]
            bystander = CreateSpec(tuple(TARGETS)[number % 2], f"bystander-{number}", by)
            futures.append(pool.submit(caller.create, testbed.addresses, bystander))
        if cell.point in OUTSIDE:
            kills = _kill_sender(cell, testbed, victim.name)
        else:
            assert eventually(lambda: orders.executed(cell.point, victim.name) > 0, _TIMEOUT), cell
            kills = orders.executed(cell.point, victim.name)
            if cell.signal == "freeze":
                time.sleep(_FREEZE_SECONDS)
                orders.thaw(cell.point, victim.name)
        histories = [future.result() for future in futures]
    return verify(testbed, histories, kills=kills)


def _kill_sender(cell: Cell, testbed: GatewayTestbed, name: str) -> int:
    """Kill the process that waits for the twin's response, and check that the twin is at the intended step."""
    expected = 1 if cell.point == "after-commit" else 0
    assert eventually(lambda: testbed.created_count(cell.backend, name) == expected, _TIMEOUT), cell
    sender = testbed.kill_orders.sender(name)
    assert sender is not None, cell
    if cell.point != "during-drain":
        os.kill(sender, signal.SIGKILL)
    else:
        replica = next(replica for replica in testbed.replicas if os.getpgid(sender) == replica.group)
        replica.terminate()
        time.sleep(0.2)
        replica.kill()
        replica.start()
    return 1
