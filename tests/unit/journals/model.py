"""A reference model of the journal: the rules of the port in memory, neither fast nor durable."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from gateway.domain.errors import Outcome
from gateway.domain.operation import Change, Claim, Operation, Settlement, State
from tests.unit.journals.records import sending_operation

TAKEOVER_SECONDS = 10.0


@dataclass
class Entry:
    """An operation; whether its key and its request still deduplicate; its module; its place in the order of events."""

    operation: Operation
    number: int
    key: bool = True
    dedup: bool = True
    module_id: str | None = None
    worker_id: str | None = None  # the worker that looked it up last


@dataclass
class Alias:
    operation_id: str
    expires_at: float | None


class Model:
    def __init__(self) -> None:
        self.entries: dict[str, Entry] = {}
        self.aliases: dict[tuple[Any, ...], Alias] = {}
        self.changes: dict[str, tuple[Change, Outcome | None]] = {}
        self.seen: dict[str, int] = {}  # the number of the event at which an id was first recorded
        self.events = 0

    def claim(self, claim: Claim) -> tuple[str, str]:
        """Return the match and the id of the matching operation."""
        conflicts: dict[str, str] = {}
        for operation_id, entry in self.entries.items():
            existing = entry.operation.claim
            if entry.key and _key(claim) and _key(existing) == _key(claim):
                conflicts["key"] = operation_id
            if entry.dedup and _request(claim) and _request(existing) == _request(claim):
                expired = (existing.dedup_until or 0.0) <= claim.claimed_at
                if expired or self._is_changed(entry.module_id, claim.claimed_at):
                    entry.dedup = False
                else:
                    conflicts["memory"] = operation_id
            if entry.operation.state.is_active and _name(existing) == _name(claim):
                conflicts["name"] = operation_id
        alias = self._valid_alias(claim)
        if alias and not _key(claim) and self._is_changed(self.entries[alias.operation_id].module_id, claim.claimed_at):
            self.entries[alias.operation_id].dedup = False
            del self.aliases[_alias_name(claim)]
        elif alias:
            conflicts.setdefault("key" if _key(claim) else "memory", alias.operation_id)
        for match in ("key", "memory", "name"):
            if match in conflicts:
                return match, conflicts[match]
        self.aliases.pop(_alias_name(claim), None)
        self.events += 1
        self.entries[claim.id] = Entry(sending_operation(claim), self.events)
        return "claimed", claim.id

    def add_alias(self, claim: Claim, operation_id: str) -> None:
        if self._valid_alias(claim) is None:
            expires_at = None if _key(claim) else claim.dedup_until
            self.aliases[_alias_name(claim)] = Alias(operation_id, expires_at)

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
            entry.worker_id = entry.operation.claim.worker_id
            entry.operation = replace(
                _with_evidence(entry.operation, evidence),
                state=State.RECONCILING,
                settles_at=settles_at,
                due_at=due_at,
                updated_at=at,
            )
        return entry.operation

    def lease_due(
        self, worker_id: str, now: float, lease_seconds: float, horizon_seconds: float, limit: int
    ) -> list[Operation]:
        due = []
        for key, entry in self.entries.items():
            at = entry.operation.due_at
            is_own = entry.worker_id in {None, worker_id}
            if at is not None and (at > now + horizon_seconds or at <= now - (0.0 if is_own else TAKEOVER_SECONDS)):
                due.append((at, key))
        leased = [key for _, key in sorted(due)[:limit]]
        for key in leased:
            entry = self.entries[key]
            claim = entry.operation.claim
            if entry.operation.state is State.SENDING:
                claim = replace(claim, settle_seconds=claim.settle_seconds + claim.lease_seconds)
                entry.operation = replace(entry.operation, claim=claim)
                self.mark_unknown(key, now, now, {"at": now, "what": "lease_expired", "hits": None})
            entry.worker_id = worker_id
            entry.operation = replace(entry.operation, due_at=now + lease_seconds, updated_at=now)
        return [self.entries[key].operation for key in leased]

    def reschedule(
        self, operation_id: str, due_at: float, observed_seconds: float, evidence: Mapping[str, Any]
    ) -> None:
        entry = self.entries[operation_id]
        if entry.operation.state.is_active:
            entry.operation = replace(
                _with_evidence(entry.operation, evidence),
                due_at=due_at,
                lookups=entry.operation.lookups + 1,
                updated_at=evidence["at"],
                observed_seconds=observed_seconds,
            )

    def next_due(self) -> float | None:
        return min((at for e in self.entries.values() if (at := e.operation.due_at) is not None), default=None)

    def begin_change(self, change: Change) -> None:
        self.changes[change.id] = change, None

    def end_change(self, change_id: str, outcome: Outcome) -> None:
        if change_id in self.changes:
            self.changes[change_id] = self.changes[change_id][0], outcome

    def record_seen(self, native_ids: list[str]) -> None:
        self.events += 1
        self.seen = dict.fromkeys(native_ids, self.events) | self.seen

    def was_seen_before(self, operation_id: str, native_id: str) -> bool:
        return native_id in self.seen and self.seen[native_id] < self.entries[operation_id].number

    def expire(self, settled_before: float, limit: int) -> int:
        kept = {State.SENDING, State.RECONCILING, State.AMBIGUOUS}
        settled = [e.operation for e in self.entries.values() if e.operation.state not in kept]
        expired = sorted((o.updated_at, o.claim.id) for o in settled if o.updated_at < settled_before)[:limit]
        for _, key in expired:
            del self.entries[key]
        self.aliases = {name: alias for name, alias in self.aliases.items() if alias.operation_id in self.entries}
        self.changes = {key: value for key, value in self.changes.items() if value[0].started_at >= settled_before}
        return len(expired)

    def counts(self) -> dict[str, int]:
        states = [e.operation.state for e in self.entries.values()]
        return {state.value: states.count(state) for state in State}

    def _valid_alias(self, claim: Claim) -> Alias | None:
        alias = self.aliases.get(_alias_name(claim))
        entry = self.entries.get(alias.operation_id) if alias else None
        if alias is None or entry is None or entry.operation.state in {State.REFUSED, State.NOT_APPLIED}:
            return None
        return alias if alias.expires_at is None or alias.expires_at > claim.claimed_at else None

    def _is_changed(self, module_id: str | None, now: float) -> bool:
        return any(
            change.module_id == module_id
            and (outcome in {Outcome.APPLIED, Outcome.UNKNOWN} or (outcome is None and change.lease_until < now))
            for change, outcome in self.changes.values()
        )


def _key(claim: Claim) -> tuple[Any, ...] | None:
    return claim.idempotency_key and (claim.caller, claim.credential, claim.idempotency_key)  # type: ignore[return-value]


def _request(claim: Claim) -> tuple[Any, ...] | None:
    return None if claim.idempotency_key else (claim.caller, claim.credential, claim.request_id, claim.fingerprint)


def _alias_name(claim: Claim) -> tuple[Any, ...]:
    return _key(claim) or _request(claim) or ()


def _name(claim: Claim) -> tuple[str, ...]:
    return claim.backend, *claim.natural_key


def _with_evidence(operation: Operation, evidence: Mapping[str, Any] | None) -> Operation:
    return operation if evidence is None else replace(operation, evidence=(*operation.evidence, evidence))
