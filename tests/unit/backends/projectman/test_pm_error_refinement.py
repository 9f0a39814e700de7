"""Refusals without a published code are explained by listing; documented: projectman.md §4c, the last paragraphs."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import pytest

from gateway.backends.projectman.adapter import ProjectManBackend
from gateway.domain.backend import CallContext
from gateway.domain.errors import (
    BackendError,
    BackendMisconfigured,
    BackendUnavailable,
    GatewayError,
    ModuleAlreadyExists,
    ModuleNotFound,
    OutcomeUnknown,
    OwnerNotFound,
    ParentNotFound,
    ValidationFailed,
)
from gateway.domain.module import ModuleDraft, ModulePatch
from gateway.transport import UpstreamRequest, UpstreamResponse
from tests.unit.backends.connections import OWNER, PROJECT
from tests.unit.backends.projectman.service_stub import ServiceStub, node

_NOT_A_MEMBER: Final = "f" * 32
#: An unpublished code, with either status that the facts call ambiguous.
UNPUBLISHED: Final = [(400, {"error_code": "PM.09999999", "error_msg": "…"}), (404, {"error_code": "PM.09999999"})]
Act = Callable[[ProjectManBackend, CallContext], Any]


def create(name: str = "free", parent: str | None = None, owner: str = OWNER) -> Act:
    draft = ModuleDraft(scope=PROJECT, parent=parent, name=name, owners=(owner,))
    return lambda backend, call: backend.create(draft, call)


def update(**changes: Any) -> Act:
    patch = ModulePatch(**{"description": "d", **changes})
    return lambda backend, call: backend.update(f"{PROJECT}.1", patch, call)


def delete(backend: ProjectManBackend, call: CallContext) -> None:
    backend.delete(f"{PROJECT}.1", call)


@pytest.fixture
def service(service: ServiceStub) -> ServiceStub:
    service.nodes = [node(1), node(2, node(3, parent_module_id=2))]
    return service


def refused(act: Act, backend: ProjectManBackend, call: CallContext) -> GatewayError:
    with pytest.raises(GatewayError) as caught:
        act(backend, call)
    return caught.value


@pytest.mark.parametrize("refusal", UNPUBLISHED)
@pytest.mark.parametrize(
    ("act", "error"),
    [
        (create("m1"), ModuleAlreadyExists),
        (create("m3", parent="2"), ModuleAlreadyExists),
        (create(parent="99"), ParentNotFound),
        (create(owner=_NOT_A_MEMBER), OwnerNotFound),
        (create("m1", parent="99", owner=_NOT_A_MEMBER), ModuleAlreadyExists),
        (update(name="m2"), ModuleAlreadyExists),
        (update(name="new", owners=(_NOT_A_MEMBER,)), OwnerNotFound),
    ],
)
def test_the_cause_is_found(
    service: ServiceStub,
    backend: ProjectManBackend,
    call: CallContext,
    refusal: Any,
    act: Act,
    error: type[GatewayError],
) -> None:
    """Name, parent and owner are compared with modules and members; the error contains the service's code."""
    service.refusal = refusal
    raised = refused(act, backend, call)
    assert type(raised) is error
    assert [field_error.pointer for field_error in raised.errors] == ([error.pointer] if error.pointer else [])
    assert raised.context.failure is not None
    assert raised.context.failure.code == "PM.09999999"
    assert len(service.writes) == 1


@pytest.mark.parametrize("refusal", UNPUBLISHED)
@pytest.mark.parametrize("name", ["m3", "M3", "ｍ3", " m 3", "M\u30003"])
@pytest.mark.parametrize("act", [create("m3"), create("m3", parent="2"), update(name="m3")])
def test_a_name_is_compared_as_the_service_may(
    service: ServiceStub,
    backend: ProjectManBackend,
    call: CallContext,
    refusal: Any,
    name: str,
    act: Act,
) -> None:
    """Without case, width and white space: how it compares is not documented. The module is shown by its own name."""
    service.nodes = [node(1), node(2), node(7, module_name=name)]
    service.refusal = refusal
    raised = refused(act, backend, call)
    assert type(raised) is ModuleAlreadyExists
    assert raised.existing == f"{backend.name}.{PROJECT}.7"
    assert f"'{name}'" in raised.detail


def test_the_exact_name_is_shown_before_a_similar_one(
    service: ServiceStub, backend: ProjectManBackend, call: CallContext
) -> None:
    """Both are in the project."""
    service.nodes = [node(1, module_name="Demo"), node(2, module_name="demo")]
    service.refusal = UNPUBLISHED[0]
    assert refused(create("demo"), backend, call).existing == f"{backend.name}.{PROJECT}.2"


def test_a_missing_parent_comes_before_a_similar_name(
    service: ServiceStub, backend: ProjectManBackend, call: CallContext
) -> None:
    """It is a cause for certain, a similar name only if the service compares so."""
    service.refusal = UNPUBLISHED[0]
    assert type(refused(create("M1", parent="99"), backend, call)) is ParentNotFound
    assert type(refused(create("M1", owner=_NOT_A_MEMBER), backend, call)) is ModuleAlreadyExists


def test_another_spelling_of_its_own_name_is_no_conflict(
    service: ServiceStub, backend: ProjectManBackend, call: CallContext
) -> None:
    """An update from `m1` to `M1` that was refused for another reason."""
    service.refusal = UNPUBLISHED[0]
    assert type(refused(update(name="M1"), backend, call)) is BackendError


@pytest.mark.parametrize("act", [update(name="new"), delete])
@pytest.mark.parametrize("refusal", UNPUBLISHED)
def test_a_module_deleted_meanwhile_is_not_found(
    service: ServiceStub, backend: ProjectManBackend, call: CallContext, act: Act, refusal: Any
) -> None:
    """It existed when it was read, and is missing when the project is listed after the refusal."""
    service.refusal = refusal

    def delete_module(request: UpstreamRequest) -> None:
        if request.is_write:
            service.nodes = []

    service.fail = delete_module
    assert type(refused(act, backend, call)) is ModuleNotFound


@pytest.mark.parametrize("act", [create(), update(name="new"), update(name="m1"), delete])
@pytest.mark.parametrize(
    ("refusal", "error"),
    [
        (UNPUBLISHED[0], BackendError),
        ((400, {"error_code": "PM.02152002"}), BackendError),
    ],
)
def test_without_a_cause_the_error_is_unchanged(
    service: ServiceStub,
    backend: ProjectManBackend,
    call: CallContext,
    act: Act,
    refusal: Any,
    error: type[GatewayError],
) -> None:
    """The name is unused, and parent, owner and module exist: the original error is raised."""
    service.refusal = refusal
    assert type(refused(act, backend, call)) is error


@pytest.mark.parametrize(
    ("act", "refusal", "error"),
    [
        (create("m1"), (404, None), OutcomeUnknown),
        (create("m1"), (400, "<html>"), OutcomeUnknown),
        (update(name="m2"), (404, None), OutcomeUnknown),
        (delete, (404, None), OutcomeUnknown),
        (create("m1"), (404, {"error_code": "APIGW.0101", "error_msg": "m"}), BackendMisconfigured),
        (create("m1"), (400, {"error_code": "PM.02152001", "error_msg": "m"}), ValidationFailed),
        (create("m1"), (400, {"error_code": "PM.02175000", "error_msg": "m"}), OutcomeUnknown),
        (create("m1"), (409, {"error_code": "PM.09999999", "error_msg": "m"}), BackendError),
        (create("m1"), (500, None), OutcomeUnknown),
        (update(name="m2"), (400, {"error_code": "PM.02152001", "error_msg": "m"}), ValidationFailed),
    ],
)
def test_an_unambiguous_error_is_not_refined(
    service: ServiceStub,
    backend: ProjectManBackend,
    call: CallContext,
    act: Act,
    refusal: Any,
    error: type[GatewayError],
) -> None:
    """After a published code, another status or an unknown outcome no list is read."""
    service.refusal = refusal
    assert type(refused(act, backend, call)) is error
    assert service.requests[-1] == service.writes[0]


@pytest.mark.parametrize("act", [create("m1"), update(name="m2"), delete])
def test_a_refinement_that_fails_leaves_the_error_unchanged(
    service: ServiceStub, backend: ProjectManBackend, call: CallContext, act: Act
) -> None:
    """The write was refused, although the service cannot be read now."""
    service.refusal = UNPUBLISHED[0]
    service.fail = lambda request: BackendUnavailable() if service.writes and not request.is_write else None
    assert type(refused(act, backend, call)) is BackendError


@pytest.mark.parametrize(
    ("act", "error"),
    [(create("m1"), ModuleAlreadyExists), (create(parent="99"), ParentNotFound), (create(), BackendError)],
)
def test_members_are_read_last(
    service: ServiceStub, backend: ProjectManBackend, call: CallContext, act: Act, error: type[GatewayError]
) -> None:
    """A connection without permission to read members still reports a duplicate name."""
    service.refusal = UNPUBLISHED[0]
    service.fail = lambda request: BackendUnavailable() if "/members?" in request.url else None
    assert type(refused(act, backend, call)) is error


def test_members_are_read_page_by_page(service: ServiceStub, backend: ProjectManBackend, call: CallContext) -> None:
    """documented: projectman.md §1, helpers: at most 100 at a time."""
    service.refusal = UNPUBLISHED[0]
    service.members = [f"{number:032d}" for number in range(100)]
    assert type(refused(create(owner=_NOT_A_MEMBER), backend, call)) is OwnerNotFound
    assert [line.partition("?")[2] for line in service.requests if "members" in line] == [
        "limit=100&offset=0",
        "limit=100&offset=100",
    ]


def test_reading_members_ends_without_a_new_id(
    service: ServiceStub, backend: ProjectManBackend, call: CallContext
) -> None:
    """A service that ignores the offset gets one more request."""
    service.refusal = UNPUBLISHED[0]
    service.members = [f"{number:032d}" for number in range(100)]
    service.ignores_offset = True
    assert type(refused(create(owner=_NOT_A_MEMBER), backend, call)) is OwnerNotFound
    assert len([line for line in service.requests if "members" in line]) == 2


def test_reading_members_ends_at_the_last_offset(
    service: ServiceStub, backend: ProjectManBackend, call: CallContext
) -> None:
    """documented: projectman.md §1: offset at most 10000; later members are not read."""
    service.refusal = UNPUBLISHED[0]
    service.members = [f"{number:032d}" for number in range(10_001)]
    assert type(refused(create(owner=_NOT_A_MEMBER), backend, call)) is OwnerNotFound
    assert service.requests[-1] == "GET P/members?limit=100&offset=9900"


@pytest.mark.parametrize("body", [b"<html>", b"[]", b"{}", b'{"members": null, "total": 1}'])
def test_an_invalid_list_of_members_leaves_the_error_unchanged(
    service: ServiceStub, backend: ProjectManBackend, call: CallContext, monkeypatch: pytest.MonkeyPatch, body: bytes
) -> None:
    """It is unknown whether the owner is a member: the original error is raised."""
    service.refusal = UNPUBLISHED[0]
    send = service.send
    monkeypatch.setattr(
        service,
        "send",
        lambda request, call: (
            UpstreamResponse(200, {}, body, is_write=False) if "/members?" in request.url else send(request, call)
        ),
    )
    assert type(refused(create(owner=_NOT_A_MEMBER), backend, call)) is BackendError
