"""ProjectMan's writes: what is merged, what is kept, and the order in which a branch is deleted."""

from __future__ import annotations

from typing import Any, Final

import pytest

from gateway.backends.projectman.adapter import ProjectManBackend
from gateway.domain.backend import CallContext
from gateway.domain.errors import (
    BackendPermissionDenied,
    BackendRejectedCredentials,
    DescriptionRequired,
    GatewayError,
    ModuleNotEmpty,
    ModuleNotFound,
    OutcomeUnknown,
    ParentNotFound,
    ValidationFailed,
)
from gateway.domain.module import ModuleDraft, ModulePatch
from gateway.transport import UpstreamRequest
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
    """The old one cannot be read back, and an update would replace it: nothing is sent."""
    with pytest.raises(DescriptionRequired) as caught:
        backend.update(_REF, ModulePatch(name="new"), call)
    assert [(each.pointer, each.code) for each in caught.value.errors] == [("/description", "required")]
    assert service.asked == []


@pytest.mark.parametrize(
    ("changes", "kept", "sent"),
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
    kept: bool,
    sent: dict[str, Any],
) -> None:
    """Name and owner are read and sent along; null and "" clear a description; the parent is never sent."""
    connect(keeps_omitted_description=kept).update(_REF, ModulePatch(**changes), call)
    assert service.asked == ["GET P/modules?limit=100&offset=0", "PUT P/modules/1"]
    assert service.bodies[-1] == {"module_name": "m1", "owner": {"user_id": OWNER}, **sent}


def test_an_updated_module_keeps_its_place(service: ServiceStub, backend: ProjectManBackend, call: CallContext) -> None:
    """The reply tells neither parent nor depth nor children; they cannot have changed."""
    module = backend.update(f"{PROJECT}.3", ModulePatch(description="d"), call)
    assert (module.parent, module.depth, module.has_children) == ("2", 1, True)  # the depth is what the node says
    assert "depth" not in module.unavailable


@pytest.mark.parametrize("owners", [None, ()])
def test_without_owners_the_default_owner_takes_over(
    service: ServiceStub, connect: Connect, call: CallContext, owners: Any
) -> None:
    """Emptied owners mean the connection's own; without one they are the request's mistake, and nothing is sent."""
    connect(default_owner=_OTHER).update(_REF, ModulePatch(description="d", owners=owners), call)
    assert service.bodies[-1]["owner"] == {"user_id": _OTHER}
    with pytest.raises(ValidationFailed) as caught:
        connect().update(_REF, ModulePatch(description="d", owners=owners), call)
    assert caught.value.errors[0].pointer == "/owners"
    assert len(service.writes) == 1


def test_a_module_without_owner_has_none_to_keep(
    service: ServiceStub, backend: ProjectManBackend, call: CallContext
) -> None:
    """ProjectMan wants an owner on every update."""
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
def test_a_create_sends_what_was_given(
    service: ServiceStub, connect: Connect, call: CallContext, draft: ModuleDraft, sent: dict[str, Any]
) -> None:
    """To the singular path; the default owner only where none is named; the parent as an integer."""
    module = connect(default_owner=_OTHER).create(draft, call)
    assert service.asked == ["POST P/module"]
    assert service.bodies == [sent]
    assert (module.parent, module.depth, module.has_children) == (draft.parent, None if draft.parent else 1, False)
    assert ("depth" in module.unavailable) is bool(draft.parent)


def test_the_natural_key_is_project_and_name(backend: ProjectManBackend) -> None:
    """documented: projectman.md §5: unique per project, not per parent."""
    assert backend.natural_key(DRAFT) == (PROJECT, "demo")


def test_the_place_of_a_create_is_looked_for(
    backend: ProjectManBackend, service: ServiceStub, call: CallContext
) -> None:
    """A parent on any level will do; at the top there is nothing to look for."""
    backend.check_target(DRAFT, call)
    backend.check_target(ModuleDraft(scope=PROJECT, parent="5", name="a"), call)
    with pytest.raises(ParentNotFound):
        backend.check_target(ModuleDraft(scope=PROJECT, parent="99", name="a"), call)
    assert backend.find_by_natural_key(ModuleDraft(scope=PROJECT, parent=None, name="m5"), call)[0].native_id == "5"
    assert backend.state == "reachable"


def test_a_branch_is_deleted_from_the_leaves(
    service: ServiceStub, backend: ProjectManBackend, call: CallContext
) -> None:
    """No module goes before what is below it, for what happens to children is not documented."""
    backend.delete(f"{PROJECT}.2", cascade=True, call=call)
    assert service.writes == [f"DELETE P/modules/{number}" for number in (5, 4, 3, 2)]


def test_a_branch_is_deleted_only_when_that_was_asked(
    service: ServiceStub, backend: ProjectManBackend, call: CallContext
) -> None:
    """Without cascade a module with children stays."""
    with pytest.raises(ModuleNotEmpty):
        backend.delete(f"{PROJECT}.2", cascade=False, call=call)
    backend.delete(f"{PROJECT}.6", cascade=False, call=call)
    assert service.writes == ["DELETE P/modules/6"]


@pytest.mark.parametrize("cascade", [False, True])
def test_the_deletion_of_nothing_is_not_found(
    service: ServiceStub,
    backend: ProjectManBackend,
    call: CallContext,
    cascade: bool,
) -> None:
    """The list says so before anything is sent."""
    with pytest.raises(ModuleNotFound):
        backend.delete(f"{PROJECT}.99", cascade=cascade, call=call)
    assert service.writes == []


@pytest.mark.parametrize(("at", "error"), [(5, BackendPermissionDenied), (4, OutcomeUnknown), (2, OutcomeUnknown)])
def test_a_cascade_that_stops_half_way_is_unknown(
    service: ServiceStub, backend: ProjectManBackend, call: CallContext, at: int, error: type[GatewayError]
) -> None:
    """Refused at the first module nothing was applied; refused later, something was."""

    def denies(request: UpstreamRequest) -> GatewayError | None:
        return BackendPermissionDenied() if request.is_write and request.url.endswith(f"/{at}") else None

    service.failing = denies
    with pytest.raises(error) as caught:
        backend.delete(f"{PROJECT}.2", cascade=True, call=call)
    if error is OutcomeUnknown:
        assert "of 4 modules were deleted" in caught.value.detail


@pytest.mark.parametrize("body", [{"error_code": "PM.10001002", "error_msg": "不合法的token"}])
def test_an_error_inside_a_success_is_one(
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
    """documented: projectman.md §1: 204 without a body; another success, empty or an object, is believed too."""
    service.refusal = (status, body)
    backend.delete(_REF, cascade=False, call=call)
    assert service.asked[-1] == "DELETE P/modules/1"
