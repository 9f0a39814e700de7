"""Ten thousand histories: whatever is lost, retried or killed, each create makes one module and says so."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator

import pytest

from gateway.domain.errors import Outcome
from gateway.domain.journal import Journal
from gateway.domain.operation import State
from gateway.journals import create_journal
from tests.model_check.backend import FAULTS
from tests.model_check.history import History

SHARDS = 8
HISTORIES = int(os.environ.get("SIMULATION_HISTORIES", "10000")) // SHARDS
#: Runs the history of one seed, which the message of a failure names.
SEED = os.environ.get("SIMULATION_SEED")

EXPECTED = {
    *(f"fault:{fault}" for fault in FAULTS),
    *(f"state:{state.value}" for state in State if not state.is_active),
    *(f"match:{match}" for match in ("claimed", "key", "memory", "name")),
    *(f"code:{code}" for code in (
        "backend_permission_denied", "backend_unavailable", "create_in_progress", "draining",
        "idempotency_key_reused", "journal_unavailable", "module_already_exists", "outcome_unknown",
    )),
    "crash", "fault:read_lag", "fault:unreadable", "journal_down_after", "journal_down_before", "meddled",
    "no_answer", "replayed",
}  # fmt: skip


@pytest.fixture(scope="module")
def journal() -> Iterator[Journal]:
    """One journal for many histories; ids and keys contain the seed, so they do not collide."""
    journal = create_journal("sqlite:///:memory:")
    yield journal
    journal.close()


@pytest.mark.timeout(300)
@pytest.mark.parametrize("shard", range(SHARDS))
def test_exactly_once(journal: Journal, shard: int) -> None:
    """No history breaks an invariant, and together they visit every state and every fault."""
    visited: Counter[str] = Counter()
    seeds = [int(SEED)] if SEED else range(shard * HISTORIES, (shard + 1) * HISTORIES)
    for seed in seeds:
        history = History(seed, journal)
        history.run()
        try:
            check(history, journal)
        except AssertionError as error:
            raise AssertionError(f"SIMULATION_SEED={seed}: {error}") from error
        visited += history.backend_state.visited
    if not SEED and HISTORIES >= 500:
        assert set(visited) >= EXPECTED, EXPECTED - set(visited)


def check(history: History, journal: Journal) -> None:
    """Check operations and responses against the content of the backend."""
    state = history.backend_state
    creations: Counter[str | None] = Counter(stored.operation_id for stored in state.modules)
    check_operations(history, journal, creations)
    check_responses(history, creations)
    if state.unique:
        names = Counter(stored.module.name for stored in state.modules)
        assert all(count == 1 for count in names.values()), "a name twice"


def check_operations(history: History, journal: Journal, creations: Counter[str | None]) -> None:
    """Every operation has ended in the state that the backend shows; none was sent or applied twice."""
    state = history.backend_state
    for operation_id in history.operations:
        operation = journal.get(operation_id)
        assert operation is not None
        state.visited[f"state:{operation.state.value}"] += 1
        assert not operation.state.is_active, f"{operation_id} never settled: {operation}"
        assert state.sends[operation_id] <= 1, "sent twice"
        assert creations[operation_id] <= 1, "made twice"
        if operation.state is State.SUCCEEDED and operation.module is not None:
            native_id = operation.module["module"]["native_id"]
            creator = next(stored.operation_id for stored in state.modules if stored.module.native_id == native_id)
            assert creator in {operation_id, None}, "another create's module taken for its own"
        # If names are not unique, another module of the name proves nothing about this create.
        if not state.unique:
            continue
        if operation.state.outcome is Outcome.NOT_APPLIED:
            assert not creations[operation_id], f"settled as not applied, and there it is: {operation}"
        if creations[operation_id] and operation.state is not State.AMBIGUOUS:
            assert operation.state is State.SUCCEEDED, f"made, and lost: {operation}"


def check_responses(history: History, creations: Counter[str | None]) -> None:
    """What was acknowledged exists, what was refused does not, and one create has one module."""
    state = history.backend_state
    module_ids = {stored.module.id for stored in state.modules}
    acknowledged: dict[tuple[tuple[str, str], str], tuple[str, float]] = {}
    for attempt in history.attempts:
        if attempt.result is not None:
            module_id = attempt.result.created.module.id
            assert module_id in module_ids, "acknowledged, and missing"
            first = acknowledged.setdefault((attempt.identity, attempt.body), (module_id, attempt.finished_at))
            assert first[0] == module_id, "one create, two modules"
        is_refused = attempt.error is not None and attempt.error.outcome is Outcome.NOT_APPLIED
        if is_refused and attempt.operation_id and state.unique:
            assert not creations[attempt.operation_id], f"said {attempt.error!r}, and it was applied"
    for attempt in history.attempts:
        first = acknowledged.get((attempt.identity, attempt.body), ("", float("inf")))
        if attempt.error is not None and attempt.started_at > first[1]:
            assert attempt.error.retryable, f"acknowledged, and then refused: {attempt.error!r}"
