"""Claims, duplicates, waiting and results in one process."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import pytest

from gateway.domain.backend import CallContext
from gateway.domain.errors import (
    BackendPermissionDenied,
    BackendUnavailable,
    CreateInProgress,
    Draining,
    GatewayError,
    IdempotencyKeyReused,
    JournalUnavailable,
    ModuleAlreadyExists,
    OutcomeAmbiguous,
    OutcomeUnknown,
)
from gateway.domain.journal import Journal
from gateway.domain.messages import message
from gateway.domain.module import Module, ModuleDraft
from gateway.domain.operation import Claim, ClaimResult, Operation, Settlement, State
from gateway.provisioning.create import CreateRequest, send
from gateway.provisioning.known_modules import KnownModules
from gateway.provisioning.provisioner import Provisioner
from tests.conftest import VirtualClock
from tests.unit.api.fake_backend import FakeBackend


def fail_creates(backend: FakeBackend, error: Exception) -> Callable[[], None]:
    """Make the backend's creates fail; return a function that undoes it."""
    create = backend.create

    def failing(draft: ModuleDraft, call: CallContext) -> Module:
        raise error

    def restore() -> None:
        backend.create = create  # type: ignore[method-assign]

    backend.create = failing  # type: ignore[method-assign]
    return restore


def call_context(clock: VirtualClock, request_id: str = "r", seconds: float = 5.0) -> CallContext:
    return CallContext(request_id, clock.monotonic() + seconds)


def claim_in_another_process(
    provisioner: Provisioner, cmdb: FakeBackend, create_request: CreateRequest, clock: VirtualClock
) -> None:
    """Claim a create as op-1 without sending it, as if another process were sending it."""
    work: list[Any] = []
    spawn = clock.spawn
    clock.spawn = work.append  # type: ignore[method-assign,assignment]
    provisioner.start(cmdb, create_request, call_context(clock, "other"))
    provisioner._in_flight.clear()
    clock.spawn = spawn  # type: ignore[method-assign]


def send_claimed(
    provisioner: Provisioner, cmdb: FakeBackend, create_request: CreateRequest, clock: VirtualClock
) -> object:
    """Send the create that was claimed as op-1, and record its result."""
    return send(
        cmdb,
        create_request,
        call_context(clock),
        operation_id="op-1",
        journal=provisioner.journal,
        clocks=provisioner.backend_clocks,
    )


def before_each_sleep(clock: VirtualClock, work: Callable[[], object]) -> None:
    """Do something at each sleep on the clock, as another process would."""
    sleep = clock.sleep

    def work_and_sleep(seconds: float) -> None:
        work()
        sleep(seconds)

    clock.sleep = work_and_sleep  # type: ignore[method-assign]


class BrokenJournal:
    """A journal that accepts claims, and fails in all other calls."""

    def __init__(self, journal: Journal) -> None:
        self.claim = journal.claim

    def _fail(self, *_args: Any, **_kwargs: Any) -> Any:
        raise JournalUnavailable

    settle = mark_unknown = get = _fail


def test_key_replays_its_result(
    provisioner: Provisioner, cmdb: FakeBackend, create_request: CreateRequest, clock: VirtualClock
) -> None:
    """The same request returns the stored module; another request under the key is refused."""
    first = provisioner.create(cmdb, create_request, call_context(clock))
    second = provisioner.create(cmdb, create_request, call_context(clock, "another"))
    assert (first.replayed, second.replayed) == (False, True)
    assert first.created == second.created
    with pytest.raises(IdempotencyKeyReused):
        provisioner.create(
            cmdb, replace(create_request, draft=replace(create_request.draft, name="y")), call_context(clock)
        )


def test_request_id_replays_its_result(
    provisioner: Provisioner, cmdb: FakeBackend, create_request: CreateRequest, clock: VirtualClock
) -> None:
    """Within ten minutes a retry without a key returns the first result; after them it is a new create."""
    create_request = replace(create_request, idempotency_key=None)
    first = provisioner.create(cmdb, create_request, call_context(clock))
    clock.sleep(599.0)
    second = provisioner.create(cmdb, create_request, call_context(clock))
    assert (second.replayed, second.created) == (True, first.created)
    cmdb.modules.clear()
    clock.sleep(2.0)
    assert provisioner.create(cmdb, create_request, call_context(clock)).replayed is False


def test_refusal_is_not_stored(
    provisioner: Provisioner, cmdb: FakeBackend, create_request: CreateRequest, clock: VirtualClock
) -> None:
    """After the permission was granted, the same key creates the module."""
    restore = fail_creates(cmdb, BackendPermissionDenied())
    with pytest.raises(BackendPermissionDenied):
        provisioner.create(cmdb, create_request, call_context(clock))
    restore()
    assert provisioner.create(cmdb, create_request, call_context(clock)).replayed is False


@pytest.mark.parametrize("error", [OutcomeUnknown(), RuntimeError("a bug")])
def test_unknown_outcome_is_raised_at_the_deadline(
    provisioner: Provisioner,
    create_request: CreateRequest,
    cmdb: FakeBackend,
    clock: VirtualClock,
    journal: Journal,
    error: Exception,
) -> None:
    """After a lost response or a bug: OutcomeUnknown at the deadline with the operation; nothing is sent again."""
    restore = fail_creates(cmdb, error)
    started_at = clock.seconds
    with pytest.raises(OutcomeUnknown) as caught:
        provisioner.create(cmdb, create_request, call_context(clock))
    assert caught.value.operation == "op-1"
    assert clock.seconds - started_at == pytest.approx(5.0)
    restore()
    with pytest.raises(OutcomeUnknown):
        provisioner.create(cmdb, create_request, call_context(clock))
    operation = journal.get("op-1")
    assert operation is not None
    assert operation.state is State.RECONCILING
    assert len(cmdb.writes) == 0


@pytest.mark.parametrize(
    ("settlement", "error"),
    [
        (Settlement(state=State.NOT_APPLIED, at=0.0), BackendUnavailable),
        (Settlement(state=State.AMBIGUOUS, at=0.0), OutcomeAmbiguous),
    ],
)
def test_waiting_caller_gets_the_verdict_of_the_reconciler(
    provisioner: Provisioner,
    create_request: CreateRequest,
    cmdb: FakeBackend,
    clock: VirtualClock,
    journal: Journal,
    settlement: Settlement,
    error: type[GatewayError],
) -> None:
    """If the operation is settled before the deadline, the waiting caller gets its result."""
    fail_creates(cmdb, OutcomeUnknown())
    sleep = clock.sleep

    def sleep_and_settle(seconds: float) -> None:
        sleep(seconds)
        journal.settle("op-1", settlement)

    clock.sleep = sleep_and_settle  # type: ignore[method-assign]
    with pytest.raises(error):
        provisioner.create(cmdb, create_request, call_context(clock))


def test_different_create_of_a_name_in_progress(
    provisioner: Provisioner, cmdb: FakeBackend, create_request: CreateRequest, clock: VirtualClock
) -> None:
    """A different body is refused at once with create_in_progress and without an operation."""
    claim_in_another_process(provisioner, cmdb, create_request, clock)
    different = replace(create_request, draft=replace(create_request.draft, owners=("tom",)), idempotency_key=None)
    started_at = clock.seconds
    with pytest.raises(CreateInProgress) as caught:
        provisioner.create(cmdb, different, call_context(clock))
    assert caught.value.operation is None
    assert clock.seconds == started_at


@pytest.mark.parametrize("claimed_key", ["key", None])
@pytest.mark.parametrize(
    ("key", "request_id"),
    [("key", "other"), ("key", "new"), ("another", "new"), (None, "other"), (None, "new")],
)
def test_repeat_of_an_own_create_is_unknown_at_its_deadline(
    provisioner: Provisioner,
    cmdb: FakeBackend,
    create_request: CreateRequest,
    clock: VirtualClock,
    claimed_key: str | None,
    key: str | None,
    request_id: str,
) -> None:
    """The requester's own create that is still being sent is unknown, with its operation, under any key and id."""
    claim_in_another_process(provisioner, cmdb, replace(create_request, idempotency_key=claimed_key), clock)
    started_at, repeat = clock.monotonic(), replace(create_request, idempotency_key=key)
    with pytest.raises(OutcomeUnknown) as caught:
        provisioner.create(cmdb, repeat, call_context(clock, request_id, seconds=2.0))
    assert clock.monotonic() - started_at == pytest.approx(2.0)
    assert caught.value.operation == "op-1"


def test_shared_result_is_replayed(
    provisioner: Provisioner, create_request: CreateRequest, clock: VirtualClock, cmdb: FakeBackend
) -> None:
    """A caller that got another request's result gets it again under its own key after that operation was settled."""
    claim_in_another_process(provisioner, cmdb, create_request, clock)
    sleep = clock.sleep

    def sleep_and_send(seconds: float) -> None:
        sleep(seconds)
        assert send_claimed(provisioner, cmdb, create_request, clock) is not None
        clock.sleep = sleep  # type: ignore[method-assign]

    clock.sleep = sleep_and_send  # type: ignore[method-assign]
    duplicate = replace(create_request, idempotency_key="duplicate")
    shared = provisioner.create(cmdb, duplicate, call_context(clock, "duplicate"))
    replayed = provisioner.create(cmdb, duplicate, call_context(clock, "later"))
    assert shared.created.module == replayed.created.module
    assert (shared.replayed, replayed.replayed, len(cmdb.writes)) == (True, True, 1)


def test_refusal_is_shared(
    provisioner: Provisioner, create_request: CreateRequest, clock: VirtualClock, cmdb: FakeBackend
) -> None:
    """A duplicate that waits for a create that is refused raises the same error with all its values."""
    claim_in_another_process(provisioner, cmdb, create_request, clock)
    fail_creates(cmdb, ModuleAlreadyExists(message("name_taken_by_another"), existing="cmdb.1.10.9"))
    before_each_sleep(clock, lambda: send_claimed(provisioner, cmdb, create_request, clock))
    with pytest.raises(ModuleAlreadyExists) as caught:
        provisioner.create(cmdb, create_request, call_context(clock, "duplicate"))
    assert caught.value.existing == "cmdb.1.10.9"
    assert len(cmdb.writes) == 0


@pytest.mark.parametrize("error", [None, BackendPermissionDenied(), OutcomeUnknown()])
def test_journal_fails_after_the_send(
    provisioner: Provisioner,
    create_request: CreateRequest,
    cmdb: FakeBackend,
    clock: VirtualClock,
    error: GatewayError | None,
) -> None:
    """A result that could not be stored is still returned; an unknown outcome stays unknown."""
    broken: Any = BrokenJournal(provisioner.journal)
    provisioner = replace(provisioner, journal=broken)
    if error is None:
        assert provisioner.create(cmdb, create_request, call_context(clock)).created.module.name == "x"
        return
    fail_creates(cmdb, error)
    with pytest.raises(type(error)):
        provisioner.create(cmdb, create_request, call_context(clock))


def test_without_a_claim_nothing_is_sent(
    provisioner: Provisioner, create_request: CreateRequest, cmdb: FakeBackend, clock: VirtualClock
) -> None:
    """If the journal does not accept the claim, the create is refused and the backend gets no request."""
    broken: Any = BrokenJournal(provisioner.journal)
    broken.claim = broken._fail
    with pytest.raises(JournalUnavailable):
        replace(provisioner, journal=broken).create(cmdb, create_request, call_context(clock))
    assert len(cmdb.writes) == 0


def test_draining_process_refuses_creates(
    provisioner: Provisioner, cmdb: FakeBackend, create_request: CreateRequest, clock: VirtualClock
) -> None:
    """New creates and retries are refused; another process handles them."""
    provisioner.draining = True
    with pytest.raises(Draining):
        provisioner.create(cmdb, create_request, call_context(clock))
    assert provisioner.in_flight() == 0


class LateJournal:
    """A journal whose claims take a time, or fail and are committed when the journal has been read once since."""

    def __init__(self, journal: Journal, clock: VirtualClock, *, takes: float = 0.0, commits: bool = True) -> None:
        self._journal, self._clock, self._takes, self._commits = journal, clock, takes, commits
        self.failures = 0  # how many reads fail before the journal has recovered
        self.pending: list[Claim] = []

    def claim(self, claim: Claim, _seconds: float) -> ClaimResult:
        self._clock.sleep(self._takes)
        if self._commits:
            return self._journal.claim(claim)
        self.pending.append(claim)
        raise JournalUnavailable

    def get(self, operation_id: str) -> Operation | None:
        self.failures -= 1
        if self.failures >= 0:
            raise JournalUnavailable
        if self.failures == -2:  # the commit arrives between two attempts
            self._journal.claim(self.pending.pop())
        return self._journal.get(operation_id)

    def settle(self, operation_id: str, settlement: Settlement) -> None:
        self._journal.settle(operation_id, settlement)


@pytest.mark.parametrize(
    ("takes", "deadline"),
    [
        pytest.param(36.0, 100.0, id="after the send's deadline"),
        pytest.param(5.0, 5.0, id="after the caller's deadline"),
    ],
)
def test_late_claim_is_refused(
    provisioner: Provisioner,
    cmdb: FakeBackend,
    create_request: CreateRequest,
    clock: VirtualClock,
    journal: Journal,
    takes: float,
    deadline: float,
) -> None:
    """A process that was suspended in the claim sends nothing; the operation is settled and the name free at once."""
    assert cmdb.capabilities.hard_timeout_seconds <= 36.0
    late: Any = LateJournal(journal, clock, takes=takes)
    with pytest.raises(JournalUnavailable):
        replace(provisioner, journal=late).create(cmdb, create_request, call_context(clock, seconds=deadline))
    assert cmdb.sent == []
    operation = journal.get("op-1")
    assert operation is not None
    assert (operation.state, (operation.error or {})["code"]) == (State.REFUSED, "journal_unavailable")
    assert provisioner.create(cmdb, create_request, call_context(clock)).operation_id == "op-2"


def test_send_ends_with_the_hard_timeout_after_the_claim_began(
    provisioner: Provisioner,
    cmdb: FakeBackend,
    create_request: CreateRequest,
    clock: VirtualClock,
    journal: Journal,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The time that a claim takes is part of the send's time: a lease that is over belongs to no living sender."""
    calls: list[CallContext] = []
    create = cmdb.create

    def record_call(draft: ModuleDraft, call: CallContext) -> Module:
        calls.append(call)
        return create(draft, call)

    monkeypatch.setattr(cmdb, "create", record_call)
    began_at, slow = clock.monotonic(), LateJournal(journal, clock, takes=3.0)
    slow_journal: Any = slow
    replace(provisioner, journal=slow_journal).create(cmdb, create_request, call_context(clock))
    assert calls[0].deadline == began_at + cmdb.capabilities.hard_timeout_seconds


@pytest.mark.parametrize("failures", [0, 3])
def test_claim_that_is_committed_after_its_failure_is_withdrawn(
    provisioner: Provisioner,
    cmdb: FakeBackend,
    create_request: CreateRequest,
    clock: VirtualClock,
    journal: Journal,
    failures: int,
) -> None:
    """The caller gets 503; the claim is settled in the background as soon as the journal has it and can be written."""
    late = LateJournal(journal, clock, commits=False)
    late.failures = failures
    late_journal: Any = late
    with pytest.raises(JournalUnavailable):
        replace(provisioner, journal=late_journal).create(cmdb, create_request, call_context(clock))
    assert cmdb.sent == []
    operation = journal.get("op-1")
    assert operation is not None
    assert operation.state is State.REFUSED
    assert provisioner.create(cmdb, create_request, call_context(clock)).replayed is False


def test_claim_that_never_arrives_is_not_waited_for_endlessly(
    provisioner: Provisioner, cmdb: FakeBackend, create_request: CreateRequest, clock: VirtualClock, journal: Journal
) -> None:
    """The withdrawal ends after about forty seconds: a lease that is over is looked up by the reconciler."""
    late: Any = LateJournal(journal, clock, commits=False)
    late.failures = 1_000
    started_at = clock.monotonic()
    with pytest.raises(JournalUnavailable):
        replace(provisioner, journal=late).create(cmdb, create_request, call_context(clock))
    assert 35.0 < clock.monotonic() - started_at < 60.0


def test_claim_needs_the_ids_that_were_seen(
    provisioner: Provisioner, cmdb: FakeBackend, create_request: CreateRequest, clock: VirtualClock, journal: Journal
) -> None:
    """Ids that were seen while the journal was down are recorded before the claim, or nothing is claimed and sent."""
    module = provisioner.create(cmdb, create_request, call_context(clock)).created.module
    seen = replace(module, native_id="111")
    recording: Any = RecordingJournal(fails=True)
    known_modules = KnownModules(recording, clock)
    provisioner = replace(provisioner, known_modules=known_modules)
    known_modules.record([seen])
    other = replace(create_request, draft=replace(create_request.draft, name="y"), idempotency_key=None)
    before = len(cmdb.writes)
    with pytest.raises(JournalUnavailable):
        provisioner.create(cmdb, other, call_context(clock))
    assert (journal.get("op-2"), len(cmdb.writes)) == (None, before)
    recording.fails = False
    provisioner.create(cmdb, other, call_context(clock))
    assert recording.native_ids == ["111"]


class RecordingJournal:
    """A journal that records seen ids, or fails."""

    def __init__(self, *, fails: bool) -> None:
        self.fails = fails
        self.native_ids: list[str] = []

    def record_seen(self, _backend: str, _scope: str, native_ids: Sequence[str], *, at: float) -> None:
        assert at > 0.0
        if self.fails:
            raise JournalUnavailable
        self.native_ids += native_ids
