"""One run: a create whose worker dies at a point, bystanders beside it, callers who ask again, and the verdict."""

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
from tests.integration.chaos.caller import Told, Wanted
from tests.integration.chaos.judge import Figures, judge
from tests.integration.chaos.points import OUTSIDE, POINTS
from tests.integration.chaos.stand import PLACES, Shape, Stand, eventually, match

_DEADLY: Final = "tests.integration.chaos.app:app"
JOURNALS: Final = {
    "sqlite": Shape(workers=2, application=_DEADLY),
    "postgres": Shape(replicas=2, workers=1, application=_DEADLY),
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
_APPEARS_WITHIN: Final = 15.0


@dataclass(frozen=True)
class Cell:
    """One combination; `by` is how repetitions are known."""

    point: str
    backend: str
    journal: str
    by: str

    def __str__(self) -> str:
        return f"{self.point} {self.backend} {self.journal} {self.by}"


def cells() -> Iterator[Cell]:
    """Yield the whole matrix."""
    return (Cell(*each) for each in product(POINTS, PLACES, JOURNALS, ("key", "request-id")))


def run(cell: Cell, folder: Path, journal_url: str | None) -> Figures:
    """Play one cell on a stand of its own."""
    with match(folder, JOURNALS[cell.journal], journal_url) as stand:
        return play(cell, stand)


def play(cell: Cell, stand: Stand) -> Figures:
    """Play one cell on this stand and judge it; a worker must have died where it was ordered."""
    victim = Wanted(cell.backend, "victim", cell.by)
    if cell.point in OUTSIDE:
        stand.orders.watch(victim.name)
    else:
        stand.orders.give(cell.point, victim.name)
    if faults := _FAULTS.get(cell.point):
        stand.fault(cell.backend, *faults)
    with ThreadPoolExecutor(_BYSTANDERS + 1) as pool:
        stories = [pool.submit(caller.create, stand.addresses, victim)]
        if faults:  # they are meant for the victim alone
            assert eventually(lambda: stand.sent(cell.backend, victim.name) > 0, _APPEARS_WITHIN), cell
        for number in range(_BYSTANDERS):
            other = Wanted(tuple(PLACES)[number % 2], f"bystander-{number}", ("key", "request-id")[number // 3])
            stories.append(pool.submit(caller.create, stand.addresses, other))
        if cell.point in OUTSIDE:
            kills = _strike(cell, stand, victim.name)
        else:
            assert eventually(lambda: stand.orders.struck(cell.point, victim.name) > 0, _APPEARS_WITHIN), cell
            kills = stand.orders.struck(cell.point, victim.name)
        told: list[Told] = [story.result() for story in stories]
    return judge(stand, told, kills=kills)


def _strike(cell: Cell, stand: Stand, name: str) -> int:
    """Kill the process that waits for the twin's answer, and make sure that it was the right moment."""
    there = 1 if cell.point == "after-commit" else 0
    assert eventually(lambda: stand.creates_of(cell.backend, name) == there, _APPEARS_WITHIN), cell
    sender = stand.orders.sender(name)
    assert sender is not None, cell
    if cell.point != "during-drain":
        os.kill(sender, signal.SIGKILL)
    else:
        replica = next(each for each in stand.replicas if os.getpgid(sender) == each.group)
        replica.terminate()
        time.sleep(0.2)
        replica.kill()
        replica.start()
    return 1
