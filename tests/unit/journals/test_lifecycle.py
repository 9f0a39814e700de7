from __future__ import annotations

from typing import Any

import pytest

from gateway.domain.journal import Journal
from gateway.domain.operation import Claim, Operation, State
from gateway.journals import create_journal
from tests.unit.journals.records import make_claim, make_settlement, mark_unknown, sending_operation, settle

EVIDENCE = {"at": 104.0, "what": "looked", "hits": 0}


def claim_operation(journal: Journal, **changes: Any) -> Claim:
    claim = make_claim(**changes)
    assert journal.claim(claim).match == "claimed"
    return claim


def claim_with_unknown_outcome(journal: Journal, **changes: Any) -> Claim:
    claim = claim_operation(journal, **changes)
    journal.mark_unknown(claim.id, at=103.0, due_at=103.5, evidence={"at": 103.0, "what": "timeout", "hits": None})
    return claim


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
    journal.reschedule(claim.id, due_at=108.0, evidence=EVIDENCE)
    assert journal.lease_due("other", now=1000.0, lease_seconds=30.0, limit=10) == []
    assert journal.get(claim.id) == settled


def test_unknown_id(journal: Journal) -> None:
    """Every method that takes an operation or module id ignores one that does not exist."""
    assert settle(journal, "unknown", make_settlement()) is None
    assert mark_unknown(journal, "unknown", at=1.0, due_at=2.0, evidence=EVIDENCE) is None
    journal.reschedule("unknown", due_at=1.0, evidence=EVIDENCE)
    journal.clear_dedup("unknown")
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
    """An expired lease makes the outcome unknown, starts the settle period and adds evidence, once."""
    claim = claim_operation(journal)
    assert journal.lease_due("other", now=109.9, lease_seconds=30.0, limit=10) == []
    expired = {"at": 110.0, "what": "lease_expired", "hits": None}
    leased = Operation(
        claim=claim, state=State.RECONCILING, evidence=(expired,), settles_at=240.0, due_at=140.0, updated_at=110.0
    )
    assert journal.lease_due("other", now=110.0, lease_seconds=30.0, limit=10) == [leased]
    assert journal.lease_due("third", now=139.9, lease_seconds=30.0, limit=10) == []
    (leased_again,) = journal.lease_due("third", now=140.0, lease_seconds=30.0, limit=10)
    assert (leased_again.evidence, leased_again.settles_at, leased_again.due_at) == ((expired,), 240.0, 170.0)


def test_operations_due_first_are_leased_first(journal: Journal) -> None:
    """At most `limit` due operations, sending or not, are leased, in the order of their time."""
    leases = [117.0, 113.0, 119.0, 111.0, 115.0]
    claims = {lease: claim_operation(journal, lease_until=lease) for lease in leases}
    unknown = claim_with_unknown_outcome(journal)
    leased = journal.lease_due("other", now=118.0, lease_seconds=30.0, limit=4)
    expected = [unknown.id, claims[111.0].id, claims[113.0].id, claims[115.0].id]
    assert [operation.claim.id for operation in leased] == expected
    remaining = journal.lease_due("other", now=118.0, lease_seconds=30.0, limit=4)
    assert [operation.claim.id for operation in remaining] == [claims[117.0].id]


def test_reschedule_counts_a_lookup(journal: Journal) -> None:
    """A lookup without a result adds evidence, is counted and sets the next time; the state does not change."""
    claim = claim_with_unknown_outcome(journal)
    before = journal.get(claim.id)
    journal.reschedule(claim.id, due_at=107.0, evidence=EVIDENCE)
    journal.reschedule(claim.id, due_at=115.0, evidence=EVIDENCE | {"at": 107.0})
    after = journal.get(claim.id)
    assert before is not None
    assert after is not None
    assert (after.state, after.lookups, after.due_at, after.updated_at) == (State.RECONCILING, 2, 115.0, 107.0)
    assert after.evidence == (*before.evidence, EVIDENCE, EVIDENCE | {"at": 107.0})


def test_next_due_is_the_earliest(journal: Journal) -> None:
    """`next_due` is the earliest time of the active operations, or None without any."""
    assert journal.next_due() is None
    first, second = claim_operation(journal, lease_until=112.0), claim_operation(journal, lease_until=111.0)
    assert journal.next_due() == 111.0
    journal.settle(second.id, make_settlement())
    assert journal.next_due() == 112.0
    journal.settle(first.id, make_settlement())
    assert journal.next_due() is None


def test_changed_module_ends_request_deduplication(journal: Journal) -> None:
    """After a change of the module its create request no longer matches; keys and requests of other modules do."""
    identity = {"request_id": "request", "fingerprint": "f"}
    for module, changes in {
        "m": identity,
        "other": identity | {"fingerprint": "g"},
        "k": {"idempotency_key": "key"},
    }.items():
        journal.settle(claim_operation(journal, **changes).id, make_settlement(module_id=module))
    for module in ("m", "k"):
        journal.clear_dedup(module)
    assert journal.claim(make_claim(**identity)).match == "claimed"
    assert journal.claim(make_claim(**identity | {"fingerprint": "g"})).match == "memory"
    assert journal.claim(make_claim(idempotency_key="key")).match == "key"


def test_clear_dedup_does_not_change_the_operation(journal: Journal) -> None:
    """The operation is returned unchanged, including `updated_at`."""
    claim = claim_operation(journal)
    settled = settle(journal, claim.id, make_settlement(module_id="m"))
    journal.clear_dedup("m")
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
    assert journal.expire(settled_before=203.0, limit=2) == 2
    assert [journal.get(claim.id) is None for claim in claims] == [True, True, False, False, False]
    assert journal.expire(settled_before=203.0, limit=2) == 1
    assert journal.expire(settled_before=203.0, limit=2) == 0
    assert journal.claim(make_claim(idempotency_key="key 0")).match == "claimed"
    assert journal.claim(make_claim(idempotency_key="key 3")).match == "key"
    assert journal.get(active.id) == sending_operation(active)


def test_first_sight_of_an_id_is_recorded(journal: Journal) -> None:
    """An id was seen before any time later than its first record in the same backend and scope."""
    journal.record_seen("pm", "p1", ["1", "2", "2"], at=50.0)
    journal.record_seen("pm", "p1", ["3", "2", "ü'"], at=60.0)
    journal.record_seen("pm", "p1", ["3", "2"], at=70.0)
    journal.record_seen("pm", "p1", [], at=70.0)
    for native_id, first in {"1": 50.0, "2": 50.0, "3": 60.0, "ü'": 60.0}.items():
        assert not journal.was_seen_before("pm", "p1", native_id, before=first)
        assert journal.was_seen_before("pm", "p1", native_id, before=first + 0.5)
    for backend, scope, native_id in [("pm", "p1", "4"), ("pm", "p2", "1"), ("other", "p1", "1")]:
        assert not journal.was_seen_before(backend, scope, native_id, before=100.0)


def test_closed_journal_reopens(shared_url: str) -> None:
    """A closed journal opens again when it is used; closing one that was never used does nothing."""
    journal = create_journal(shared_url)
    journal.close()
    claim = claim_operation(journal)
    journal.close()
    assert journal.get(claim.id) == sending_operation(claim)
    journal.close()
