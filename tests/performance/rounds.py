"""Measures rows in turns, A B C A B C, so that a disturbance of the machine affects all of them."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from tests.performance import proc, wrk
from tests.performance.samples import Sample
from tests.performance.servers import ROOT, Server

#: Takes a short name that is unique among the runs, and the duration in seconds.
Run = Callable[[str, int], Sample]
WARM_UP: Final = "w"
_CREATES_PER_SECOND: Final = 200  # of a vendor's client, for each second that the servers are under load


@dataclass(frozen=True, kw_only=True)
class Row:
    """One row of the table."""

    name: str
    does: str
    leaves_out: str
    run: Run


def measure(
    rows: Sequence[Row], *, rounds: int, seconds: int, progress: Callable[[str], None]
) -> Mapping[str, list[Sample]]:
    """Warm up every row, then measure all of them in each round."""
    samples: dict[str, list[Sample]] = {row.name: [] for row in rows}
    for index, row in enumerate(rows):
        row.run(f"{WARM_UP}{index}x", 1)
    for number in range(1, rounds + 1):
        for index, row in enumerate(rows):
            progress(f"round {number} of {rounds}: {row.name}")
            samples[row.name].append(row.run(f"{number}r{index}x", seconds))
    return samples


def server_run(server: Server, spec: wrk.RequestSpec) -> Run:
    """Return a run that measures the CPU of a server and its descendants under load from wrk."""

    def run(name: str, seconds: int) -> Sample:
        before = proc.process_tree(server.pid)
        load = wrk.run(server.address, spec, name, seconds=seconds)
        cpu = proc.cpu_used(before, proc.process_tree(server.pid))
        return Sample(requests=load.requests, seconds=load.seconds, cpu_seconds=cpu)

    return run


def client_run(vendor: str, url: str) -> Run:
    """Return a run that measures the CPU of a process that creates modules one by one with a vendor's client."""

    def run(name: str, seconds: int) -> Sample:
        count = str(seconds * _CREATES_PER_SECOND)
        command = [sys.executable, "-m", "tests.performance.apps.vendor", vendor, url, name, count]
        process = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True, timeout=seconds + 60)
        return Sample(**json.loads(process.stdout))

    return run
