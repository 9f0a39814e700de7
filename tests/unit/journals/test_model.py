from __future__ import annotations

import itertools
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule, run_state_machine_as_test

from gateway.domain.errors import Outcome
from gateway.domain.journal import Journal
from gateway.domain.operation import Change, Claim, Operation, Settlement, State
from gateway.journals import create_journal
from tests.unit.journals.records import (
    make_change,
    make_claim,
    make_settlement,
    mark_unknown,
    sending_operation,
    settle,
)

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


SMALL_INTEGERS = st.integers(0, 3)
SECONDS = st.sampled_from([0.0, 1.0, 10.0, 100.0])
_examples = itertools.count(1)


class Machine(RuleBasedStateMachine):
    """Applies the same calls to a journal and to the model, which must agree, while the time advances."""

    journal: Journal

    def __init__(self) -> None:
        super().__init__()
        self.model = Model()
        self.now = 1000.0
        self.ids: list[str] = []
        self.changes: list[str] = []
        self.example = f"{next(_examples)}"

    @rule(
        caller=st.sampled_from("ab"),
        credential=st.sampled_from([None, None, "c"]),
        worker=st.sampled_from("vw"),
        key=st.sampled_from([None, None, "k", "l"]),
        request=st.sampled_from("rs"),
        body=st.sampled_from("fg"),
        name=st.sampled_from("xyz"),
        dedup_seconds=st.sampled_from([None, 0.0, 50.0]),
        lease=SECONDS,
    )
    def claim(
        self,
        *,
        caller: str,
        credential: str | None,
        worker: str,
        key: str | None,
        request: str,
        body: str,
        name: str,
        dedup_seconds: float | None,
        lease: float,
    ) -> None:
        claim = make_claim(
            natural_key=("2", name),
            caller=caller,
            draft={"credential": credential},
            worker_id=worker,
            idempotency_key=key,
            request_id=request,
            fingerprint=body,
            claimed_at=self.now,
            lease_until=self.now + lease,
            # Only a claim with a key may be without a deduplication period.
            dedup_until=None if key is not None and dedup_seconds is None else self.now + (dedup_seconds or 0.0),
        )
        result = self.journal.claim(claim)
        assert (result.match, result.operation.claim.id) == self.model.claim(claim)
        assert result.operation == self.model.entries[result.operation.claim.id].operation
        if result.match == "name":
            self.journal.add_alias(claim, result.operation.claim.id)
            self.model.add_alias(claim, result.operation.claim.id)
        self.ids.append(claim.id)

    @rule(
        nth=SMALL_INTEGERS,
        state=st.sampled_from([state for state in State if not state.is_active]),
        with_evidence=st.booleans(),
    )
    def settle(self, *, nth: int, state: State, with_evidence: bool) -> None:
        for key in self._nth(nth):
            evidence = {"at": self.now, "what": "looked", "hits": nth} if with_evidence else None
            settlement = make_settlement(
                state, at=self._unique_now(), module={"id": nth}, module_id=f"{nth}", evidence=evidence
            )
            assert settle(self.journal, key, settlement) == self.model.settle(key, settlement)

    @rule(nth=SMALL_INTEGERS, delay=SECONDS)
    def mark_unknown(self, *, nth: int, delay: float) -> None:
        for key in self._nth(nth):
            values: dict[str, Any] = {"at": self.now, "due_at": self.now + delay, "evidence": {"at": self.now}}
            assert mark_unknown(self.journal, key, **values) == self.model.mark_unknown(key, **values)

    @rule(nth=SMALL_INTEGERS, delay=SECONDS, observed=SECONDS)
    def reschedule(self, *, nth: int, delay: float, observed: float) -> None:
        for key in self._nth(nth):
            values: dict[str, Any] = {"due_at": self.now + delay, "evidence": {"at": self.now, "hits": nth}}
            values["observed_seconds"] = observed
            self.journal.reschedule(key, **values)
            self.model.reschedule(key, **values)

    @rule(worker=st.sampled_from("vw"), lease=SECONDS, horizon=st.sampled_from([5.0, 1e6]), limit=SMALL_INTEGERS)
    def lease_due(self, *, worker: str, lease: float, horizon: float, limit: int) -> None:
        leased = self.journal.lease_due(
            worker, now=self.now, lease_seconds=lease, horizon_seconds=horizon, except_backends=(), limit=limit
        )
        assert leased == self.model.lease_due(worker, self.now, lease, horizon, limit)

    @rule(module=SMALL_INTEGERS, lease=SECONDS)
    def begin_change(self, *, module: int, lease: float) -> None:
        change = make_change(f"{module}", started_at=self.now, lease_until=self.now + lease)
        self.journal.begin_change(change)
        self.model.begin_change(change)
        self.changes.append(change.id)

    @rule(nth=SMALL_INTEGERS, outcome=st.sampled_from(Outcome))
    def end_change(self, *, nth: int, outcome: Outcome) -> None:
        for key in self.changes[::-1][nth : nth + 1]:
            self.journal.end_change(key, outcome)
            self.model.end_change(key, outcome)

    @rule(ago=SECONDS, limit=SMALL_INTEGERS)
    def expire(self, *, ago: float, limit: int) -> None:
        before = self.now - ago
        assert self.journal.expire(settled_before=before, limit=limit) == self.model.expire(before, limit)

    @rule(seen=st.lists(st.sampled_from("123")), clock_error=SECONDS)
    def record_seen(self, *, seen: list[str], clock_error: float) -> None:
        self.journal.record_seen("cmdb-main", self.example, seen, at=self.now - clock_error)
        self.model.record_seen(seen)

    @rule(nth=SMALL_INTEGERS, native_id=st.sampled_from("123"))
    def was_seen_before(self, *, nth: int, native_id: str) -> None:
        for key in self._nth(nth):
            claim = self.model.entries[key].operation.claim
            seen = self.journal.was_seen_before(claim, self.example, native_id, clock_skew_seconds=0.0)
            assert seen == self.model.was_seen_before(key, native_id)

    @rule(seconds=SECONDS)
    def wait(self, *, seconds: float) -> None:
        self.now += seconds

    @invariant()
    def agrees_with_model(self) -> None:
        assert self.journal.next_due() == self.model.next_due()
        assert self.journal.counts() == self.model.counts()
        for key in self.ids[-4:]:
            entry = self.model.entries.get(key)
            assert self.journal.get(key) == (entry.operation if entry else None)

    def teardown(self) -> None:
        """Empty the journal for the next example."""
        for table in ("operations", "aliases", "changes"):
            self.journal._execute_write(f"DELETE FROM {table}", {})  # type: ignore[attr-defined]  # noqa: S608

    def _nth(self, nth: int) -> list[str]:
        """Return the nth latest operation id that the model contains, if there is one."""
        return [key for key in reversed(self.ids) if key in self.model.entries][nth : nth + 1]

    def _unique_now(self) -> float:
        self.now += 0.25  # unique, because the order in which equal times expire is undefined
        return self.now


@pytest.mark.parametrize(
    ("fixture", "examples"), [("memory", 50), pytest.param("postgres_url", 8, marks=pytest.mark.loopback)]
)
def test_journal_agrees_with_the_model(request: pytest.FixtureRequest, fixture: str, examples: int) -> None:
    """For any sequence of calls the journal returns and stores the same as the model."""
    journal = create_journal("sqlite:///:memory:" if fixture == "memory" else request.getfixturevalue(fixture))
    machine = type("Bound", (Machine,), {"journal": journal})
    run_state_machine_as_test(
        machine,
        settings=settings(
            max_examples=examples,
            stateful_step_count=30,
            derandomize=True,
            database=None,
            deadline=None,
            suppress_health_check=list(HealthCheck),
        ),
    )
    journal.close()
