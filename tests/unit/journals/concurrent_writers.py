"""Another process that uses a journal: `python -m tests.unit.journals.concurrent_writers TASK URL`.

The task starts at a line on standard input.
"""

from __future__ import annotations

import itertools
import json
import os
import resource
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from gateway.domain.errors import JournalUnavailable
from gateway.domain.journal import Journal
from gateway.domain.operation import Claim
from gateway.journals import create_journal, sqlite
from tests.unit.journals.records import make_claim


def report(value: Any) -> None:
    """Print a value with one unbuffered write, so that a kill afterwards cannot lose it."""
    os.write(1, json.dumps(value).encode() + b"\n")


def unique_claim(**changes: Any) -> Claim:
    """A claim whose names no other process uses."""
    name = os.urandom(8).hex()
    return make_claim(**{"id": name, "natural_key": ("2", name), "request_id": name} | changes)


def try_claim(journal: Journal, **changes: Any) -> str:
    """Return the match of a claim, or the error."""
    try:
        return journal.claim(unique_claim(**changes)).match
    except JournalUnavailable as error:
        return error.detail


def claim(journal: Journal) -> None:
    """Claim one name, twenty at a time."""
    with ThreadPoolExecutor(20) as pool:
        claims = [pool.submit(try_claim, journal, natural_key=("2", "same")) for _ in range(20)]
    report([claim.result() for claim in claims])


def lease(journal: Journal) -> None:
    """Lease operations, three at a time, until none is due."""
    ids: list[str] = []
    while leased := journal.lease_due(
        f"{os.getpid()}", now=1000.0, lease_seconds=60.0, horizon_seconds=300.0, except_backends=(), limit=3
    ):
        ids += [operation.claim.id for operation in leased]
    report(ids)


def count(journal: Journal) -> None:
    """Open the journal, which creates its schema."""
    report(sum(journal.counts().values()))


def claims(journal: Journal, number: int | None = None) -> None:
    """Claim until killed, and report every claim after it is written."""
    for _ in itertools.count() if number is None else range(number):
        claim = unique_claim()
        journal.claim(claim)
        report(claim.id)


def checkpoints(journal: Journal) -> None:
    """Claim until killed, and make a checkpoint after each claim."""
    sqlite._CHECKPOINT_AFTER = 3  # type: ignore[misc]
    while True:
        claims(journal, 1)
        journal.checkpoint()


def few(journal: Journal) -> None:
    """Make 300 claims, too few for a checkpoint, then wait to be killed."""
    for _ in range(300):
        claims(journal, 1)
        time.sleep(0.002)
    sys.stdin.readline()


def unprivileged(journal: Journal) -> None:
    """Claim as a user without write permission, and again after a line that says the permission was granted."""
    if os.geteuid() == 0:
        os.setgid(65534)
        os.setuid(65534)
    report(try_claim(journal))
    sys.stdin.readline()
    report(try_claim(journal))


def disk_full(journal: Journal) -> None:
    """Claim until the file size limit is reached, then again without it; report how many earlier claims are left."""
    claim = unique_claim()
    journal.claim(claim)
    resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, resource.RLIM_INFINITY))
    written = 0
    while (match := try_claim(journal)) == "claimed":
        written += 1
    resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    report([match, try_claim(journal), sum(journal.counts().values()) - written])


def fork(journal: Journal) -> None:
    """Use the journal before and after a fork, in both processes."""
    parent = try_claim(journal)
    if not (pid := os.fork()):
        report([try_claim(journal), len(journal._states)])  # type: ignore[attr-defined]
        journal.close()
        os._exit(0)
    os.waitpid(pid, 0)
    report([parent, try_claim(journal), sum(journal.counts().values())])


def greenlets(journal: Journal) -> None:
    """Claim one name in 50 greenlets while the table is locked; report the results, and how often another one ran."""
    import gevent  # noqa: PLC0415 - the other tasks run without it
    import psycopg  # noqa: PLC0415
    from gevent.event import Event  # noqa: PLC0415

    journal.counts()
    done, ticks = Event(), 0

    def tick() -> None:
        nonlocal ticks
        while not done.wait(0.01):
            ticks += 1

    ticker = gevent.spawn(tick)
    with psycopg.connect(sys.argv[2]) as locker:
        locker.execute("LOCK TABLE operations IN EXCLUSIVE MODE")
        claims = [gevent.spawn(try_claim, journal, natural_key=("2", "same")) for _ in range(50)]
        gevent.sleep(0.3)
    matches = [claim.get() for claim in claims]
    done.set()
    ticker.join()
    report([matches.count("claimed"), matches.count("name"), ticks])


if __name__ == "__main__":
    tasks = (claim, lease, count, claims, checkpoints, few, unprivileged, disk_full, fork, greenlets)
    task = {function.__name__: function for function in tasks}[sys.argv[1]]
    opened = create_journal(sys.argv[2])
    report("ready")
    sys.stdin.readline()
    task(opened)
    opened.close()
