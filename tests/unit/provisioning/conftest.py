"""The fake backends of the API tests, a reconciler and a create."""

from __future__ import annotations

import pytest

from gateway.domain.journal import Journal
from gateway.domain.module import ModuleDraft
from gateway.provisioning.create import CreateRequest
from gateway.provisioning.known_modules import KnownModules
from gateway.provisioning.reconciler import Reconciler
from gateway.resilience import RetryingBackend
from tests.conftest import VirtualClock
from tests.unit.api.conftest import cmdb, projectman
from tests.unit.api.fake_backend import FakeBackend

__all__ = ["cmdb", "projectman"]


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
def create_request() -> CreateRequest:
    """A create with an idempotency key."""
    draft = ModuleDraft(scope="1", parent="10", name="x", owners=("admin",))
    return CreateRequest(draft=draft, caller="c", idempotency_key="key")
