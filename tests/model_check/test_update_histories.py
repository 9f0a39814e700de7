"""Hundreds of histories of updates: no acknowledged change is missing, no hold is left, and the log is true."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

import pytest

from gateway.domain.errors import Outcome
from gateway.domain.journal import Journal
from gateway.domain.module import Module
from gateway.journals import create_journal
from tests.model_check.backend import CHANGE_FAULTS
from tests.model_check.test_histories import HISTORIES, SEED
from tests.model_check.update_history import UpdateHistory

SHARDS = 2
#: Each takes several times as long as a history of creates.
UPDATE_HISTORIES = max(HISTORIES // 8, 1)

EXPECTED = {
    *(f"change:{fault}" for fault in CHANGE_FAULTS),
    *(f"update:{code}" for code in (
        "backend_permission_denied", "backend_unavailable", "journal_unavailable", "module_busy", "module_not_found",
        "no_answer", "outcome_unknown", "precondition_failed",
    )),
    *(f"logged:{outcomes}" for outcomes in (
        "applied", "not_applied", "unknown", "unknown applied", "unknown not_applied",
    )),
    "change_too_late_to_send", "changes:journal_unavailable", "changes:waited", "clock_stepped", "crash", "frozen",
    "journal_down_after", "journal_down_before", "kept", "replaced", "late_write_of_dead_sender",
}  # fmt: skip


@pytest.fixture(scope="module")
def journal() -> Iterator[Journal]:
    journal = create_journal("sqlite:///:memory:")
    yield journal
    journal.close()


@pytest.mark.timeout(1200)
@pytest.mark.parametrize("shard", range(SHARDS))
def test_no_update_is_lost(journal: Journal, shard: int) -> None:
    """No history breaks an invariant, and together they visit every fault and every outcome."""
    visited: Counter[str] = Counter()
    seeds = [int(SEED)] if SEED else range(shard * UPDATE_HISTORIES, (shard + 1) * UPDATE_HISTORIES)
    first_seq = 0
    for seed in seeds:
        history = UpdateHistory(seed, journal, first_seq=first_seq)
        try:
            history.run()
            check(history)
        except AssertionError as error:
            raise AssertionError(f"SIMULATION_SEED={seed}: {error}") from error
        visited += history.backend_state.visited
        history.settle_rest()
        first_seq = history.readers[0].after
    if not SEED and UPDATE_HISTORIES >= 125:
        assert set(visited) >= EXPECTED, EXPECTED - set(visited)


def check(history: UpdateHistory) -> None:
    """Check updates, holds and log against the content of the backend."""
    state = history.backend_state
    assert not state.violations, "\n".join(state.violations)
    held = [change for change in history.journal.held_changes() if change.id in history.begun]
    assert not held, f"held after its window: {held}"
    check_acknowledged(history)
    check_log(history)
    for reader in history.readers:
        expected = [entry for entry in history.log if reader.change_filter.matches(entry)]
        assert [e.seq for e in reader.entries] == [e.seq for e in expected], "a reader missed an entry, or saw it twice"


def check_acknowledged(history: UpdateHistory) -> None:
    """The value of each acknowledged change is there, unless a later change, acknowledged or unknown, replaced it."""
    state = history.backend_state
    for update in history.updates:
        writes = [write for write in state.writes if write.request_id == update.request_id]
        is_applied = any(write.applied_at is not None for write in writes)
        assert len(writes) <= 1, f"sent twice: {update}"
        if update.outcome is Outcome.NOT_APPLIED:
            assert not is_applied, f"refused, and applied: {update}"
        if update.outcome is not Outcome.APPLIED:
            continue
        assert is_applied, f"acknowledged, and not applied: {update}"
        later = [
            other
            for other in history.updates
            if other.module_id == update.module_id
            and other.outcome is not Outcome.NOT_APPLIED
            and other.finished_at > update.started_at
        ]
        stored = next(stored for stored in state.modules if stored.module.id == update.module_id)
        is_deleted = stored not in state.existing
        assert not is_deleted or any(not other.fields for other in later), "deleted without a recorded delete"
        for name, value in update.fields.items():
            found = _value(stored.module, name)
            state.visited["kept" if found == value else "replaced"] += 1
            assert is_deleted or any(other.fields.get(name) == found for other in later), f"lost: {update}"


def check_log(history: UpdateHistory) -> None:
    """Each change that was sent has its entries; an outcome that was unknown is followed by a known one at most once.

    The backend is compared with each outcome when it is recorded.
    """
    state = history.backend_state
    outcomes: dict[str, list[str]] = {}
    for entry in history.log:
        if entry.action != "create":
            outcomes.setdefault(entry.request_id, []).append(entry.outcome.value)
    for update in history.updates:
        logged = " ".join(outcomes.get(update.request_id, []))
        state.visited[f"logged:{logged}"] += 1
        known = {"", "applied", "not_applied", "unknown", "unknown applied", "unknown not_applied"}
        assert logged in known, f"{update}: {logged}"
        if update.outcome is Outcome.APPLIED:
            assert "not_applied" not in logged, f"{update}: {logged}"
    for write in state.writes:
        assert outcomes.get(write.request_id), f"sent, and not in the log: {write}"
        state.visited["late_write_of_dead_sender"] += _is_unanswered(history, write.request_id) and write.is_late


def _is_unanswered(history: UpdateHistory, request_id: str) -> bool:
    update = next(update for update in history.updates if update.request_id == request_id)
    return update.outcome is None


def _value(module: Module, name: str) -> object:
    """Return a module's value of a field of an Update."""
    return module.owners[0].id if name == "owners" else getattr(module, name, module.attributes.get(name))
