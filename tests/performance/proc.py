"""What the operating system says about processes: who descends from whom, CPU time, memory (proc(5))."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final, NamedTuple

PROC: Final = Path("/proc")


class Stat(NamedTuple):
    """One line of /proc/PID/stat, as far as it matters here."""

    parent: int
    cpu_seconds: float  # user and system, of all threads


def read_stat(line: str, ticks: int) -> Stat:
    """Read a line; the name in brackets may hold anything, brackets too."""
    fields = line.rpartition(")")[2].split()
    return Stat(parent=int(fields[1]), cpu_seconds=(int(fields[11]) + int(fields[12])) / ticks)


def family(pid: int, proc: Path = PROC) -> dict[int, float]:
    """Return the CPU seconds of a process and of all its descendants, by process id."""
    stats: dict[int, Stat] = {}
    ticks = os.sysconf("SC_CLK_TCK")
    for entry in proc.iterdir():
        if entry.name.isdigit():
            try:
                stats[int(entry.name)] = read_stat((entry / "stat").read_text(encoding="utf-8"), ticks)
            except (FileNotFoundError, ProcessLookupError):  # it ended while we looked around
                continue
    found = [pid]
    for member in found:  # grows while it is walked
        found += [each for each, stat in stats.items() if stat.parent == member]
    return {each: stats[each].cpu_seconds for each in found if each in stats}


def spent(before: dict[int, float], after: dict[int, float]) -> float:
    """Return the CPU seconds between two looks; RuntimeError where a process ended or began in between."""
    if before.keys() != after.keys():
        raise RuntimeError(f"processes came or went while they were measured: {sorted(before)}, {sorted(after)}")
    return sum(after.values()) - sum(before.values())


def memory_mib(pid: int, field: str = "VmHWM", proc: Path = PROC) -> float:
    """Return resident memory in MiB: VmHWM, the most there ever was, or VmRSS, what there is."""
    for line in (proc / str(pid) / "status").read_text(encoding="utf-8").splitlines():
        name, _, value = line.partition(":")
        if name == field:
            return int(value.split()[0]) / 1024
    raise KeyError(field)
