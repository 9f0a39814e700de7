"""Measures rows in turns, A B C A B C, so that a disturbance of the machine affects all of them."""

from __future__ import annotations

import json
import logging
import math
import os
import re
import statistics
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Final, NamedTuple

from tests.performance.rows import Row
from tests.performance.servers import ROOT, Servers


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


_log: Final = logging.getLogger(__name__)
_LUA: Final = Path(__file__).with_name("wrk.lua")
_WRK: Final = ("wrk", "--threads=1", "--connections=16", "--timeout=10s", f"--script={_LUA}")
_CREATES_PER_SECOND: Final = 200  # of a vendor's client, for each second that the servers are under load


def measure(
    rows: Sequence[Row], take_sample: Callable[[Row, str, int], Sample], *, rounds: int, seconds: int
) -> Mapping[str, list[Sample]]:
    """Warm up every row, then sample all of them in each round; each sample has a unique prefix, and seconds."""
    samples: dict[str, list[Sample]] = {row.name: [] for row in rows}
    for index, row in enumerate(rows):
        take_sample(row, f"w{index}x", 1)
    for number in range(1, rounds + 1):
        for index, row in enumerate(rows):
            _log.info("round %d of %d: %s", number, rounds, row.name)
            samples[row.name].append(take_sample(row, f"{number}r{index}x", seconds))
    return samples


def take_sample(servers: Servers, row: Row, run: str, seconds: int) -> Sample:
    """Measure the CPU of a server and its descendants under load from wrk, or that of a vendor's client."""
    if row.request is None:
        arguments = [row.server, servers.backend.url, run, str(seconds * _CREATES_PER_SECOND)]
        output = _run([sys.executable, "-m", "tests.performance.apps.vendor", *arguments], seconds)
        return Sample(**json.loads(output))
    server = getattr(servers, row.server)
    command = [*_WRK, f"--duration={seconds}s", server.url, "--", row.request.text, run]
    before = cpu_seconds(server.pid)
    requests, duration = parse_wrk(_run(command, seconds))
    return Sample(requests, duration, cpu_used(before, cpu_seconds(server.pid)))


def parse_wrk(output: str) -> tuple[int, float]:
    """Return requests and seconds from the last line, which wrk.lua writes.

    Raise RuntimeError if any request failed, since a failure has another cost.
    """
    summary = json.loads(output.rstrip().rpartition("\n")[2])
    errors = {kind: summary[kind] for kind in ("socket_errors", "error_statuses", "timeouts") if summary[kind]}
    if errors or not summary["requests"]:
        raise RuntimeError(f"of {summary['requests']} requests failed: {errors}")
    return summary["requests"], summary["microseconds"] / 1e6


def _run(command: list[str], seconds: int) -> str:
    return subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, text=True, check=True, timeout=seconds + 60).stdout
