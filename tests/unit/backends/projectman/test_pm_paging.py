"""Pages of ProjectMan and of the gateway: aligned offsets, no unnecessary request, every module once."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gateway.backends.projectman.adapter import ProjectManBackend
from gateway.domain.backend import CallContext
from gateway.domain.errors import BackendReplyInvalid, ModuleNotFound, ValidationFailed
from gateway.domain.module import ModuleDraft, ModulePatch, ModuleQuery
from gateway.transport import UpstreamResponse
from tests.unit.backends.connections import PROJECT
from tests.unit.backends.projectman.service_stub import DRAFT, ServiceStub, node

LIST = "GET P/modules?limit=100&offset={}"


def walk(backend: ProjectManBackend, call: CallContext, size: int, query: ModuleQuery | None = None) -> list[str]:
    """Return the ids of all pages."""
    ids: list[str] = []
    cursor: str | None = None
    for _ in range(2000):
        page = backend.list(query or ModuleQuery(scope=PROJECT), size, cursor, call)
        assert len(page.modules) <= size
        ids += [module.native_id for module in page.modules]
        if (cursor := page.next_cursor) is None:
            return ids
    raise AssertionError("the list does not end")


def test_250_modules_are_three_requests(service: ServiceStub, backend: ProjectManBackend, call: CallContext) -> None:
    """documented: projectman.md §6, 12: offsets 0, 100, 200 with limit 100, and no fourth request."""
    service.nodes = [node(number) for number in range(1, 251)]
    assert len(backend.find_by_natural_key(DRAFT, call)) == 0
    assert service.requests == [LIST.format(0), LIST.format(100), LIST.format(200)]


@pytest.mark.parametrize(("count", "calls"), [(0, 1), (1, 1), (99, 1), (100, 1), (101, 2), (200, 2)])
def test_no_request_is_sent_beyond_the_total(
    service: ServiceStub, backend: ProjectManBackend, call: CallContext, count: int, calls: int
) -> None:
    """A short page ends the list, and so does the total."""
    service.nodes = [node(number) for number in range(1, count + 1)]
    backend.check_target(DRAFT, call)
    assert len(service.requests) == calls


def test_a_short_page_ends_a_list_without_a_total(
    service: ServiceStub, backend: ProjectManBackend, call: CallContext
) -> None:
    """documented: projectman.md §2: all fields of a list are optional."""
    service.has_total = False
    service.nodes = [node(number) for number in range(1, 151)]
    backend.check_target(DRAFT, call)
    assert service.requests == [LIST.format(0), LIST.format(100)]


def test_a_list_ends_if_the_server_ignores_the_offset(
    service: ServiceStub, backend: ProjectManBackend, call: CallContext
) -> None:
    """documented: projectman.md §2: stop at a page without a new id."""
    service.nodes = [{"module_id": number, "module_name": "m"} for number in range(1, 1001)]
    service.ignores_offset = True
    assert walk(backend, call, 1000) == [str(number) for number in range(1, 101)]
    assert len(service.requests) == 2
    assert len(walk(backend, call, 40)) <= 200  # resumed in the middle it cannot know what was shown, but ends


def test_offsets_end_at_the_documented_maximum(
    service: ServiceStub, backend: ProjectManBackend, call: CallContext
) -> None:
    """documented: projectman.md §1: offset at most 10000."""
    service.nodes = [{"module_id": number, "module_name": "m"} for number in range(1, 10_301)]
    assert len(walk(backend, call, 20_000)) == 10_100


TREES = st.lists(st.integers(0, 3), min_size=0, max_size=230)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(children=TREES, size=st.integers(1, 60))
def test_any_page_size_shows_every_module_once_in_order(
    children: list[int], size: int, backend: ProjectManBackend, service: ServiceStub, call: CallContext
) -> None:
    """The pages of any size together are the list."""
    numbers = iter(range(1, 10_000))
    service.nodes = [node(next(numbers), *(node(next(numbers)) for _ in range(count))) for count in children]
    total = sum(children) + len(children)
    assert walk(backend, call, size) == [str(number) for number in range(1, total + 1)]


@pytest.mark.parametrize(
    ("query", "ids"),
    [
        ({"parent": "1"}, ["2", "3"]),
        ({"name": "m3"}, ["3"]),
        ({"parent": "1", "name": "m2"}, ["2"]),
        ({"parent": "4"}, []),
        ({"include_built_in": True}, ["1", "2", "3", "4"]),
    ],
)
@pytest.mark.parametrize("size", [1, 2, 50])
def test_filters_hold_over_pages(
    service: ServiceStub,
    backend: ProjectManBackend,
    call: CallContext,
    query: dict[str, Any],
    ids: list[str],
    size: int,
) -> None:
    """The adapter compares parent and name, because ProjectMan has no filters."""
    service.nodes = [node(1, node(2, parent_module_id=1), node(3, parent_module_id=1)), node(4)]
    assert walk(backend, call, size, ModuleQuery(scope=PROJECT, **query)) == ids


@pytest.mark.parametrize("cursor", ["", "0", "0.0.0", "5.0", "-100.0", "100", "x.y", "100.x", "٣.0", "1000000.0"])
def test_a_malformed_cursor_is_refused(
    backend: ProjectManBackend, service: ServiceStub, cursor: str, call: CallContext
) -> None:
    """Only a multiple of the page size reaches the service."""
    if cursor == "":
        return  # the adapter starts at the beginning
    with pytest.raises(ValidationFailed) as caught:
        backend.list(ModuleQuery(scope=PROJECT), 10, cursor, call)
    assert caught.value.errors[0].pointer == "/page_token"
    assert service.requests == []


def test_a_cursor_beyond_the_end_ends_the_list(
    backend: ProjectManBackend, service: ServiceStub, call: CallContext
) -> None:
    """An offset that the service would refuse is not sent."""
    page = backend.list(ModuleQuery(scope=PROJECT), 10, "10100.0", call)
    assert (page.modules, page.next_cursor, service.requests) == ((), None, [])


def test_a_get_reads_the_list(backend: ProjectManBackend, service: ServiceStub, call: CallContext) -> None:
    """A child too; later pages are not requested."""
    service.nodes = [node(number) for number in range(1, 151)]
    service.nodes[0]["children"] = [node(900, parent_module_id=1)]
    assert backend.get(f"{PROJECT}.900", call).parent == "1"
    assert service.requests == [LIST.format(0)]
    with pytest.raises(ModuleNotFound):
        backend.get(f"{PROJECT}.901", call)


@pytest.mark.parametrize(
    "ref",
    [
        "",
        "1",
        f"{PROJECT}.0",
        f"{PROJECT}.01",
        f"{PROJECT}.x",
        f"{PROJECT[:-1]}.1",
        f"{PROJECT}/.1",
        f"{PROJECT}.1\n",
        f"{PROJECT}.{2**63}",
        f"{PROJECT}.1.2",
    ],
)
def test_a_malformed_id_is_not_found(
    backend: ProjectManBackend, service: ServiceStub, ref: str, call: CallContext
) -> None:
    """It is parsed before a URL is built: nothing is sent."""
    for send in (
        lambda: backend.get(ref, call),
        lambda: backend.update(ref, ModulePatch(name="a", description="d"), call),
        lambda: backend.delete(ref, call),
    ):
        with pytest.raises(ModuleNotFound):
            send()
    assert service.requests == []


@pytest.mark.parametrize(
    "body", [b'{"modules": null}', b'{"modules": null, "total": 0}', b'{"total": 0}', b'{"modules": [], "total": null}']
)
def test_null_stands_for_an_empty_list(
    service: ServiceStub, backend: ProjectManBackend, call: CallContext, monkeypatch: pytest.MonkeyPatch, body: bytes
) -> None:
    """documented: projectman.md §2: every field may be absent or null."""
    monkeypatch.setattr(service, "send", lambda request, call: UpstreamResponse(200, {}, body, is_write=False))
    assert backend.list(ModuleQuery(scope=PROJECT), 10, None, call).modules == ()


def test_null_ends_the_pages(
    service: ServiceStub, backend: ProjectManBackend, call: CallContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The total may count children, so a page after the first may be empty although the total is above its offset."""
    send = service.send
    last = UpstreamResponse(200, {}, b'{"modules": null, "total": 150}', is_write=False)
    monkeypatch.setattr(
        service, "send", lambda request, call: last if "offset=100" in request.url else send(request, call)
    )
    service.nodes = [node(number) for number in range(1, 151)]
    assert len(walk(backend, call, 1000)) == 100


def test_an_incomplete_list_is_no_evidence(
    backend: ProjectManBackend, service: ServiceStub, call: CallContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A service that ends pages early hides modules: a list shows what there is, a lookup proves nothing."""
    service.nodes = [node(number) for number in range(1, 150)]
    monkeypatch.setattr(service, "_page", lambda _path, items: items[:50])
    assert len(walk(backend, call, 50)) == 50
    with pytest.raises(BackendReplyInvalid):
        backend.find_by_natural_key(ModuleDraft(scope=PROJECT, parent=None, name="m101"), call)
