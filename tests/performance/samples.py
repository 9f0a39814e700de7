"""Samples of CPU time and memory from /proc (proc(5)), medians, and percentiles by the nearest rank."""

from __future__ import annotations

import math
import os
import re
import statistics
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple


class Sample(NamedTuple):
    """One round of one row; the CPU time is that of the serving processes."""

    requests: int
    seconds: float
    cpu_seconds: float

    @property
    def cpu_us(self) -> float:
        """CPU microseconds per request, user and system."""
        return self.cpu_seconds / self.requests * 1e6

    @property
    def per_second(self) -> float:
        return self.requests / self.seconds


def median_ratio(samples: Sequence[Sample], floor: Sequence[Sample]) -> float:
    """Return the median of the CPU ratios of each round, since a disturbance affects both samples of a round."""
    return statistics.median(own.cpu_us / base.cpu_us for own, base in zip(samples, floor, strict=True))


def percentile(values: Sequence[float], percent: float) -> float:
    """Return the smallest value that is not below `percent` of all; raise ValueError if there are none."""
    if not values or not 0 < percent <= 100:
        raise ValueError("a percentile needs values, and a percentage above 0")
    return sorted(values)[math.ceil(len(values) * percent / 100) - 1]


def cpu_seconds(pid: int) -> dict[int, float]:
    """Return the CPU seconds, user and system, of a process and of all its descendants, by process id."""
    process = Path(f"/proc/{pid}")
    fields = (process / "stat").read_text().rpartition(")")[2].split()  # the name before it may contain parentheses
    seconds = {pid: (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")}
    for children in process.glob("task/*/children"):
        for child in children.read_text().split():
            seconds |= cpu_seconds(int(child))
    return seconds


def cpu_used(before: dict[int, float], after: dict[int, float]) -> float:
    """Return the CPU seconds between two readings; raise RuntimeError if a process ended or started in between."""
    if before.keys() != after.keys():
        raise RuntimeError(f"processes ended or started during the measurement: {sorted(before)}, {sorted(after)}")
    return sum(after.values()) - sum(before.values())


def peak_memory_mib(pid: int) -> float:
    """Return the maximum of a process's resident memory in MiB."""
    (kibibytes,) = re.findall(r"VmHWM:\s*(\d+) kB", Path(f"/proc/{pid}/status").read_text())
    return int(kibibytes) / 1024
