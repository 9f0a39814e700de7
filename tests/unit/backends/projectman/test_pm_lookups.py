"""Projects, modules and members: the requests, paths, pages, and responses that are not lists of them."""

from __future__ import annotations

from typing import Any, Final

import pytest

from gateway.backends.projectman.adapter import ProjectManBackend
from gateway.domain.backend import CallContext
from gateway.domain.errors import BackendReplyInvalid, ScopeNotFound, ValidationFailed
from gateway.domain.lookup import LookupItem, LookupKind, LookupQuery
from gateway.transport import UpstreamResponse
from tests.unit.backends.connections import PROJECT
from tests.unit.backends.projectman.service_stub import ServiceStub, node, respond

URLS: Final[dict[LookupKind, str]] = {
    "scopes": "GET ?limit=100&offset={}",
    "parents": "GET P/modules?limit=100&offset={}",
    "owners": "GET P/members?limit=100&offset={}",
}
KINDS: Final = tuple(URLS)
NO_LIST: Final[dict[str, Any]] = {
    "empty": {},
    "list": [],
    "null": None,
    "total": {"total": 3, "projects": None, "modules": None, "members": None},
}


def query(kind: LookupKind, text: str = "") -> LookupQuery:
    return LookupQuery(kind=kind, scope="" if kind == "scopes" else PROJECT, text=text)


def fill(service: ServiceStub, count: int) -> None:
    """Give the service as many projects, modules and members, with the names n1-, n2- and so on."""
    service.projects = [{"project_id": str(n), "project_name": f"n{n}-"} for n in range(1, count + 1)]
    service.members = [{"user_id": str(n), "user_name": f"n{n}-"} for n in range(1, count + 1)]
    service.nodes = [node(n, module_name=f"n{n}-") for n in range(1, count + 1)]


@pytest.mark.parametrize(
    ("project", "item"),
    [
        ({"project_name": "demo", "project_type": "scrum"}, ("demo", "demo", None)),
        ({"project_name": "demo", "project_type": None}, ("demo", "demo", None)),
        ({"project_name": "demo"}, ("demo", "demo", None)),
        ({"project_name": "demo", "project_type": "xboard"}, ("demo", "demo", "not_supported")),
        ({"project_name": None}, ("p", "p", None)),
        ({}, ("p", "p", None)),
    ],
)
def test_projects(
    service: ServiceStub, backend: ProjectManBackend, call: CallContext, project: dict[str, Any], item: tuple[Any, ...]
) -> None:
    """documented: projectman.md §1: GET /v4/projects; the modules of v4 are those of Scrum projects."""
    service.projects = [{"project_id": "p", "project_num_id": 1, "description": "d", **project}]
    page = backend.lookup(query("scopes"), 50, None, call)
    assert [(found.name, found.path, found.why) for found in page.items] == [item]
    assert (service.requests, page.modules) == ([URLS["scopes"].format(0)], ())


@pytest.mark.parametrize(
    ("member", "item"),
    [
        ({"user_name": "zhang", "nick_name": "张三"}, ("zhang", "张三")),
        ({"user_name": "zhang", "nick_name": ""}, ("zhang", "zhang")),
        ({"user_name": None, "nick_name": "张三"}, ("u", "张三")),
        ({}, ("u", "u")),
    ],
)
def test_members(
    service: ServiceStub, backend: ProjectManBackend, call: CallContext, member: dict[str, Any], item: tuple[str, str]
) -> None:
    """documented: projectman.md §1: user_id, user_name and nick_name, which may be absent."""
    service.members = [{"user_id": "u", "role_id": 4, **member}]
    assert backend.lookup(query("owners"), 50, None, call).items == (LookupItem(id="u", name=item[0], path=item[1]),)
    assert service.requests == [URLS["owners"].format(0)]


@pytest.mark.parametrize("size", [1, 2, 50])
@pytest.mark.parametrize("shape", ["nested", "flat"])
def test_modules_have_paths(
    service: ServiceStub, backend: ProjectManBackend, call: CallContext, size: int, shape: str
) -> None:
    """Names from the root; the third level cannot have children. Every module that was read is recorded as seen."""
    leaf = node(3, parent_module_id=2, module_name="c", deepth=3)
    child = node(2, *([leaf] if shape == "nested" else []), parent_module_id=1, module_name="b", deepth=2)
    service.nodes = [node(1, child, *([leaf] if shape == "flat" else []), module_name="a"), node(4, module_name="b")]
    items: list[tuple[str, str, str | None]] = []
    cursor: str | None = None
    while True:
        page = backend.lookup(query("parents"), size, cursor, call)
        items += [(item.id, item.path, item.why) for item in page.items]
        assert {module.native_id for module in page.modules} == {"1", "2", "3", "4"}
        if (cursor := page.next_cursor) is None:
            break
    assert items == [("1", "a", None), ("2", "a / b", None), ("3", "a / b / c", "limit_exceeded"), ("4", "b", None)]
    assert [item.id for item in backend.lookup(query("parents", "B"), 50, None, call).items] == ["2", "4"]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("count", "reads"), [(0, 1), (99, 1), (100, 1), (101, 2), (500, 5), (650, 5)])
def test_reads_are_bounded(
    service: ServiceStub, backend: ProjectManBackend, call: CallContext, kind: LookupKind, count: int, reads: int
) -> None:
    """Without matches a page ends after five responses; the following pages continue there, and find what is later."""
    fill(service, count)
    page = backend.lookup(query(kind, f"N{count}-"), 1, None, call)
    assert service.requests == [URLS[kind].format(100 * number) for number in range(reads)]
    while page.next_cursor is not None:
        page = backend.lookup(query(kind, f"N{count}-"), 1, page.next_cursor, call)
    assert [item.id for item in page.items] == [str(count)] * bool(count)
    assert len(service.requests) <= max(count // 100 + 1, 1)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("size", [7, 100, 200])
def test_pages(
    service: ServiceStub, backend: ProjectManBackend, call: CallContext, kind: LookupKind, size: int
) -> None:
    """The pages of any size together are the list."""
    fill(service, 230)
    ids: list[str] = []
    cursor: str | None = None
    while True:
        page = backend.lookup(query(kind), size, cursor, call)
        ids += [item.id for item in page.items]
        if (cursor := page.next_cursor) is None:
            break
    assert ids == [str(number) for number in range(1, 231)]


@pytest.mark.parametrize("kind", KINDS)
def test_a_lookup_ends_if_the_server_ignores_the_offset(
    service: ServiceStub, backend: ProjectManBackend, call: CallContext, kind: LookupKind
) -> None:
    """documented: projectman.md §2: stop at a page without a new id."""
    fill(service, 1000)
    service.ignores_offset = True
    assert backend.lookup(query(kind, "absent"), 50, None, call).next_cursor is None
    assert len(service.requests) == 2


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("cursor", ["0", "0.0.0", "5.0", "-100.0", "x.y", "٣.0", "1000000.0"])
def test_a_malformed_cursor_is_refused(
    service: ServiceStub, backend: ProjectManBackend, call: CallContext, kind: LookupKind, cursor: str
) -> None:
    """Only a multiple of the page size reaches the service."""
    with pytest.raises(ValidationFailed) as caught:
        backend.lookup(query(kind), 10, cursor, call)
    assert (caught.value.errors[0].pointer, service.requests) == ("/page_token", [])


@pytest.mark.parametrize("kind", KINDS)
def test_a_cursor_beyond_the_end_ends_the_list(
    service: ServiceStub, backend: ProjectManBackend, call: CallContext, kind: LookupKind
) -> None:
    """An offset that the service would refuse is not sent."""
    page = backend.lookup(query(kind), 10, "10100.0", call)
    assert (page.items, page.next_cursor, service.requests) == ((), None, [])


@pytest.mark.parametrize(
    ("kind", "body"),
    [
        *(("scopes", {"projects": [wrong]}) for wrong in (None, 7, {}, {"project_id": ""}, {"project_id": 7})),
        ("scopes", {"projects": [{"project_id": "p", "project_name": 7}]}),
        *(("owners", {"members": [wrong]}) for wrong in (None, "u", {}, {"user_id": None}, {"user_id": [1]})),
        ("parents", {"modules": [{}]}),
        *((kind, NO_LIST[wrong]) for kind in KINDS for wrong in NO_LIST),
    ],
)
def test_a_wrong_type_is_an_invalid_response(
    service: ServiceStub,
    backend: ProjectManBackend,
    call: CallContext,
    monkeypatch: pytest.MonkeyPatch,
    kind: LookupKind,
    body: Any,
) -> None:
    """One invalid element makes the response invalid."""
    monkeypatch.setattr(service, "send", lambda *_: respond(200, body))
    with pytest.raises(BackendReplyInvalid):
        backend.lookup(query(kind), 50, None, call)


@pytest.mark.parametrize("kind", ["parents", "owners"])
def test_an_unknown_project(
    service: ServiceStub,
    backend: ProjectManBackend,
    call: CallContext,
    monkeypatch: pytest.MonkeyPatch,
    kind: LookupKind,
) -> None:
    """documented: projectman.md §4c: PM.02152005, the project is missing or deleted."""
    refusal: UpstreamResponse = respond(400, {"error_code": "PM.02152005", "error_msg": "m"})
    monkeypatch.setattr(service, "send", lambda *_: refusal)
    with pytest.raises(ScopeNotFound):
        backend.lookup(query(kind), 50, None, call)
