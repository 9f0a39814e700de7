"""Claims and settlements to write down, complete but for what a test is about."""

from __future__ import annotations

import itertools
from typing import Any

from gateway.domain.journal import Journal
from gateway.domain.operation import Claim, Operation, Settlement, State

_numbers = itertools.count(1)


def a_claim(**changes: Any) -> Claim:
    """A claim at second 100, leased until 110, remembered until 700; no two have a name in common."""
    number = next(_numbers)
    fields: dict[str, Any] = {
        "id": f"op-{number}",
        "backend": "cmdb-main",
        "natural_key": ("2", "7", f"module {number}"),
        "caller": "deployer",
        "idempotency_key": None,
        "request_id": f"request-{number}",
        "fingerprint": f"{number:064x}",
        "draft": {"name": f"module {number}", "scope": "2", "owners": ["ann"], "attributes": {"size": 3, "top": None}},
        "claimed_at": 100.0,
        "lease_until": 110.0,
        "dedup_until": 700.0,
        "settle_seconds": 130.0,
        "worker_id": "host:1",
    }
    return Claim(**fields | changes)


def an_end(state: State = State.SUCCEEDED, **changes: Any) -> Settlement:
    """An end at second 105."""
    return Settlement(state=state, **{"at": 105.0} | changes)


def sent(claim: Claim) -> Operation:
    """What a claim is as long as nothing has become of it."""
    return Operation(claim=claim, state=State.SENDING, due_at=claim.lease_until, updated_at=claim.claimed_at)


def settle(journal: Journal, operation_id: str, settlement: Settlement) -> Operation | None:
    """End an operation, and return what stands in the journal then."""
    journal.settle(operation_id, settlement)
    return journal.get(operation_id)


def mark_unknown(journal: Journal, operation_id: str, **values: Any) -> Operation | None:
    """Doubt an operation, and return what stands in the journal then."""
    journal.mark_unknown(operation_id, **values)
    return journal.get(operation_id)
