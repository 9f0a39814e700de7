"""A lost create on a connection that passes its callers' credentials through: only those credentials can look it up."""

from __future__ import annotations

from dataclasses import replace

import pytest

from gateway.domain.backend import CallContext
from gateway.domain.errors import (
    BackendUnavailable,
    CreateInProgress,
    ModuleAlreadyExists,
    OutcomeUnknown,
    Unauthenticated,
)
from gateway.domain.journal import Journal
from gateway.domain.module import Module, ModuleDraft
from gateway.domain.operation import State
from gateway.provisioning.create import CreateRequest
from gateway.provisioning.provisioner import CreateResult, Provisioner
from gateway.provisioning.reconciler import Reconciler
from tests.conftest import VirtualClock
from tests.unit.api.fake_backend import FakeBackend


class PassthroughBackend(FakeBackend):
    """A backend that requires a credential in every call; its creates are applied, or not, and responses are lost."""

    applies = True
    loses = True

    def create(self, draft: ModuleDraft, call: CallContext) -> Module:
        self._check(call)
        if self.applies:
            module = super().create(draft, call)
            if not self.loses:
                return module
        raise OutcomeUnknown

    def find_by_natural_key(self, draft: ModuleDraft, call: CallContext) -> tuple[Module, ...]:
        self._check(call)
        return super().find_by_natural_key(draft, call)

    def count(self, operation: str) -> int:
        return [name for name, _ in self.sent].count(operation)

    @staticmethod
    def _check(call: CallContext) -> None:
        if call.credential not in {"own", "second"}:
            raise Unauthenticated


@pytest.fixture
def backend(cmdb: FakeBackend) -> PassthroughBackend:
    return PassthroughBackend("cmdb", cmdb.capabilities, cmdb.scopes, cmdb.parents)


@pytest.fixture
def reconciler(reconciler: Reconciler, backend: PassthroughBackend) -> Reconciler:
    return replace(reconciler, backends={"cmdb": backend})


@pytest.fixture
def provisioner(provisioner: Provisioner, reconciler: Reconciler) -> Provisioner:
    return replace(provisioner, reconcile_now=reconciler.reconcile_now)


def create(
    provisioner: Provisioner,
    backend: PassthroughBackend,
    create_request: CreateRequest,
    clock: VirtualClock,
    seconds: float = 5.0,
) -> CreateResult:
    return provisioner.create(backend, create_request, CallContext("r", clock.monotonic() + seconds, credential="own"))


def test_waiting_callers_credential_finds_the_module(
    provisioner: Provisioner, backend: PassthroughBackend, create_request: CreateRequest, clock: VirtualClock
) -> None:
    """The response is lost and the module exists: the same request returns it, and the create is sent once."""
    result = create(provisioner, backend, create_request, clock)
    assert result.created.module.name == "x"
    assert backend.count("create") == 1


def test_without_the_credential_nothing_is_settled(
    provisioner: Provisioner,
    reconciler: Reconciler,
    backend: PassthroughBackend,
    create_request: CreateRequest,
    clock: VirtualClock,
    journal: Journal,
) -> None:
    """The reconciler's own lookups fail for any length of time, and the evidence that they write is bounded."""
    with pytest.raises(OutcomeUnknown):
        create(provisioner, backend, create_request, clock, seconds=0.1)
    for _ in range(200):
        clock.sleep(30.0)
        reconciler.run_once()
    operation = journal.get("op-1")
    assert operation is not None
    assert operation.state is State.RECONCILING
    assert operation.lookups > 150
    assert len(operation.evidence) <= 101
    assert create(provisioner, backend, create_request, clock).replayed
    assert backend.count("create") == 1


def test_retry_after_the_window_settles_it(
    provisioner: Provisioner,
    reconciler: Reconciler,
    backend: PassthroughBackend,
    create_request: CreateRequest,
    clock: VirtualClock,
    journal: Journal,
) -> None:
    """After the settle window the caller's next request proves that nothing was applied; the one after it creates."""
    backend.applies = False
    with pytest.raises(OutcomeUnknown):
        create(provisioner, backend, create_request, clock)
    clock.sleep(backend.capabilities.settle_seconds + 1)
    reconciler.run_once()
    with pytest.raises(BackendUnavailable):
        create(provisioner, backend, create_request, clock)
    operation = journal.get("op-1")
    assert operation is not None
    assert operation.state is State.NOT_APPLIED
    backend.applies = True
    assert create(provisioner, backend, create_request, clock).created.module.name == "x"


def test_number_of_lookups_is_limited(
    provisioner: Provisioner, backend: PassthroughBackend, create_request: CreateRequest, clock: VirtualClock
) -> None:
    """While a caller waits for a minute, the backend gets about thirty lookups."""
    backend.applies = False
    with pytest.raises(OutcomeUnknown):
        create(provisioner, backend, create_request, clock, seconds=60.0)
    assert 10 < backend.count("find") < 40


@pytest.fixture
def abandoned(
    provisioner: Provisioner,
    reconciler: Reconciler,
    backend: PassthroughBackend,
    create_request: CreateRequest,
    clock: VirtualClock,
    request: pytest.FixtureRequest,
) -> PassthroughBackend:
    """The backend after a lost create, op-1, whose caller never returns and whose window is over.

    The parameter says whether the create was applied.
    """
    backend.applies = request.param
    with pytest.raises(OutcomeUnknown):
        create(provisioner, backend, create_request, clock, seconds=0.1)
    for _ in range(60):
        clock.sleep(3.0)
        reconciler.run_once()
    backend.applies, backend.loses = True, False
    backend.sent.clear()
    return backend


def create_as_another(
    provisioner: Provisioner, backend: PassthroughBackend, create_request: CreateRequest, clock: VirtualClock
) -> CreateResult:
    """Create the module as another caller, with another credential."""
    call = CallContext("another", clock.monotonic() + 5.0, credential="second")
    return provisioner.create(backend, replace(create_request, caller="another"), call)


@pytest.mark.parametrize("abandoned", [False], indirect=True)
def test_next_caller_settles_what_was_not_applied(
    provisioner: Provisioner,
    abandoned: PassthroughBackend,
    create_request: CreateRequest,
    clock: VirtualClock,
    journal: Journal,
) -> None:
    """After the window a caller with any credential looks first: nothing is found, and its own create runs."""
    result = create_as_another(provisioner, abandoned, create_request, clock)
    assert (result.created.adopted, result.replayed, result.operation_id) == (False, False, "op-3")
    assert [name for name, _ in abandoned.sent] == ["find", "create"]
    operation = journal.get("op-1")
    assert operation is not None
    assert operation.state is State.NOT_APPLIED


@pytest.mark.parametrize("abandoned", [True], indirect=True)
def test_next_caller_settles_what_was_applied(
    provisioner: Provisioner,
    abandoned: PassthroughBackend,
    create_request: CreateRequest,
    clock: VirtualClock,
    journal: Journal,
) -> None:
    """The module is the result of the old operation; for the new one the name is taken."""
    with pytest.raises(ModuleAlreadyExists) as caught:
        create_as_another(provisioner, abandoned, create_request, clock)
    assert (caught.value.existing, caught.value.operation) == ("cmdb.1.10.1", None)
    operation = journal.get("op-1")
    assert operation is not None
    assert operation.state is State.SUCCEEDED
    assert [name for name, _ in abandoned.sent] == ["find", "create", "find"]


@pytest.mark.parametrize("abandoned", [True], indirect=True)
@pytest.mark.parametrize("caller", ["c", "another"])
def test_other_request_settles_an_abandoned_create(
    provisioner: Provisioner,
    abandoned: PassthroughBackend,
    create_request: CreateRequest,
    clock: VirtualClock,
    caller: str,
) -> None:
    """A request of another body looks first too: an abandoned create does not hold its name past its window."""
    adopting = replace(create_request, if_exists="adopt", idempotency_key=None, caller=caller)
    call = CallContext("another", clock.monotonic() + 5.0, credential="second")
    result = provisioner.create(abandoned, adopting, call)
    assert (result.created.adopted, result.created.module.id) == (True, "cmdb.1.10.1")
    assert [name for name, _ in abandoned.sent] == ["find", "create", "find"]


def test_other_credentials_do_not_look_before_the_window_is_over(
    provisioner: Provisioner,
    backend: PassthroughBackend,
    create_request: CreateRequest,
    clock: VirtualClock,
    journal: Journal,
) -> None:
    """Within the window another requester only waits: it neither looks nor settles, and its own create is not sent."""
    with pytest.raises(OutcomeUnknown):
        create(provisioner, backend, create_request, clock, seconds=0.1)
    backend.sent.clear()
    with pytest.raises(CreateInProgress):
        create_as_another(provisioner, backend, create_request, clock)
    assert backend.sent == []
    operation = journal.get("op-1")
    assert operation is not None
    assert operation.state is State.RECONCILING
