"""Claims, duplicates, waiting and results in one process."""

from __future__ import annotations

from collections.abc import Callable
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
from gateway.domain.operation import Settlement, State
from gateway.provisioning.create import CreateRequest, send
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


@pytest.mark.parametrize(("key", "operation"), [("key", "op-1"), (None, None)])
def test_duplicate_waits_until_its_own_deadline(
    provisioner: Provisioner,
    cmdb: FakeBackend,
    create_request: CreateRequest,
    clock: VirtualClock,
    key: str | None,
    operation: str | None,
) -> None:
    """At its deadline a duplicate raises create_in_progress, with the operation only under the operation's own key."""
    claim_in_another_process(provisioner, cmdb, create_request, clock)
    started_at = clock.seconds
    with pytest.raises(CreateInProgress) as caught:
        provisioner.create(cmdb, replace(create_request, idempotency_key=key), call_context(clock, seconds=2.0))
    assert clock.seconds - started_at == pytest.approx(2.0)
    assert caught.value.operation == operation


@pytest.mark.parametrize("key", ["key", None])
def test_retry_by_a_proxy_is_unknown(
    provisioner: Provisioner, cmdb: FakeBackend, create_request: CreateRequest, clock: VirtualClock, key: str | None
) -> None:
    """A request under the request id of a create that is being sent is unknown, with its operation."""
    claim_in_another_process(provisioner, cmdb, replace(create_request, idempotency_key=key), clock)
    with pytest.raises(OutcomeUnknown) as caught:
        provisioner.create(
            cmdb, replace(create_request, idempotency_key=key), call_context(clock, "other", seconds=2.0)
        )
    assert caught.value.operation == "op-1"


def test_shared_result_is_replayed(
    provisioner: Provisioner, create_request: CreateRequest, clock: VirtualClock, journal: Journal, cmdb: FakeBackend
) -> None:
    """A caller that got another request's result gets it again under its own key after that operation was settled."""
    claim_in_another_process(provisioner, cmdb, create_request, clock)
    sleep = clock.sleep

    def sleep_and_send(seconds: float) -> None:
        sleep(seconds)
        created = send(cmdb, create_request, call_context(clock), operation_id="op-1", journal=journal, clock=clock)
        assert created is not None
        clock.sleep = sleep  # type: ignore[method-assign]

    clock.sleep = sleep_and_send  # type: ignore[method-assign]
    duplicate = replace(create_request, idempotency_key="duplicate")
    shared = provisioner.create(cmdb, duplicate, call_context(clock, "duplicate"))
    replayed = provisioner.create(cmdb, duplicate, call_context(clock, "later"))
    assert shared.created.module == replayed.created.module
    assert (shared.replayed, replayed.replayed, len(cmdb.writes)) == (True, True, 1)


def test_refusal_is_shared(
    provisioner: Provisioner, create_request: CreateRequest, clock: VirtualClock, journal: Journal, cmdb: FakeBackend
) -> None:
    """A duplicate of a create that was refused raises the same error with all its values."""
    claim_in_another_process(provisioner, cmdb, create_request, clock)
    fail_creates(cmdb, ModuleAlreadyExists(message("name_taken_by_another"), existing="cmdb.1.10.9"))
    send(cmdb, create_request, call_context(clock), operation_id="op-1", journal=journal, clock=clock)
    operation = journal.get("op-1")
    assert operation is not None
    with pytest.raises(ModuleAlreadyExists) as caught:
        provisioner._result_or_raise(operation, "name", operation.claim)
    assert caught.value.existing == "cmdb.1.10.9"


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
