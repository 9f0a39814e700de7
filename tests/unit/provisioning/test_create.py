"""The lookup before a create, with probe_before_create."""

from __future__ import annotations

from dataclasses import replace

import pytest

from gateway.domain.backend import CallContext
from gateway.domain.errors import BackendTimeout, BackendUnavailable, ModuleAlreadyExists
from gateway.provisioning.create import CreateRequest
from gateway.provisioning.provisioner import Provisioner
from tests.unit.api.fake_backend import FakeBackend


def test_probe_of_a_taken_name(
    provisioner: Provisioner, create_request: CreateRequest, cmdb: FakeBackend, call: CallContext
) -> None:
    """Nothing is sent if the name exists; a free name is created."""
    provisioner.create(cmdb, create_request, call)
    cmdb.capabilities = replace(cmdb.capabilities, probe_before_create=True)
    before = len(cmdb.writes)
    with pytest.raises(ModuleAlreadyExists):
        provisioner.create(cmdb, replace(create_request, idempotency_key="other", if_exists="error"), call)
    assert len(cmdb.writes) == before
    free = replace(create_request, draft=replace(create_request.draft, name="free"), idempotency_key="free")
    assert provisioner.create(cmdb, free, call).created.adopted is False


def test_failed_probe(
    provisioner: Provisioner, create_request: CreateRequest, cmdb: FakeBackend, call: CallContext
) -> None:
    """A lookup before the create that times out proves that nothing was applied: 503 and not 504."""
    cmdb.capabilities = replace(cmdb.capabilities, probe_before_create=True)
    cmdb.fails["find"] = BackendTimeout()
    with pytest.raises(BackendUnavailable):
        provisioner.create(cmdb, create_request, call)
    assert len(cmdb.writes) == 0
