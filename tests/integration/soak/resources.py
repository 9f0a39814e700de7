"""Samples the resources of a worker from /proc, and detects growth: compares quarters, and fits a line."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from statistics import linear_regression, median
from typing import Final, NamedTuple

#: Names the folder in which each worker writes its number of greenlets.
VARIABLE: Final = "SOAK_COUNTS"
_CLOSE_WAIT: Final = "08"
#: Allowed difference between the last and the second quarter, for caches and connections. Memory is in MiB, the rest
#: are numbers; the fitted line may rise by twice as much.
TOLERANCE: Final[Mapping[str, float]] = {
    "memory": 6.0,  # resident
    "descriptors": 12.0,
    "threads": 2.0,
    "greenlets": 30.0,
    "close_wait": 3.0,  # connections that only the other side has closed
}
#: The seconds since the start, and the resources of a worker.
Sample = tuple[float, Mapping[str, float]]


class Trend(NamedTuple):
    """The trend of one resource of one worker."""

    second: float  # quarter
    last: float
    slope: float  # per hour
    flat: bool  # whether the resource stayed within its tolerance


def workers(master: int) -> set[int]:
    """Return the process ids of the workers of a gunicorn master."""
    return set(map(int, Path(f"/proc/{master}/task/{master}/children").read_text().split()))


def sample(worker: int, counts: Path) -> Mapping[str, float]:
    """Sample a worker; `counts` is the folder of the greenlet counts. Raise OSError if the worker has ended."""
    process = Path(f"/proc/{worker}")
    links = []
    for descriptor in (process / "fd").iterdir():
        with suppress(FileNotFoundError):  # closed after it was listed
            links.append(str(descriptor.readlink()))
    connections = [line.split() for line in (process / "net/tcp").read_text().splitlines()[1:]]
    close_wait = {f"socket:[{fields[9]}]" for fields in connections if fields[3] == _CLOSE_WAIT}
    count = counts / str(worker)
    return {
        "memory": int((process / "statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 2**20,
        "descriptors": len(links),
        "threads": len(list((process / "task").iterdir())),
        "greenlets": float(count.read_text() or 0) if count.exists() else 0.0,
        "close_wait": sum(link in close_wait for link in links),
    }


def trend(resource: str, samples: Sequence[Sample]) -> Trend:
    """Return the trend of a resource; the first quarter is warm-up and not used."""
    quarter, tolerance = max(len(samples) // 4, 1), TOLERANCE[resource]
    times, values = [at for at, _ in samples[quarter:]], [float(values[resource]) for _, values in samples]
    second, last = median(values[quarter : 2 * quarter]), median(values[-quarter:])
    slope = linear_regression(times, values[quarter:]).slope
    flat = last - second <= tolerance and slope * (times[-1] - times[0]) <= 2 * tolerance
    return Trend(second, last, slope * 3600, flat)
