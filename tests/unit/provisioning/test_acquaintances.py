"""Ids that were seen: remembered once, never at the cost of a read."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest

from gateway.domain.backend import CallContext
from gateway.domain.errors import JournalUnavailable
from gateway.domain.journal import Journal
from gateway.domain.module import Module, Owner
from gateway.domain.operation import State
from gateway.provisioning import known_modules
from gateway.provisioning.known_modules import KnownModules
from gateway.provisioning.provisioner import CreateRequest
from tests.conftest import VirtualClock
from tests.unit.api.fake_backend import FakeBackend
from tests.unit.provisioning.test_reconciler import DRAFT, lookups, lost, provisioner, reconciler, state

__all__ = ["lookups", "lost", "provisioner", "reconciler"]

MODULE = Module(backend="pm", ref="p.1", native_id="1", scope="p", parent=None, name="x")


class Counting:
    """A journal that counts, or fails."""

    def __init__(self, error: Exception | None = None) -> None:
        self.met: list[tuple[str, str, list[str]]] = []
        self.error = error

    def record_seen(self, backend: str, scope: str, native_ids: list[str], *, at: float) -> None:
        if self.error is not None:
            raise self.error
        self.met.append((backend, scope, native_ids))


def met(clock: VirtualClock, journal: Any) -> KnownModules:
    return KnownModules(journal, clock)


def test_each_is_written_down_once(clock: VirtualClock) -> None:
    """Seen again, an id costs nothing; what tells its time of creation is not remembered at all."""
    journal = Counting()
    known = met(clock, journal)
    dated = replace(MODULE, native_id="2", created_at=datetime(2026, 1, 1, tzinfo=UTC))
    for _ in range(2):
        known.record([MODULE, dated])
    assert journal.met == [("pm", "p", ["1"])]


def test_what_is_held_is_bounded(clock: VirtualClock, monkeypatch: pytest.MonkeyPatch) -> None:
    """A process that has seen very many forgets what it holds, and asks the journal again."""
    monkeypatch.setattr(known_modules, "_HELD", 2)
    journal = Counting()
    known = met(clock, journal)
    for number in (1, 2, 3, 4, 1):
        known.record([replace(MODULE, native_id=str(number))])
    assert [ids for _, _, ids in journal.met] == [["1"], ["2"], ["3"], ["4"], ["1"]]


def test_a_journal_that_is_down_spoils_no_read(clock: VirtualClock) -> None:
    """It is tried again at the next read."""
    journal = Counting(JournalUnavailable())
    known = met(clock, journal)
    known.record([MODULE])
    journal.error = None
    known.record([MODULE])
    assert journal.met == [("pm", "p", ["1"])]


@pytest.mark.parametrize(("before", "verdict"), [(True, State.REFUSED), (False, State.SUCCEEDED)])
def test_who_was_seen_before_the_claim_is_not_its_work(
    reconciler: Any, journal: Journal, clock: VirtualClock, cmdb: FakeBackend, lost: str, before: bool, verdict: State
) -> None:
    """An undated module under the name: seen in a list before the claim it is somebody's, else it is ours."""
    module = replace(
        MODULE,
        backend="cmdb",
        ref="1.10.9",
        native_id="9",
        scope="1",
        parent="10",
        name="lost",
        owners=(Owner("admin"),),
    )
    cmdb.modules["9"] = module
    cmdb.find_by_natural_key = lambda draft, call: (module,)  # type: ignore[method-assign]
    claimed = journal.get(lost)
    assert claimed is not None
    journal.record_seen("cmdb", "1", ["9"], at=claimed.claim.claimed_at + (-1.0 if before else 1.0))
    clock.sleep(1.0)
    reconciler.run_once()
    assert state(journal, lost) is verdict


def test_another_creates_work_is_not_ours(
    reconciler: Any, provisioner: Any, journal: Journal, clock: VirtualClock, cmdb: FakeBackend, lost: str
) -> None:
    """A module that another operation has made is never taken for this one's."""
    other = CreateRequest(backend=cmdb, draft=replace(DRAFT, name="other"), caller="c")
    made = provisioner.create(other, CallContext("other", clock.monotonic() + 5)).creation.module
    cmdb.find_by_natural_key = lambda draft, call: (replace(made, name="lost"),)  # type: ignore[method-assign]
    clock.sleep(1.0)
    reconciler.run_once()
    assert state(journal, lost) is State.REFUSED
