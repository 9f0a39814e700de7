from __future__ import annotations

from contextlib import closing
from dataclasses import replace
from typing import Any

import pytest

from gateway.domain.errors import Outcome
from gateway.domain.journal import Journal
from gateway.domain.operation import Claim, Operation, State
from gateway.journals import create_journal
from tests.unit.journals.records import (
    expire,
    make_change,
    make_claim,
    make_settlement,
    mark_unknown,
    sending_operation,
    settle,
)

EVIDENCE = {"at": 104.0, "what": "looked", "hits": 0}


def claim_operation(journal: Journal, **changes: Any) -> Claim:
    claim = make_claim(**changes)
    assert journal.claim(claim).match == "claimed"
    return claim


def claim_with_unknown_outcome(journal: Journal, **changes: Any) -> Claim:
    claim = claim_operation(journal, **changes)
    journal.mark_unknown(claim.id, at=103.0, due_at=103.5, evidence={"at": 103.0, "what": "timeout", "hits": None})
    return claim


def lease(journal: Journal, worker_id: str, now: float, **changes: Any) -> list[Operation]:
    """Lease what is due, for 30 seconds; a due time more than 300 seconds ahead is due too."""
    values: dict[str, Any] = {
        "now": now,
        "lease_seconds": 30.0,
        "horizon_seconds": 300.0,
        "except_backends": (),
        "limit": 10,
    }
    return list(journal.lease_due(worker_id, **values | changes))


def reschedule(journal: Journal, operation_id: str, due_at: float, **changes: Any) -> None:
    """Record a lookup without a result."""
    values: dict[str, Any] = {"due_at": due_at, "observed_seconds": 0.0, "evidence": EVIDENCE}
    journal.reschedule(operation_id, **values | changes)


@pytest.mark.parametrize("state", [state for state in State if not state.is_active])
def test_settlement_is_stored(journal: Journal, state: State) -> None:
    """A final state is stored with module, error and evidence, and the operation is no longer due."""
    claim = claim_operation(journal)
    settlement = make_settlement(state, module={"id": "m"}, module_id="m", error={"code": "e"}, evidence=EVIDENCE)
    settled = Operation(
        claim=claim,
        state=state,
        module={"id": "m"},
        error={"code": "e"},
        evidence=(EVIDENCE,),
        due_at=None,
        updated_at=105.0,
    )
    assert settle(journal, claim.id, settlement) == settled
    assert journal.get(claim.id) == settled


def test_final_state_cannot_change(journal: Journal) -> None:
    """A settled operation cannot be settled again, marked unknown, leased or rescheduled: it is returned unchanged."""
    claim = claim_operation(journal)
    settled = settle(journal, claim.id, make_settlement(State.REFUSED))
    assert settle(journal, claim.id, make_settlement(State.SUCCEEDED, module={"id": "m"}, evidence=EVIDENCE)) == settled
    assert mark_unknown(journal, claim.id, at=106.0, due_at=107.0, evidence=EVIDENCE) == settled
    reschedule(journal, claim.id, 108.0, observed_seconds=4.0)
    assert lease(journal, "other", 1000.0) == []
    assert journal.get(claim.id) == settled


def test_unknown_id(journal: Journal) -> None:
    """Every method that takes an operation or module id ignores one that does not exist."""
    assert settle(journal, "unknown", make_settlement()) is None
    assert mark_unknown(journal, "unknown", at=1.0, due_at=2.0, evidence=EVIDENCE) is None
    reschedule(journal, "unknown", 1.0)
    journal.end_change("unknown", Outcome.APPLIED, at=1.0)
    assert journal.find_creator("unknown") is None
    assert not journal.was_seen_before(make_claim(), "2", "unknown", clock_skew_seconds=0.0)
    assert journal.get("unknown") is None


def test_unknown_outcome_starts_the_settle_period(journal: Journal) -> None:
    """An operation marked unknown is reconciled from then on, for the claim's `settle_seconds` (first mark)."""
    claim = claim_operation(journal)
    reconciling = Operation(
        claim=claim, state=State.RECONCILING, evidence=(EVIDENCE,), settles_at=234.0, due_at=104.3, updated_at=104.0
    )
    assert mark_unknown(journal, claim.id, at=104.0, due_at=104.3, evidence=EVIDENCE) == reconciling
    assert mark_unknown(journal, claim.id, at=120.0, due_at=121.0, evidence=EVIDENCE) == reconciling


def test_late_response_settles_an_unknown_outcome(journal: Journal) -> None:
    """A reconciling operation is active: a response settles it, and its evidence is appended."""
    claim = claim_with_unknown_outcome(journal)
    settled = settle(journal, claim.id, make_settlement(evidence=EVIDENCE))
    assert settled is not None
    assert (settled.state, settled.due_at, settled.settles_at) == (State.SUCCEEDED, None, 233.0)
    assert [entry["what"] for entry in settled.evidence] == ["timeout", "looked"]


def test_expired_lease_is_reconciled(journal: Journal) -> None:
    """An expired lease makes the outcome unknown, adds evidence, and starts the settle window, once.

    The window is longer by the sender's lease, because the sender may have sent its last byte at the lease's end.
    """
    claim = claim_operation(journal)
    assert lease(journal, "other", 109.9) == []
    expired = {"at": 110.0, "what": "lease_expired", "hits": None}
    leased = Operation(
        claim=replace(claim, settle_seconds=140.0),
        state=State.RECONCILING,
        evidence=(expired,),
        settles_at=250.0,
        due_at=140.0,
        updated_at=110.0,
    )
    assert lease(journal, "other", 110.0) == [leased]
    assert journal.get(claim.id) == leased
    assert lease(journal, "other", 139.9) == []
    (leased_again,) = lease(journal, "other", 140.0)
    assert leased_again == replace(leased, due_at=170.0, updated_at=140.0)


def test_window_of_a_known_send_is_not_extended(journal: Journal) -> None:
    """A lookup of an operation that its sender marked unknown leaves the settle window as it is."""
    claim = claim_with_unknown_outcome(journal)
    (leased,) = lease(journal, claim.worker_id, 110.0)
    assert (leased.settles_at, leased.claim.settle_seconds) == (233.0, 130.0)


def test_operations_due_first_are_leased_first(journal: Journal) -> None:
    """At most `limit` due operations, sending or not, are leased, in the order of their time."""
    leases = [117.0, 113.0, 119.0, 111.0, 115.0]
    claims = {lease: claim_operation(journal, lease_until=lease) for lease in leases}
    unknown = claim_with_unknown_outcome(journal, worker_id="other")
    leased = lease(journal, "other", 118.0, limit=4)
    expected = [unknown.id, claims[111.0].id, claims[113.0].id, claims[115.0].id]
    assert [operation.claim.id for operation in leased] == expected
    remaining = lease(journal, "other", 118.0, limit=4)
    assert [operation.claim.id for operation in remaining] == [claims[117.0].id]


def test_worker_that_looked_last_continues(journal: Journal) -> None:
    """An operation goes to the worker that sent it or looked it up last; another one gets it 10 seconds late."""
    claim = claim_with_unknown_outcome(journal, worker_id="first")  # due at 103.5
    assert lease(journal, "second", 113.4) == []
    assert len(lease(journal, "first", 103.5)) == 1
    reschedule(journal, claim.id, 120.0)
    assert lease(journal, "second", 129.9) == []
    assert len(lease(journal, "second", 130.0)) == 1
    reschedule(journal, claim.id, 140.0)
    assert lease(journal, "first", 149.9) == []
    assert len(lease(journal, "second", 140.0)) == 1


def test_any_worker_takes_over_from_a_dead_sender(journal: Journal) -> None:
    """Nobody has looked up an operation that is still sending at its lease's end: the first worker gets it."""
    claim_operation(journal, worker_id="dead")
    assert len(lease(journal, "other", 110.0)) == 1


def test_due_time_beyond_the_horizon_is_due(journal: Journal) -> None:
    """A due time that no correct clock has written is due at once, for every worker."""
    claim = claim_with_unknown_outcome(journal, worker_id="first")
    reschedule(journal, claim.id, 1000.0)
    assert lease(journal, "second", 700.0) == []
    (leased,) = lease(journal, "second", 699.9)
    assert (leased.claim.id, leased.due_at) == (claim.id, 729.9)


def test_reschedule_counts_a_lookup(journal: Journal) -> None:
    """A lookup without a result adds evidence, is counted and sets the next time; the state does not change."""
    claim = claim_with_unknown_outcome(journal)
    before = journal.get(claim.id)
    reschedule(journal, claim.id, 107.0, observed_seconds=3.0)
    reschedule(journal, claim.id, 115.0, observed_seconds=6.5, evidence=EVIDENCE | {"at": 107.0})
    after = journal.get(claim.id)
    assert before is not None
    assert after is not None
    assert (after.state, after.lookups, after.due_at, after.updated_at) == (State.RECONCILING, 2, 115.0, 107.0)
    assert after.evidence == (*before.evidence, EVIDENCE, EVIDENCE | {"at": 107.0})
    assert (before.observed_seconds, after.observed_seconds) == (0.0, 6.5)
    (leased,) = lease(journal, "other", 125.0)
    assert leased.observed_seconds == 6.5


def test_evidence_of_many_lookups_is_limited(journal: Journal) -> None:
    """The first 100 lookups are stored as evidence; later ones are counted only."""
    claim = claim_with_unknown_outcome(journal)
    for _ in range(102):
        reschedule(journal, claim.id, 107.0)
    operation = journal.get(claim.id)
    assert operation is not None
    assert (operation.lookups, len(operation.evidence)) == (102, 101)


def test_next_due_is_the_earliest(journal: Journal) -> None:
    """`next_due` is the earliest time of the active operations, or None without any."""
    assert journal.next_due() is None
    first, second = claim_operation(journal, lease_until=112.0), claim_operation(journal, lease_until=111.0)
    assert journal.next_due() == 111.0
    journal.settle(second.id, make_settlement())
    assert journal.next_due() == 112.0
    journal.settle(first.id, make_settlement())
    assert journal.next_due() is None


IDENTITY = {"request_id": "request", "fingerprint": "f"}


@pytest.mark.parametrize(
    ("outcome", "claimed_at", "match"),
    [
        (Outcome.APPLIED, 130.0, "claimed"),
        (Outcome.UNKNOWN, 130.0, "claimed"),
        (Outcome.NOT_APPLIED, 130.0, "memory"),
        (Outcome.NOT_APPLIED, 161.0, "memory"),
        (None, 160.0, "memory"),
        (None, 160.5, "claimed"),
    ],
)
@pytest.mark.parametrize("settled_first", [True, False])
def test_changed_module_ends_request_deduplication(
    journal: Journal, outcome: Outcome | None, claimed_at: float, match: str, *, settled_first: bool
) -> None:
    """A change that was or may be applied ends the deduplication of the create's request, also if that settles later.

    A refused change does not; a change without an outcome does after its lease, because its sender has died.
    """
    first, settlement = claim_operation(journal, **IDENTITY), make_settlement(module_id="m")
    if settled_first:
        journal.settle(first.id, settlement)
    change = make_change("m")
    journal.begin_change(change)
    if outcome:
        journal.end_change(change.id, outcome, at=121.0)
    journal.settle(first.id, settlement)
    again = make_claim(**IDENTITY, claimed_at=claimed_at)
    assert journal.claim(again).match == match
    repeated = journal.claim(make_claim(**IDENTITY, claimed_at=claimed_at))
    assert (repeated.match, repeated.operation.claim.id) == ("memory", again.id if match == "claimed" else first.id)


def test_change_of_another_module(journal: Journal) -> None:
    """A change ends the deduplication of no other module's create, and of no idempotency key."""
    for module, identity in {"m": IDENTITY, "k": {"idempotency_key": "key"}}.items():
        journal.settle(claim_operation(journal, **identity).id, make_settlement(module_id=module))
    for module in ("other", "k"):
        change = make_change(module)
        journal.begin_change(change)
        journal.end_change(change.id, Outcome.APPLIED, at=121.0)
    assert journal.claim(make_claim(**IDENTITY)).match == "memory"
    assert journal.claim(make_claim(idempotency_key="key")).match == "key"


def test_change_does_not_change_the_operation(journal: Journal) -> None:
    """The operation is returned unchanged, including `updated_at`, also after the entry was found void."""
    claim = claim_operation(journal, **IDENTITY)
    settled = settle(journal, claim.id, make_settlement(module_id="m"))
    journal.begin_change(make_change("m", started_at=59.0))
    assert journal.claim(make_claim(**IDENTITY)).match == "claimed"
    assert journal.get(claim.id) == settled


def test_checkpoint_does_not_change_operations(journal: Journal) -> None:
    """A checkpoint changes no operation and no count."""
    claim = make_claim()
    journal.claim(claim)
    before = journal.get(claim.id)
    journal.checkpoint()
    assert (journal.get(claim.id), journal.counts()["sending"]) == (before, 1)


def test_counts_include_every_state(journal: Journal) -> None:
    """Every state has a count, also a state without operations."""
    assert journal.counts() == {state.value: 0 for state in State}
    claim_operation(journal)
    claim_with_unknown_outcome(journal)
    for state in [State.SUCCEEDED, State.SUCCEEDED, State.REFUSED, State.NOT_APPLIED, State.AMBIGUOUS]:
        journal.settle(claim_operation(journal).id, make_settlement(state))
    assert journal.counts() == {state.value: 1 for state in State} | {"succeeded": 2}


def test_old_operations_expire(journal: Journal) -> None:
    """At most `limit` operations settled before a time are deleted, oldest first, with their keys; active ones stay."""
    active = claim_operation(journal)
    claims = [claim_operation(journal, idempotency_key=f"key {at}") for at in range(5)]
    for at, claim in enumerate(claims):
        journal.settle(claim.id, make_settlement(at=200.0 + at))
    assert journal.expire(settled_before=300.0, limit=9) == 0, "deleted before they are in the change log"
    assert expire(journal, settled_before=203.0, limit=2) == 2
    assert [journal.get(claim.id) is None for claim in claims] == [True, True, False, False, False]
    assert expire(journal, settled_before=203.0, limit=2) == 1
    assert expire(journal, settled_before=203.0, limit=2) == 0
    assert journal.claim(make_claim(idempotency_key="key 0")).match == "claimed"
    assert journal.claim(make_claim(idempotency_key="key 3")).match == "key"
    assert journal.get(active.id) == sending_operation(active)


def test_old_changes_expire(journal: Journal) -> None:
    """Changes begun before the time are deleted with it, also where no operation is."""
    changes = [make_change("m", started_at=at) for at in (199.0, 200.0)]
    for change in changes:
        journal.begin_change(change)
        journal.end_change(change.id, Outcome.APPLIED, at=201.0)
    assert expire(journal, settled_before=200.0, limit=10) == 0
    assert journal.read("SELECT id FROM changes", {})[0][0] == changes[1].id  # type: ignore[attr-defined]
    assert len(journal.read("SELECT id FROM changes", {})) == 1  # type: ignore[attr-defined]


def was_seen(journal: Journal, claim: Claim, native_id: str, scope: str = "2") -> bool:
    return journal.was_seen_before(claim, scope, native_id, clock_skew_seconds=0.0)


def test_order_in_the_journal_decides_what_was_seen_before(journal: Journal) -> None:
    """An id recorded before a claim was seen before it, one recorded after it was not, whatever the clocks said.

    The first record of an id in a backend and scope counts.
    """
    backend = make_claim().backend
    journal.record_seen(backend, "2", ["1", "2", "2", "ü'"], at=900.0)
    claims = [claim_operation(journal, claimed_at=100.0)]
    journal.record_seen(backend, "2", ["3", "2"], at=50.0)
    journal.record_seen(backend, "2", [], at=50.0)
    claims.append(claim_operation(journal, claimed_at=40.0))
    journal.record_seen(backend, "2", ["1", "2", "3", "4"], at=30.0)
    seen = [{key for key in ("1", "2", "3", "4", "ü'") if was_seen(journal, claim, key)} for claim in claims]
    assert seen == [{"1", "2", "ü'"}, {"1", "2", "3", "ü'"}]
    assert not was_seen(journal, claims[1], "1", scope="other")
    assert not was_seen(journal, replace(claims[1], backend="other"), "1")


def test_numbers_are_not_given_twice(journal: Journal) -> None:
    """An id recorded while the only operation existed is older than every claim after that operation was deleted."""
    backend = make_claim().backend
    first = claim_operation(journal)
    journal.record_seen(backend, "2", ["1"], at=900.0)
    journal.settle(first.id, make_settlement())
    assert expire(journal, settled_before=1000.0, limit=10) == 1
    second = claim_operation(journal)
    journal.record_seen(backend, "2", ["2"], at=50.0)
    assert was_seen(journal, second, "1")
    assert not was_seen(journal, second, "2")


def test_find_creator(journal: Journal) -> None:
    """The creator is the first operation that created the module; a refusal with its id or an adoption is none."""
    refused = claim_operation(journal, claimed_at=50.0)
    journal.settle(refused.id, make_settlement(State.REFUSED, module_id="m"))
    adopted = claim_operation(journal, claimed_at=60.0)
    journal.settle(adopted.id, make_settlement(module={"adopted": True, "module": {}}, module_id="m"))
    assert journal.find_creator("m") is None
    later, first = (claim_operation(journal, claimed_at=claimed_at) for claimed_at in (80.0, 70.0))
    for claim in (later, first):
        journal.settle(claim.id, make_settlement(module={"adopted": False, "module": {}}, module_id="m"))
    assert journal.find_creator("m") == first.id


def test_closed_journal_reopens(shared_url: str) -> None:
    """A closed journal opens again when it is used; closing one that was never used does nothing."""
    journal = create_journal(shared_url)
    journal.close()
    claim = claim_operation(journal)
    journal.close()
    assert journal.get(claim.id) == sending_operation(claim)
    journal.close()


def test_modules_of_expired_operations_stay_known(journal: Journal) -> None:
    """After a day the operation is gone, but its module is still not the result of a later create."""
    first = claim_operation(journal)
    module = {"backend": first.backend, "scope": "1", "native_id": "7"}
    journal.settle(first.id, make_settlement(module={"adopted": False, "module": module}, module_id="m"))
    assert expire(journal, settled_before=1000.0, limit=10) == 1
    assert journal.was_seen_before(claim_operation(journal), "1", "7", clock_skew_seconds=300.0)


def test_ambiguous_operation_does_not_expire(journal: Journal) -> None:
    """It waits for a person, however long."""
    claim = claim_operation(journal)
    journal.settle(claim.id, make_settlement(State.AMBIGUOUS))
    assert expire(journal, settled_before=1e12, limit=10) == 0
    assert journal.get(claim.id) is not None


def test_unsettled_operations_and_ends_are_counted(journal: Journal) -> None:
    """The gauge has what a process or a person has to settle; the end of an operation is reported once."""
    ended: list[str] = []
    journal.on_ended = ended.append
    claim_operation(journal)
    claim_with_unknown_outcome(journal)
    for state in (State.SUCCEEDED, State.AMBIGUOUS):
        claim = claim_operation(journal)
        for _ in range(2):
            journal.settle(claim.id, make_settlement(state))
    assert journal.unsettled_counts() == {"sending": 1, "reconciling": 1, "ambiguous": 1, "past_window": 0}
    assert ended == ["succeeded", "ambiguous"]
    with closing(create_journal("sqlite:///:memory:")) as empty:
        assert empty.unsettled_counts() == {"sending": 0, "reconciling": 0, "ambiguous": 0, "past_window": 0}


def test_aliases_expire_with_their_operation(journal: Journal) -> None:
    """The aliases of an expired operation are deleted with it, those of others stay."""
    expired, kept = claim_operation(journal), claim_operation(journal)
    for claim, key in ((expired, "old"), (kept, "new")):
        journal.add_alias(make_claim(idempotency_key=key), claim.id)
    journal.settle(expired.id, make_settlement(at=105.0))
    journal.settle(kept.id, make_settlement(at=205.0))
    assert expire(journal, settled_before=200.0, limit=10) == 1
    results = [journal.claim(make_claim(idempotency_key=key)).match for key in ("old", "new")]
    assert results == ["claimed", "key"]
