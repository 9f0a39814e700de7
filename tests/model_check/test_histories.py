"""Thousands of histories: whatever is lost, retried or killed, each create makes one module and says so."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator
from hashlib import sha256
from itertools import combinations

import pytest

from gateway.domain.errors import Outcome
from gateway.domain.journal import Journal
from gateway.domain.operation import Operation, State
from gateway.journals import create_journal
from gateway.provisioning.provisioner import DEDUP_SECONDS
from tests.model_check.backend import CHANGE_FAULTS, FAULTS, REJECTED_CREDENTIAL, BackendState
from tests.model_check.history import Attempt, History

#: These visit every state and fault several times; `make simulation` runs ten thousand.
HISTORIES = int(os.environ.get("SIMULATION_HISTORIES", "600"))
SHARD = 5000
#: Runs the history of one seed, which the message of a failure names.
SEED = os.environ.get("SIMULATION_SEED")

EXPECTED = {
    *(f"fault:{fault}" for fault in FAULTS),
    *(f"change:{fault}" for fault in CHANGE_FAULTS),
    *(f"change_outcome:{outcome.value}" for outcome in Outcome),
    *(f"state:{state.value}" for state in State if not state.is_active),
    *(f"match:{match}" for match in ("claimed", "key", "memory", "name")),
    *(f"code:{code}" for code in (
        "backend_permission_denied", "backend_rejected_credentials", "backend_unavailable", "create_in_progress",
        "draining", "idempotency_key_reused", "journal_unavailable", "module_already_exists", "outcome_ambiguous",
        "outcome_unknown",
    )),
    *(f"confidence:{confidence}" for confidence in ("high", "medium")),
    *(f"evidence:{what}" for what in ("found", "found_another", "nothing_found", "origin_uncertain")),
    "clock_stepped", "clocks_differ", "crash", "created_directly", "credential_rejected_beside_accepted",
    "deleted_while_created", "fault:read_lag", "fault:read_rejected", "fault:unreadable", "frozen",
    "journal_down_after", "journal_down_before", "listed", "name_is_free", "no_answer", "normalized", "replayed",
    "same_create_of_another_requester", "too_late_to_send",
}  # fmt: skip


@pytest.fixture(scope="module")
def journal() -> Iterator[Journal]:
    """One journal for many histories; ids and keys contain the seed, so they do not collide."""
    journal = create_journal("sqlite:///:memory:")
    yield journal
    journal.close()


@pytest.mark.timeout(1200)
@pytest.mark.parametrize("first_seed", range(0, HISTORIES, SHARD))
def test_exactly_once(journal: Journal, first_seed: int) -> None:
    """No history breaks an invariant, and together they visit every state and every fault."""
    visited: Counter[str] = Counter()
    seeds = [int(SEED)] if SEED else range(first_seed, min(first_seed + SHARD, HISTORIES))
    for seed in seeds:
        history = History(seed, journal)
        history.run()
        try:
            check(history, journal)
        except AssertionError as error:
            raise AssertionError(f"SIMULATION_SEED={seed}: {error}") from error
        visited += history.backend_state.visited
        history.settle_rest()
    if len(seeds) >= 600:
        assert set(visited) >= EXPECTED, EXPECTED - set(visited)


def check(history: History, journal: Journal) -> None:
    """Check operations and responses against the content of the backend."""
    state = history.backend_state
    creations: Counter[str | None] = Counter(stored.operation_id for stored in state.modules)
    check_operations(history, journal, creations)
    check_responses(history, journal, creations)
    check_requesters(history, journal)
    for attempt in history.last_attempts:
        assert attempt.result is not None or attempt.error is not None, "never answered"
        assert attempt.error is None or attempt.error.code != "create_in_progress", "held by a caller that is gone"
        state.visited["name_is_free"] += 1
    if state.unique:
        names = Counter(stored.module.name for stored in state.existing)
        assert all(count == 1 for count in names.values()), "a name twice"


def check_operations(history: History, journal: Journal, creations: Counter[str | None]) -> None:
    """Every operation has ended in the state that the backend shows; none was sent or applied twice."""
    state = history.backend_state
    for operation_id in history.operations:
        operation = journal.get(operation_id)
        assert operation is not None
        state.visited[f"state:{operation.state.value}"] += 1
        state.visited.update(f"evidence:{entry['what']}" for entry in operation.evidence)
        assert not operation.state.is_active or state.passthrough, f"{operation_id} never settled: {operation}"
        assert state.sends[operation_id] <= 1, "sent twice"
        assert creations[operation_id] <= 1, "made twice"
        if operation.state is State.SUCCEEDED:
            check_origin(state, operation)
        # If names are not unique, another module of the name proves nothing about this create; and of a module that was
        # deleted before anything found it, it is enough to say that it is not there.
        is_deleted = any(
            stored.operation_id == operation_id and stored not in state.existing for stored in state.modules
        )
        if not state.unique or is_deleted:
            continue
        if operation.state.outcome is Outcome.NOT_APPLIED:
            assert not creations[operation_id], f"settled as not applied, and there it is: {operation}"
        if creations[operation_id] and operation.state is not State.AMBIGUOUS and not operation.state.is_active:
            assert operation.state is State.SUCCEEDED, f"made, and lost: {operation}"


def check_origin(state: BackendState, operation: Operation) -> None:
    """A module that an operation reports as its own is its own; only `medium` confidence may be mistaken."""
    assert operation.module is not None
    native_id = operation.module["module"]["native_id"]
    creator = next(stored.operation_id for stored in state.modules if stored.module.native_id == native_id)
    confidence = operation.evidence[-1].get("confidence") if operation.evidence else None
    state.visited[f"confidence:{confidence}"] += 1
    # If names are not unique, a create that was refused because of another module may still be applied.
    if creator != operation.claim.id and state.unique:
        was_created_directly = any(stored.operation_id is None for stored in state.modules)
        assert confidence == "medium", f"another's module taken for its own: {operation}"
        assert was_created_directly, f"another create's module taken for its own: {operation}"


def check_responses(history: History, journal: Journal, creations: Counter[str | None]) -> None:
    """What was acknowledged exists, what was refused does not, and one create has one module until that is changed."""
    state = history.backend_state
    module_ids = {stored.module.id for stored in state.modules}
    acknowledged: dict[tuple[tuple[str | None, ...], str], tuple[str, float]] = {}
    for attempt in sorted(history.attempts, key=lambda attempt: attempt.finished_at):
        if attempt.result is not None:
            module_id = attempt.result.created.module.id
            assert module_id in module_ids, "acknowledged, and missing"
            first = acknowledged.setdefault((attempt.identity, attempt.body), (module_id, attempt.finished_at))
            if not history.changes[first[0]] and not is_forgotten(history, attempt, first[1]):
                assert first[0] == module_id, "one create, two modules"
        is_refused = attempt.error is not None and attempt.error.outcome is Outcome.NOT_APPLIED
        if is_refused and attempt.operation_id and state.unique:
            assert not creations[attempt.operation_id], f"said {attempt.error!r}, and it was applied"
    for attempt in history.attempts:
        module_id, finished_at = acknowledged.get((attempt.identity, attempt.body), ("", float("inf")))
        is_repetition = attempt.started_at > finished_at and not is_forgotten(history, attempt, finished_at)
        if attempt.error is not None and is_repetition and not history.changes[module_id]:
            assert attempt.error.retryable, f"acknowledged, and then refused: {attempt.error!r}"
    check_deletions(history, journal)


def is_forgotten(history: History, attempt: Attempt, acknowledged_at: float) -> bool:
    """Return whether the ten minutes of request deduplication were over when the attempt was answered."""
    is_late = attempt.finished_at > acknowledged_at + DEDUP_SECONDS / 2
    return attempt.key is None and (history.request_ids_expire_early or is_late)


def check_deletions(history: History, journal: Journal) -> None:
    """After a confirmed delete no create without a key is answered with the module that it deleted."""
    for deletion in history.deletions:
        for operation_id in history.operations:
            operation = journal.get(operation_id)
            if operation is not None and operation.module and operation.updated_at > deletion.started_at:
                history.backend_state.visited["deleted_while_created"] += (
                    operation.module["module"]["native_id"] == deletion.module_id.partition(".")[2]
                )
        for attempt in history.attempts:
            if attempt.result is None or attempt.key is not None or attempt.started_at <= deletion.finished_at:
                continue
            assert attempt.result.created.module.id != deletion.module_id, "replayed, and deleted before"


def check_requesters(history: History, journal: Journal) -> None:
    """No answer shows what another caller or another credential was answered."""
    state = history.backend_state
    for attempt in history.attempts:
        if attempt.credential == REJECTED_CREDENTIAL and attempt.result is not None:
            own = journal.get(attempt.result.operation_id)
            is_mistaken = own is not None and own.evidence and own.evidence[-1].get("confidence") == "medium"
            assert is_mistaken, "created without a valid credential"
        elif state.passthrough and attempt.error is not None and attempt.credential != REJECTED_CREDENTIAL:
            assert attempt.error.code != "backend_rejected_credentials", "another credential's refusal"
        operation_id = attempt.result.operation_id if attempt.result else attempt.error and attempt.error.operation
        operation = journal.get(operation_id) if operation_id else None
        if operation is not None:
            digest = attempt.credential and sha256(attempt.credential.encode()).hexdigest()
            assert (operation.claim.caller, operation.claim.credential) == (attempt.caller, digest), (
                "another's operation"
            )
    for first, second in combinations(history.attempts, 2):
        if first.body == second.body and abs(first.started_at - second.started_at) < 1.0:
            credentials = {first.credential, second.credential}
            state.visited["same_create_of_another_requester"] += first.caller != second.caller
            state.visited["credential_rejected_beside_accepted"] += (
                REJECTED_CREDENTIAL in credentials and len(credentials) > 1
            )
