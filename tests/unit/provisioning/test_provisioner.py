"""The provisioner in one process: who waits, who is answered what, and what a broken journal does to it."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from gateway.domain.backend import CallContext
from gateway.domain.errors import (
    BackendPermissionDenied,
    BackendTimeout,
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
from gateway.domain.module import Module, ModuleDraft
from gateway.domain.operation import Settlement, State
from gateway.provisioning.known_modules import KnownModules
from gateway.provisioning.provisioner import CreateRequest, Provisioner
from tests.conftest import VirtualClock
from tests.unit.api.fake_backend import FakeBackend

DRAFT = ModuleDraft(scope="1", parent="10", name="x", owners=("admin",))


@pytest.fixture
def provisioner(journal: Journal, clock: VirtualClock) -> Provisioner:
    ids = itertools.count(1)
    return Provisioner(
        journal=journal,
        runtime=clock,
        new_id=lambda: f"op-{next(ids)}",
        worker_id="me",
        known_modules=KnownModules(journal, clock),
        reconcile_now=lambda _operation, _call: None,
    )


@pytest.fixture
def order(cmdb: FakeBackend) -> CreateRequest:
    return CreateRequest(backend=cmdb, draft=DRAFT, caller="c", idempotency_key="key")


def fail(backend: FakeBackend, error: Exception) -> Callable[[], None]:
    """Let the backend's creates fail; returns what mends it."""
    create = backend.create

    def failing(draft: ModuleDraft, call: CallContext) -> Module:
        raise error

    def mend() -> None:
        backend.create = create  # type: ignore[method-assign]

    backend.create = failing  # type: ignore[method-assign]
    return mend


def a_call(clock: VirtualClock, request_id: str = "r", seconds: float = 5.0) -> CallContext:
    return CallContext(request_id, clock.monotonic() + seconds)


def test_a_key_answers_again_and_again(provisioner: Provisioner, order: CreateRequest, clock: VirtualClock) -> None:
    """The same key and request give the stored module; another request under it is refused."""
    first = provisioner.create(order, a_call(clock))
    second = provisioner.create(order, a_call(clock, "another"))
    assert (first.replayed, second.replayed) == (False, True)
    assert first.creation == second.creation
    with pytest.raises(IdempotencyKeyReused):
        provisioner.create(replace(order, draft=replace(DRAFT, name="y")), a_call(clock))


def test_a_refusal_is_not_stored(
    provisioner: Provisioner, order: CreateRequest, cmdb: FakeBackend, clock: VirtualClock
) -> None:
    """A permission that has been granted since must not meet yesterday's refusal."""
    mend = fail(cmdb, BackendPermissionDenied())
    with pytest.raises(BackendPermissionDenied):
        provisioner.create(order, a_call(clock))
    mend()
    assert provisioner.create(order, a_call(clock)).replayed is False


@pytest.mark.parametrize("error", [OutcomeUnknown(), RuntimeError("a bug")])
def test_an_unknown_end_is_waited_for_and_then_told(
    provisioner: Provisioner,
    order: CreateRequest,
    cmdb: FakeBackend,
    clock: VirtualClock,
    journal: Journal,
    error: Exception,
) -> None:
    """A lost answer, or a bug, is unknown: told at the deadline with the operation, and never sent again."""
    mend = fail(cmdb, error)
    started = clock.seconds
    with pytest.raises(OutcomeUnknown) as told:
        provisioner.create(order, a_call(clock))
    assert told.value.operation == "op-1"
    assert clock.seconds - started == pytest.approx(5.0)
    mend()
    with pytest.raises(OutcomeUnknown):
        provisioner.create(order, a_call(clock))
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
def test_what_the_reconciler_finds_is_told_to_who_waits(
    provisioner: Provisioner,
    order: CreateRequest,
    cmdb: FakeBackend,
    clock: VirtualClock,
    journal: Journal,
    settlement: Settlement,
    error: type[GatewayError],
) -> None:
    """A caller who still waits when the verdict falls gets it."""
    fail(cmdb, OutcomeUnknown())
    sleep = clock.sleep

    def settle_meanwhile(seconds: float) -> None:
        sleep(seconds)
        journal.settle("op-1", settlement)

    clock.sleep = settle_meanwhile  # type: ignore[method-assign]
    with pytest.raises(error):
        provisioner.create(order, a_call(clock))


def busy(provisioner: Provisioner, order: CreateRequest, clock: VirtualClock) -> None:
    """Let somebody else's process have this create on the way: claimed, and nothing said since."""
    work: list[Any] = []
    spawn = clock.spawn
    clock.spawn = work.append  # type: ignore[method-assign,assignment]
    provisioner.begin(order, a_call(clock, "other"))
    provisioner._sending.clear()
    clock.spawn = spawn  # type: ignore[method-assign]


def test_another_body_under_a_name_that_is_busy(
    provisioner: Provisioner, order: CreateRequest, clock: VirtualClock
) -> None:
    """It is told at once that the name is being created; it changed nothing."""
    busy(provisioner, order, clock)
    other = replace(order, draft=replace(DRAFT, owners=("tom",)), idempotency_key=None)
    started = clock.seconds
    with pytest.raises(CreateInProgress) as told:
        provisioner.create(other, a_call(clock))
    assert told.value.operation is None
    assert clock.seconds == started


@pytest.mark.parametrize(("key", "operation"), [("key", "op-1"), (None, None)])
def test_the_same_body_waits_to_its_own_deadline(
    provisioner: Provisioner, order: CreateRequest, clock: VirtualClock, key: str | None, operation: str | None
) -> None:
    """A duplicate waits; at its deadline it is told that the create is under way, and its own it may follow."""
    busy(provisioner, order, clock)
    started = clock.seconds
    with pytest.raises(CreateInProgress) as told:
        provisioner.create(replace(order, idempotency_key=key), a_call(clock, seconds=2.0))
    assert clock.seconds - started == pytest.approx(2.0)
    assert told.value.operation == operation


@pytest.mark.parametrize("key", ["key", None])
def test_a_proxys_repetition_is_not_told_that_nothing_changed(
    provisioner: Provisioner, order: CreateRequest, clock: VirtualClock, key: str | None
) -> None:
    """Under the id of the request that is on its way it is that request: its caller hears of one, and may follow it."""
    busy(provisioner, replace(order, idempotency_key=key), clock)
    with pytest.raises(OutcomeUnknown) as told:
        provisioner.create(replace(order, idempotency_key=key), a_call(clock, "other", seconds=2.0))
    assert told.value.operation == "op-1"


def test_who_shares_an_answer_can_ask_for_it_again(
    provisioner: Provisioner, order: CreateRequest, clock: VirtualClock, journal: Journal, cmdb: FakeBackend
) -> None:
    """A caller who got another's result keeps it under his own key, also when the other has long been done."""
    busy(provisioner, order, clock)
    sleep = clock.sleep

    def finish_meanwhile(seconds: float) -> None:
        sleep(seconds)
        made = provisioner._send(order, a_call(clock), _claim_of(journal, "op-1"))
        assert made is not None
        clock.sleep = sleep  # type: ignore[method-assign]

    clock.sleep = finish_meanwhile  # type: ignore[method-assign]
    mine = replace(order, idempotency_key="mine")
    shared = provisioner.create(mine, a_call(clock, "mine"))
    again = provisioner.create(mine, a_call(clock, "later"))
    assert shared.creation.module == again.creation.module
    assert (shared.replayed, again.replayed, len(cmdb.writes)) == (True, True, 1)


def _claim_of(journal: Journal, operation_id: str) -> Any:
    operation = journal.get(operation_id)
    assert operation is not None
    return operation.claim


def test_a_refusal_is_shared_too(
    provisioner: Provisioner, order: CreateRequest, clock: VirtualClock, journal: Journal, cmdb: FakeBackend
) -> None:
    """Who waited for a create that was refused gets the same refusal, whole."""
    busy(provisioner, order, clock)
    fail(cmdb, ModuleAlreadyExists("There is one.", existing="cmdb.1.10.9"))
    provisioner._send(order, a_call(clock), _claim_of(journal, "op-1"))
    journal_get = journal.get("op-1")
    assert journal_get is not None
    with pytest.raises(ModuleAlreadyExists) as told:
        provisioner._answer(journal_get, "name", "r")
    assert told.value.existing == "cmdb.1.10.9"


@pytest.mark.parametrize("error", [None, BackendPermissionDenied(), OutcomeUnknown()])
def test_a_journal_that_fails_after_the_send_hides_no_truth(
    provisioner: Provisioner, order: CreateRequest, cmdb: FakeBackend, clock: VirtualClock, error: GatewayError | None
) -> None:
    """What is known is told although it could not be written down; what is not known stays unknown."""
    journal = provisioner.journal
    provisioner.journal = _Broken(journal)  # type: ignore[assignment] # the parts that are asked for
    if error is None:
        assert provisioner.create(order, a_call(clock)).creation.module.name == "x"
        return
    fail(cmdb, error)
    with pytest.raises(type(error)):
        provisioner.create(order, a_call(clock))


class _Broken:
    """A journal that takes claims and then can neither be read nor written."""

    def __init__(self, journal: Journal) -> None:
        self.claim = journal.claim

    def _fail(self, *_args: Any, **_kwargs: Any) -> Any:
        raise JournalUnavailable

    settle = mark_unknown = get = _fail


def test_without_a_claim_nothing_is_sent(
    provisioner: Provisioner, order: CreateRequest, cmdb: FakeBackend, clock: VirtualClock
) -> None:
    """A journal that takes no claim refuses the create, and the backend hears nothing."""
    broken = _Broken(provisioner.journal)
    broken.claim = broken._fail
    provisioner.journal = broken  # type: ignore[assignment] # the parts that are asked for
    with pytest.raises(JournalUnavailable):
        provisioner.create(order, a_call(clock))
    assert len(cmdb.writes) == 0


def test_a_process_that_ends_begins_nothing(
    provisioner: Provisioner, order: CreateRequest, clock: VirtualClock
) -> None:
    """Draining, new creates are refused, those that were asked for already too: another process answers them."""
    provisioner.draining = True
    with pytest.raises(Draining):
        provisioner.create(order, a_call(clock))
    assert provisioner.in_flight() == 0


def test_a_probe_finds_the_name_taken(
    provisioner: Provisioner, order: CreateRequest, cmdb: FakeBackend, clock: VirtualClock
) -> None:
    """With probe_before_create nothing is sent where the name is there already."""
    provisioner.create(order, a_call(clock))
    cmdb.capabilities = replace(cmdb.capabilities, probe_before_create=True)
    before = len(cmdb.writes)
    with pytest.raises(ModuleAlreadyExists):
        provisioner.create(replace(order, idempotency_key="other", if_exists="error"), a_call(clock, "other"))
    assert len(cmdb.writes) == before
    free = replace(order, draft=replace(DRAFT, name="free"), idempotency_key="free")
    assert provisioner.create(free, a_call(clock, "free")).creation.adopted is False


def test_a_probe_that_fails_sends_nothing(
    provisioner: Provisioner, order: CreateRequest, cmdb: FakeBackend, clock: VirtualClock
) -> None:
    """A look before the create that times out proves that nothing was applied: 503, not 504, and nothing is sent."""
    cmdb.capabilities = replace(cmdb.capabilities, probe_before_create=True)
    cmdb.fails["find"] = BackendTimeout()
    with pytest.raises(BackendUnavailable):
        provisioner.create(order, a_call(clock))
    assert len(cmdb.writes) == 0
