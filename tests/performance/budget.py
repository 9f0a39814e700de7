"""How many calls each request may make: what was recorded, and a few in a hundred more."""

from __future__ import annotations

import json
import platform
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from tests.performance import calls
from tests.performance.stage import SHOTS, Stage

FILE: Final = Path(__file__).with_name("budget.json")
SLACK: Final = 0.03
#: Caches of every kind are filled by the first requests.
_WARM: Final = 5
_TIMES: Final = 4

Counts = Mapping[str, Mapping[str, int]]


def interpreter() -> str:
    """Return what else decides how many calls there are: another minor version inlines other functions."""
    return ".".join(platform.python_version_tuple()[:2])


def warm(stage: Stage) -> None:
    """Make each request a few times."""
    for name in SHOTS:
        for _ in range(_WARM):
            stage.prepare(name)()


def counted(stage: Stage) -> Counts:
    """Count each request by package, the least of a few times: a cache lasts a second, and any second may end now."""
    return {name: min((calls.count(stage.prepare(name)) for _ in range(_TIMES)), key=_total) for name in SHOTS}


def judge(name: str, counts: Mapping[str, int], budget: Mapping[str, int]) -> str:
    """Say `over` or `under` with what has changed where; nothing where the request is within its budget."""
    now, then = _total(counts), _total(budget)
    if abs(now - then) <= then * SLACK:
        return ""
    changes = {key: counts.get(key, 0) - budget.get(key, 0) for key in counts.keys() | budget.keys()}
    largest = sorted(changes.items(), key=lambda change: -abs(change[1]))[:6]
    where = ", ".join(f"{key} {change:+}" for key, change in largest if change)
    return f"{'over' if now > then else 'under'}: {name} makes {now} calls, its budget is {then} ({where})"


def read() -> tuple[str, Counts]:
    """Return the recorded budget, and the interpreter that it was recorded on."""
    told = json.loads(FILE.read_text(encoding="utf-8"))
    return told["python"], told["calls"]


def write(counts: Counts) -> None:
    """Record a budget."""
    told = {"python": interpreter(), "calls": counts}
    FILE.write_text(json.dumps(told, indent=1) + "\n", encoding="utf-8")


def _total(counts: Mapping[str, int]) -> int:
    return sum(counts.values())
