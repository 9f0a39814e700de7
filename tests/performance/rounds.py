"""Rows measured in turns, A B C A B C: what disturbs the machine for a while disturbs them all."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from tests.performance import proc, wrk
from tests.performance.figures import Sample
from tests.performance.servers import ROOT, Server

#: A name for a run, short, unlike any other's; and how long it takes, seconds.
Run = Callable[[str, int], Sample]
WARM_UP: Final = "w"
_CREATES: Final = 200  # of a vendor's client, a second of load


@dataclass(frozen=True, kw_only=True)
class Row:
    """One line of the table."""

    name: str
    does: str
    leaves_out: str
    run: Run


def measure(
    rows: Sequence[Row], *, rounds: int, seconds: int, tell: Callable[[str], None]
) -> Mapping[str, list[Sample]]:
    """Warm every row up, then measure all of them, round after round."""
    found: dict[str, list[Sample]] = {row.name: [] for row in rows}
    for number, row in enumerate(rows):
        row.run(f"{WARM_UP}{number}x", 1)
    for each in range(1, rounds + 1):
        for number, row in enumerate(rows):
            tell(f"round {each} of {rounds}: {row.name}")
            found[row.name].append(row.run(f"{each}r{number}x", seconds))
    return found


def served(server: Server, shot: wrk.Shot) -> Run:
    """Measure a server: the CPU of its process and all its descendants while wrk loads it."""

    def run(name: str, seconds: int) -> Sample:
        before = proc.family(server.pid)
        load = wrk.fire(server.address, shot, name, seconds=seconds)
        cpu = proc.spent(before, proc.family(server.pid))
        return Sample(requests=load.requests, seconds=load.seconds, cpu_seconds=cpu)

    return run


def called(vendor: str, url: str) -> Run:
    """Measure a caller: the CPU of a process that creates modules with a vendor's client, one after the other."""

    def run(name: str, seconds: int) -> Sample:
        command = [sys.executable, "-m", "tests.performance.apps.vendor", vendor, url, name, str(seconds * _CREATES)]
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True, timeout=seconds + 60)
        return Sample(**json.loads(done.stdout))

    return run
