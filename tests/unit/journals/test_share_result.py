from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from gateway.domain.journal import Journal
from gateway.domain.operation import Operation, State
from tests.unit.journals.records import make_claim, make_settlement, sending_operation, settle

MODULE = {"id": "cmdb:m"}


def create_module(journal: Journal, **changes: Any) -> Operation:
    """Return an operation that has succeeded with MODULE."""
    claim = make_claim(**changes)
    journal.claim(claim)
    settled = settle(journal, claim.id, make_settlement(module=MODULE, module_id="cmdb:m"))
    assert settled is not None
    return settled


def test_success_is_shared_with_a_waiting_claim(journal: Journal) -> None:
    """A claim that waited for another caller's create gets its own succeeded operation with its own key and request."""
    first = create_module(journal)
    claim = make_claim(natural_key=first.claim.natural_key, caller="second", idempotency_key="key")
    journal.share_result(claim, first, "cmdb:m")
    copy = replace(
        sending_operation(claim), state=State.SUCCEEDED, module=MODULE, due_at=None, updated_at=first.updated_at
    )
    assert journal.get(claim.id) == copy
    repeated = journal.claim(make_claim(caller="second", idempotency_key="key"))
    assert (repeated.match, repeated.operation) == ("key", copy)


@pytest.mark.parametrize(("cleared", "match"), [(False, "memory"), (True, "claimed")])
def test_copy_is_deduplicated_until_the_module_changes(journal: Journal, *, cleared: bool, match: str) -> None:
    """The request of a copy matches until the deduplication of its module is cleared."""
    claim = make_claim(caller="second")
    journal.share_result(claim, create_module(journal), "cmdb:m")
    if cleared:
        journal.clear_dedup("cmdb:m")
    repeated = make_claim(caller="second", request_id=claim.request_id, fingerprint=claim.fingerprint)
    assert journal.claim(repeated).match == match


def test_copy_does_not_hold_the_name(journal: Journal) -> None:
    """A copy is settled: it does not hold the natural key, and can be written while another operation does."""
    first = create_module(journal)
    active = make_claim(natural_key=first.claim.natural_key)
    assert journal.claim(active).match == "claimed"
    claim = make_claim(natural_key=first.claim.natural_key)
    journal.share_result(claim, first, "cmdb:m")
    assert journal.get(claim.id) is not None
    assert journal.counts()["sending"] == 1


def test_copy_does_not_take_over_a_key(journal: Journal) -> None:
    """No copy is written if its key already belongs to an operation, which keeps it."""
    first = create_module(journal, idempotency_key="key")
    claim = make_claim(idempotency_key="key")
    journal.share_result(claim, first, "cmdb:m")
    assert journal.get(claim.id) is None
    assert journal.claim(make_claim(idempotency_key="key")).operation == first


@pytest.mark.parametrize("claimed_at", [101.0, 900.0])
def test_copy_is_written_if_only_the_request_is_taken(journal: Journal, claimed_at: float) -> None:
    """If only the request belongs, or belonged, to another operation, the copy is written with its key."""
    first = create_module(journal, request_id="request", fingerprint="f")
    claim = make_claim(request_id="request", fingerprint="f", idempotency_key="key", claimed_at=claimed_at)
    journal.share_result(claim, first, "cmdb:m")
    assert journal.claim(make_claim(idempotency_key="key")).operation.claim.id == claim.id


def test_find_creator(journal: Journal) -> None:
    """The creator is the first operation that succeeded with the module, not a refusal that contains its id."""
    refused = make_claim(claimed_at=50.0)
    journal.claim(refused)
    journal.settle(refused.id, make_settlement(State.REFUSED, module_id="cmdb:m"))
    assert journal.find_creator("cmdb:m") is None
    first = create_module(journal)
    journal.share_result(make_claim(claimed_at=101.0), first, "cmdb:m")
    assert journal.find_creator("cmdb:m") == first.claim.id
