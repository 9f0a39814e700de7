from __future__ import annotations

import itertools
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule, run_state_machine_as_test

from gateway.domain.errors import Outcome
from gateway.domain.journal import Journal
from gateway.domain.operation import State
from gateway.journals import create_journal
from tests.unit.journals.model import Model
from tests.unit.journals.records import make_change, make_claim, make_settlement, mark_unknown, settle

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
