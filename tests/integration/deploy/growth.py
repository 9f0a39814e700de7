"""Measures size and throughput of a journal: `python -m tests.integration.deploy.growth [OPERATIONS]`.

It is the source of the numbers in deploy/capacity.md. Both journals are real: a file and a PostgreSQL server.
"""

from __future__ import annotations

import json
import sys
import tempfile
import time
import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import psycopg

from gateway.domain.journal import Journal
from gateway.domain.module import Module, ModuleDraft, Owner
from gateway.domain.operation import Claim, Settlement, State
from gateway.journals import create_journal
from gateway.provisioning.serialization import draft_to_json, fingerprint, module_to_json
from tests.integration.chaos import database

_DAY: Final = 24 * 3600.0
_BATCH: Final = 1000  # the number of rows that the reconciler deletes at once


@dataclass(frozen=True)
class JournalUnderTest:
    """A journal, the size of a table with its indexes in bytes, and the server's background work."""

    name: str
    journal: Journal
    size: Callable[[str], int]
    checkpoint: Callable[[], None] = lambda: None


@contextmanager
def sqlite() -> Iterator[JournalUnderTest]:
    """Yield a journal in a file; the write-ahead log is checkpointed before the file is measured."""
    with tempfile.TemporaryDirectory(prefix="growth-") as folder:
        path = Path(folder, "journal.db")
        journal = create_journal(f"sqlite:///{path}")

        def size(_table: str) -> int:
            journal.close()  # closing the last connection is a checkpoint
            return path.stat().st_size

        yield JournalUnderTest("SQLite", journal, size)
        journal.close()


@contextmanager
def postgres() -> Iterator[JournalUnderTest]:
    """Yield a journal in a PostgreSQL server with default settings: every commit is on disk."""
    with database.server() as server:
        url = database.new_database(server)
        journal = create_journal(url)

        def size(table: str) -> int:
            with psycopg.connect(url, autocommit=True) as connection:
                row = connection.execute("SELECT pg_total_relation_size(%s::regclass)", [table]).fetchone()
            assert row is not None
            return int(row[0])

        def checkpoint() -> None:
            with psycopg.connect(url, autocommit=True) as connection:
                connection.execute("VACUUM operations")  # autovacuum does it in the course of a day

        yield JournalUnderTest("PostgreSQL", journal, size, checkpoint)
        journal.close()


def claim(number: int, at: float) -> Claim:
    """Return the claim of a create on CMDB with an Idempotency-Key."""
    draft = draft_to_json(_draft(number))
    return Claim(
        id=str(uuid.UUID(int=number)),  # ids sort by time, as in the gateway
        backend="cmdb",
        natural_key=("1", "10", _draft(number).name),
        caller="portal",
        idempotency_key=str(uuid.uuid4()),
        request_id=uuid.uuid4().hex,
        fingerprint=fingerprint("cmdb", draft, "error"),
        draft={
            "draft": draft,
            "if_exists": "error",
            "probed": False,
            "acts_as": "gateway",
            "credential": None,
            "backend_time": at,
        },
        claimed_at=at,
        lease_until=at + 40.0,
        dedup_until=None,
        settle_seconds=130.0,
        worker_id="module-gateway-5f7c9d8b4-x2x7q:17:0a1b2c3d",
    )


def settlement(number: int, at: float) -> Settlement:
    """Return the settlement of a successful create."""
    module = Module(
        backend="cmdb",
        ref=f"1.10.{number}",
        native_id=str(number),
        scope="1",
        parent="10",
        name=_draft(number).name,
        owners=(Owner("admin"),),
        attributes={"bk_module_type": "1", "bk_bak_operator": "admin", "service_category_id": 2},
        depth=1,
        has_children=False,
        created_at=datetime.fromtimestamp(at, UTC),
        updated_at=datetime.fromtimestamp(at, UTC),
        unavailable=("description",),
        created_by="gateway",
    )
    return Settlement(state=State.SUCCEEDED, at=at, module=module_to_json(module, adopted=False), module_id=module.id)


def create(journal: Journal, number: int, at: float) -> None:
    """Write a claim and its settlement."""
    operation = claim(number, at)
    journal.claim(operation)
    journal.settle(operation.id, settlement(number, at))


def measure(subject: JournalUnderTest, operations: int) -> dict[str, float | str]:
    """Fill a journal, simulate days of expiry, and return its size and throughput."""
    subject.journal.counts()  # creates the tables
    size_before = subject.size("met")
    subject.journal.record_seen(
        "projectman", "0792b7d26cb74bd799cbae80063dc74a", [str(number) for number in range(operations)], at=0.0
    )
    seen = subject.size("met") - size_before
    empty = subject.size("operations")
    started = time.perf_counter()
    for number in range(operations):
        create(subject.journal, number, 0.0)
    sequential = time.perf_counter() - started
    filled = subject.size("operations")
    with ThreadPoolExecutor(8) as threads:
        started = time.perf_counter()
        list(threads.map(lambda number: create(subject.journal, number, _DAY), range(operations, 2 * operations)))
        concurrent = time.perf_counter() - started
    _expire_and_refill(subject, range(2 * operations, 4 * operations))
    steady = subject.size("operations")
    return {
        "journal": subject.name,
        "bytes per operation": round((filled - empty) / operations),
        "bytes per operation, steady state": round((steady - empty) / (2 * operations)),
        "bytes per seen module": round(seen / operations),
        "creates per second, sequential": round(operations / sequential),
        "creates per second, eight concurrent": round(operations / concurrent),
    }


def _expire_and_refill(subject: JournalUnderTest, numbers: range) -> None:
    """Expire and create equal numbers of operations, so that freed space is reused, as after the first day."""
    for first in range(numbers.start, numbers.stop, _BATCH):
        subject.journal.expire(settled_before=_DAY + 1.0, limit=_BATCH)
        subject.checkpoint()
        for number in range(first, min(first + _BATCH, numbers.stop)):
            create(subject.journal, number, 2 * _DAY)


def _draft(number: int) -> ModuleDraft:
    return ModuleDraft(
        scope="1", parent="10", name=f"web-frontend-{number:08d}", owners=("admin",), attributes={"bk_module_type": "1"}
    )


def main(operations: int) -> None:
    """Print one line of JSON for each journal."""
    for journal in (sqlite, postgres):
        with journal() as subject:
            print(json.dumps(measure(subject, operations)))  # noqa: T201 - a command line tool


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 20_000)
