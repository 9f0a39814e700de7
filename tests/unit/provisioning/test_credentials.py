"""A lost create on a connection that acts with its callers' own credentials: only they can look for it."""

from __future__ import annotations

import itertools
from typing import Any

import pytest

from gateway.domain.backend import CallContext
from gateway.domain.errors import BackendUnavailable, OutcomeUnknown, Unauthenticated
from gateway.domain.journal import Journal
from gateway.domain.module import Module, ModuleDraft
from gateway.domain.operation import State
from gateway.provisioning.known_modules import KnownModules
from gateway.provisioning.provisioner import CreateRequest, Provisioner
from gateway.provisioning.reconciler import Reconciler
from tests.conftest import VirtualClock
from tests.unit.api.fake_backend import FakeBackend

DRAFT = ModuleDraft(scope="1", parent="10", name="lost", owners=("admin",))


class Jealous(FakeBackend):
    """A backend that asks every call for a credential; its creates are applied, or not, and the reply is lost."""

    applies = True

    def create(self, draft: ModuleDraft, call: CallContext) -> Module:
        self._check(call)
        if self.applies:
            super().create(draft, call)
        raise OutcomeUnknown

    def find_by_natural_key(self, draft: ModuleDraft, call: CallContext) -> tuple[Module, ...]:
        self._check(call)
        return super().find_by_natural_key(draft, call)

    @staticmethod
    def _check(call: CallContext) -> None:
        if call.credential != "own":
            raise Unauthenticated


@pytest.fixture
def jealous(cmdb: FakeBackend) -> Jealous:
    return Jealous("cmdb", cmdb.capabilities, cmdb.scopes, cmdb.parents)


@pytest.fixture
def reconciler(journal: Journal, clock: VirtualClock, jealous: Jealous) -> Reconciler:
    return Reconciler(
        journal=journal,
        runtime=clock,
        backends={"cmdb": jealous},
        worker_id="me",
        known_modules=KnownModules(journal, clock),
    )


@pytest.fixture
def provisioner(journal: Journal, clock: VirtualClock, reconciler: Reconciler) -> Provisioner:
    ids = itertools.count(1)
    return Provisioner(
        journal=journal,
        runtime=clock,
        new_id=lambda: f"op-{next(ids)}",
        worker_id="me",
        known_modules=reconciler.known_modules,
        reconcile_now=reconciler.reconcile_now,
    )


def _ask(provisioner: Provisioner, backend: Jealous, clock: VirtualClock, seconds: float = 5.0) -> Any:
    call = CallContext("r", clock.monotonic() + seconds, credential="own")
    return provisioner.create(CreateRequest(backend=backend, draft=DRAFT, caller="c", idempotency_key="k"), call)


def test_who_waits_looks_for_himself(provisioner: Provisioner, jealous: Jealous, clock: VirtualClock) -> None:
    """The reply is lost, the module is there: within the same request the caller's own credential finds it."""
    answer = _ask(provisioner, jealous, clock)
    assert answer.creation.module.name == "lost"
    assert [what for what, _ in jealous.sent].count("create") == 1


def test_nobody_else_can(
    provisioner: Provisioner, reconciler: Reconciler, jealous: Jealous, clock: VirtualClock, journal: Journal
) -> None:
    """Without his credential the reconciler settles nothing, however long it tries, and what it writes is bounded."""
    with pytest.raises(OutcomeUnknown):
        _ask(provisioner, jealous, clock, seconds=0.1)
    for _ in range(200):
        clock.sleep(30.0)
        reconciler.run_once()
    operation = journal.get("op-1")
    assert operation is not None
    assert operation.state is State.RECONCILING
    assert operation.lookups > 150
    assert len(operation.evidence) <= 101
    assert _ask(provisioner, jealous, clock).replayed
    assert [what for what, _ in jealous.sent].count("create") == 1


def test_what_never_came_is_settled_when_he_asks_after_the_window(
    provisioner: Provisioner, reconciler: Reconciler, jealous: Jealous, clock: VirtualClock, journal: Journal
) -> None:
    """Past the settle window his next look proves that nothing was applied; the one after that creates it."""
    jealous.applies = False
    with pytest.raises(OutcomeUnknown):
        _ask(provisioner, jealous, clock)
    clock.sleep(jealous.capabilities.settle_seconds + 1)
    reconciler.run_once()
    with pytest.raises(BackendUnavailable):
        _ask(provisioner, jealous, clock)
    operation = journal.get("op-1")
    assert operation is not None
    assert operation.state is State.NOT_APPLIED
    jealous.applies = True
    assert _ask(provisioner, jealous, clock).creation.module.name == "lost"


def test_looks_are_few(provisioner: Provisioner, jealous: Jealous, clock: VirtualClock) -> None:
    """A caller who waits for a minute costs the backend some thirty looks, not hundreds."""
    jealous.applies = False
    with pytest.raises(OutcomeUnknown):
        _ask(provisioner, jealous, clock, seconds=60.0)
    assert 10 < [what for what, _ in jealous.sent].count("find") < 40
