from __future__ import annotations

from pathlib import Path

import pytest

from tests.integration.chaos.database import NewDatabase
from tests.integration.chaos.matrix import Cell, run

pytestmark = [pytest.mark.loopback, pytest.mark.timeout(180)]

#: Nothing was sent, it was on its way, its answer had come; `python -m tests.integration.chaos` plays all of them.
CELLS = [
    Cell("after-claim", "cmdb", "sqlite", "key"),
    Cell("after-send", "projectman", "sqlite", "request-id"),
    Cell("after-reply-read", "cmdb", "postgres", "key"),
]


@pytest.mark.parametrize("cell", CELLS, ids=str)
def test_a_killed_worker_leaves_no_duplicate_and_no_loss(
    cell: Cell, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    """Callers who ask again after a SIGKILL are told of the one module there is, and the journal settles it all."""
    new_database: NewDatabase | None = request.getfixturevalue("new_database") if cell.journal == "postgres" else None
    figures = run(cell, tmp_path / "stand", new_database() if new_database else None)
    assert figures.kills == 1
    assert figures.sound, dict(zip(figures.names(), figures.row, strict=True))
