from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from gateway.domain.journal import Journal
from gateway.domain.operation import Operation, State
from tests.unit.journals.records import a_claim, an_end, sent, settle

MODULE = {"id": "cmdb:m"}


def made(journal: Journal, **changes: Any) -> Operation:
    """An operation that has made the module."""
    claim = a_claim(**changes)
    journal.claim(claim)
    ended = settle(journal, claim.id, an_end(module=MODULE, module_id="cmdb:m"))
    assert ended is not None
    return ended


def test_a_shared_success_is_everybodys(journal: Journal) -> None:
    """Who waited for somebody else's create gets an operation of his own, ended, with his own key and memory."""
    first = made(journal)
    claim = a_claim(natural_key=first.claim.natural_key, caller="second", idempotency_key="key")
    journal.share_result(claim, first, "cmdb:m")
    copied = replace(sent(claim), state=State.SUCCEEDED, module=MODULE, due_at=None, updated_at=first.updated_at)
    assert journal.get(claim.id) == copied
    again = journal.claim(a_claim(caller="second", idempotency_key="key"))
    assert (again.match, again.operation) == ("key", copied)


@pytest.mark.parametrize(("void", "match"), [(False, "memory"), (True, "claimed")])
def test_a_copy_is_remembered_as_long_as_the_module(journal: Journal, *, void: bool, match: str) -> None:
    """A copy's memory leads to the same module, and is void when that changes."""
    claim = a_claim(caller="second")
    journal.share_result(claim, made(journal), "cmdb:m")
    if void:
        journal.clear_dedup("cmdb:m")
    same = a_claim(caller="second", request_id=claim.request_id, fingerprint=claim.fingerprint)
    assert journal.claim(same).match == match


def test_a_copy_holds_no_name(journal: Journal) -> None:
    """A copy has ended: its natural key is free, and it may be written while somebody else is at it."""
    first = made(journal)
    live = a_claim(natural_key=first.claim.natural_key)
    assert journal.claim(live).match == "claimed"
    claim = a_claim(natural_key=first.claim.natural_key)
    journal.share_result(claim, first, "cmdb:m")
    assert journal.get(claim.id) is not None
    assert journal.counts()["sending"] == 1


def test_a_taken_key_stays_where_it_is(journal: Journal) -> None:
    """A key that belongs to an operation by now still does after a copy."""
    first = made(journal, idempotency_key="key")
    claim = a_claim(idempotency_key="key")
    journal.share_result(claim, first, "cmdb:m")
    assert journal.get(claim.id) is None
    assert journal.claim(a_claim(idempotency_key="key")).operation == first


@pytest.mark.parametrize("claimed_at", [101.0, 900.0])
def test_a_memory_that_is_taken_costs_no_key(journal: Journal, claimed_at: float) -> None:
    """Where only the memory is somebody's, or was, a copy is written for the sake of its key."""
    first = made(journal, request_id="request", fingerprint="f")
    claim = a_claim(request_id="request", fingerprint="f", idempotency_key="key", claimed_at=claimed_at)
    journal.share_result(claim, first, "cmdb:m")
    assert journal.claim(a_claim(idempotency_key="key")).operation.claim.id == claim.id


def test_who_made_a_module(journal: Journal) -> None:
    """The first operation that succeeded with a module made it; a refusal that names it did not."""
    refused = a_claim(claimed_at=50.0)
    journal.claim(refused)
    journal.settle(refused.id, an_end(State.REFUSED, module_id="cmdb:m"))
    assert journal.find_creator("cmdb:m") is None
    first = made(journal)
    journal.share_result(a_claim(claimed_at=101.0), first, "cmdb:m")
    assert journal.find_creator("cmdb:m") == first.claim.id
