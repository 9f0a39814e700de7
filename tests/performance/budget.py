"""The number of calls that each request may make: the recorded number and a tolerance."""

from __future__ import annotations

import json
import platform
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from tests.performance import calls
from tests.performance.in_process import REQUESTS, InProcessGateway

FILE: Final = Path(__file__).with_name("budget.json")
TOLERANCE: Final = 0.03
#: The first requests fill the caches.
_WARM_UP: Final = 5
_REPETITIONS: Final = 4

Counts = Mapping[str, Mapping[str, int]]


def interpreter() -> str:
    """Return the Python minor version; another one inlines other functions and so makes other calls."""
    return ".".join(platform.python_version_tuple()[:2])


def warm_up(gateway: InProcessGateway) -> None:
    """Make each request a few times."""
    for name in REQUESTS:
        for _ in range(_WARM_UP):
            gateway.prepare(name)()


def count_requests(gateway: InProcessGateway) -> Counts:
    """Count the calls of each request by package: the minimum of a few, since caches expire every second."""
    return {
        name: min((calls.count(gateway.prepare(name)) for _ in range(_REPETITIONS)), key=_total) for name in REQUESTS
    }


def compare(name: str, counts: Mapping[str, int], budget: Mapping[str, int]) -> str:
    """Return a message that begins with `over` or `under`, or "" if the request is within its budget."""
    actual, allowed = _total(counts), _total(budget)
    if abs(actual - allowed) <= allowed * TOLERANCE:
        return ""
    changes = {key: counts.get(key, 0) - budget.get(key, 0) for key in counts.keys() | budget.keys()}
    largest = sorted(changes.items(), key=lambda change: -abs(change[1]))[:6]
    packages = ", ".join(f"{key} {change:+}" for key, change in largest if change)
    side = "over" if actual > allowed else "under"
    return f"{side}: {name} makes {actual} calls, its budget is {allowed} ({packages})"


def load() -> tuple[str, Counts]:
    """Return the Python version of the recorded budget, and the budget."""
    document = json.loads(FILE.read_text(encoding="utf-8"))
    return document["python"], document["calls"]


def save(counts: Counts) -> None:
    """Record a budget."""
    document = {"python": interpreter(), "calls": counts}
    FILE.write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")


def _total(counts: Mapping[str, int]) -> int:
    return sum(counts.values())
