from __future__ import annotations

import os
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from dataclasses import dataclass
from datetime import datetime
from itertools import product
from pathlib import Path
from signal import SIGCONT, SIGKILL, SIGSTOP
from typing import Any, Final

import pytest

from tests.integration.chaos import database
from tests.integration.chaos.caller import CreateSpec, create, is_final
from tests.integration.chaos.testbed import TARGETS, GatewayTestbed, Topology, eventually, run_testbed
from tests.integration.http_client import HttpResponse

#: Points inside a worker, which signals itself during the create of a given name.
INSIDE: Final = ("before-claim", "after-claim", "after-reply-read", "after-result-stored", "mid-reconcile")
#: Points outside: the test kills the worker while the twin holds its request.
OUTSIDE: Final = ("after-send", "after-send-lost", "after-commit", "during-drain")
_APPLICATION: Final = "tests.integration.chaos.app:app"
JOURNALS: Final = {
    "sqlite": Topology(workers=2, application=_APPLICATION),
    "postgres": Topology(replicas=2, workers=1, application=_APPLICATION),
}
#: These must be 0.
VIOLATIONS: Final = (
    "duplicates",  # creates that took effect, beyond the first of each requested name
    "lost",  # answered with 201, and not in the ledger
    "wrong",  # final refusals of a unique name, *not applied* after the module was made, and different modules
    "unanswered",  # callers without a final response
    "unsettled",  # operations that have not ended
)
#: Long enough for the test to see the request, and shorter than the hard timeout.
_DELAY: Final = {"fault": "delay", "seconds": 1.8}
_FAULTS: Final[Mapping[str, Sequence[Mapping[str, Any]]]] = {
    "after-send": [_DELAY],
    "after-send-lost": [_DELAY, {"fault": "status", "effect": "never"}],
    "after-commit": [{**_DELAY, "when": "after"}],
    "during-drain": [_DELAY],
    "mid-reconcile": [{"fault": "drop", "effect": "now"}],
}
_BYSTANDERS: Final = [
    CreateSpec(tuple(TARGETS)[number % 2], f"bystander-{number}", ("key", "request-id")[number // 3])
    for number in range(6)
]
_SIGNALS: Final = {"kill": SIGKILL, "freeze": SIGSTOP}
_TIMEOUT: Final = 15.0
#: Longer than the sender's lease and the settle window that follows it, less than gunicorn's own timeout; seconds.
_FREEZE_SECONDS: Final = 2 * (Topology.hard + 5.0) + Topology.settle + 8.0


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


#: All combinations, which `make chaos` runs.
ALL: Final = [
    *(Cell(*values) for values in product((*INSIDE, *OUTSIDE), TARGETS, JOURNALS, ("key", "request-id"))),
    *(Cell(*values) for values in product(INSIDE, TARGETS, JOURNALS, ("key",), ("freeze",))),
]


def run(cell: Cell, folder: Path, journal_url: str | None) -> Counter[str]:
    """Run one cell and return its counts; raise AssertionError unless a worker was signalled."""
    victim = CreateSpec(cell.backend, "victim", cell.by)
    with run_testbed(folder, JOURNALS[cell.journal], journal_url) as testbed, ThreadPoolExecutor(7) as pool:
        orders = testbed.kill_orders
        point = "sending" if cell.point in OUTSIDE else cell.point
        orders.add(0 if cell.point in OUTSIDE else _SIGNALS[cell.signal], point, victim.name)
        faults = _FAULTS.get(cell.point, ())
        if faults:
            testbed.fault(cell.backend, *faults)
        futures = {victim: pool.submit(create, testbed.addresses, victim)}
        if faults:  # only the victim may consume them
            assert eventually(lambda: testbed.sent(cell.backend, victim.name) > 0, _TIMEOUT), cell
        futures |= {bystander: pool.submit(create, testbed.addresses, bystander) for bystander in _BYSTANDERS}
        assert eventually(lambda: bool(orders.executed_by(point, victim.name)), _TIMEOUT), cell
        workers = orders.executed_by(point, victim.name)
        if point == "sending":
            _kill_sender(cell, testbed, workers[0])
        elif cell.signal == "freeze":
            time.sleep(_FREEZE_SECONDS)
            os.kill(workers[0], SIGCONT)
        responses = {spec: future.result() for spec, future in futures.items()}
        return Counter(kills=len(workers)) + _verify(testbed, responses)


def _kill_sender(cell: Cell, testbed: GatewayTestbed, sender: int) -> None:
    """Kill the process that waits for the twin's response, while the twin is at the intended step."""
    expected = 1 if cell.point == "after-commit" else 0
    assert eventually(lambda: testbed.created_count(cell.backend, "victim") == expected, _TIMEOUT), cell
    if cell.point != "during-drain":
        os.kill(sender, SIGKILL)
    else:
        replica = next(replica for replica in testbed.replicas if os.getpgid(sender) == replica.group)
        replica.terminate()
        time.sleep(0.2)
        replica.kill()
        replica.start()


def _verify(testbed: GatewayTestbed, creates: Mapping[CreateSpec, Sequence[HttpResponse]]) -> Counter[str]:
    """Wait until all operations have settled, then compare the responses and the journal with the ledgers."""
    unsettled = 0 if testbed.wait_until_settled() else testbed.live()
    totals = Counter(unsettled=unsettled)
    totals["duplicates"] = sum(len(testbed.created(backend)) for backend in testbed.twins)
    for spec, responses in creates.items():
        entries = testbed.created(spec.backend, spec.name)
        made_at = min((datetime.fromisoformat(entry["at"]).timestamp() for entry in entries), default=float("inf"))
        ids = {str(entry["id"]) for entry in entries}
        modules = [response.body for response in responses if response.status == 201]
        not_applied = [response for response in responses if response.code == "backend_unavailable"]
        contradicted = sum(made_at < response.received_at - 0.01 for response in not_applied)
        answered = is_final(responses[-1])
        refused = answered and responses[-1].status != 201
        totals["duplicates"] -= bool(entries)
        totals["lost"] += any(module["native_id"] not in ids for module in modules)
        totals["wrong"] += refused + contradicted + max(len({module["id"] for module in modules}) - 1, 0)
        totals["unanswered"] += not answered
    return totals


pytestmark = [pytest.mark.loopback, pytest.mark.timeout(180)]

#: Killed before the create is sent, during it, and after its response, and frozen between claim and send.
CELLS = [
    Cell("after-claim", "cmdb", "sqlite", "key"),
    Cell("after-send", "projectman", "sqlite", "request-id"),
    Cell("after-reply-read", "cmdb", "postgres", "key"),
    Cell("after-claim", "projectman", "sqlite", "key", "freeze"),
]


@pytest.mark.parametrize("cell", ALL if os.environ.get("CHAOS_ALL") else CELLS, ids=str)
def test_a_killed_or_frozen_worker_leaves_no_duplicate_and_no_loss(cell: Cell, tmp_path: Path) -> None:
    """Callers that repeat the request after a SIGKILL or SIGSTOP get the one module, and all operations settle."""
    with database.server() if cell.journal == "postgres" else nullcontext() as server:
        totals = run(cell, tmp_path / "testbed", database.new_database(server) if server else None)
    assert totals["kills"] == 1
    assert {name: totals[name] for name in VIOLATIONS if totals[name]} == {}
