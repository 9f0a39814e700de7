"""The reconciler's leases, lookups and settlements, and failures that do not stop it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest

from gateway.domain.backend import CallContext
from gateway.domain.errors import BackendTimeout, JournalUnavailable, OutcomeUnknown
from gateway.domain.journal import Journal
from gateway.domain.module import Module, Owner
from gateway.domain.operation import State
from gateway.provisioning.create import CreateRequest
from gateway.provisioning.provisioner import Provisioner
from gateway.provisioning.reconciler import Reconciler
from tests.conftest import VirtualClock
from tests.unit.api.fake_backend import FakeBackend


@pytest.fixture
def lost(provisioner: Provisioner, cmdb: FakeBackend, create_request: CreateRequest, call: CallContext) -> str:
    """The id of an operation whose response was lost, and that may have been applied."""
    cmdb.fails["create"] = OutcomeUnknown()
    operation = provisioner.start(cmdb, create_request, call).operation
    del cmdb.fails["create"]
    return operation.claim.id


def state(journal: Journal, operation_id: str) -> State:
    operation = journal.get(operation_id)
    assert operation is not None
    return operation.state


def test_a_normalized_value_is_no_difference(
    reconciler: Reconciler,
    provisioner: Provisioner,
    journal: Journal,
    clock: VirtualClock,
    cmdb: FakeBackend,
    create_request: CreateRequest,
    call: CallContext,
) -> None:
    """A lost create with service category 0 is settled by the module that has the default category."""
    draft = replace(create_request.draft, attributes={"service_category_id": 0, "remark": " x "})
    cmdb.fails["create"] = OutcomeUnknown()
    operation = provisioner.start(cmdb, replace(create_request, draft=draft), call).operation
    stored = {"service_category_id": 2, "remark": "x"}
    owners = tuple(map(Owner, draft.owners or ()))
    cmdb.modules["7"] = Module(
        backend="cmdb",
        ref="1.10.7",
        native_id="7",
        scope="1",
        parent="10",
        name="x",
        owners=owners,
        attributes=stored,
    )
    clock.sleep(1.0)
    reconciler.run_once()
    assert state(journal, operation.claim.id) is State.SUCCEEDED


def test_nothing_is_looked_up_before_it_is_due(reconciler: Reconciler, lookups: list[Any], lost: str) -> None:
    """The first lookup is not made before its time."""
    reconciler.run_once()
    assert lookups == []


def test_create_that_was_not_applied_is_settled_when_the_window_closes(
    reconciler: Reconciler, journal: Journal, clock: VirtualClock, lookups: list[Any], lost: str
) -> None:
    """Seven lookups are made on schedule; the last one proves that the create was not applied."""
    started_at = clock.seconds
    while state(journal, lost).is_active:
        clock.sleep(max((journal.next_due() or 0.0) - clock.seconds, 0.0))
        reconciler.run_once()
    assert state(journal, lost) is State.NOT_APPLIED
    assert lookups == [*[("cmdb", "nothing_found")] * 6, ("cmdb", "not_applied")]
    assert clock.seconds - started_at == pytest.approx(130.0)


def test_backend_that_cannot_be_read_settles_nothing(
    reconciler: Reconciler, journal: Journal, clock: VirtualClock, cmdb: FakeBackend, lookups: list[Any], lost: str
) -> None:
    """A lookup that fails is repeated, also after the window."""
    cmdb.fails["find"] = BackendTimeout()
    for _ in range(3):
        clock.sleep(200.0)
        reconciler.run_once()
    assert state(journal, lost) is State.RECONCILING
    assert lookups == [("cmdb", "look_failed:backend_timeout")] * 3


def test_removed_connection_leaves_its_operations_open(
    reconciler: Reconciler, journal: Journal, clock: VirtualClock, lookups: list[Any], lost: str
) -> None:
    """A backend that was removed from the configuration can come back; until then nothing is settled."""
    reconciler.backends = {}
    clock.sleep(500.0)
    reconciler.run_once()
    assert state(journal, lost) is State.RECONCILING
    assert lookups == [("cmdb", "look_failed:backend_unknown")]


@pytest.mark.parametrize(("before", "verdict"), [(True, State.REFUSED), (False, State.SUCCEEDED)])
def test_module_that_was_seen_before_the_claim_is_not_the_result(
    reconciler: Reconciler,
    journal: Journal,
    clock: VirtualClock,
    cmdb: FakeBackend,
    lost: str,
    before: bool,
    verdict: State,
) -> None:
    """An undated module of the name is another's if it was seen before the claim, otherwise this create's result."""
    cmdb.modules["9"] = Module(
        backend="cmdb", ref="1.10.9", native_id="9", scope="1", parent="10", name="x", owners=(Owner("admin"),)
    )
    operation = journal.get(lost)
    assert operation is not None
    journal.record_seen("cmdb", "1", ["9"], at=operation.claim.claimed_at + (-1.0 if before else 1.0))
    clock.sleep(1.0)
    reconciler.run_once()
    assert state(journal, lost) is verdict


def test_module_of_another_operation_is_not_the_result(
    reconciler: Reconciler,
    provisioner: Provisioner,
    journal: Journal,
    cmdb: FakeBackend,
    create_request: CreateRequest,
    call: CallContext,
    clock: VirtualClock,
    lost: str,
) -> None:
    """A module that another operation created never settles this one as a success."""
    other = replace(create_request, draft=replace(create_request.draft, name="other"), idempotency_key="other")
    module = provisioner.create(cmdb, other, call).created.module
    cmdb.modules[module.native_id] = replace(module, name="x")
    clock.sleep(1.0)
    reconciler.run_once()
    assert state(journal, lost) is State.REFUSED


def test_settled_operations_expire_after_a_day(
    reconciler: Reconciler,
    provisioner: Provisioner,
    journal: Journal,
    clock: VirtualClock,
    cmdb: FakeBackend,
    create_request: CreateRequest,
    call: CallContext,
) -> None:
    """A success is kept for 24 hours and then deleted."""
    operation_id = provisioner.create(cmdb, create_request, call).operation_id
    clock.sleep(24 * 3600.0 - 1)
    reconciler.run_once()
    assert journal.get(operation_id) is not None
    clock.sleep(62.0)
    reconciler.run_once()
    assert journal.get(operation_id) is None


def test_full_batch_of_expired_operations_is_continued(
    reconciler: Reconciler, journal: Journal, clock: VirtualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After a full batch the next one is deleted in the next run, not a minute later."""
    times: list[float] = []
    deleted = [1000, 1000, 7, 0]

    def expire(*, settled_before: float, limit: int) -> int:
        times.append(clock.now())
        return min(deleted.pop(0), limit)

    monkeypatch.setattr(journal, "expire", expire)
    for _ in range(62):
        reconciler.run_once()
        clock.sleep(1.0)
    assert [round(time - times[0]) for time in times] == [0, 1, 2]


def test_each_run_makes_a_checkpoint(reconciler: Reconciler, journal: Journal, monkeypatch: pytest.MonkeyPatch) -> None:
    """The journal's maintenance runs about once a second, and not in a caller's request."""
    checkpoints: list[str] = []
    monkeypatch.setattr(journal, "checkpoint", lambda: checkpoints.append("now"))
    for _ in range(3):
        reconciler.run_once()
    assert checkpoints == ["now"] * 3


class BrokenJournal:
    """A journal whose leases fail with the errors in `failures`; a lease without an error stops the reconciler."""

    def __init__(self, failures: Iterator[Exception | None], reconciler: Reconciler) -> None:
        self._failures = failures
        self._reconciler = reconciler
        self.leases = 0

    def expire(self, **_kwargs: Any) -> int:
        return 0

    def checkpoint(self) -> None:
        pass

    def next_due(self) -> float | None:
        if self.leases == 1:
            raise JournalUnavailable
        return None

    def lease_due(self, *_args: Any, **_kwargs: Any) -> list[Any]:
        self.leases += 1
        failure = next(self._failures)
        if failure is not None:
            raise failure
        self._reconciler.stopped = True
        return []


def test_no_failure_ends_the_loop(reconciler: Reconciler, clock: VirtualClock) -> None:
    """The loop survives an unavailable journal and a bug, waits between runs, and ends when stopped."""
    broken: Any = BrokenJournal(iter([JournalUnavailable(), RuntimeError("a bug"), None]), reconciler)
    reconciler.journal = broken
    started_at = clock.seconds
    reconciler.run()
    assert broken.leases == 3
    assert clock.seconds - started_at == pytest.approx(3.0)


def test_full_batch_is_followed_at_once(
    reconciler: Reconciler, clock: VirtualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between full batches the loop does not wait."""
    results = iter([True, True, False])

    def run_once(self: Reconciler) -> bool:
        has_more = next(results)
        self.stopped = not has_more
        return has_more

    monkeypatch.setattr(Reconciler, "run_once", run_once)
    started_at = clock.seconds
    reconciler.run()
    assert clock.seconds - started_at == pytest.approx(1.0)
