"""Ten thousand histories: whatever is lost, retried or killed, there is one module, and nobody is told otherwise."""

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
#: A failure names its seed; this runs that one alone.
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
    """One journal for many histories: ids and keys carry the seed, so none meets another's."""
    opened = create_journal("sqlite:///:memory:")
    yield opened
    opened.close()


@pytest.mark.timeout(300)
@pytest.mark.parametrize("shard", range(SHARDS))
def test_exactly_once(journal: Journal, shard: int) -> None:
    """No history breaks an invariant, and between them they visit every state and every fault."""
    visited: Counter[str] = Counter()
    seeds = [int(SEED)] if SEED else range(shard * HISTORIES, (shard + 1) * HISTORIES)
    for seed in seeds:
        history = History(seed, journal)
        history.run()
        try:
            check(history, journal)
        except AssertionError as error:
            raise AssertionError(f"SIMULATION_SEED={seed}: {error}") from error
        visited += history.world.visited
    if not SEED and HISTORIES >= 500:
        assert set(visited) >= EXPECTED, EXPECTED - set(visited)


def check(history: History, journal: Journal) -> None:
    """Hold what was said against what is there."""
    world = history.world
    find_creator: Counter[str | None] = Counter(made.operation_id for made in world.made)
    check_operations(history, journal, find_creator)
    check_answers(history, find_creator)
    if world.unique:
        names = Counter(made.module.name for made in world.made)
        assert all(count == 1 for count in names.values()), "a name twice"


def check_operations(history: History, journal: Journal, find_creator: Counter[str | None]) -> None:
    """Every operation has ended, as what the backend shows; none was sent or made twice."""
    world = history.world
    for operation_id in history.operations:
        operation = journal.get(operation_id)
        assert operation is not None
        world.visited[f"state:{operation.state.value}"] += 1
        assert not operation.state.is_active, f"{operation_id} never settled: {operation}"
        assert world.sends[operation_id] <= 1, "sent twice"
        assert find_creator[operation_id] <= 1, "made twice"
        if operation.state is State.SUCCEEDED and operation.module is not None:
            native_id = operation.module["module"]["native_id"]
            maker = next(made.operation_id for made in world.made if made.module.native_id == native_id)
            assert maker in {operation_id, None}, "another create's module taken for its own"
        # Where a backend lets two modules have one name, finding another's proves nothing about ours.
        if not world.unique:
            continue
        if operation.state.outcome is Outcome.NOT_APPLIED:
            assert not find_creator[operation_id], f"settled as not applied, and there it is: {operation}"
        if find_creator[operation_id] and operation.state is not State.AMBIGUOUS:
            assert operation.state is State.SUCCEEDED, f"made, and lost: {operation}"


def check_answers(history: History, find_creator: Counter[str | None]) -> None:
    """What was acknowledged is there, what was denied is not, and one create has one answer."""
    world = history.world
    made_ids = {made.module.id for made in world.made}
    ids: dict[tuple[tuple[str, str], str], tuple[str, float]] = {}
    for attempt in history.attempts:
        if attempt.answer is not None:
            module_id = attempt.answer.created.module.id
            assert module_id in made_ids, "acknowledged, and missing"
            known = ids.setdefault((attempt.identity, attempt.body), (module_id, attempt.answered_at))
            assert known[0] == module_id, "one create, two modules"
        told_no = attempt.error is not None and attempt.error.outcome is Outcome.NOT_APPLIED
        if told_no and attempt.claimed and world.unique:
            assert not find_creator[attempt.claimed], f"said {attempt.error!r}, and it was applied"
    for attempt in history.attempts:
        known = ids.get((attempt.identity, attempt.body), ("", float("inf")))
        if attempt.error is not None and attempt.asked_at > known[1]:
            assert attempt.error.retryable, f"acknowledged, and then refused: {attempt.error!r}"
