"""Reads process trees, CPU times and memory from /proc (proc(5))."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final, NamedTuple

PROC: Final = Path("/proc")


class Stat(NamedTuple):
    """The used fields of /proc/PID/stat."""

    parent: int
    cpu_seconds: float  # user and system, of all threads


def parse_stat(line: str, ticks: int) -> Stat:
    """Parse a line of /proc/PID/stat; the process name in parentheses may contain parentheses."""
    fields = line.rpartition(")")[2].split()
    return Stat(parent=int(fields[1]), cpu_seconds=(int(fields[11]) + int(fields[12])) / ticks)


def process_tree(pid: int, proc: Path = PROC) -> dict[int, float]:
    """Return the CPU seconds of a process and of all its descendants, by process id."""
    stats: dict[int, Stat] = {}
    ticks = os.sysconf("SC_CLK_TCK")
    for entry in proc.iterdir():
        if entry.name.isdigit():
            try:
                stats[int(entry.name)] = parse_stat((entry / "stat").read_text(encoding="utf-8"), ticks)
            except (FileNotFoundError, ProcessLookupError):  # the process ended after it was listed
                continue
    members = [pid]
    for member in members:  # grows during the iteration
        members += [child for child, stat in stats.items() if stat.parent == member]
    return {member: stats[member].cpu_seconds for member in members if member in stats}


def cpu_used(before: dict[int, float], after: dict[int, float]) -> float:
    """Return the CPU seconds between two readings; raise RuntimeError if a process ended or started in between."""
    if before.keys() != after.keys():
        raise RuntimeError(f"processes ended or started during the measurement: {sorted(before)}, {sorted(after)}")
    return sum(after.values()) - sum(before.values())


def memory_mib(pid: int, field: str = "VmHWM", proc: Path = PROC) -> float:
    """Return resident memory in MiB: the maximum (VmHWM) or the present value (VmRSS)."""
    for line in (proc / str(pid) / "status").read_text(encoding="utf-8").splitlines():
        name, _, value = line.partition(":")
        if name == field:
            return int(value.split()[0]) / 1024
    raise KeyError(field)
