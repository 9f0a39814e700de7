"""The number of calls that each request may make, by package; it does not depend on the load of the machine.

`python -m tests.performance.budget` records the present numbers.
"""

from __future__ import annotations

import gc
import json
import platform
import sys
import sysconfig
from collections import Counter
from collections.abc import Callable, Mapping
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from types import CodeType, FrameType
from typing import Any, Final

from tests.performance.in_process import REQUESTS, InProcessGateway, run_gateway

FILE: Final = Path(__file__).with_name("budget.json")
TOLERANCE: Final = 0.03
#: The Python minor version; another one inlines other functions and so makes other calls.
PYTHON: Final = ".".join(platform.python_version_tuple()[:2])
#: The first requests fill the caches.
_WARM_UP: Final = 5
_REPETITIONS: Final = 4
#: Folders of code, and the number of levels below them that name a package.
_FOLDERS: Final = (
    (Path(sysconfig.get_path("purelib")), 1),
    (Path(sysconfig.get_path("stdlib")), 1),
    (Path(__file__).parents[2], 2),
)

Counts = Mapping[str, Mapping[str, int]]


def count_requests(gateway: InProcessGateway) -> tuple[Counts, Counts]:
    """Count the calls of each request twice: the minimum of a few, since caches expire every second."""
    for _ in range(_WARM_UP):
        for name in REQUESTS:
            gateway.prepare(name)()
    first, second = (
        {
            name: min((count_calls(gateway.prepare(name)) for _ in range(_REPETITIONS)), key=lambda c: sum(c.values()))
            for name in REQUESTS
        }
        for _ in range(2)
    )
    return first, second


def count_calls(work: Callable[[], object]) -> Mapping[str, int]:
    """Return the number of Python functions of each package that are called, plus the C functions that they call."""
    calls: Counter[CodeType] = Counter()

    def record(frame: FrameType, event: str, argument: Any) -> None:
        if event in {"call", "c_call"}:
            calls[frame.f_code] += 1

    gc.collect()
    gc.disable()  # the time of a collection depends on earlier allocations
    try:
        sys.setprofile(record)
        try:
            work()
        finally:
            sys.setprofile(None)
    finally:
        gc.enable()
    packages: Counter[str] = Counter()
    for code, number in calls.items():
        packages[package(code.co_filename)] += number
    del packages["tests"]  # the frame around the request
    return dict(sorted(packages.items()))


@cache
def package(file: str) -> str:
    """Return the package of a file; for this project its first two levels, such as gateway.api."""
    for folder, levels in _FOLDERS:
        if Path(file).is_relative_to(folder):
            parts = Path(file).relative_to(folder).with_suffix("").parts
            return "tests" if parts[0] == "tests" else ".".join(parts[:levels])
    return "generated"  # for example the methods of dataclasses


def compare(name: str, counts: Mapping[str, int], budget: Mapping[str, int]) -> str:
    """Return a message that begins with `over` or `under`, or "" if the request is within its budget."""
    actual, allowed = sum(counts.values()), sum(budget.values())
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
    FILE.write_text(json.dumps({"python": PYTHON, "calls": counts}, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    with TemporaryDirectory(prefix="bench-") as folder, run_gateway(Path(folder)) as gateway_:
        counted, second_ = count_requests(gateway_)
    if counted != second_:
        sys.exit(f"two counts differ, nothing is recorded: {counted}, {second_}")
    for name_, packages_ in counted.items():
        sys.stdout.write(f"{name_:24}{sum(load()[1].get(name_, {}).values()):>8} → {sum(packages_.values())}\n")
    save(counted)
