"""Updates and deletes void the request deduplication of the modules that they change, and of no other."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import replace
from typing import Any

import pytest

from gateway.domain.backend import CallContext
from gateway.domain.change import Change
from gateway.domain.errors import (
    BackendPermissionDenied,
    GatewayError,
    JournalUnavailable,
    ModuleNotEmpty,
    Outcome,
    OutcomeUnknown,
    UpdateNotKept,
)
from gateway.domain.journal import ChangeJournal
from gateway.domain.module import Module, ModuleDraft, ModulePatch, Owner
from gateway.provisioning.create import CreateRequest
from gateway.provisioning.provisioner import Provisioner
from gateway.provisioning.update_delete import ChangeService
from tests.conftest import VirtualClock
from tests.unit.api.fake_backend import FakeBackend

Repeat = Callable[[str], bool]
Act = Callable[[ChangeService, FakeBackend, str, CallContext], object]
ACTIONS: dict[str, Act] = {
    "update": lambda changes, cmdb, ref, call: changes.update(cmdb, ref, ModulePatch(name="renamed"), call),
    "delete": lambda changes, cmdb, ref, call: changes.delete(cmdb, ref, cascade=False, call=call),
}
actions = pytest.mark.parametrize("action", ACTIONS)


class FailingJournal:
    """A journal whose changes cannot be begun after a number of them, or whose outcomes cannot be recorded."""

    def __init__(self, journal: ChangeJournal, *, begins: int = 100, ends: bool = True) -> None:
        self._journal, self._begins, self._ends = journal, begins, ends

    def begin_change(self, change: Change) -> bool:
        self._begins -= 1
        if self._begins < 0:
            raise JournalUnavailable
        return self._journal.begin_change(change)

    def end_change(self, change_id: str, outcome: Outcome, **values: Any) -> None:
        if not self._ends:
            raise JournalUnavailable
        self._journal.end_change(change_id, outcome, **values)


def failing(changes: ChangeService, **failures: Any) -> ChangeService:
    journal: Any = FailingJournal(changes.journal, **failures)
    return replace(changes, journal=journal)


@pytest.fixture
def create_without_key(create_request: CreateRequest) -> CreateRequest:
    """A create without an idempotency key, which only its request id identifies."""
    return replace(create_request, idempotency_key=None)


@pytest.fixture
def parent(provisioner: Provisioner, create_without_key: CreateRequest, cmdb: FakeBackend, call: CallContext) -> Module:
    return provisioner.create(cmdb, create_without_key, call).created.module


@pytest.fixture
def children(create_without_key: CreateRequest, parent: Module, provisioner: Provisioner, cmdb: FakeBackend) -> Repeat:
    """Two modules below `parent`, 2 and 3; a function that creates one of them again returns whether it is a replay."""

    def repeat(native_id: str) -> bool:
        draft = replace(create_without_key.draft, name=f"child-{native_id}", parent=parent.native_id)
        call = CallContext(f"child-{native_id}", provisioner.runtime.monotonic() + 5.0)
        cmdb.parents = (*cmdb.parents, parent.native_id)
        return provisioner.create(cmdb, replace(create_without_key, draft=draft), call).replayed

    assert not repeat("2")
    assert not repeat("3")
    return repeat


@actions
def test_change_voids_the_request_id(
    provisioner: Provisioner,
    changes: ChangeService,
    create_without_key: CreateRequest,
    cmdb: FakeBackend,
    call: CallContext,
    action: str,
) -> None:
    """Create, change, create under one request id: the second create is not a replay, and the third is one."""
    ref = provisioner.create(cmdb, create_without_key, call).created.module.ref
    ACTIONS[action](changes, cmdb, ref, call)
    assert provisioner.create(cmdb, create_without_key, call).replayed is False
    assert provisioner.create(cmdb, create_without_key, call).replayed is True


@actions
def test_change_leaves_the_key(
    provisioner: Provisioner,
    changes: ChangeService,
    create_request: CreateRequest,
    cmdb: FakeBackend,
    call: CallContext,
    action: str,
) -> None:
    """An idempotency key names one create for good: it replays its module also after a change."""
    ref = provisioner.create(cmdb, create_request, call).created.module.ref
    ACTIONS[action](changes, cmdb, ref, call)
    assert provisioner.create(cmdb, create_request, call).replayed is True


@actions
@pytest.mark.parametrize(("error", "is_replay"), [(BackendPermissionDenied(), True), (OutcomeUnknown(), False)])
def test_only_a_change_that_may_be_applied_voids_it(
    provisioner: Provisioner,
    changes: ChangeService,
    create_without_key: CreateRequest,
    cmdb: FakeBackend,
    call: CallContext,
    action: str,
    error: GatewayError,
    is_replay: bool,
) -> None:
    """A refused change voids nothing; one of unknown outcome does: the module may be gone."""
    module = provisioner.create(cmdb, create_without_key, call).created.module
    cmdb.fails[action] = error
    with pytest.raises(type(error)):
        ACTIONS[action](changes, cmdb, module.ref, call)
    if not is_replay:
        del cmdb.modules[module.native_id]
    assert provisioner.create(cmdb, create_without_key, call).replayed is is_replay


@pytest.mark.parametrize(("key", "is_replay"), [(None, False), ("key", True)])
def test_module_is_deleted_while_its_create_is_on_the_way(
    provisioner: Provisioner,
    changes: ChangeService,
    create_request: CreateRequest,
    cmdb: FakeBackend,
    call: CallContext,
    monkeypatch: pytest.MonkeyPatch,
    key: str | None,
    is_replay: bool,
) -> None:
    """A delete between the commit and the reply counts: only a key replays the module that is gone."""
    create = cmdb.create

    def create_and_delete(draft: ModuleDraft, call: CallContext) -> Module:
        module = create(draft, call)
        changes.delete(cmdb, module.ref, cascade=False, call=call)
        return module

    monkeypatch.setattr(cmdb, "create", create_and_delete)
    create_request = replace(create_request, idempotency_key=key)
    provisioner.create(cmdb, create_request, call)
    monkeypatch.undo()
    assert provisioner.create(cmdb, create_request, call).replayed is is_replay


@pytest.mark.parametrize(("key", "is_replay"), [(None, False), ("second", True)])
def test_module_is_deleted_before_a_waiter_has_an_alias(
    provisioner: Provisioner,
    changes: ChangeService,
    create_request: CreateRequest,
    cmdb: FakeBackend,
    call: CallContext,
    clock: VirtualClock,
    key: str | None,
    is_replay: bool,
) -> None:
    """A second request of the same create ends as the first; its request id does not replay a module that is gone."""
    work: list[Callable[[], None]] = []
    spawn, clock.spawn = clock.spawn, work.append  # type: ignore[method-assign,assignment]
    provisioner.start(cmdb, replace(create_request, idempotency_key="first"), call)
    clock.spawn = spawn  # type: ignore[method-assign]
    waiter, waiting_call = replace(create_request, idempotency_key=key), replace(call, request_id="second")
    add_alias = provisioner.journal.add_alias

    class Journal:
        def __getattr__(self, name: str) -> Any:
            return getattr(changes.journal, name)

        def add_alias(self, *arguments: Any) -> None:
            work.pop()()
            changes.delete(cmdb, "1.10.1", cascade=False, call=call)
            add_alias(*arguments)

    delaying: Any = Journal()
    replace(provisioner, journal=delaying).start(cmdb, waiter, waiting_call)
    assert cmdb.modules == {}
    assert provisioner.create(cmdb, waiter, waiting_call).replayed is is_replay


def test_cascade_voids_the_request_ids_of_children(
    children: Repeat, parent: Module, changes: ChangeService, cmdb: FakeBackend, call: CallContext
) -> None:
    """Children that were deleted with their parent are created again, also under the same request ids."""
    with pytest.raises(ModuleNotEmpty):
        changes.delete(cmdb, parent.ref, cascade=False, call=call)
    assert children("2")
    changes.delete(cmdb, parent.ref, cascade=True, call=call)
    assert cmdb.modules == {}
    assert not children("2")


@pytest.mark.parametrize("failure", ["backend", "journal"])
def test_cascade_that_fails_half_way(
    children: Repeat,
    parent: Module,
    changes: ChangeService,
    cmdb: FakeBackend,
    call: CallContext,
    monkeypatch: pytest.MonkeyPatch,
    failure: str,
) -> None:
    """The outcome is unknown; the child that was deleted is created again, and the one that was not is replayed."""
    delete = cmdb.delete

    def delete_first(ref: str, call: CallContext, _check: object) -> None:
        if ref != f"1.{parent.native_id}.2":
            raise BackendPermissionDenied
        delete(ref, call)

    if failure == "backend":
        monkeypatch.setattr(cmdb, "delete", delete_first)
    else:
        changes = failing(changes, begins=1)
    with pytest.raises(OutcomeUnknown) as caught:
        changes.delete(cmdb, parent.ref, cascade=True, call=call)
    assert caught.value.detail == "1 of 3 modules were deleted; repeat the request."
    assert set(cmdb.modules) == {"1", "3"}
    assert children("3")
    assert not children("2")


def test_cascade_that_fails_at_the_first_module(
    children: Repeat, parent: Module, changes: ChangeService, cmdb: FakeBackend, call: CallContext
) -> None:
    """The error is the backend's: nothing was deleted."""
    cmdb.fails["delete"] = BackendPermissionDenied()
    with pytest.raises(BackendPermissionDenied):
        changes.delete(cmdb, parent.ref, cascade=True, call=call)
    assert children("2")


@actions
def test_change_that_cannot_be_recorded_is_not_sent(
    parent: Module, changes: ChangeService, cmdb: FakeBackend, call: CallContext, action: str
) -> None:
    """If the journal does not accept the change, it is refused and the backend gets no write."""
    before = len(cmdb.writes)
    with pytest.raises(JournalUnavailable):
        ACTIONS[action](failing(changes, begins=0), cmdb, parent.ref, call)
    assert len(cmdb.writes) == before


@actions
@pytest.mark.parametrize("error", [None, BackendPermissionDenied()])
def test_outcome_that_cannot_be_recorded_is_unknown_after_its_lease(
    parent: Module,
    changes: ChangeService,
    provisioner: Provisioner,
    create_without_key: CreateRequest,
    cmdb: FakeBackend,
    call: CallContext,
    clock: VirtualClock,
    action: str,
    error: GatewayError | None,
) -> None:
    """The caller gets the result; until the lease ends the change may still be sent, and afterwards it counts."""
    cmdb.fails |= {} if error is None else {action: error}
    clock.spawn = lambda work: None  # type: ignore[method-assign]
    with nullcontext() if error is None else pytest.raises(BackendPermissionDenied):
        ACTIONS[action](failing(changes, ends=False), cmdb, parent.ref, call)
    del clock.spawn
    assert provisioner.create(cmdb, create_without_key, call).replayed is True
    clock.sleep(cmdb.capabilities.hard_timeout_seconds + 6.0)
    cmdb.modules.clear()
    call = replace(call, deadline=clock.monotonic() + 5.0)
    assert provisioner.create(cmdb, create_without_key, call).replayed is False


def test_bug_in_an_adapter_leaves_the_outcome_unknown(
    parent: Module,
    changes: ChangeService,
    provisioner: Provisioner,
    create_without_key: CreateRequest,
    cmdb: FakeBackend,
    call: CallContext,
) -> None:
    """An unexpected exception may have come after the write: the request id replays nothing any more."""
    cmdb.fails["delete"] = RuntimeError("a bug")
    with pytest.raises(RuntimeError):
        changes.delete(cmdb, parent.ref, cascade=False, call=call)
    cmdb.modules.clear()
    assert provisioner.create(cmdb, create_without_key, call).replayed is False


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
    changes: ChangeService,
    call: CallContext,
    monkeypatch: pytest.MonkeyPatch,
    patch: dict[str, Any],
    kept: dict[str, Any],
    pointers: set[str],
    outcome: str,
) -> None:
    """A difference is an error that names the fields; `applied` if another field of the patch was kept."""
    fields = {name: value for name, value in patch.items() if name != "owners"}
    fields |= {"owners": tuple(map(Owner, patch["owners"] or ()))} if "owners" in patch else {}
    stored = replace(parent, **{**fields, **kept})
    monkeypatch.setattr(cmdb, "update", lambda *_args: stored)
    if not pointers:
        assert changes.update(cmdb, parent.ref, ModulePatch(**patch), call) == stored
        return
    with pytest.raises(UpdateNotKept) as caught:
        changes.update(cmdb, parent.ref, ModulePatch(**patch), call)
    assert {error.pointer for error in caught.value.errors} == set(caught.value.diff or {}) == pointers
    assert caught.value.outcome == outcome
