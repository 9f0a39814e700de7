"""A wall clock that is stepped while an outcome is unknown neither ends the settle window nor makes it endless."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.integration.chaos.caller import CreateSpec, create, is_final
from tests.integration.chaos.testbed import GatewayTestbed, Topology, eventually, run_testbed

pytestmark = [pytest.mark.loopback, pytest.mark.timeout(120)]

_TOPOLOGY = Topology(workers=2, application="tests.integration.chaos.app:app", deadline=1.0, settle=6.0)
_SPEC = CreateSpec("projectman", "x")


@pytest.fixture
def testbed(tmp_path: Path) -> Iterator[GatewayTestbed]:
    """Two workers that share a SQLite journal."""
    with run_testbed(tmp_path / "testbed", _TOPOLOGY) as testbed:
        yield testbed


def step_clock(tmp_path: Path, seconds: float) -> None:
    """Step the wall clock of all workers."""
    folder = tmp_path / "testbed" / "orders"
    (folder / "new-clock").write_text(str(seconds))
    (folder / "new-clock").rename(folder / "clock")


def test_a_step_forward_does_not_end_the_window(testbed: GatewayTestbed, tmp_path: Path) -> None:
    """A create that the backend commits 4 s late is found, although the clock was set 140 s ahead in between."""
    testbed.fault("projectman", {"fault": "drop", "effect": "late", "seconds": 4.0})
    assert _SPEC.send(testbed.addresses[0]).status == 504
    step_clock(tmp_path, 140.0)
    assert create(testbed.addresses, _SPEC)[-1].status == 201
    assert testbed.created_count("projectman", _SPEC.name) == 1


def test_a_step_back_does_not_make_the_window_endless(testbed: GatewayTestbed, tmp_path: Path) -> None:
    """A create that is never applied is settled soon after its window, although the clock was set back by a day."""
    testbed.fault("projectman", {"fault": "drop", "effect": "never"})
    assert _SPEC.send(testbed.addresses[0]).status == 504
    step_clock(tmp_path, -86400.0)
    assert eventually(lambda: not testbed.live(), 40.0)
    assert is_final(create(testbed.addresses, _SPEC)[-1])
    assert testbed.created_count("projectman", _SPEC.name) == 1
