"""Measures what a journal costs on disk and how fast it takes creates: `python -m tests.integration.deploy.growth [OPERATIONS]`.

The figures of deploy/capacity.md come from here. Both engines are real: a file, and a PostgreSQL server of its own.
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
_BATCH: Final = 1000  # so many the reconciler deletes at a time


@dataclass(frozen=True)
class Stand:
    """A journal, how many bytes a table and its indexes take, and what the server does in the background."""

    name: str
    journal: Journal
    size: Callable[[str], int]
    checkpoint: Callable[[], None] = lambda: None


@contextmanager
def sqlite() -> Iterator[Stand]:
    """A file in a folder of its own; what is still in the write-ahead log is copied back before it is weighed."""
    with tempfile.TemporaryDirectory(prefix="growth-") as folder:
        path = Path(folder, "journal.db")
        journal = create_journal(f"sqlite:///{path}")

        def size(_table: str) -> int:
            journal.close()  # the last connection to close copies everything back
            return path.stat().st_size

        yield Stand("SQLite", journal, size)
        journal.close()


@contextmanager
def postgres() -> Iterator[Stand]:
    """A database in a server of its own, as PostgreSQL comes: every commit is on disk."""
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
                connection.execute("VACUUM operations")  # what autovacuum would have done in the course of a day

        yield Stand("PostgreSQL", journal, size, checkpoint)
        journal.close()


def claim(number: int, at: float) -> Claim:
    """A create on CMDB as a caller with an Idempotency-Key asks for it."""
    draft = draft_to_json(_draft(number))
    return Claim(
        id=str(uuid.UUID(int=number)),  # ids sort by time, as the service makes them
        backend="cmdb",
        natural_key=("1", "10", _draft(number).name),
        caller="portal",
        idempotency_key=str(uuid.uuid4()),
        request_id=uuid.uuid4().hex,
        fingerprint=fingerprint("cmdb", draft, "error"),
        draft={"draft": draft, "if_exists": "error", "probed": False},
        claimed_at=at,
        lease_until=at + 40.0,
        dedup_until=None,
        settle_seconds=130.0,
        worker_id="module-gateway-5f7c9d8b4-x2x7q:17:0a1b2c3d",
    )


def end(number: int, at: float) -> Settlement:
    """Its success."""
    made = Module(
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
    return Settlement(state=State.SUCCEEDED, at=at, module=module_to_json(made, adopted=False), module_id=made.id)


def create(journal: Journal, number: int, at: float) -> None:
    """What a create costs the journal: a claim and its end."""
    begun = claim(number, at)
    journal.claim(begun)
    journal.settle(begun.id, end(number, at))


def measure(stand: Stand, operations: int) -> dict[str, float | str]:
    """Fill a journal, let days pass over it, and see what it weighs and how fast it was."""
    stand.journal.counts()  # makes the tables
    known = stand.size("met")
    stand.journal.record_seen(
        "projectman", "0792b7d26cb74bd799cbae80063dc74a", [str(n) for n in range(operations)], at=0.0
    )
    met = stand.size("met") - known
    empty = stand.size("operations")
    started = time.perf_counter()
    for number in range(operations):
        create(stand.journal, number, 0.0)
    alone = time.perf_counter() - started
    first = stand.size("operations")
    with ThreadPoolExecutor(8) as threads:
        started = time.perf_counter()
        list(threads.map(lambda number: create(stand.journal, number, _DAY), range(operations, 2 * operations)))
        together = time.perf_counter() - started
    _pass_days(stand, range(2 * operations, 4 * operations))
    weight = stand.size("operations")
    return {
        "journal": stand.name,
        "bytes an operation": round((first - empty) / operations),
        "bytes an operation, for good": round((weight - empty) / (2 * operations)),
        "bytes a module met": round(met / operations),
        "creates a second, one after another": round(operations / alone),
        "creates a second, eight at once": round(operations / together),
    }


def _pass_days(stand: Stand, numbers: range) -> None:
    """Let as many operations come as go, as on any day after the first; what goes leaves room that is used again."""
    for first in range(numbers.start, numbers.stop, _BATCH):
        stand.journal.expire(settled_before=_DAY + 1.0, limit=_BATCH)
        stand.checkpoint()
        for number in range(first, min(first + _BATCH, numbers.stop)):
            create(stand.journal, number, 2 * _DAY)


def _draft(number: int) -> ModuleDraft:
    return ModuleDraft(
        scope="1", parent="10", name=f"web-frontend-{number:08d}", owners=("admin",), attributes={"bk_module_type": "1"}
    )


def main(operations: int) -> None:
    """Print one line of JSON for each journal."""
    for kind in (sqlite, postgres):
        with kind() as stand:
            print(json.dumps(measure(stand, operations)))  # noqa: T201 - it speaks to a person


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 20_000)
