from __future__ import annotations

from pathlib import Path

import pytest

from tests.integration.chaos.database import NewDatabase
from tests.integration.chaos.matrix import Cell, run

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
def test_a_killed_or_frozen_worker_leaves_no_duplicate_and_no_loss(
    cell: Cell, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    """Callers that repeat the request after a SIGKILL or SIGSTOP get the one module, and all operations settle."""
    new_database: NewDatabase | None = request.getfixturevalue("new_database") if cell.journal == "postgres" else None
    totals = run(cell, tmp_path / "testbed", new_database() if new_database else None)
    assert totals.kills == 1
    assert totals.correct, dict(zip(totals.names(), totals.row, strict=True))
