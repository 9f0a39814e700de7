"""Updates and deletes clear the request deduplication entries of the modules that they change."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from gateway.domain.backend import CallContext
from gateway.domain.errors import JournalUnavailable, UpdateNotKept
from gateway.domain.journal import Journal
from gateway.domain.module import Module, ModulePatch, Owner
from gateway.provisioning import update_delete
from gateway.provisioning.create import CreateRequest
from gateway.provisioning.provisioner import Provisioner
from tests.unit.api.fake_backend import FakeBackend


class FailingJournal:
    """A journal in which clear_dedup succeeds a number of times and then fails."""

    def __init__(self, successes: int) -> None:
        self.successes = successes

    def clear_dedup(self, _module_id: str) -> Any:
        self.successes -= 1
        if self.successes < 0:
            raise JournalUnavailable


@pytest.fixture
def create_without_key(create_request: CreateRequest) -> CreateRequest:
    """A create without an idempotency key, which only its request id identifies."""
    return replace(create_request, idempotency_key=None)


@pytest.fixture
def child(create_without_key: CreateRequest, parent: Module, cmdb: FakeBackend) -> CreateRequest:
    """A create of a module below `parent`."""
    cmdb.parents = (*cmdb.parents, parent.native_id)
    return replace(create_without_key, draft=replace(create_without_key.draft, name="child", parent=parent.native_id))


@pytest.fixture
def parent(provisioner: Provisioner, create_without_key: CreateRequest, cmdb: FakeBackend, call: CallContext) -> Module:
    return provisioner.create(cmdb, create_without_key, call).created.module


@pytest.mark.parametrize("operation", ["update", "delete"])
def test_change_clears_the_entry(
    provisioner: Provisioner,
    create_without_key: CreateRequest,
    cmdb: FakeBackend,
    journal: Journal,
    call: CallContext,
    operation: str,
) -> None:
    """Create, change, create under one request id: the second create is not a replay."""
    ref = provisioner.create(cmdb, create_without_key, call).created.module.ref
    if operation == "delete":
        update_delete.delete(journal, cmdb, ref, cascade=False, call=call)
    else:
        update_delete.update(journal, cmdb, ref, ModulePatch(name="renamed"), call)
    assert provisioner.create(cmdb, create_without_key, call).replayed is False


def test_cascade_clears_the_entries_of_children(
    provisioner: Provisioner,
    parent: Module,
    child: CreateRequest,
    cmdb: FakeBackend,
    journal: Journal,
    call: CallContext,
) -> None:
    """A child that was deleted with its parent is created again, also under the same request id."""
    child_call = replace(call, request_id="child")
    provisioner.create(cmdb, child, child_call)
    update_delete.delete(journal, cmdb, parent.ref, cascade=True, call=call)
    assert provisioner.create(cmdb, child, child_call).replayed is False


def test_journal_fails_during_a_delete(
    provisioner: Provisioner, parent: Module, child: CreateRequest, cmdb: FakeBackend, call: CallContext
) -> None:
    """A journal that fails before the delete refuses it; one that fails after it does not change the result."""
    provisioner.create(cmdb, child, replace(call, request_id="child"))
    before = len(cmdb.writes)
    failing: Any = FailingJournal(0)
    with pytest.raises(JournalUnavailable):
        update_delete.delete(failing, cmdb, parent.ref, cascade=True, call=call)
    assert len(cmdb.writes) == before
    failing.successes = 1
    update_delete.delete(failing, cmdb, parent.ref, cascade=True, call=call)
    assert len(cmdb.writes) == before + 1


@pytest.mark.parametrize(
    ("patch", "kept", "pointers", "outcome"),
    [
        pytest.param({"name": "new"}, {"name": "x"}, {"/name"}, "not_applied", id="the only field"),
        pytest.param({"name": "new", "owners": ("b",)}, {"name": "x"}, {"/name"}, "applied", id="one of two"),
        pytest.param({"owners": None}, {"owners": ()}, set(), "", id="cleared"),
        pytest.param({"owners": None}, {"owners": (Owner("a"),)}, {"/owners"}, "not_applied", id="not cleared"),
        pytest.param({"attributes": {"remark": None}}, {}, set(), "", id="an attribute that is empty"),
        pytest.param(
            {"attributes": {"remark": "a", "bk_module_type": "2"}},
            {"attributes": {"remark": "a", "bk_module_type": "1"}},
            {"/attributes/bk_module_type"},
            "applied",
            id="one of two attributes",
        ),
    ],
)
def test_an_update_is_compared_with_what_the_module_has(
    parent: Module,
    cmdb: FakeBackend,
    journal: Journal,
    call: CallContext,
    monkeypatch: pytest.MonkeyPatch,
    patch: dict[str, Any],
    kept: dict[str, Any],
    pointers: set[str],
    outcome: str,
) -> None:
    """A difference is an error that names the fields; `applied` if another field of the patch was kept."""
    changes = {name: value for name, value in patch.items() if name != "owners"}
    changes |= {"owners": tuple(map(Owner, patch["owners"] or ()))} if "owners" in patch else {}
    stored = replace(parent, **{**changes, **kept})
    monkeypatch.setattr(cmdb, "update", lambda *_args: stored)
    if not pointers:
        assert update_delete.update(journal, cmdb, parent.ref, ModulePatch(**patch), call) == stored
        return
    with pytest.raises(UpdateNotKept) as caught:
        update_delete.update(journal, cmdb, parent.ref, ModulePatch(**patch), call)
    assert {error.pointer for error in caught.value.errors} == set(caught.value.diff or {}) == pointers
    assert caught.value.outcome == outcome
