"""What a request id is good for after the module has changed: nothing."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from gateway.domain.backend import CallContext
from gateway.domain.errors import JournalUnavailable
from gateway.domain.journal import Journal
from gateway.domain.module import ModulePatch
from gateway.provisioning import update_delete
from gateway.provisioning.provisioner import CreateRequest, Provisioner
from tests.conftest import VirtualClock
from tests.unit.api.fake_backend import FakeBackend
from tests.unit.provisioning.test_reconciler import DRAFT, provisioner

__all__ = ["provisioner"]


@pytest.fixture
def order(cmdb: FakeBackend) -> CreateRequest:
    return CreateRequest(backend=cmdb, draft=DRAFT, caller="c")


def test_the_same_request_id_is_the_same_create(
    provisioner: Provisioner, order: CreateRequest, cmdb: FakeBackend, clock: VirtualClock
) -> None:
    """Within ten minutes a retry without a key gets the first answer; after them it is a new create."""
    first = provisioner.create(order, CallContext("r", clock.monotonic() + 5))
    clock.sleep(599.0)
    again = provisioner.create(order, CallContext("r", clock.monotonic() + 5))
    assert (again.replayed, again.creation) == (True, first.creation)
    cmdb.modules.clear()
    clock.sleep(2.0)
    assert provisioner.create(order, CallContext("r", clock.monotonic() + 5)).replayed is False


@pytest.mark.parametrize("how", ["update", "delete"])
def test_a_change_voids_it(
    provisioner: Provisioner, order: CreateRequest, cmdb: FakeBackend, journal: Journal, clock: VirtualClock, how: str
) -> None:
    """Create, change, create under one request id does what it says: the second create is a new one."""
    ref = provisioner.create(order, CallContext("r", clock.monotonic() + 5)).creation.module.ref
    call = CallContext("r", clock.monotonic() + 5)
    if how == "delete":
        update_delete.delete(journal, cmdb, ref, cascade=False, call=call)
    else:
        update_delete.update(journal, cmdb, ref, ModulePatch(name="renamed"), call)
    assert provisioner.create(order, CallContext("r", clock.monotonic() + 5)).replayed is False


def test_a_cascade_voids_the_childrens_too(
    provisioner: Provisioner, order: CreateRequest, cmdb: FakeBackend, journal: Journal, clock: VirtualClock
) -> None:
    """A child that went with its parent is created anew, whichever request id had made it."""
    top = provisioner.create(order, CallContext("top", clock.monotonic() + 5)).creation.module
    child = replace(order, draft=replace(DRAFT, name="child", parent=top.native_id))
    cmdb.parents = (*cmdb.parents, top.native_id)
    provisioner.create(child, CallContext("child", clock.monotonic() + 5))
    update_delete.delete(journal, cmdb, top.ref, cascade=True, call=CallContext("r", clock.monotonic() + 5))
    assert provisioner.create(child, CallContext("child", clock.monotonic() + 5)).replayed is False


def test_what_is_deleted_is_told_although_the_journal_fails_meanwhile(
    provisioner: Provisioner, order: CreateRequest, cmdb: FakeBackend, journal: Journal, clock: VirtualClock
) -> None:
    """A journal that fails before the delete refuses it; one that fails after it changes nothing about it."""
    top = provisioner.create(order, CallContext("top", clock.monotonic() + 5)).creation.module
    child = replace(order, draft=replace(DRAFT, name="child", parent=top.native_id))
    cmdb.parents = (*cmdb.parents, top.native_id)
    provisioner.create(child, CallContext("child", clock.monotonic() + 5))
    before = len(cmdb.writes)
    with pytest.raises(JournalUnavailable):
        update_delete.delete(_Failing(0), cmdb, top.ref, cascade=True, call=CallContext("r", clock.monotonic() + 5))  # type: ignore[arg-type] # the part that is asked for
    assert len(cmdb.writes) == before
    update_delete.delete(_Failing(1), cmdb, top.ref, cascade=True, call=CallContext("r", clock.monotonic() + 5))  # type: ignore[arg-type] # the same
    assert len(cmdb.writes) == before + 1


class _Failing:
    """A journal that voids so many memories and then fails."""

    def __init__(self, good: int) -> None:
        self.good = good

    def clear_dedup(self, _module_id: str) -> Any:
        self.good -= 1
        if self.good < 0:
            raise JournalUnavailable
