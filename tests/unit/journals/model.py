"""What a journal is, without a database: the rules of the port, and nothing to make them fast or durable."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from gateway.domain.operation import Claim, Operation, Settlement, State
from tests.unit.journals.records import sent


@dataclass
class Entry:
    """An operation, what it is still remembered by, and the module it made."""

    operation: Operation
    key: bool = True
    memory: bool = True
    module_id: str | None = None


class Model:
    def __init__(self) -> None:
        self.entries: dict[str, Entry] = {}
        self.met: dict[str, float] = {}

    def claim(self, claim: Claim) -> tuple[str, str]:
        """Return the standing, and the id of the operation that it is about."""
        old = self.entries.values()
        same_key = [e for e in old if e.key and claim.idempotency_key and _key(e) == _key_of(claim)]
        same_request = [e for e in old if e.memory and _request(e.operation.claim) == _request(claim)]
        remembered = [e for e in same_request if (e.operation.claim.dedup_until or 0.0) > claim.claimed_at]
        same_name = [e for e in old if e.operation.state.is_active and _name(e.operation.claim) == _name(claim)]
        in_the_way = {"key": same_key, "memory": [] if claim.idempotency_key else remembered, "name": same_name}
        for match, found in in_the_way.items():
            if found:
                return match, found[0].operation.claim.id
        for entry in same_request:
            entry.memory = entry in remembered
        self.entries[claim.id] = Entry(sent(claim), memory=not remembered)
        return "claimed", claim.id

    def settle(self, operation_id: str, end: Settlement) -> Operation:
        entry = self.entries[operation_id]
        if entry.operation.state.is_active:
            keeps = end.state in {State.SUCCEEDED, State.AMBIGUOUS}
            entry.key, entry.memory = entry.key and keeps, entry.memory and keeps
            entry.module_id = end.module_id
            entry.operation = replace(
                _noted(entry.operation, end.evidence),
                state=end.state,
                module=end.module,
                error=end.error,
                due_at=None,
                updated_at=end.at,
            )
        return entry.operation

    def mark_unknown(self, operation_id: str, at: float, due_at: float, evidence: Mapping[str, Any]) -> Operation:
        entry = self.entries[operation_id]
        if entry.operation.state is State.SENDING:
            window = at + entry.operation.claim.settle_seconds
            entry.operation = replace(
                _noted(entry.operation, evidence),
                state=State.RECONCILING,
                settles_at=window,
                due_at=due_at,
                updated_at=at,
            )
        return entry.operation

    def lease_due(self, now: float, lease_seconds: float, limit: int) -> list[Operation]:
        due = sorted((at, key) for key, e in self.entries.items() if (at := e.operation.due_at) is not None)
        taken = [key for at, key in due if at <= now][:limit]
        for key in taken:
            self.mark_unknown(key, now, now, {"at": now, "what": "lease_expired", "hits": None})
            entry = self.entries[key]
            entry.operation = replace(entry.operation, due_at=now + lease_seconds, updated_at=now)
        return [self.entries[key].operation for key in taken]

    def reschedule(self, operation_id: str, due_at: float, evidence: Mapping[str, Any]) -> None:
        entry = self.entries[operation_id]
        if entry.operation.state.is_active:
            looked = _noted(entry.operation, evidence)
            entry.operation = replace(looked, due_at=due_at, lookups=looked.lookups + 1, updated_at=evidence["at"])

    def next_due(self) -> float | None:
        return min((at for e in self.entries.values() if (at := e.operation.due_at) is not None), default=None)

    def clear_dedup(self, module_id: str) -> None:
        for entry in self.entries.values():
            entry.memory = entry.memory and entry.module_id != module_id

    def expire(self, settled_before: float, limit: int) -> int:
        ended = [e.operation for e in self.entries.values() if not e.operation.state.is_active]
        old = sorted((o.updated_at, o.claim.id) for o in ended if o.updated_at < settled_before)[:limit]
        for _, key in old:
            del self.entries[key]
        return len(old)

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


def _noted(operation: Operation, evidence: Mapping[str, Any] | None) -> Operation:
    return operation if evidence is None else replace(operation, evidence=(*operation.evidence, evidence))
