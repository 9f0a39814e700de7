"""A reference model of the journal: the rules of the port in memory, neither fast nor durable."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from gateway.domain.operation import Claim, Operation, Settlement, State
from tests.unit.journals.records import sending_operation


@dataclass
class Entry:
    """An operation, whether its key and its request still deduplicate, and the id of the module it created."""

    operation: Operation
    key: bool = True
    dedup: bool = True
    module_id: str | None = None


class Model:
    def __init__(self) -> None:
        self.entries: dict[str, Entry] = {}
        self.first_seen: dict[str, float] = {}

    def claim(self, claim: Claim) -> tuple[str, str]:
        """Return the match and the id of the matching operation."""
        entries = self.entries.values()
        same_key = [e for e in entries if e.key and claim.idempotency_key and _key(e) == _key_of(claim)]
        same_request = [e for e in entries if e.dedup and _request(e.operation.claim) == _request(claim)]
        deduplicating = [e for e in same_request if (e.operation.claim.dedup_until or 0.0) > claim.claimed_at]
        same_name = [e for e in entries if e.operation.state.is_active and _name(e.operation.claim) == _name(claim)]
        conflicts = {"key": same_key, "memory": [] if claim.idempotency_key else deduplicating, "name": same_name}
        for match, matching in conflicts.items():
            if matching:
                return match, matching[0].operation.claim.id
        for entry in same_request:
            entry.dedup = entry in deduplicating
        self.entries[claim.id] = Entry(sending_operation(claim), dedup=not deduplicating)
        return "claimed", claim.id

    def settle(self, operation_id: str, settlement: Settlement) -> Operation:
        entry = self.entries[operation_id]
        if entry.operation.state.is_active:
            deduplicates = settlement.state in {State.SUCCEEDED, State.AMBIGUOUS}
            entry.key, entry.dedup = entry.key and deduplicates, entry.dedup and deduplicates
            entry.module_id = settlement.module_id
            entry.operation = replace(
                _with_evidence(entry.operation, settlement.evidence),
                state=settlement.state,
                module=settlement.module,
                error=settlement.error,
                due_at=None,
                updated_at=settlement.at,
            )
        return entry.operation

    def mark_unknown(self, operation_id: str, at: float, due_at: float, evidence: Mapping[str, Any]) -> Operation:
        entry = self.entries[operation_id]
        if entry.operation.state is State.SENDING:
            settles_at = at + entry.operation.claim.settle_seconds
            entry.operation = replace(
                _with_evidence(entry.operation, evidence),
                state=State.RECONCILING,
                settles_at=settles_at,
                due_at=due_at,
                updated_at=at,
            )
        return entry.operation

    def lease_due(self, now: float, lease_seconds: float, limit: int) -> list[Operation]:
        due = sorted((at, key) for key, e in self.entries.items() if (at := e.operation.due_at) is not None)
        leased = [key for at, key in due if at <= now][:limit]
        for key in leased:
            self.mark_unknown(key, now, now, {"at": now, "what": "lease_expired", "hits": None})
            entry = self.entries[key]
            entry.operation = replace(entry.operation, due_at=now + lease_seconds, updated_at=now)
        return [self.entries[key].operation for key in leased]

    def reschedule(self, operation_id: str, due_at: float, evidence: Mapping[str, Any]) -> None:
        entry = self.entries[operation_id]
        if entry.operation.state.is_active:
            updated = _with_evidence(entry.operation, evidence)
            entry.operation = replace(updated, due_at=due_at, lookups=updated.lookups + 1, updated_at=evidence["at"])

    def next_due(self) -> float | None:
        return min((at for e in self.entries.values() if (at := e.operation.due_at) is not None), default=None)

    def clear_dedup(self, module_id: str) -> None:
        for entry in self.entries.values():
            entry.dedup = entry.dedup and entry.module_id != module_id

    def expire(self, settled_before: float, limit: int) -> int:
        settled = [e.operation for e in self.entries.values() if not e.operation.state.is_active]
        expired = sorted((o.updated_at, o.claim.id) for o in settled if o.updated_at < settled_before)[:limit]
        for _, key in expired:
            del self.entries[key]
        return len(expired)

    def counts(self) -> dict[str, int]:
        states = [e.operation.state for e in self.entries.values()]
        return {state.value: states.count(state) for state in State}


def _key(entry: Entry) -> tuple[str, str | None]:
    return _key_of(entry.operation.claim)


def _key_of(claim: Claim) -> tuple[str, str | None]:
    return claim.caller, claim.idempotency_key


def _request(claim: Claim) -> tuple[str, str, str]:
    return claim.caller, claim.request_id, claim.fingerprint


def _name(claim: Claim) -> tuple[str, ...]:
    return claim.backend, *claim.natural_key


def _with_evidence(operation: Operation, evidence: Mapping[str, Any] | None) -> Operation:
    return operation if evidence is None else replace(operation, evidence=(*operation.evidence, evidence))
