from __future__ import annotations

from pathlib import Path

import pytest

from tests.integration.soak.soak import Plan, soak

#: Long enough for a leak of ten kilobytes a request to be seen, and no longer; `make soak` sees smaller ones.
PLAN = Plan(seconds=36.0, rate=30.0, callers=12, sample_every=1.0)


@pytest.mark.loopback
def test_nothing_grows_and_every_promise_is_kept(tmp_path: Path) -> None:
    """Under mixed traffic and failing backends workers hold no more than before, and every create ends once."""
    outcome = soak(PLAN, tmp_path / "soak")
    assert outcome.broken == {}
    assert outcome.answers.total() > PLAN.seconds  # something happened
    assert {"create 201", "list 200", "patch 200", "delete 204"} <= set(outcome.answers)
    assert outcome.faults.total() > len(outcome.faults) > 5
