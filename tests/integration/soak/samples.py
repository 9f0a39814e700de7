"""Samples the resources of a worker from /proc."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Final

#: Names the folder in which each worker writes its number of greenlets.
VARIABLE: Final = "SOAK_COUNTS"
_PROC: Final = Path("/proc")
_PAGE: Final = os.sysconf("SC_PAGE_SIZE")
_CLOSE_WAIT: Final = "08"


@dataclass(frozen=True, kw_only=True)
class Sample:
    """The resources of a worker at one time."""

    at: float  # seconds since the start
    memory: float  # resident, MiB
    descriptors: float
    threads: float
    greenlets: float
    close_wait: float  # connections that only the other side has closed

    @classmethod
    def columns(cls) -> tuple[str, ...]:
        """Return the names of the resources."""
        return tuple(column.name for column in fields(cls) if column.name != "at")


def workers(master: int) -> tuple[int, ...]:
    """Return the process ids of the workers of a gunicorn master."""
    return tuple(map(int, (_PROC / f"{master}/task/{master}/children").read_text().split()))


def take_sample(worker: int, counts: Path, at: float) -> Sample:
    """Sample a worker; `counts` is the folder of the greenlet counts. Raise OSError if the worker has ended."""
    process = _PROC / str(worker)
    links = _links(process / "fd")
    status = dict(line.split(":", 1) for line in (process / "status").read_text().splitlines())
    close_wait = _close_wait(process / "net/tcp")
    return Sample(
        at=at,
        memory=int((process / "statm").read_text().split()[1]) * _PAGE / 2**20,
        descriptors=len(links),
        threads=int(status["Threads"]),
        greenlets=_number(counts / str(worker)),
        close_wait=sum(link in close_wait for link in links),
    )


def journal_size(journal: Path) -> float:
    """Return the size of the journal and its companion files in MiB."""
    return sum(file.stat().st_size for file in journal.parent.glob(f"{journal.name}*")) / 2**20


def by_worker(samples: Sequence[Mapping[int, Sample]]) -> Mapping[int, Sequence[Sample]]:
    """Return the samples of each worker."""
    return {worker: [values[worker] for values in samples if worker in values] for worker in sorted(samples[0])}


def _links(folder: Path) -> list[str]:
    links = []
    for descriptor in folder.iterdir():
        try:
            links.append(str(descriptor.readlink()))
        except FileNotFoundError:
            continue  # closed after it was listed
    return links


def _close_wait(table: Path) -> frozenset[str]:
    rows = (line.split() for line in table.read_text().splitlines()[1:])
    return frozenset(f"socket:[{row[9]}]" for row in rows if row[3] == _CLOSE_WAIT)


def _number(file: Path) -> float:
    try:
        return float(file.read_text() or 0)
    except FileNotFoundError:
        return 0.0
