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
from contextlib import closing, contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Final, NamedTuple

import psycopg

from gateway.domain.journal import Journal
from gateway.domain.module import Module, ModuleDraft, Owner
from gateway.domain.operation import Claim, Settlement, State
from gateway.journals import create_journal
from gateway.provisioning.serialization import draft_to_json, fingerprint, module_to_json
from tests.integration.chaos import database

_DAY: Final = 24 * 3600.0
_BATCH: Final = 1000  # the number of rows that the reconciler deletes at once


class JournalUnderTest(NamedTuple):
    """A journal, the size of a table with its indexes in bytes, and what the server does in the course of a day."""

    name: str
    journal: Journal
    size: Callable[[str], int]
    vacuum: Callable[[], object]


@contextmanager
def sqlite() -> Iterator[JournalUnderTest]:
    """Yield a journal in a file; the write-ahead log is checkpointed before the file is measured."""
    with tempfile.TemporaryDirectory(prefix="growth-") as folder:
        path = Path(folder, "journal.db")
        with closing(create_journal(f"sqlite:///{path}")) as journal:

            def size(_table: str) -> int:
                journal.close()  # closing the last connection is a checkpoint
                return path.stat().st_size

            yield JournalUnderTest("SQLite", journal, size, lambda: None)


@contextmanager
def postgres() -> Iterator[JournalUnderTest]:
    """Yield a journal in a PostgreSQL server with default settings: every commit is on disk."""
    with database.server() as server:
        url = database.new_database(server)
        with closing(create_journal(url)) as journal, psycopg.connect(url, autocommit=True) as connection:

            def size(table: str) -> int:
                (row,) = connection.execute("SELECT pg_total_relation_size(%s::regclass)", [table])
                return int(row[0])

            yield JournalUnderTest("PostgreSQL", journal, size, lambda: connection.execute("VACUUM operations"))


def create(journal: Journal, number: int, at: float) -> None:
    """Write the claim of a create on CMDB with an Idempotency-Key, and its settlement as successful."""
    name, operation = f"web-frontend-{number:08d}", str(uuid.UUID(int=number))  # ids sort by time, as in the gateway
    draft = draft_to_json(
        ModuleDraft(scope="1", parent="10", name=name, owners=("admin",), attributes={"bk_module_type": "1"})
    )
    context = {"if_exists": "error", "probed": False, "acts_as": "gateway", "credential": None, "backend_time": at}
    claim = Claim(
        id=operation,
        backend="cmdb",
        natural_key=("1", "10", name),
        caller="portal",
        idempotency_key=str(uuid.uuid4()),
        request_id=uuid.uuid4().hex,
        fingerprint=fingerprint("cmdb", draft, "error"),
        draft={"draft": draft, **context},
        claimed_at=at,
        lease_until=at + 40.0,
        dedup_until=None,
        settle_seconds=130.0,
        worker_id="module-gateway-5f7c9d8b4-x2x7q:17:0a1b2c3d",
    )
    module = Module(
        backend="cmdb",
        ref=f"1.10.{number}",
        native_id=str(number),
        scope="1",
        parent="10",
        name=name,
        owners=(Owner("admin"),),
        attributes={"bk_module_type": "1", "bk_bak_operator": "admin", "service_category_id": 2},
        depth=1,
        has_children=False,
        created_at=datetime.fromtimestamp(at, UTC),
        updated_at=datetime.fromtimestamp(at, UTC),
        unavailable=("description",),
        created_by="gateway",
    )
    result = module_to_json(module, adopted=False)
    journal.claim(claim)
    journal.settle(operation, Settlement(state=State.SUCCEEDED, at=at, module=result, module_id=module.id))


def measure(subject: JournalUnderTest, operations: int) -> dict[str, float | str]:
    """Fill a journal, simulate days of expiry, and return its size and throughput."""
    journal = subject.journal
    journal.counts()  # creates the tables
    size_before = subject.size("met")
    journal.record_seen("projectman", "0792b7d26cb74bd799cbae80063dc74a", list(map(str, range(operations))), at=0.0)
    seen = subject.size("met") - size_before
    empty = subject.size("operations")
    started = time.perf_counter()
    for number in range(operations):
        create(journal, number, 0.0)
    sequential = time.perf_counter() - started
    filled = subject.size("operations")
    started = time.perf_counter()
    with ThreadPoolExecutor(8) as threads:
        list(threads.map(lambda number: create(journal, number, _DAY), range(operations, 2 * operations)))
    concurrent = time.perf_counter() - started
    # Equal numbers expire and are created, so that freed space is reused, as after the first day.
    for number in range(2 * operations, 4 * operations):
        if number % _BATCH == 2 * operations % _BATCH:
            journal.expire(settled_before=_DAY + 1.0, limit=_BATCH)
            subject.vacuum()
        create(journal, number, 2 * _DAY)
    steady = subject.size("operations")
    return {
        "journal": subject.name,
        "bytes per operation": round((filled - empty) / operations),
        "bytes per operation, steady state": round((steady - empty) / (2 * operations)),
        "bytes per seen module": round(seen / operations),
        "creates per second, sequential": round(operations / sequential),
        "creates per second, eight concurrent": round(operations / concurrent),
    }


if __name__ == "__main__":
    for run in (sqlite, postgres):
        with run() as subject_:
            print(json.dumps(measure(subject_, int(sys.argv[1]) if len(sys.argv) > 1 else 20_000)))  # noqa: T201 - a command
