"""Racing pairs of updates of a ProjectMan module, whose senders are killed or frozen and whose PUTs come late.

`python -m tests.integration.chaos.updates [PAIRS]`, a part of `make chaos`, runs a thousand pairs over each journal and
prints the results. Both timeouts of the connection are short, so that a window takes seconds: a PUT that lands at its
end stands for one that lands 60 s late within the usual window.
"""

from __future__ import annotations

import os
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager, suppress
from itertools import cycle, product
from math import isfinite
from pathlib import Path
from signal import SIGCONT, SIGKILL, SIGSTOP, SIGTERM, default_int_handler, signal
from threading import Event, Thread
from typing import Any, Final

from gateway.domain.change import ChangeFilter
from gateway.journals import create_journal
from tests.integration.chaos import database
from tests.integration.chaos.testbed import TARGETS, GatewayTestbed, Topology, eventually, run_testbed
from tests.integration.http_client import CONNECTION_ERRORS, HttpResponse, send

HARD: Final = 2.0
SETTLE: Final = 2.0
#: The lease of a sender, the window, and a margin for polls and for a busy machine; seconds.
_HELD_AT_MOST: Final = HARD + 5.0 + SETTLE + 10.0
#: Longer than lease and window; seconds.
_FREEZE_SECONDS: Final = HARD + 5.0 + SETTLE + 1.0
TOPOLOGIES: Final = {
    "sqlite": Topology(
        workers=2, deadline=HARD, hard=HARD, settle=SETTLE, application="tests.integration.chaos.app:app"
    ),
    "postgres": Topology(
        replicas=2, workers=1, deadline=HARD, hard=HARD, settle=SETTLE, application="tests.integration.chaos.app:app"
    ),
}
#: The response is lost; the write is applied now, never, or later than the deadline and lease of a dead sender allow.
_FAULTS: Final[Sequence[Mapping[str, Any]]] = (
    {"fault": "drop", "effect": "late", "seconds": SETTLE},
    {"fault": "drop", "effect": "late", "seconds": SETTLE / 2},
    {"fault": "drop", "effect": "never"},
    {"fault": "drop", "effect": "now"},
    {"fault": "delay", "seconds": 0.8},
)
#: A worker is stopped between hold and send, or between the backend's response and its record.
_POINTS: Final = ("after-hold", "before-end")
_PATIENCE: Final = 120.0
#: The number of pairs in one project: an update lists the modules of its project.
_ROUND: Final = 100
_NEW_OWNER: Final = "1c6e2f0b9a8d4753b2e1f0c9d8a7b6e5"
#: These must be 0.
VIOLATIONS: Final = ("lost", "unanswered", "held", "unlogged")
COLUMNS: Final = ("pairs", "requests", "unknown", "busy", "late", "kills", "freezes", *VIOLATIONS)


def run(
    journal: str,
    folder: Path,
    journal_url: str | None,
    *,
    pairs: int,
    parallel: int,
    every: int,
    signals: Sequence[int],
) -> Counter[str]:
    """Run pairs and return the row of COLUMNS; `every` so many a worker is killed or frozen, and a response is lost."""
    totals: Counter[str] = Counter(pairs=pairs)
    with run_testbed(folder, TOPOLOGIES[journal], journal_url) as testbed, ThreadPoolExecutor(parallel) as pool:
        modules = list(pool.map(lambda number: _create(testbed, f"module-{number}"), range(pairs)))
        for module, (order, point) in zip(modules[::every], cycle(product(signals, _POINTS)), strict=False):
            testbed.kill_orders.add(order, point, module)
        rules = [
            {"operation": "update", **fault, "after": every // 2 + every * number}
            for number, fault in zip(range(2 * pairs // every), cycle(_FAULTS), strict=False)
        ]
        testbed.twin("projectman", "POST", "faults", rules)
        with _thawed(testbed.kill_orders.folder, totals):
            for results in pool.map(lambda module: _race(testbed.addresses, module), modules):
                totals += results
        rules = testbed.twin("projectman", "GET", "faults")["faults"]
        totals["late"] = sum(rule["struck"] for rule in rules if rule.get("effect") == "late")
        assert eventually(lambda: not testbed.twin("projectman", "GET", "faults")["late_writes"]["waiting"], _PATIENCE)
        with closing(create_journal(testbed.journal_url)) as records:
            eventually(lambda: not records.held_changes(), _HELD_AT_MOST)
            totals["held"] = len(records.held_changes())
            while records.publish_changes(1000):
                pass
            entries = records.list_changes(ChangeFilter(), after=0, limit=1_000_000).entries
        logged = Counter(entry.module for entry in entries if entry.outcome.value == "applied")
        shown = list(pool.map(lambda module: _send(testbed.addresses[0], "GET", module), modules))
    for module, response in zip(modules, shown, strict=True):
        values = (response.body["name"], [owner["id"] for owner in response.body["owners"]])
        totals["lost"] += values != (_new_name(module), [_NEW_OWNER])
        totals["unlogged"] += logged[module] < 3  # the create and both updates
    return totals


def _create(testbed: GatewayTestbed, name: str) -> str:
    """Create a module and return its id."""
    body = {"backend": "projectman", "name": name, **TARGETS["projectman"]}
    return str(
        _repeat(testbed.addresses, lambda address: send(address, "POST", "/modules?if_exists=adopt", body))[-1].body[
            "id"
        ]
    )


def _race(addresses: Sequence[str], module: str) -> Counter[str]:
    """Send two updates of different fields at the same time, each until it is acknowledged."""
    patches: Sequence[Mapping[str, Any]] = ({"name": _new_name(module)}, {"owners": [_NEW_OWNER]})
    with ThreadPoolExecutor(2) as pool:
        results = pool.map(
            lambda patch, first: _repeat(
                [*addresses, *addresses][first : first + len(addresses)],
                lambda address: _send(address, "PATCH", module, {**patch, "description": "new"}),
            ),
            patches,
            range(2),
        )
        responses = [*results]
    codes = Counter(response.code for attempts in responses for response in attempts)
    return Counter(
        requests=sum(map(len, responses)),
        unknown=codes["outcome_unknown"],
        busy=codes["module_busy"],
        unanswered=sum(attempts[-1].status != 200 for attempts in responses),
    )


def _repeat(addresses: Sequence[str], request: Callable[[str], HttpResponse]) -> list[HttpResponse]:
    """Send a request to one replica after the other until it is acknowledged, and return all responses."""
    responses: list[HttpResponse] = []
    deadline = time.monotonic() + _PATIENCE
    for address in cycle(addresses):
        with suppress(*CONNECTION_ERRORS):
            responses.append(request(address))
            if responses[-1].status in {200, 201} or time.monotonic() > deadline:
                break
        time.sleep(0.1)
    return responses


def _send(address: str, method: str, module: str, body: object = None) -> HttpResponse:
    return send(address, method, f"/modules/{module}", body)


def _new_name(module: str) -> str:
    return f"new-{module.rpartition('.')[2]}"


@contextmanager
def _thawed(orders: Path, totals: Counter[str]) -> Iterator[None]:
    """Continue each frozen worker when its window is over, during a with block; count the executed orders."""
    frozen: dict[Path, float] = {}
    stop = Event()

    def thaw(*, now: float) -> None:
        for path in orders.glob("*@*@*"):
            if path not in frozen:
                is_freeze = path.read_text() == str(int(SIGSTOP))
                totals["freezes" if is_freeze else "kills"] += 1
                frozen[path] = now if is_freeze else float("inf")
            if now >= frozen[path] + _FREEZE_SECONDS:
                frozen[path] = float("inf")
                with suppress(ProcessLookupError):
                    os.kill(int(path.name.rpartition("@")[2]), SIGCONT)

    def run() -> None:
        while not stop.wait(0.1):
            thaw(now=time.monotonic())

    thread = Thread(target=run)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()
        thaw(now=float("inf") if any(map(isfinite, frozen.values())) else time.monotonic())


def main(words: list[str]) -> int:
    """Run pairs over both journals; return 0 if no update was lost and no hold is left."""
    pairs = int(words[0]) if words else 1000
    failed = False
    signal(SIGTERM, default_int_handler)  # so that the processes are stopped
    with tempfile.TemporaryDirectory(prefix="chaos-") as folder, database.server() as server:
        sys.stdout.write(f"{'journal':10}" + "".join(f"{column:>11}" for column in COLUMNS) + "\n")
        for journal in ("postgres", "sqlite"):
            totals: Counter[str] = Counter()
            for number in range(-(-pairs // _ROUND)):
                url = database.new_database(server) if journal == "postgres" else None
                totals += run(
                    journal,
                    Path(folder, f"{journal}-{number}"),
                    url,
                    pairs=min(_ROUND, pairs),
                    parallel=20,
                    every=10,
                    signals=(SIGKILL, SIGSTOP),
                )
                sys.stdout.write(f"{journal:10}" + "".join(f"{totals[column]:>11}" for column in COLUMNS) + "\n")
                sys.stdout.flush()
            failed |= any(totals[column] for column in VIOLATIONS)
    return int(failed)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
