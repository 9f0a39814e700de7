from __future__ import annotations

from typing import Any

import pytest

from gateway.domain.journal import Journal
from gateway.domain.operation import Claim, State
from tests.unit.journals.records import expire, make_change, make_claim, make_settlement, sending_operation

#: What a further request is recognized by: with a key by the key, without one by request id and fingerprint.
IDENTITIES: dict[str, dict[str, Any]] = {
    "key": {"idempotency_key": "key"},
    "memory": {"request_id": "request", "fingerprint": "f"},
}
NAME = ("2", "7", "same")
names = pytest.mark.parametrize("match", IDENTITIES)


def claim_name(journal: Journal, **changes: Any) -> Claim:
    """Claim NAME, which must be free, and return the claim."""
    claim = make_claim(natural_key=NAME, **changes)
    assert journal.claim(claim).match == "claimed"
    return claim


def add_alias(journal: Journal, first: Claim, **identity: Any) -> None:
    """Make a further request of NAME stand for an operation that holds it."""
    further = make_claim(natural_key=NAME, **identity)
    assert journal.claim(further).match == "name"
    journal.add_alias(further, first.id)
    assert journal.get(further.id) is None


def match_of(journal: Journal, **identity: Any) -> tuple[str, str]:
    """Return the match of a claim of another name, and the id of the matching operation."""
    result = journal.claim(make_claim(**identity))
    return result.match, result.operation.claim.id


@names
@pytest.mark.parametrize("state", [None, State.SUCCEEDED, State.AMBIGUOUS])
def test_alias_leads_to_the_operation(journal: Journal, match: str, state: State | None) -> None:
    """The key or the request of a further create finds the operation while it is active, and its result afterwards."""
    first = claim_name(journal)
    add_alias(journal, first, **IDENTITIES[match])
    if state:
        journal.settle(first.id, make_settlement(state, module_id="m"))
    assert match_of(journal, **IDENTITIES[match]) == (match, first.id)
    assert journal.counts()["sending"] == (0 if state else 1)


@names
def test_alias_does_not_change_the_operation(journal: Journal, match: str) -> None:
    """The operation is left unchanged, and keeps its own key and request."""
    first = claim_name(journal, idempotency_key="first")
    add_alias(journal, first, **IDENTITIES[match])
    assert journal.get(first.id) == sending_operation(first)
    assert match_of(journal, idempotency_key="first") == ("key", first.id)


@names
@pytest.mark.parametrize("state", [State.REFUSED, State.NOT_APPLIED])
def test_alias_is_released_by_a_refusal(journal: Journal, match: str, state: State) -> None:
    """An operation that was refused or not applied has no aliases: the request can be sent again, and is found then."""
    first = claim_name(journal)
    add_alias(journal, first, **IDENTITIES[match])
    journal.settle(first.id, make_settlement(state))
    again = claim_name(journal, **IDENTITIES[match])
    assert match_of(journal, **IDENTITIES[match]) == (match, again.id)


@names
def test_released_alias_can_be_added_again(journal: Journal, match: str) -> None:
    """A request whose first operation was refused can stand for the next one, whose result it finds."""
    first = claim_name(journal)
    add_alias(journal, first, **IDENTITIES[match])
    journal.settle(first.id, make_settlement(State.REFUSED))
    second = claim_name(journal)
    add_alias(journal, second, **IDENTITIES[match])
    journal.settle(second.id, make_settlement(module_id="m"))
    assert match_of(journal, **IDENTITIES[match]) == (match, second.id)


@names
def test_alias_does_not_take_over_a_name(journal: Journal, match: str) -> None:
    """A key or request that an operation, or another alias of one, holds already stays with that operation."""
    first, held = claim_name(journal), make_claim(**IDENTITIES[match])
    journal.claim(held)
    journal.add_alias(make_claim(**IDENTITIES[match]), first.id)
    assert match_of(journal, **IDENTITIES[match]) == (match, held.id)
    other = {name: f"{value} 2" for name, value in IDENTITIES[match].items()}
    add_alias(journal, first, **other)
    journal.add_alias(make_claim(**other), held.id)
    assert match_of(journal, **other) == (match, first.id)


def test_alias_of_a_request_expires(journal: Journal) -> None:
    """The alias of a request ends at its own `dedup_until`, and can be added again; the alias of a key stays."""
    first = claim_name(journal)
    for identity in IDENTITIES.values():
        add_alias(journal, first, **identity, claimed_at=105.0, dedup_until=400.0)
    assert match_of(journal, **IDENTITIES["memory"], claimed_at=399.0) == ("memory", first.id)
    assert match_of(journal, **IDENTITIES["key"], claimed_at=400.0) == ("key", first.id)
    add_alias(journal, first, **IDENTITIES["memory"], claimed_at=400.0, dedup_until=1000.0)
    journal.settle(first.id, make_settlement(module_id="m"))
    assert match_of(journal, **IDENTITIES["memory"], claimed_at=999.0) == ("memory", first.id)
    again = claim_name(journal, **IDENTITIES["memory"], claimed_at=1000.0, dedup_until=1600.0)
    assert match_of(journal, **IDENTITIES["memory"], claimed_at=1001.0) == ("memory", again.id)


@names
@pytest.mark.parametrize("change", [{"caller": "other"}, {"draft": {"credential": "other"}}])
def test_alias_belongs_to_its_requester(journal: Journal, match: str, change: dict[str, Any]) -> None:
    """The same key or request of another caller, or with another credential, is not the alias."""
    first = claim_name(journal)
    add_alias(journal, first, **IDENTITIES[match])
    assert match_of(journal, **IDENTITIES[match] | change)[0] == "claimed"


def test_alias_ends_with_a_change_of_the_module(journal: Journal) -> None:
    """A change of the module voids the aliases of requests, not those of keys."""
    first = claim_name(journal)
    for identity in IDENTITIES.values():
        add_alias(journal, first, **identity)
    journal.settle(first.id, make_settlement(module_id="m"))
    journal.begin_change(make_change("m", started_at=59.0))
    again = make_claim(**IDENTITIES["memory"])
    assert journal.claim(again).match == "claimed"
    assert match_of(journal, **IDENTITIES["memory"]) == ("memory", again.id)
    assert match_of(journal, **IDENTITIES["key"]) == ("key", first.id)


@names
def test_alias_expires_with_its_operation(journal: Journal, match: str) -> None:
    """When an operation is deleted its aliases are deleted too; those of other operations stay."""
    first = claim_name(journal)
    add_alias(journal, first, **IDENTITIES[match])
    journal.settle(first.id, make_settlement(at=200.0))
    second = claim_name(journal)
    other = {name: f"{value} 2" for name, value in IDENTITIES[match].items()}
    add_alias(journal, second, **other)
    assert expire(journal, settled_before=201.0, limit=10) == 1
    assert journal.read("SELECT operation_id FROM aliases", {})[0][0] == second.id  # type: ignore[attr-defined]
    assert match_of(journal, **IDENTITIES[match])[0] == "claimed"
    assert match_of(journal, **other) == (match, second.id)
