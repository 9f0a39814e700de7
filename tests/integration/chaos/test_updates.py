from __future__ import annotations

from collections.abc import Sequence
from contextlib import nullcontext
from pathlib import Path
from signal import SIGKILL, SIGSTOP

import pytest

from tests.integration.chaos import database
from tests.integration.chaos.updates import VIOLATIONS, run

pytestmark = [pytest.mark.loopback, pytest.mark.timeout(180)]


@pytest.mark.parametrize(
    ("journal", "signals", "count"), [("sqlite", (SIGKILL,), "kills"), ("postgres", (SIGSTOP,), "freezes")]
)
def test_no_update_is_lost(journal: str, signals: Sequence[int], count: str, tmp_path: Path) -> None:
    """Racing updates both last, whatever becomes of their senders and however late a PUT lands; no hold is left.

    `python -m tests.integration.chaos.updates` runs a thousand pairs.
    """
    with database.server() if journal == "postgres" else nullcontext() as server:
        url = database.new_database(server) if server else None
        totals = run(journal, tmp_path / "testbed", url, pairs=4, parallel=4, every=4, signals=signals)
    assert totals[count] == 1
    assert totals["late"]
    assert {name: totals[name] for name in VIOLATIONS if totals[name]} == {}
