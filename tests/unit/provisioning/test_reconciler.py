"""The reconciler's leases, lookups and settlements, and failures that do not stop it."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any
from unittest import mock

import pytest

from gateway.domain.backend import CallContext
from gateway.domain.errors import BackendTimeout, JournalUnavailable, OutcomeUnknown
from gateway.domain.journal import Journal
from gateway.domain.module import Module, ModuleDraft, ModulePatch, Owner
from gateway.domain.operation import State
from gateway.provisioning import reconciler as reconciler_module
from gateway.provisioning.create import CreateRequest
from gateway.provisioning.provisioner import Provisioner
from gateway.provisioning.reconciler import Reconciler
from gateway.provisioning.update_delete import ChangeService
from tests.conftest import VirtualClock
from tests.unit.api.fake_backend import FakeBackend
from tests.unit.backends.connections import PROJECT


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
    """Lookups follow the schedule from the first one on; the last one proves that the create was not applied."""
    started_at = clock.monotonic()
    while state(journal, lost).is_active:
        clock.sleep(max((journal.next_due() or 0.0) - clock.now(), 0.0))
        reconciler.run_once()
    assert state(journal, lost) is State.NOT_APPLIED
    assert lookups == [*[("cmdb", "nothing_found")] * 7, ("cmdb", "not_applied")]
    assert clock.monotonic() - started_at == pytest.approx(130.3)


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


def settle(reconciler: Reconciler, journal: Journal, clock: VirtualClock, operation_id: str) -> float:
    """Let a reconciler run each second until the operation is settled; return how long that took, at most 1000 s."""
    started_at = clock.monotonic()
    while state(journal, operation_id).is_active and clock.monotonic() < started_at + 1000.0:
        reconciler.run_once()
        clock.sleep(1.0)
    return clock.monotonic() - started_at


@pytest.mark.parametrize("after", [0.5, 65.0])
@pytest.mark.parametrize(
    ("step", "at_most"),
    [(140.0, 135.0), (3600.0, 135.0), (-60.0, 200.0), (-300.0, 440.0), (-3600.0, 135.0), (-86_400.0, 135.0)],
)
def test_step_of_the_wall_clock_neither_ends_nor_prolongs_a_window(
    reconciler: Reconciler,
    journal: Journal,
    clock: VirtualClock,
    lookups: list[Any],
    lost: str,
    after: float,
    step: float,
    at_most: float,
) -> None:
    """The window is 130 seconds of observed time: no step forward shortens it, and no step back makes it endless."""
    begun_at = clock.monotonic()
    for _ in range(int(after)):
        reconciler.run_once()
        clock.sleep(1.0)
    clock.sleep(after - int(after))
    clock.step(step)
    settle(reconciler, journal, clock, lost)
    assert state(journal, lost) is State.NOT_APPLIED
    assert 130.0 <= clock.monotonic() - begun_at <= at_most
    assert lookups[-1] == ("cmdb", "not_applied")


@pytest.fixture
def dead_sender(
    provisioner: Provisioner, cmdb: FakeBackend, create_request: CreateRequest, call: CallContext, clock: VirtualClock
) -> str:
    """The id of an operation that a process has claimed and, as far as anybody knows, sent before it died."""
    spawn, clock.spawn = clock.spawn, lambda _work: None  # type: ignore[method-assign,assignment]
    operation = provisioner.start(cmdb, create_request, call).operation
    clock.spawn = spawn  # type: ignore[method-assign]
    return operation.claim.id


def test_window_after_a_dead_sender_is_longer_by_its_lease(
    reconciler: Reconciler, journal: Journal, clock: VirtualClock, cmdb: FakeBackend, dead_sender: str
) -> None:
    """When it died is not known, and it may have sent until the end of its lease on a clock that was behind."""
    operation = journal.get(dead_sender)
    assert operation is not None
    lease_seconds = operation.claim.lease_seconds
    assert lease_seconds == cmdb.capabilities.hard_timeout_seconds + 5.0
    window = cmdb.capabilities.settle_seconds + lease_seconds
    seconds = settle(reconciler, journal, clock, dead_sender)
    assert state(journal, dead_sender) is State.NOT_APPLIED
    assert lease_seconds + window <= seconds <= lease_seconds + window + 3.0


def test_other_worker_continues_the_window(
    reconciler: Reconciler, journal: Journal, clock: VirtualClock, lost: str
) -> None:
    """It counts from the observed seconds in the journal; time that no process has observed does not count."""
    while clock.monotonic() < 3_000_000_000.0 + 70.0:
        reconciler.run_once()
        clock.sleep(1.0)
    operation = journal.get(lost)
    assert operation is not None
    assert operation.observed_seconds == pytest.approx(60.0, abs=1.5)
    other_clock = VirtualClock()  # of another machine: its monotonic clock has another origin
    other_clock.seconds -= 1_000_000.0
    other_clock.wall_offset = clock.now() + 600.0 - other_clock.seconds
    other = replace(reconciler, worker_id="other", runtime=other_clock, _window_starts={})
    seconds = settle(other, journal, other_clock, lost)
    assert state(journal, lost) is State.NOT_APPLIED
    assert 130.0 - operation.observed_seconds <= seconds <= 130.0 - operation.observed_seconds + 25.0


def test_remembered_windows_are_bounded(
    reconciler: Reconciler, journal: Journal, clock: VirtualClock, lost: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A process that forgets its windows continues with the journal's."""
    monkeypatch.setattr(reconciler_module, "_MAX_WINDOWS", 2)
    reconciler._window_starts |= dict.fromkeys(("a", "b", "c"), 0.0)
    settle(reconciler, journal, clock, lost)
    assert state(journal, lost) is State.NOT_APPLIED
    assert reconciler._window_starts == {}


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
    journal.publish_changes(10)
    clock.sleep(24 * 3600.0 - 1)
    reconciler.run_once()
    assert journal.get(operation_id) is not None
    later = replace(create_request, draft=replace(create_request.draft, name="later"), idempotency_key="later")
    provisioner.create(cmdb, later, replace(call, deadline=clock.monotonic() + 5.0))
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
    started_at = clock.monotonic()
    reconciler.run()
    assert broken.leases == 3
    assert clock.monotonic() - started_at == pytest.approx(3.0)


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
    started_at = clock.monotonic()
    reconciler.run()
    assert clock.monotonic() - started_at == pytest.approx(1.0)


def test_lookup_whose_result_cannot_be_stored_is_repeated(
    reconciler: Reconciler, journal: Journal, clock: VirtualClock, lost: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """If the journal fails after a lookup, the operation is due again when its lease ends."""

    def fail(*_args: Any, **_kwargs: Any) -> None:
        raise JournalUnavailable

    clock.sleep(1.0)
    with monkeypatch.context() as patch:
        patch.setattr(journal, "reschedule", fail)
        reconciler.run_once()
    assert state(journal, lost) is State.RECONCILING
    clock.sleep(30.0)
    reconciler.run_once()
    operation = journal.get(lost)
    assert operation is not None
    assert operation.lookups == 1


@pytest.mark.parametrize("error", [RuntimeError("a bug"), BackendTimeout()])
def test_failure_of_one_lookup_does_not_stop_the_others(
    reconciler: Reconciler,
    provisioner: Provisioner,
    journal: Journal,
    clock: VirtualClock,
    cmdb: FakeBackend,
    create_request: CreateRequest,
    call: CallContext,
    lost: str,
    error: Exception,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Of two operations that are due, one fails unexpectedly; the other is looked up all the same."""
    cmdb.fails["create"] = OutcomeUnknown()
    draft = replace(create_request.draft, name="other")
    other = provisioner.start(cmdb, replace(create_request, draft=draft, idempotency_key="other"), call)
    find = cmdb.find_by_natural_key

    def find_or_fail(draft: ModuleDraft, call: CallContext) -> tuple[Module, ...]:
        if draft.name == "x":
            raise error
        return find(draft, call)

    monkeypatch.setattr(cmdb, "find_by_natural_key", find_or_fail)
    clock.sleep(1.0)
    reconciler.run_once()
    looked_up = journal.get(other.operation.claim.id)
    assert looked_up is not None
    assert looked_up.lookups == 1
    assert state(journal, lost) is State.RECONCILING


def test_connection_that_hangs_does_not_use_up_the_batches(
    reconciler: Reconciler, clock: VirtualClock, lost: str, lookups: list[Any]
) -> None:
    """A connection with ten lookups under way gets no more until one has ended."""
    reconciler._running_lookups["cmdb"] = 10
    clock.sleep(1.0)
    reconciler.run_once()
    assert lookups == []
    reconciler._running_lookups["cmdb"] = 9
    reconciler.run_once()
    assert len(lookups) == 1


def test_hanging_lookups_of_a_connection_delay_no_other(
    reconciler: Reconciler,
    provisioner: Provisioner,
    clock: VirtualClock,
    cmdb: FakeBackend,
    projectman: FakeBackend,
    create_request: CreateRequest,
    call: CallContext,
    lookups: list[Any],
) -> None:
    """While eight lookups of one connection hang, in threads as in production, another's lost create is looked up."""
    for backend, scope, name in [(cmdb, "1", f"x{number}") for number in range(8)] + [(projectman, PROJECT, "x")]:
        draft = replace(create_request.draft, scope=scope, parent="10" if scope == "1" else None, name=name)
        backend.fails["create"] = OutcomeUnknown()
        provisioner.start(backend, replace(create_request, draft=draft, idempotency_key=name), call)
    answered, hanging, threads = threading.Event(), threading.Semaphore(0), list[threading.Thread]()

    def hang(*_args: Any) -> tuple[()]:
        hanging.release()
        answered.wait(30.0)
        return ()

    def spawn(work: Callable[[], None]) -> None:
        threads.append(threading.Thread(target=work))
        threads[-1].start()

    with mock.patch.object(cmdb, "find_by_natural_key", hang), mock.patch.object(clock, "spawn", spawn):
        reconciler.backends = {"cmdb": cmdb, "projectman": projectman}
        clock.sleep(1.0)
        reconciler.run_once()
        for _ in range(8):
            assert hanging.acquire(timeout=30.0)
        for thread in threads[8:]:
            thread.join(30.0)
        assert lookups == [("projectman", "nothing_found")]
        answered.set()
        for thread in threads:
            thread.join(30.0)
    assert len(lookups) == 9


def test_create_is_looked_up_before_a_module_of_its_scope_changes(
    reconciler: Reconciler, journal: Journal, clock: VirtualClock, cmdb: FakeBackend, call: CallContext, lost: str
) -> None:
    """A module whose create is unknown is found before it is renamed, and its create is then known."""
    cmdb.modules["9"] = Module(
        backend="cmdb", ref="1.10.9", native_id="9", scope="1", parent="10", name="x", owners=(Owner("admin"),)
    )
    reconciler.settle_before_change("cmdb", "2", call)
    assert state(journal, lost) is State.RECONCILING
    changes = ChangeService(journal, clock, lambda: "change", reconciler.settle_before_change)
    changes.update(cmdb, "1.10.9", ModulePatch(name="renamed"), call)
    assert state(journal, lost) is State.SUCCEEDED
