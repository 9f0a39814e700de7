from __future__ import annotations

from contextlib import nullcontext
from pathlib import Path

import pytest

from tests.integration.chaos import database
from tests.integration.chaos.matrix import VIOLATIONS, Cell, run

pytestmark = [pytest.mark.loopback, pytest.mark.timeout(180)]

#: Killed before the create is sent, during it, and after its response, and frozen between claim and send;
#: `python -m tests.integration.chaos` runs all.
CELLS = [
    Cell("after-claim", "cmdb", "sqlite", "key"),
    Cell("after-send", "projectman", "sqlite", "request-id"),
    Cell("after-reply-read", "cmdb", "postgres", "key"),
    Cell("after-claim", "projectman", "sqlite", "key", "freeze"),
]


@pytest.mark.parametrize("cell", CELLS, ids=str)
def test_a_killed_or_frozen_worker_leaves_no_duplicate_and_no_loss(cell: Cell, tmp_path: Path) -> None:
    """Callers that repeat the request after a SIGKILL or SIGSTOP get the one module, and all operations settle."""
    with database.server() if cell.journal == "postgres" else nullcontext() as server:
        totals = run(cell, tmp_path / "testbed", database.new_database(server) if server else None)
    assert totals["kills"] == 1
    assert {name: totals[name] for name in VIOLATIONS if totals[name]} == {}
