"""ProjectMan's writes: how a patch is merged, and in which order a subtree is deleted."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Final

import pytest

from gateway.backends.projectman.adapter import ProjectManBackend
from gateway.domain.backend import CallContext
from gateway.domain.errors import (
    BackendRejectedCredentials,
    DescriptionRequired,
    ModuleNotFound,
    ParentNotFound,
    UpdateNotKept,
    ValidationFailed,
)
from gateway.domain.journal import Journal
from gateway.domain.module import ModuleDraft, ModulePatch
from gateway.provisioning.update_delete import ChangeService
from tests.conftest import VirtualClock
from tests.unit.backends.connections import OWNER, PROJECT
from tests.unit.backends.projectman.conftest import Connect
from tests.unit.backends.projectman.service_stub import DRAFT, ServiceStub, node

_OTHER: Final = "e" * 32
_REF: Final = f"{PROJECT}.1"


@pytest.fixture
def service(service: ServiceStub) -> ServiceStub:
    service.nodes = [node(1), node(2, node(3, node(4), node(5))), node(6)]
    return service


def test_a_patch_without_description_is_refused(
    service: ServiceStub, backend: ProjectManBackend, call: CallContext
) -> None:
    """The present description cannot be read, and an update would replace it: nothing is sent."""
    with pytest.raises(DescriptionRequired) as caught:
        backend.update(_REF, ModulePatch(name="new"), call)
    assert [(field_error.pointer, field_error.code) for field_error in caught.value.errors] == [
        ("/description", "required")
    ]
    assert service.requests == []


@pytest.mark.parametrize(
    ("changes", "keeps_description", "sent"),
    [
        ({"name": "new"}, True, {"module_name": "new"}),
        ({"owners": (_OTHER,)}, True, {"owner": {"user_id": _OTHER}}),
        ({"name": "new", "description": "d"}, False, {"module_name": "new", "description": "d"}),
        ({"description": ""}, False, {"description": ""}),
        ({"description": None}, False, {"description": ""}),
        ({"description": None}, True, {"description": ""}),
    ],
)
def test_an_update_sends_the_whole_module(
    service: ServiceStub,
    connect: Connect,
    call: CallContext,
    changes: dict[str, Any],
    keeps_description: bool,
    sent: dict[str, Any],
) -> None:
    """Name and owner are read and sent; null and "" clear a description; the parent is never sent."""
    connect(keeps_omitted_description=keeps_description).update(_REF, ModulePatch(**changes), call)
    assert service.requests == ["GET P/modules?limit=100&offset=0", "PUT P/modules/1"]
    assert service.bodies[-1] == {"module_name": "m1", "owner": {"user_id": OWNER}, **sent}


def test_an_updated_module_keeps_its_position(
    service: ServiceStub, backend: ProjectManBackend, call: CallContext
) -> None:
    """The response contains neither parent nor depth nor children; they cannot have changed."""
    module = backend.update(f"{PROJECT}.3", ModulePatch(description="d"), call)
    assert (module.parent, module.depth, module.has_children) == ("2", 1, True)  # the depth is what the node says
    assert "depth" not in module.unavailable


@pytest.mark.parametrize("owners", [None, ()])
def test_without_owners_the_default_owner_is_sent(
    service: ServiceStub, connect: Connect, call: CallContext, owners: Any
) -> None:
    """Without owners the connection's default owner is sent; without a default the request is invalid."""
    connect(default_owner=_OTHER).update(_REF, ModulePatch(description="d", owners=owners), call)
    assert service.bodies[-1]["owner"] == {"user_id": _OTHER}
    with pytest.raises(ValidationFailed) as caught:
        connect().update(_REF, ModulePatch(description="d", owners=owners), call)
    assert caught.value.errors[0].pointer == "/owners"
    assert len(service.writes) == 1


def test_an_update_of_a_module_without_owner_is_refused(
    service: ServiceStub, backend: ProjectManBackend, call: CallContext
) -> None:
    """ProjectMan requires an owner in every update."""
    service.nodes = [node(1, owner=None)]
    with pytest.raises(ValidationFailed):
        backend.update(_REF, ModulePatch(description="d"), call)
    assert service.writes == []


@pytest.mark.parametrize(
    ("draft", "sent"),
    [
        (DRAFT, {"module_name": "demo", "owner": {"user_id": OWNER}}),
        (ModuleDraft(scope=PROJECT, parent=None, name="demo"), {"module_name": "demo", "owner": {"user_id": _OTHER}}),
        (
            ModuleDraft(scope=PROJECT, parent="2", name="模块", description="d", owners=(OWNER,)),
            {"module_name": "模块", "owner": {"user_id": OWNER}, "description": "d", "parent_module_id": 2},
        ),
    ],
)
def test_a_create_sends_the_draft(
    service: ServiceStub, connect: Connect, call: CallContext, draft: ModuleDraft, sent: dict[str, Any]
) -> None:
    """To the singular path; the default owner only if the draft has none; the parent as an integer."""
    module = connect(default_owner=_OTHER).create(draft, call)
    assert service.requests == ["POST P/module"]
    assert service.bodies == [sent]
    assert (module.parent, module.depth, module.has_children) == (draft.parent, None if draft.parent else 1, False)
    assert ("depth" in module.unavailable) is bool(draft.parent)


def test_the_natural_key_is_project_and_name(backend: ProjectManBackend) -> None:
    """documented: projectman.md §5: unique per project, not per parent."""
    assert backend.natural_key(DRAFT) == (PROJECT, "demo")


def test_the_target_of_a_create_is_checked(backend: ProjectManBackend, service: ServiceStub, call: CallContext) -> None:
    """The parent may be on any level; without a parent only the scope is checked."""
    backend.check_target(DRAFT, call)
    backend.check_target(ModuleDraft(scope=PROJECT, parent="5", name="a"), call)
    with pytest.raises(ParentNotFound):
        backend.check_target(ModuleDraft(scope=PROJECT, parent="99", name="a"), call)
    assert backend.find_by_natural_key(ModuleDraft(scope=PROJECT, parent=None, name="m5"), call)[0].native_id == "5"
    assert backend.state == "reachable"


def test_descendants_are_listed_from_the_leaves(
    service: ServiceStub, backend: ProjectManBackend, call: CallContext
) -> None:
    """Children stand before their parents, because what a delete does to children is not documented."""
    assert backend.descendants(f"{PROJECT}.2", call) == [f"{PROJECT}.{number}" for number in (5, 4, 3)]
    assert backend.descendants(f"{PROJECT}.6", call) == []
    with pytest.raises(ModuleNotFound):
        backend.descendants(f"{PROJECT}.99", call)
    assert service.writes == []


def test_a_delete_is_one_request(service: ServiceStub, backend: ProjectManBackend, call: CallContext) -> None:
    """The adapter deletes the named module only, and reads nothing."""
    backend.delete(f"{PROJECT}.6", call)
    assert service.requests == ["DELETE P/modules/6"]


@pytest.mark.parametrize("body", [{"error_code": "PM.10001002", "error_msg": "不合法的token"}])
def test_an_error_with_status_200_is_an_error(
    service: ServiceStub, backend: ProjectManBackend, call: CallContext, body: dict[str, Any]
) -> None:
    """documented: projectman.md §4b: the vendor's client takes a 200 with an error body for a success."""
    service.refusal = (200, body)
    with pytest.raises(BackendRejectedCredentials):
        backend.create(DRAFT, call)


@pytest.mark.parametrize(("status", "body"), [(204, None), (200, None), (200, {}), (202, {"status": "success"})])
def test_a_deletion_is_confirmed_by_any_success(
    service: ServiceStub, backend: ProjectManBackend, call: CallContext, status: int, body: Any
) -> None:
    """documented: projectman.md §1: 204 without a body; another success, empty or with an object, is accepted too."""
    service.refusal = (status, body)
    backend.delete(_REF, call)
    assert service.requests[-1] == "DELETE P/modules/1"


def test_an_empty_list_of_owners_is_the_default_owner(connect: Connect) -> None:
    """In a create null is no value; in an update it clears, and the default owner is sent."""
    normalize = connect(default_owner=_OTHER).capabilities.normalize
    assert normalize(replace(DRAFT, owners=())).owners == (_OTHER,)
    assert normalize(replace(DRAFT, owners=None)).owners is None
    assert normalize(DRAFT) == DRAFT
    assert normalize(ModulePatch(owners=())) == normalize(ModulePatch(owners=None)) == ModulePatch(owners=(_OTHER,))
    assert normalize(ModulePatch(name="x")) == ModulePatch(name="x")
    assert connect().capabilities.normalize(ModulePatch(owners=())) == ModulePatch(owners=())


@pytest.mark.parametrize(
    ("patch", "pointers", "outcome"),
    [
        (ModulePatch(name="demo", description="d"), set(), ""),
        (ModulePatch(name="other", description="d"), {"/name"}, "applied"),
        (ModulePatch(description="d", owners=(_OTHER,)), {"/owners"}, "applied"),
    ],
)
def test_an_update_that_was_not_kept(
    backend: ProjectManBackend,
    journal: Journal,
    clock: VirtualClock,
    call: CallContext,
    patch: ModulePatch,
    pointers: set[str],
    outcome: str,
) -> None:
    """The response to an update shows what was kept; the description, which it leaves out, is no difference."""
    changes = ChangeService(journal, clock, lambda: "change")
    if not pointers:
        assert changes.update(backend, _REF, patch, call).name == "demo"
        return
    with pytest.raises(UpdateNotKept) as caught:
        changes.update(backend, _REF, patch, call)
    assert ({error.pointer for error in caught.value.errors}, caught.value.outcome) == (pointers, outcome)
