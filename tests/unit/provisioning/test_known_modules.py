"""Module ids are recorded before an answer shows them, and the clocks of backends are measured by own creates."""

from __future__ import annotations

import threading
import time
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest

from gateway.domain.errors import JournalUnavailable
from gateway.domain.module import Module
from gateway.provisioning import known_modules
from gateway.provisioning.known_modules import BackendClocks, KnownModules
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
    """An id is written to the journal once, also that of a module with a creation time."""
    journal = FakeJournal()
    modules = create_known_modules(clock, journal)
    dated = replace(MODULE, native_id="2", created_at=datetime(2026, 1, 1, tzinfo=UTC))
    for _ in range(2):
        modules.record([MODULE, dated])
    assert [(backend, scope, sorted(ids)) for backend, scope, ids in journal.recorded] == [("pm", "p", ["1", "2"])]


def test_cache_is_bounded(clock: VirtualClock, monkeypatch: pytest.MonkeyPatch) -> None:
    """A full cache is cleared; an id seen again after that is written to the journal again."""
    monkeypatch.setattr(known_modules, "_CACHE_SIZE", 2)
    journal = FakeJournal()
    modules = create_known_modules(clock, journal)
    for number in (1, 2, 3, 4, 1):
        modules.record([replace(MODULE, native_id=str(number))])
    assert [native_ids for _, _, native_ids in journal.recorded] == [["1"], ["2"], ["3"], ["4"], ["1"]]


def test_journal_is_unavailable(clock: VirtualClock) -> None:
    """A read does not fail; its ids are kept, and recorded with the next read, those of every scope."""
    journal = FakeJournal(JournalUnavailable())
    modules = create_known_modules(clock, journal)
    modules.record([MODULE, replace(MODULE, scope="q", native_id="2")])
    journal.error = None
    modules.record([replace(MODULE, native_id="3")])
    recorded = {(scope, native_id) for _, scope, ids in journal.recorded for native_id in ids}
    assert recorded == {("p", "1"), ("q", "2"), ("p", "3")}


def test_flush_fails_closed(clock: VirtualClock) -> None:
    """Ids that still cannot be recorded are an error before a claim; those that were recorded are not repeated."""
    journal = FakeJournal(JournalUnavailable())
    modules = create_known_modules(clock, journal)
    modules.flush()
    modules.record([MODULE])
    with pytest.raises(JournalUnavailable):
        modules.flush()
    journal.error = None
    modules.flush()
    modules.flush()
    assert journal.recorded == [("pm", "p", ["1"])]


@pytest.mark.parametrize(
    ("created", "took", "measured"),
    [
        pytest.param(-90.0, 1.0, -92.0, id="a backend whose clock is behind"),
        pytest.param(90.0, 2.0, 88.0, id="a backend whose clock is ahead"),
        pytest.param(0.0, 2.1, None, id="a create that took too long to say when"),
        pytest.param(None, 0.0, None, id="a backend without creation times"),
    ],
)
def test_backend_clock(clock: VirtualClock, created: float | None, took: float, measured: float | None) -> None:
    """A create's creation time, less the tolerance, tells the backend's time; no step of a wall clock matters."""
    clocks = BackendClocks(clock)
    assert clocks.now("pm") is None
    sent_at = clock.monotonic()
    clock.sleep(took)
    replied_at = clock.now()
    created_at = None if created is None else datetime.fromtimestamp(replied_at + created, UTC)
    clocks.measure(replace(MODULE, created_at=created_at), sent_at=sent_at)
    clock.step(-3600.0)
    clock.sleep(7.0)
    now = clocks.now("pm")
    assert (now and now - replied_at) == (measured and pytest.approx(measured + 7.0))
    assert clocks.now("another") is None


def test_second_read_waits_for_the_flush_that_is_running(clock: VirtualClock) -> None:
    """Reads at the same time share one flush, and each is answered after its own ids are recorded."""
    started, release = threading.Event(), threading.Event()

    class SlowJournal(FakeJournal):
        def record_seen(self, backend: str, scope: str, native_ids: list[str], *, at: float) -> None:
            started.set()
            release.wait(5.0)
            super().record_seen(backend, scope, native_ids, at=at)

    journal = SlowJournal()
    modules = create_known_modules(clock, journal)
    first = threading.Thread(target=modules.record, args=([MODULE],))
    second = threading.Thread(target=modules.record, args=([replace(MODULE, native_id="2")],))
    first.start()
    assert started.wait(5.0)
    second.start()
    while not modules._unrecorded >= {("pm", "p", "2")}:
        time.sleep(0.001)
    release.set()
    for thread in (first, second):
        thread.join(5.0)
    assert [native_ids for _, _, native_ids in journal.recorded] == [["1"], ["2"]]


def test_measured_clock_is_forgotten(clock: VirtualClock) -> None:
    """Clocks drift: ten minutes after the last create the backend's clock is unknown again."""
    clocks = BackendClocks(clock)
    clocks.measure(replace(MODULE, created_at=datetime(2026, 1, 1, tzinfo=UTC)), sent_at=clock.monotonic())
    clock.sleep(599.0)
    assert clocks.now("pm") is not None
    clock.sleep(1.0)
    assert clocks.now("pm") is None
