"""Shows where the CPU of a request goes: `python -m tests.performance.profile ["create on CMDB"] [COUNT]`.

A profiler slows down code with many calls more than code that computes. The shares are therefore scaled to the CPU of
the same requests without the profiler; they show an order, not exact values.
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

from tests.performance import budget, calls, in_process, report

_LINES: Final = 25
_COUNT: Final = 500


def main(name: str = "create on CMDB", count: str = str(_COUNT)) -> None:
    """Profile one kind of request: own time by package, and total time of the most expensive functions."""
    with TemporaryDirectory(prefix="bench-") as folder, in_process.run_gateway(Path(folder)) as gateway:
        budget.warm_up(gateway)
        cpu = _cpu_seconds(gateway, name, int(count))
        profiler = cProfile.Profile(time.thread_time)
        for _ in range(int(count)):
            profiler.runcall(gateway.prepare(name))
    stats: Any = pstats.Stats(profiler)
    factor = cpu / stats.total_tt * 1e6
    own = Counter(_by_package(stats.stats))
    total = Counter({_label(key): entry[3] for key, entry in stats.stats.items() if key[0] != "~"})
    sys.stdout.write(f"{name}: {cpu * 1e6:.0f} µs in one thread, without server and gevent\n\n")
    for title, times in (("package, own time", own), ("function, total time", total)):
        lines = [[label, f"{seconds * factor:.0f}"] for label, seconds in times.most_common(_LINES)]
        sys.stdout.write(report.columns([[title, "µs"], *lines]) + "\n\n")


def _cpu_seconds(gateway: in_process.InProcessGateway, name: str, count: int) -> float:
    """Return the CPU seconds of one request in this thread; the backend stub has its own."""
    total = 0.0
    for _ in range(count):
        request = gateway.prepare(name)
        started = time.thread_time()
        request()
        total += time.thread_time() - started
    return total / count


def _by_package(stats: dict[Any, Any]) -> Counter[str]:
    """Return own times by package; the time of a built-in function counts for its caller."""
    times: Counter[str] = Counter()
    for (file, _, _), (_, _, own, _, callers) in stats.items():
        if file != "~":
            times[calls.package(file)] += own
            continue
        for (caller, _, _), entry in callers.items():
            times[calls.package(caller) if caller != "~" else "built-in"] += entry[2]
    return times


def _label(key: tuple[str, int, str]) -> str:
    file, line, name = key
    return f"{calls.package(file)} {Path(file).stem}.{name}:{line}"


if __name__ == "__main__":
    main(*sys.argv[1:])
