"""What a worker holds, as the operating system sees it."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Final

#: Where workers are told the folder in which each writes down how many greenlets it has.
VARIABLE: Final = "SOAK_COUNTS"
_PROC: Final = Path("/proc")
_PAGE: Final = os.sysconf("SC_PAGE_SIZE")
_CLOSE_WAIT: Final = "08"


@dataclass(frozen=True, kw_only=True)
class Sample:
    """One look at a worker."""

    at: float  # seconds since the start
    memory: float  # resident, MiB
    descriptors: float
    threads: float
    greenlets: float
    close_wait: float  # connections that the other side has closed, and we have not

    @classmethod
    def columns(cls) -> tuple[str, ...]:
        """Return what is looked at."""
        return tuple(each.name for each in fields(cls) if each.name != "at")


def workers(master: int) -> tuple[int, ...]:
    """Return the processes that a gunicorn has started."""
    return tuple(map(int, (_PROC / f"{master}/task/{master}/children").read_text().split()))


def look(worker: int, counts: Path, at: float) -> Sample:
    """Look at a worker; `counts` is where it writes down its greenlets. OSError where it has gone."""
    process = _PROC / str(worker)
    links = _links(process / "fd")
    status = dict(line.split(":", 1) for line in (process / "status").read_text().splitlines())
    waiting = _close_wait(process / "net/tcp")
    return Sample(
        at=at,
        memory=int((process / "statm").read_text().split()[1]) * _PAGE / 2**20,
        descriptors=len(links),
        threads=int(status["Threads"]),
        greenlets=_number(counts / str(worker)),
        close_wait=sum(link in waiting for link in links),
    )


def size(journal: Path) -> float:
    """Return what the journal takes on disk, with everything beside it, MiB."""
    return sum(each.stat().st_size for each in journal.parent.glob(f"{journal.name}*")) / 2**20


def by_worker(lookups: Sequence[Mapping[int, Sample]]) -> Mapping[int, Sequence[Sample]]:
    """Turn looks at all workers into each worker's story."""
    return {worker: [each[worker] for each in lookups if worker in each] for worker in sorted(lookups[0])}


def _links(folder: Path) -> list[str]:
    found = []
    for each in folder.iterdir():
        try:
            found.append(str(each.readlink()))
        except FileNotFoundError:
            continue  # closed since it was listed
    return found


def _close_wait(table: Path) -> frozenset[str]:
    rows = (line.split() for line in table.read_text().splitlines()[1:])
    return frozenset(f"socket:[{row[9]}]" for row in rows if row[3] == _CLOSE_WAIT)


def _number(file: Path) -> float:
    try:
        return float(file.read_text() or 0)
    except FileNotFoundError:
        return 0.0
