"""Lost creates of a name that another module may have: what reads, clocks and the journal's order prove."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime

import pytest

from gateway.domain.backend import CallContext
from gateway.domain.errors import BackendUnavailable, ModuleAlreadyExists, OutcomeUnknown
from gateway.domain.journal import Journal
from gateway.domain.module import Module, ModuleDraft, ModuleQuery, Owner
from gateway.domain.operation import Operation, State
from gateway.provisioning.create import CreateRequest, preview
from gateway.provisioning.known_modules import KnownModules
from gateway.provisioning.provisioner import Provisioner
from gateway.provisioning.reconciler import Reconciler
from gateway.resilience import RetryingBackend
from tests.conftest import VirtualClock
from tests.unit.api.fake_backend import FakeBackend

ANOTHERS = Module(
    backend="cmdb", ref="1.10.111", native_id="111", scope="1", parent="10", name="x", owners=(Owner("admin"),)
)


class DatedBackend(FakeBackend):
    """A CMDB whose clock is ahead by `offset` seconds; `user` is the creator that it records and tells."""

    clock: VirtualClock
    epoch: float  # the wall time at which the monotonic clock is zero; a step of the gateway's clock leaves it
    offset = 0.0
    user: str | None = None
    loses_replies = False

    def create(self, draft: ModuleDraft, call: CallContext) -> Module:
        module = super().create(draft, call)
        created_at = datetime.fromtimestamp(self.clock.monotonic() + self.epoch + self.offset, UTC)
        module = self.modules[module.native_id] = replace(module, created_at=created_at, created_by=self.user)
        if self.loses_replies:
            raise OutcomeUnknown
        return module


@dataclass
class Scenario:
    """One gateway process over one backend, whose modules it records as the service does."""

    inner: DatedBackend
    backend: RetryingBackend
    provisioner: Provisioner
    reconciler: Reconciler
    create_request: CreateRequest
    clock: VirtualClock

    def call(self) -> CallContext:
        return CallContext("r", self.clock.monotonic() + 5.0)

    def create(self, name: str = "x", **changes: object) -> Operation:
        """Create a module without a key and wait for the result; return the operation."""
        draft = replace(self.create_request.draft, name=name, **changes)  # type: ignore[arg-type]
        create_request = replace(self.create_request, draft=draft, idempotency_key=None)
        started = self.provisioner.start(self.backend, create_request, self.call())
        self.clock.sleep(1.0)
        self.reconciler.run_once()
        operation = self.provisioner.journal.get(started.operation.claim.id)
        assert operation is not None
        return operation

    def lose_refusal(self) -> Operation:
        """Create a module whose name is taken; the refusal is lost."""
        self.inner.fails["create"] = OutcomeUnknown()
        operation = self.create()
        del self.inner.fails["create"]
        return operation

    def lose_reply(self) -> Operation:
        """Create a module; the reply is lost after the commit."""
        self.inner.loses_replies = True
        operation = self.create()
        self.inner.loses_replies = False
        return operation


@pytest.fixture
def scenario(
    cmdb: FakeBackend,
    provisioner: Provisioner,
    reconciler: Reconciler,
    known_modules: KnownModules,
    create_request: CreateRequest,
    clock: VirtualClock,
) -> Scenario:
    inner = DatedBackend("cmdb", cmdb.capabilities, cmdb.scopes, cmdb.parents)
    inner.clock, inner.epoch = clock, clock.wall_offset
    backend = RetryingBackend(inner, clock, record_seen=known_modules.record)
    reconciler = replace(reconciler, backends={"cmdb": backend})
    return Scenario(inner, backend, provisioner, reconciler, create_request, clock)


def refused_create(scenario: Scenario) -> None:
    """Create a module whose name is taken: the lookup after the refusal shows the module."""
    with pytest.raises(ModuleAlreadyExists):
        scenario.provisioner.create(scenario.backend, scenario.create_request, scenario.call())


def lookup_of_another_create(scenario: Scenario) -> None:
    """Lose a create with other values: the reconciler's lookup shows the module, and settles nothing."""
    scenario.inner.fails["create"] = OutcomeUnknown()
    assert scenario.create(owners=("tom",)).state is State.AMBIGUOUS
    del scenario.inner.fails["create"]


#: The answers that show a module.
READS: dict[str, Callable[[Scenario], object]] = {
    "get": lambda scenario: scenario.backend.get("1.10.111", scenario.call()),
    "list": lambda scenario: scenario.backend.list(ModuleQuery(scope="1"), 10, None, scenario.call()),
    "preview": lambda scenario: preview(scenario.backend, scenario.create_request.draft, scenario.call()),
    "lookup after a refusal": refused_create,
    "lookup of the reconciler": lookup_of_another_create,
}


@pytest.mark.parametrize("read", READS)
def test_module_that_a_read_has_shown_is_not_the_result(scenario: Scenario, read: str) -> None:
    """An id that any answer has shown was there before a later claim, also if the module has no creation time."""
    scenario.inner.modules["111"] = ANOTHERS
    READS[read](scenario)
    operation = scenario.lose_refusal()
    assert operation.state is State.REFUSED
    assert (operation.error or {})["existing"] == "cmdb.1.10.111"


def test_module_that_no_read_has_shown_is_the_result(scenario: Scenario) -> None:
    """Without creation times and reads nothing tells another's module from this create's: the confidence says so."""
    scenario.inner.modules["111"] = ANOTHERS
    operation = scenario.lose_refusal()
    assert (operation.state, operation.evidence[-1]["confidence"]) == (State.SUCCEEDED, "medium")


def test_lost_refusal_of_a_repeated_create(scenario: Scenario) -> None:
    """Read, checked, refused and created again with the refusal lost: the answer is module_already_exists again."""
    scenario.inner.modules["111"] = ANOTHERS
    for read in ("get", "preview", "lookup after a refusal"):
        READS[read](scenario)
    scenario.inner.fails["create"] = OutcomeUnknown()
    sleep = scenario.clock.sleep

    def sleep_and_reconcile(seconds: float) -> None:
        sleep(seconds)
        scenario.reconciler.run_once()

    scenario.clock.sleep = sleep_and_reconcile  # type: ignore[method-assign]
    with pytest.raises(ModuleAlreadyExists) as caught:
        scenario.provisioner.create(scenario.backend, scenario.create_request, scenario.call())
    assert caught.value.existing == "cmdb.1.10.111"


@pytest.mark.parametrize("offset", [-90.0, 0.0, 90.0])
@pytest.mark.parametrize(
    ("measured", "step", "user", "state"),
    [
        pytest.param(True, 0.0, None, State.SUCCEEDED, id="measured"),
        pytest.param(True, 500.0, None, State.SUCCEEDED, id="measured, and the gateway's clock set forward"),
        pytest.param(True, -500.0, None, State.SUCCEEDED, id="measured, and the gateway's clock set back"),
        pytest.param(False, 0.0, "acting user", State.SUCCEEDED, id="a known creator"),
        pytest.param(False, 0.0, None, State.AMBIGUOUS, id="neither"),
    ],
)
def test_reply_that_is_lost_after_the_commit(
    scenario: Scenario, offset: float, measured: bool, step: float, user: str | None, state: State
) -> None:
    """On a backend whose clock is wrong, an own create is found by the measured clock or by its creator."""
    scenario.inner.offset = offset
    scenario.inner.user = scenario.inner.capabilities.acting_user if user else None
    if measured:
        assert scenario.create("earlier").state is State.SUCCEEDED
    scenario.clock.step(step)
    expected = state if measured or offset < 0.0 else State.SUCCEEDED
    assert scenario.lose_reply().state is expected


@pytest.mark.parametrize("age", [40.0, 3.0])
@pytest.mark.parametrize(("measured", "state"), [(True, State.REFUSED), (False, State.AMBIGUOUS)])
def test_older_module_without_a_creator(scenario: Scenario, age: float, measured: bool, state: State) -> None:
    """A module that is older than the claim is never reported as created: taken where measured, otherwise uncertain."""
    if measured:
        assert scenario.create("earlier").state is State.SUCCEEDED
    created_at = datetime.fromtimestamp(scenario.clock.now() - age, UTC)
    scenario.inner.modules["111"] = replace(ANOTHERS, created_at=created_at)
    operation = scenario.lose_refusal()
    assert operation.state is state
    assert (operation.error or {}).get("existing") == ("cmdb.1.10.111" if measured else None)


@pytest.mark.parametrize(("before", "state"), [(True, State.REFUSED), (False, State.SUCCEEDED)])
@pytest.mark.parametrize("clock_error", [-0.5, 0.5, -100.0, 100.0])
def test_order_of_the_journal_counts(
    scenario: Scenario, journal: Journal, before: bool, state: State, clock_error: float
) -> None:
    """Another replica has recorded the module: whether before the claim, the journal's order says, and no clock."""
    scenario.inner.modules["111"] = ANOTHERS
    replica_clock = VirtualClock()
    replica_clock.step(clock_error)
    replica = KnownModules(journal, replica_clock)
    if before:
        replica.record([ANOTHERS])
    scenario.inner.fails["create"] = OutcomeUnknown()
    started = scenario.provisioner.start(scenario.backend, scenario.create_request, scenario.call())
    if not before:
        replica.record([ANOTHERS])
    scenario.clock.sleep(1.0)
    scenario.reconciler.run_once()
    operation = journal.get(started.operation.claim.id)
    assert operation is not None
    assert operation.state is state


def test_lookup_that_fails_proves_no_free_name(scenario: Scenario) -> None:
    """A refusal stays a refusal if the lookup after it fails; it then names no module."""
    scenario.inner.modules["111"] = ANOTHERS
    scenario.inner.fails["find"] = BackendUnavailable()
    with pytest.raises(ModuleAlreadyExists) as caught:
        scenario.provisioner.create(scenario.backend, scenario.create_request, scenario.call())
    assert caught.value.existing is None
