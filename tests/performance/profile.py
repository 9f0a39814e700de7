"""Shows where the CPU of a request goes: `python -m tests.performance.profile ["create on CMDB"] [COUNT]`.

A profiler slows down what calls much more than what computes. Its shares are therefore scaled to what the same
requests cost without it; read them as an order, not as figures.
"""

from __future__ import annotations

import cProfile
import pstats
import sys
import time
from collections import Counter
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final

from tests.performance import budget, calls, report, stage

_SHOWN: Final = 25
_COUNT: Final = 500


def main(name: str = "create on CMDB", count: str = str(_COUNT)) -> None:
    """Profile one kind of request: what each package computes itself, and what the dearest functions cost in all."""
    with TemporaryDirectory(prefix="bench-") as folder, stage.opened(Path(folder)) as opened:
        budget.warm(opened)
        plain = _cost(opened, name, int(count))
        profiler = cProfile.Profile(time.thread_time)
        for _ in range(int(count)):
            profiler.runcall(opened.prepare(name))
    stats: Any = pstats.Stats(profiler)
    factor = plain / stats.total_tt * 1e6
    own = Counter(_by_package(stats.stats))
    whole = Counter({_label(key): entry[3] for key, entry in stats.stats.items() if key[0] != "~"})
    sys.stdout.write(f"{name}: {plain * 1e6:.0f} µs in one thread, without server and gevent\n\n")
    for title, found in (("package, its own code", own), ("function, with all it calls", whole)):
        lines = [[label, f"{seconds * factor:.0f}"] for label, seconds in found.most_common(_SHOWN)]
        sys.stdout.write(report.columns([[title, "µs"], *lines]) + "\n\n")


def _cost(opened: stage.Stage, name: str, count: int) -> float:
    """Return the CPU seconds of one request, of this thread alone: the stand-in has its own."""
    spent = 0.0
    for _ in range(count):
        request = opened.prepare(name)
        began = time.thread_time()
        request()
        spent += time.thread_time() - began
    return spent / count


def _by_package(stats: dict[Any, Any]) -> Counter[str]:
    """Add up own times by package; a built-in function's time is its caller's."""
    found: Counter[str] = Counter()
    for (file, _, _), (_, _, own, _, callers) in stats.items():
        if file != "~":
            found[calls.package(file)] += own
            continue
        for (caller, _, _), entry in callers.items():
            found[calls.package(caller) if caller != "~" else "built-in"] += entry[2]
    return found


def _label(key: tuple[str, int, str]) -> str:
    file, line, name = key
    return f"{calls.package(file)} {Path(file).stem}.{name}:{line}"


if __name__ == "__main__":
    main(*sys.argv[1:])
