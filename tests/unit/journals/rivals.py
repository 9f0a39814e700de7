"""What other processes do to a journal: `python -m tests.unit.journals.rivals WHAT URL`, begun by a line on their input."""

from __future__ import annotations

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
from tests.unit.journals.records import a_claim

THREADS = 20


def tell(value: Any) -> None:
    """Say it at once, in one write: what was told has been told, whatever becomes of us."""
    os.write(1, json.dumps(value).encode() + b"\n")


def hear() -> None:
    sys.stdin.readline()


def new(**changes: Any) -> Claim:
    """A claim that no other process makes."""
    name = os.urandom(8).hex()
    return a_claim(**{"id": name, "natural_key": ("2", name), "request_id": name} | changes)


def attempt(journal: Journal, **changes: Any) -> str:
    """Say how a claim went."""
    try:
        return journal.claim(new(**changes)).match
    except JournalUnavailable as error:
        return error.detail


def claim(journal: Journal) -> None:
    """Claim one name, twenty at a time."""
    with ThreadPoolExecutor(THREADS) as pool:
        claims = [pool.submit(attempt, journal, natural_key=("2", "same")) for _ in range(THREADS)]
    tell([claim.result() for claim in claims])


def take(journal: Journal) -> None:
    """Take what is due, a few at a time, until nothing is."""
    ids: list[str] = []
    while taken := journal.lease_due(f"{os.getpid()}", now=1000.0, lease_seconds=60.0, limit=3):
        ids += [operation.claim.id for operation in taken]
    tell(ids)


def count(journal: Journal) -> None:
    """Open it, which brings the schema about."""
    tell(sum(journal.counts().values()))


def claims(journal: Journal) -> None:
    """Claim until killed, and tell every claim once it is written."""
    while True:
        claim = new()
        journal.claim(claim)
        tell(claim.id)


def tidying(journal: Journal) -> None:
    """The same, and bring the file up to date all the time."""
    sqlite._COPY_BACK_CHANGES = 3  # type: ignore[misc]
    while True:
        claim = new()
        journal.claim(claim)
        tell(claim.id)
        journal.checkpoint()


def few(journal: Journal) -> None:
    """Claim for a while, too little for a checkpoint, then wait to be killed."""
    for _ in range(300):
        claim = new()
        journal.claim(claim)
        tell(claim.id)
        time.sleep(0.002)
    hear()


def stranger(journal: Journal) -> None:
    """Claim as somebody who may not write there, and again after a word that the folder has been opened."""
    if os.geteuid() == 0:
        os.setgid(65534)
        os.setuid(65534)
    tell(attempt(journal))
    hear()
    tell(attempt(journal))


def full(journal: Journal) -> None:
    """Claim until the disk takes no more, then get more room; what was claimed must still be there."""
    claim = new()
    journal.claim(claim)
    resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, resource.RLIM_INFINITY))
    written = 0
    while (said := attempt(journal)) == "claimed":
        written += 1
    resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    tell([said, attempt(journal), sum(journal.counts().values()) - written])


def fork(journal: Journal) -> None:
    """Use it before and after a fork, on both sides."""
    parent = attempt(journal)
    if not (pid := os.fork()):
        tell([attempt(journal), len(journal._links)])  # type: ignore[attr-defined]
        journal.close()
        os._exit(0)
    os.waitpid(pid, 0)
    tell([parent, attempt(journal), sum(journal.counts().values())])


if __name__ == "__main__":
    told = {f.__name__: f for f in (claim, take, count, claims, tidying, few, stranger, full, fork)}[sys.argv[1]]
    opened = create_journal(sys.argv[2])
    tell("ready")
    hear()
    told(opened)
    opened.close()
