from __future__ import annotations

from pathlib import Path

import pytest

from tests.integration.soak.soak import soak

#: Just long enough to detect a leak of 10 kB per request; `make soak` detects smaller ones.
SECONDS = 36.0


@pytest.mark.loopback
def test_no_growth_and_no_violation(tmp_path: Path) -> None:
    """Under mixed traffic with failing backends no resource of a worker grows, and every create ends once."""
    outcome = soak(tmp_path / "soak", seconds=SECONDS, rate=30.0, callers=12, sample_interval=1.0)
    responses, faults = outcome.traffic.responses, outcome.traffic.faults
    assert outcome.violations == {}
    assert responses.total() > SECONDS
    assert {"create 201", "list 200", "patch 200", "delete 204"} <= set(responses)
    assert faults.total() > len(faults) > 5
