"""Fixtures of the provisioning tests: the fake backends of the API tests, a provisioner and a reconciler."""

from __future__ import annotations

import itertools

import pytest

from gateway.domain.journal import Journal
from gateway.domain.module import ModuleDraft
from gateway.provisioning.create import CreateRequest
from gateway.provisioning.known_modules import BackendClocks, KnownModules
from gateway.provisioning.provisioner import Provisioner
from gateway.provisioning.reconciler import Reconciler
from gateway.provisioning.update_delete import ChangeService
from gateway.resilience import RetryingBackend
from tests.conftest import VirtualClock
from tests.unit.api.conftest import cmdb, projectman
from tests.unit.api.fake_backend import FakeBackend

__all__ = ["cmdb", "projectman"]


@pytest.fixture
def known_modules(journal: Journal, clock: VirtualClock) -> KnownModules:
    return KnownModules(journal, clock)


@pytest.fixture
def lookups() -> list[tuple[str, str]]:
    """The arguments of the reconciler's on_lookup calls."""
    return []


@pytest.fixture
def reconciler(
    journal: Journal,
    clock: VirtualClock,
    cmdb: FakeBackend,
    known_modules: KnownModules,
    lookups: list[tuple[str, str]],
) -> Reconciler:
    return Reconciler(
        journal=journal,
        runtime=clock,
        backends={"cmdb": RetryingBackend(cmdb, clock, record_seen=known_modules.record)},
        worker_id="worker",
        on_lookup=lambda backend, verdict: lookups.append((backend, verdict)),
    )


@pytest.fixture
def provisioner(journal: Journal, clock: VirtualClock, known_modules: KnownModules) -> Provisioner:
    """A provisioner whose operation ids are op-1, op-2 and so on."""
    ids = itertools.count(1)
    return Provisioner(
        journal=journal,
        runtime=clock,
        new_id=lambda: f"op-{next(ids)}",
        worker_id="worker",
        known_modules=known_modules,
        backend_clocks=BackendClocks(clock),
    )


@pytest.fixture
def changes(journal: Journal, clock: VirtualClock) -> ChangeService:
    """A service whose change ids are change-1, change-2 and so on."""
    ids = itertools.count(1)
    return ChangeService(journal, clock, lambda: f"change-{next(ids)}")


@pytest.fixture
def create_request() -> CreateRequest:
    """A create with an idempotency key."""
    draft = ModuleDraft(scope="1", parent="10", name="x", owners=("admin",))
    return CreateRequest(draft=draft, caller="c", idempotency_key="key")
