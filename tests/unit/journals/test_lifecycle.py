from __future__ import annotations

from typing import Any

import pytest

from gateway.domain.journal import Journal
from gateway.domain.operation import Claim, Operation, State
from gateway.journals import create_journal
from tests.unit.journals.records import a_claim, an_end, mark_unknown, sent, settle

NOTE = {"at": 104.0, "what": "looked", "hits": 0}


def claimed(journal: Journal, **changes: Any) -> Claim:
    claim = a_claim(**changes)
    assert journal.claim(claim).match == "claimed"
    return claim


def doubted(journal: Journal, **changes: Any) -> Claim:
    claim = claimed(journal, **changes)
    journal.mark_unknown(claim.id, at=103.0, due_at=103.5, evidence={"at": 103.0, "what": "timeout", "hits": None})
    return claim


@pytest.mark.parametrize("end", [state for state in State if not state.is_active])
def test_settling_writes_the_end(journal: Journal, end: State) -> None:
    """An end is returned and kept with module, error and evidence; nobody has to act any more."""
    claim = claimed(journal)
    settlement = an_end(end, module={"id": "m"}, module_id="m", error={"code": "e"}, evidence=NOTE)
    ended = Operation(
        claim=claim, state=end, module={"id": "m"}, error={"code": "e"}, evidence=(NOTE,), due_at=None, updated_at=105.0
    )
    assert settle(journal, claim.id, settlement) == ended
    assert journal.get(claim.id) == ended


def test_an_end_is_final(journal: Journal) -> None:
    """What has ended can be neither settled, doubted, taken nor postponed: it is returned as it is."""
    claim = claimed(journal)
    ended = settle(journal, claim.id, an_end(State.REFUSED))
    assert settle(journal, claim.id, an_end(State.SUCCEEDED, module={"id": "m"}, evidence=NOTE)) == ended
    assert mark_unknown(journal, claim.id, at=106.0, due_at=107.0, evidence=NOTE) == ended
    journal.reschedule(claim.id, due_at=108.0, evidence=NOTE)
    assert journal.lease_due("other", now=1000.0, lease_seconds=30.0, limit=10) == []
    assert journal.get(claim.id) == ended


def test_nobody_is_not_an_operation(journal: Journal) -> None:
    """An unknown id is answered with nothing, by all who take one."""
    assert settle(journal, "nobody", an_end()) is None
    assert mark_unknown(journal, "nobody", at=1.0, due_at=2.0, evidence=NOTE) is None
    journal.reschedule("nobody", due_at=1.0, evidence=NOTE)
    journal.clear_dedup("nobody")
    assert journal.get("nobody") is None


def test_doubt_opens_the_window(journal: Journal) -> None:
    """A doubted operation is looked for from then on, as long as its claim says."""
    claim = claimed(journal)
    doubted_operation = Operation(
        claim=claim, state=State.RECONCILING, evidence=(NOTE,), settles_at=234.0, due_at=104.3, updated_at=104.0
    )
    assert mark_unknown(journal, claim.id, at=104.0, due_at=104.3, evidence=NOTE) == doubted_operation
    assert mark_unknown(journal, claim.id, at=120.0, due_at=121.0, evidence=NOTE) == doubted_operation


def test_a_late_answer_settles_a_doubt(journal: Journal) -> None:
    """What is doubted is still live: an answer may end it, and the evidence goes on from the doubt's."""
    claim = doubted(journal)
    settled = settle(journal, claim.id, an_end(evidence=NOTE))
    assert settled is not None
    assert (settled.state, settled.due_at, settled.settles_at) == (State.SUCCEEDED, None, 233.0)
    assert [piece["what"] for piece in settled.evidence] == ["timeout", "looked"]


def test_a_lost_sender_is_reconciled(journal: Journal) -> None:
    """A lease that ended turns into a doubt, with a window from now on, and the evidence says so; once."""
    claim = claimed(journal)
    assert journal.lease_due("other", now=109.9, lease_seconds=30.0, limit=10) == []
    lost = {"at": 110.0, "what": "lease_expired", "hits": None}
    taken = Operation(
        claim=claim, state=State.RECONCILING, evidence=(lost,), settles_at=240.0, due_at=140.0, updated_at=110.0
    )
    assert journal.lease_due("other", now=110.0, lease_seconds=30.0, limit=10) == [taken]
    assert journal.lease_due("third", now=139.9, lease_seconds=30.0, limit=10) == []
    (again,) = journal.lease_due("third", now=140.0, lease_seconds=30.0, limit=10)
    assert (again.evidence, again.settles_at, again.due_at) == ((lost,), 240.0, 170.0)


def test_the_oldest_are_taken_first(journal: Journal) -> None:
    """At most `limit` due operations, sending or not, are leased, in the order of their time."""
    leases = [117.0, 113.0, 119.0, 111.0, 115.0]
    claims = {lease: claimed(journal, lease_until=lease) for lease in leases}
    doubtful = doubted(journal)
    taken = journal.lease_due("other", now=118.0, lease_seconds=30.0, limit=4)
    expected = [doubtful.id, claims[111.0].id, claims[113.0].id, claims[115.0].id]
    assert [operation.claim.id for operation in taken] == expected
    rest = journal.lease_due("other", now=118.0, lease_seconds=30.0, limit=4)
    assert [operation.claim.id for operation in rest] == [claims[117.0].id]


def test_a_look_is_counted(journal: Journal) -> None:
    """A look that settles nothing is noted, counted, and says when to look again; the state stays."""
    claim = doubted(journal)
    before = journal.get(claim.id)
    journal.reschedule(claim.id, due_at=107.0, evidence=NOTE)
    journal.reschedule(claim.id, due_at=115.0, evidence=NOTE | {"at": 107.0})
    after = journal.get(claim.id)
    assert before is not None
    assert after is not None
    assert (after.state, after.lookups, after.due_at, after.updated_at) == (State.RECONCILING, 2, 115.0, 107.0)
    assert after.evidence == (*before.evidence, NOTE, NOTE | {"at": 107.0})


def test_next_due_is_the_earliest(journal: Journal) -> None:
    """The next to act is the earliest of the live ones; with none there is no time."""
    assert journal.next_due() is None
    first, second = claimed(journal, lease_until=112.0), claimed(journal, lease_until=111.0)
    assert journal.next_due() == 111.0
    journal.settle(second.id, an_end())
    assert journal.next_due() == 112.0
    journal.settle(first.id, an_end())
    assert journal.next_due() is None


def test_a_changed_module_is_no_memory(journal: Journal) -> None:
    """Once a module has changed, the request that made it is a new one; its key, and other modules', still count."""
    same = {"request_id": "request", "fingerprint": "f"}
    for module, changes in {"m": same, "other": same | {"fingerprint": "g"}, "k": {"idempotency_key": "key"}}.items():
        journal.settle(claimed(journal, **changes).id, an_end(module_id=module))
    for module in ("m", "k"):
        journal.clear_dedup(module)
    assert journal.claim(a_claim(**same)).match == "claimed"
    assert journal.claim(a_claim(**same | {"fingerprint": "g"})).match == "memory"
    assert journal.claim(a_claim(idempotency_key="key")).match == "key"


def test_voiding_changes_nothing_that_is_seen(journal: Journal) -> None:
    """The operation itself stays as it was, not even newer."""
    claim = claimed(journal)
    ended = settle(journal, claim.id, an_end(module_id="m"))
    journal.clear_dedup("m")
    assert journal.get(claim.id) == ended


def test_tidying_changes_nothing_that_is_seen(journal: Journal) -> None:
    """Whatever an engine does for itself meanwhile, every operation is what it was."""
    claim = a_claim()
    journal.claim(claim)
    before = journal.get(claim.id)
    journal.checkpoint()
    assert (journal.get(claim.id), journal.counts()["sending"]) == (before, 1)


def test_counts_name_every_state(journal: Journal) -> None:
    """Every state has a number, also those that nobody is in."""
    assert journal.counts() == {state.value: 0 for state in State}
    claimed(journal)
    doubted(journal)
    for end in [State.SUCCEEDED, State.SUCCEEDED, State.REFUSED, State.NOT_APPLIED, State.AMBIGUOUS]:
        journal.settle(claimed(journal).id, an_end(end))
    assert journal.counts() == {state.value: 1 for state in State} | {"succeeded": 2}


def test_the_old_expire(journal: Journal) -> None:
    """What ended before a time goes, the oldest first and at most `limit`, its key with it; the live stay."""
    live = claimed(journal)
    ended = [claimed(journal, idempotency_key=f"key {at}") for at in range(5)]
    for at, claim in enumerate(ended):
        journal.settle(claim.id, an_end(at=200.0 + at))
    assert journal.expire(settled_before=203.0, limit=2) == 2
    assert [journal.get(claim.id) is None for claim in ended] == [True, True, False, False, False]
    assert journal.expire(settled_before=203.0, limit=2) == 1
    assert journal.expire(settled_before=203.0, limit=2) == 0
    assert journal.claim(a_claim(idempotency_key="key 0")).match == "claimed"
    assert journal.claim(a_claim(idempotency_key="key 3")).match == "key"
    assert journal.get(live.id) == sent(live)


def test_ids_are_met_once(journal: Journal) -> None:
    """An id counts from the first time it was seen in its scope of its connection, and not at that very time."""
    journal.record_seen("pm", "p1", ["1", "2", "2"], at=50.0)
    journal.record_seen("pm", "p1", ["3", "2", "ü'"], at=60.0)
    journal.record_seen("pm", "p1", ["3", "2"], at=70.0)
    journal.record_seen("pm", "p1", [], at=70.0)
    for native_id, first in {"1": 50.0, "2": 50.0, "3": 60.0, "ü'": 60.0}.items():
        assert not journal.was_seen_before("pm", "p1", native_id, before=first)
        assert journal.was_seen_before("pm", "p1", native_id, before=first + 0.5)
    for backend, scope, native_id in [("pm", "p1", "4"), ("pm", "p2", "1"), ("other", "p1", "1")]:
        assert not journal.was_seen_before(backend, scope, native_id, before=100.0)


def test_closing_is_no_end(shared_url: str) -> None:
    """A closed journal opens again when it is used; closing one that was never used does nothing."""
    journal = create_journal(shared_url)
    journal.close()
    claim = claimed(journal)
    journal.close()
    assert journal.get(claim.id) == sent(claim)
    journal.close()
