"""Module ids are recorded once, and a journal that fails does not fail the read."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest

from gateway.domain.errors import JournalUnavailable
from gateway.domain.module import Module
from gateway.provisioning import known_modules
from gateway.provisioning.known_modules import KnownModules
from gateway.provisioning.provisioner import Provisioner
from tests.conftest import VirtualClock

MODULE = Module(backend="pm", ref="p.1", native_id="1", scope="p", parent=None, name="x")


class FakeJournal:
    """A journal that keeps the recorded ids, or raises an error."""

    def __init__(self, error: Exception | None = None) -> None:
        self.recorded: list[tuple[str, str, list[str]]] = []
        self.error = error

    def record_seen(self, backend: str, scope: str, native_ids: list[str], *, at: float) -> None:
        if self.error is not None:
            raise self.error
        self.recorded.append((backend, scope, native_ids))


def create_known_modules(clock: VirtualClock, journal: Any) -> KnownModules:
    return KnownModules(journal, clock)


def test_id_is_recorded_once(clock: VirtualClock) -> None:
    """An id is written to the journal once; a module with a creation time is not recorded."""
    journal = FakeJournal()
    modules = create_known_modules(clock, journal)
    dated = replace(MODULE, native_id="2", created_at=datetime(2026, 1, 1, tzinfo=UTC))
    for _ in range(2):
        modules.record([MODULE, dated])
    assert journal.recorded == [("pm", "p", ["1"])]


def test_cache_is_bounded(clock: VirtualClock, monkeypatch: pytest.MonkeyPatch) -> None:
    """A full cache is cleared; an id seen again after that is written to the journal again."""
    monkeypatch.setattr(known_modules, "_CACHE_SIZE", 2)
    journal = FakeJournal()
    modules = create_known_modules(clock, journal)
    for number in (1, 2, 3, 4, 1):
        modules.record([replace(MODULE, native_id=str(number))])
    assert [native_ids for _, _, native_ids in journal.recorded] == [["1"], ["2"], ["3"], ["4"], ["1"]]


def test_journal_is_unavailable(clock: VirtualClock) -> None:
    """No error is raised, and the id is recorded with the next read."""
    journal = FakeJournal(JournalUnavailable())
    modules = create_known_modules(clock, journal)
    modules.record([MODULE])
    journal.error = None
    modules.record([MODULE])
    assert journal.recorded == [("pm", "p", ["1"])]


def test_provisioner_records_what_routes_read(provisioner: Provisioner) -> None:
    """record_seen writes to the journal that the provisioner and the reconciler share."""
    provisioner.record_seen([MODULE])
    assert provisioner.journal.was_seen_before("pm", "p", "1", before=provisioner.runtime.now() + 1.0)
