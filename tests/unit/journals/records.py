"""Builders of claims, settlements and changes; a test passes only the fields that it is about."""

from __future__ import annotations

import itertools
from typing import Any

from gateway.domain.change import Change
from gateway.domain.journal import Journal
from gateway.domain.operation import Claim, Operation, Settlement, State

_numbers = itertools.count(1)


def make_claim(**changes: Any) -> Claim:
    """Return a claim at second 100, leased until 110, deduplicated until 700; its names are unique."""
    number = next(_numbers)
    fields: dict[str, Any] = {
        "id": f"op-{number}",
        "backend": "cmdb-main",
        "natural_key": ("2", "7", f"module {number}"),
        "caller": "deployer",
        "idempotency_key": None,
        "request_id": f"request-{number}",
        "fingerprint": f"{number:064x}",
        "draft": {
            "draft": {
                "name": f"module {number}",
                "scope": "2",
                "owners": ["ann"],
                "attributes": {"size": 3, "top": None},
            },
            "if_exists": "error",
        },
        "claimed_at": 100.0,
        "lease_until": 110.0,
        "dedup_until": 700.0,
        "settle_seconds": 130.0,
        "worker_id": "host:1",
    }
    if isinstance(changes.get("draft"), dict):
        changes["draft"] = fields["draft"] | changes["draft"]
    return Claim(**fields | changes)


def make_settlement(state: State = State.SUCCEEDED, **changes: Any) -> Settlement:
    """Return a settlement at second 105."""
    return Settlement(state=state, **{"at": 105.0} | changes)


def make_change(module_id: str, **changes: Any) -> Change:
    """Return an update of a module, begun at second 120 and leased until 160."""
    fields: dict[str, Any] = {
        "id": f"change-{next(_numbers)}",
        "backend": "cmdb-main",
        "scope": "2",
        "module_id": module_id,
        "action": "update",
        "caller": "deployer",
        "user": None,
        "request_id": "request",
        "fields": {"name": {"from": "old", "to": "new"}},
        "started_at": 120.0,
        "lease_seconds": 40.0,
        "settle_seconds": 130.0,
    }
    return Change(**fields | changes)


def sending_operation(claim: Claim) -> Operation:
    """Return the operation of a claim that has not been settled or marked as unknown."""
    return Operation(claim=claim, state=State.SENDING, due_at=claim.lease_until, updated_at=claim.claimed_at)


def settle(journal: Journal, operation_id: str, settlement: Settlement) -> Operation | None:
    """Settle an operation and return it as stored afterwards."""
    journal.settle(operation_id, settlement)
    return journal.get(operation_id)


def mark_unknown(journal: Journal, operation_id: str, **values: Any) -> Operation | None:
    """Mark the outcome of an operation as unknown and return the operation as stored afterwards."""
    journal.mark_unknown(operation_id, **values)
    return journal.get(operation_id)


def expire(journal: Journal, **values: Any) -> int:
    """Delete old operations, after what is in no change log yet has been published."""
    journal.publish_changes(1000)
    return journal.expire(**values)
