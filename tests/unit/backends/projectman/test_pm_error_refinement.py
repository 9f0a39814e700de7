"""Refusals without a public code, explained by looking; documented: projectman.md §4c, the last paragraphs."""

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

_STRANGER: Final = "f" * 32
#: A code that nobody has published, with either status that the facts call doubtful.
UNMAPPED: Final = [(400, {"error_code": "PM.09999999", "error_msg": "…"}), (404, {"error_code": "PM.09999999"})]
Act = Callable[[ProjectManBackend, CallContext], Any]


def create(name: str = "free", parent: str | None = None, owner: str = OWNER) -> Act:
    draft = ModuleDraft(scope=PROJECT, parent=parent, name=name, owners=(owner,))
    return lambda backend, call: backend.create(draft, call)


def update(**changes: Any) -> Act:
    patch = ModulePatch(**{"description": "d", **changes})
    return lambda backend, call: backend.update(f"{PROJECT}.1", patch, call)


def delete(backend: ProjectManBackend, call: CallContext) -> None:
    backend.delete(f"{PROJECT}.1", cascade=False, call=call)


@pytest.fixture
def service(service: ServiceStub) -> ServiceStub:
    service.nodes = [node(1), node(2, node(3, parent_module_id=2))]
    return service


def refused(act: Act, backend: ProjectManBackend, call: CallContext) -> GatewayError:
    with pytest.raises(GatewayError) as caught:
        act(backend, call)
    return caught.value


@pytest.mark.parametrize("refusal", UNMAPPED)
@pytest.mark.parametrize(
    ("act", "error"),
    [
        (create("m1"), ModuleAlreadyExists),
        (create("m3", parent="2"), ModuleAlreadyExists),
        (create(parent="99"), ParentNotFound),
        (create(owner=_STRANGER), OwnerNotFound),
        (create("m1", parent="99", owner=_STRANGER), ModuleAlreadyExists),
        (update(name="m2"), ModuleAlreadyExists),
        (update(name="new", owners=(_STRANGER,)), OwnerNotFound),
    ],
)
def test_what_is_in_the_way_is_found(
    service: ServiceStub,
    backend: ProjectManBackend,
    call: CallContext,
    refusal: Any,
    act: Act,
    error: type[GatewayError],
) -> None:
    """Name, parent and owner are held against lists and members; the service's own code goes along."""
    service.refusal = refusal
    found = refused(act, backend, call)
    assert type(found) is error
    assert [each.pointer for each in found.errors] == ([error.pointer] if error.pointer else [])
    assert found.context.failure is not None
    assert found.context.failure.code == "PM.09999999"
    assert len(service.writes) == 1


@pytest.mark.parametrize("act", [update(name="new"), delete])
@pytest.mark.parametrize("refusal", [*UNMAPPED, (404, None)])
def test_a_module_that_went_meanwhile_is_not_found(
    service: ServiceStub, backend: ProjectManBackend, call: CallContext, act: Act, refusal: Any
) -> None:
    """It was there when it was read, and is gone when it is looked for after the refusal."""
    service.refusal = refusal

    def goes(request: UpstreamRequest) -> None:
        if request.is_write:
            service.nodes = []

    service.failing = goes
    assert type(refused(act, backend, call)) is ModuleNotFound


@pytest.mark.parametrize("act", [create(), update(name="new"), update(name="m1"), delete])
@pytest.mark.parametrize(
    ("refusal", "error"),
    [
        (UNMAPPED[0], BackendError),
        ((400, "<html>"), BackendError),
        ((400, {"error_code": "PM.02152002"}), BackendError),
    ],
)
def test_where_nothing_is_in_the_way_the_refusal_stands(
    service: ServiceStub,
    backend: ProjectManBackend,
    call: CallContext,
    act: Act,
    refusal: Any,
    error: type[GatewayError],
) -> None:
    """Name free, parent and owner there, module there: nobody can say more than the service did."""
    service.refusal = refusal
    assert type(refused(act, backend, call)) is error


@pytest.mark.parametrize(
    ("act", "refusal", "error"),
    [
        (create("m1"), (404, None), BackendMisconfigured),  # documented: 404 without code on create: the base URL
        (create("m1"), (404, {"error_code": "APIGW.0101", "error_msg": "m"}), BackendMisconfigured),
        (create("m1"), (400, {"error_code": "PM.02152001", "error_msg": "m"}), ValidationFailed),
        (create("m1"), (400, {"error_code": "PM.02175000", "error_msg": "m"}), OutcomeUnknown),
        (create("m1"), (409, {"error_code": "PM.09999999", "error_msg": "m"}), BackendError),
        (create("m1"), (500, None), OutcomeUnknown),
        (update(name="m2"), (400, {"error_code": "PM.02152001", "error_msg": "m"}), ValidationFailed),
    ],
)
def test_what_needs_no_explanation_is_not_looked_into(
    service: ServiceStub,
    backend: ProjectManBackend,
    call: CallContext,
    act: Act,
    refusal: Any,
    error: type[GatewayError],
) -> None:
    """A known code, another status, an accident: no list is read afterwards."""
    service.refusal = refusal
    assert type(refused(act, backend, call)) is error
    assert service.asked[-1] == service.writes[0]


@pytest.mark.parametrize("act", [create("m1"), update(name="m2"), delete])
def test_a_diagnosis_that_fails_leaves_the_refusal(
    service: ServiceStub, backend: ProjectManBackend, call: CallContext, act: Act
) -> None:
    """The service refused: that it cannot be read now does not change what became of the write."""
    service.refusal = UNMAPPED[0]
    service.failing = lambda request: BackendUnavailable() if service.writes and not request.is_write else None
    assert type(refused(act, backend, call)) is BackendError


@pytest.mark.parametrize(
    ("act", "error"),
    [(create("m1"), ModuleAlreadyExists), (create(parent="99"), ParentNotFound), (create(), BackendError)],
)
def test_members_are_asked_for_only_where_all_else_is_well(
    service: ServiceStub, backend: ProjectManBackend, call: CallContext, act: Act, error: type[GatewayError]
) -> None:
    """A connection that may not read members still learns that the name is taken."""
    service.refusal = UNMAPPED[0]
    service.failing = lambda request: BackendUnavailable() if "/members?" in request.url else None
    assert type(refused(act, backend, call)) is error


def test_members_are_read_page_by_page(service: ServiceStub, backend: ProjectManBackend, call: CallContext) -> None:
    """documented: projectman.md §1, helpers: at most 100 at a time."""
    service.refusal = UNMAPPED[0]
    service.members = [f"{number:032d}" for number in range(100)]
    assert type(refused(create(owner=_STRANGER), backend, call)) is OwnerNotFound
    assert [line.partition("?")[2] for line in service.asked if "members" in line] == [
        "limit=100&offset=0",
        "limit=100&offset=100",
    ]


def test_members_are_not_read_for_ever(service: ServiceStub, backend: ProjectManBackend, call: CallContext) -> None:
    """A service that ignores the offset is asked once more, and no further."""
    service.refusal = UNMAPPED[0]
    service.members = [f"{number:032d}" for number in range(100)]
    service.ignores_offset = True
    assert type(refused(create(owner=_STRANGER), backend, call)) is OwnerNotFound
    assert len([line for line in service.asked if "members" in line]) == 2


def test_members_end_where_offsets_do(service: ServiceStub, backend: ProjectManBackend, call: CallContext) -> None:
    """documented: projectman.md §1: offset at most 10000: who stands behind that is not looked for."""
    service.refusal = UNMAPPED[0]
    service.members = [f"{number:032d}" for number in range(10_001)]
    assert type(refused(create(owner=_STRANGER), backend, call)) is OwnerNotFound
    assert service.asked[-1] == "GET P/members?limit=100&offset=9900"


@pytest.mark.parametrize("body", [b"<html>", b"[]", b"{}", b'{"members": null}'])
def test_members_that_make_no_sense_leave_the_refusal(
    service: ServiceStub, backend: ProjectManBackend, call: CallContext, monkeypatch: pytest.MonkeyPatch, body: bytes
) -> None:
    """Nobody can tell whether the owner is a member: the service's refusal stands."""
    service.refusal = UNMAPPED[0]
    send = service.send
    monkeypatch.setattr(
        service,
        "send",
        lambda request, call: (
            UpstreamResponse(200, {}, body, is_write=False) if "/members?" in request.url else send(request, call)
        ),
    )
    assert type(refused(create(owner=_STRANGER), backend, call)) is BackendError
