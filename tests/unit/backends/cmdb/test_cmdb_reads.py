"""CMDB's searches: pages, empty lists, and malformed ids and cursors."""

from __future__ import annotations

from typing import Any, Final

import pytest
import responses

from gateway.domain.backend import Backend, CallContext
from gateway.domain.errors import (
    GatewayError,
    ModuleNotFound,
    ParentNotFound,
    ScopeNotFound,
    TemplateManaged,
    ValidationFailed,
)
from gateway.domain.module import ModuleDraft, ModulePatch, ModuleQuery
from tests.unit.backends.cmdb.conftest import BASE, DRAFT
from tests.unit.backends.connections import CMDB_MODULE, envelope, search_response

_CC: Final = f"{BASE}/api/c/compapi/v2/cc"


@pytest.mark.parametrize(
    "ref",
    [
        "",
        "1",
        "1.10",
        "1.10.0",
        "1.10.01",
        "1.10.5.6",
        "1.10.x",
        "٣.10.1",
        "1.10.9223372036854775808",
        "1.10.5\n",
        "-1.10.5",
    ],
)
def test_a_malformed_id_is_not_found(backend: Backend, ref: str, call: CallContext) -> None:
    """It is parsed before a URL is built: nothing is sent."""
    for send in (
        lambda: backend.get(ref, call),
        lambda: backend.update(ref, ModulePatch(name="a"), call),
        lambda: backend.delete(ref, call),
    ):
        with pytest.raises(ModuleNotFound):
            send()
    assert backend.state == "unused"


@pytest.mark.parametrize("info", [[], [{**CMDB_MODULE, "bk_module_id": 6}]])
def test_a_get_ignores_another_module(
    backend: Backend, wire: responses.RequestsMock, call: CallContext, info: list[Any]
) -> None:
    """A row with another id is not a match: the service may have ignored the filter."""
    wire.post(f"{_CC}/search_module/", body=search_response(*info))
    with pytest.raises(ModuleNotFound):
        backend.get("1.10.5", call)


def pages(backend: Backend, call: CallContext, size: int) -> list[str]:
    """Return the ids of all pages."""
    ids: list[str] = []
    cursor: str | None = None
    while True:
        page = backend.list(ModuleQuery(scope="1", parent="10"), size, cursor, call)
        ids += [module.native_id for module in page.modules]
        if (cursor := page.next_cursor) is None:
            return ids


def test_a_further_page_is_known_without_a_request(
    backend: Backend, wire: responses.RequestsMock, call: CallContext
) -> None:
    """One row more than a page is requested; if it is present, the cursor is the last id of the page."""
    rows = [{**CMDB_MODULE, "bk_module_id": number} for number in (3, 5, 9)]
    wire.post(f"{_CC}/search_module/", body=search_response(*rows))
    wire.post(f"{_CC}/search_module/", body=search_response(rows[2]))
    assert pages(backend, call, 2) == ["3", "5", "9"]
    assert b'"bk_module_id":{"$gt":5}' in (wire.calls[1].request.body or b"")


@pytest.mark.parametrize("cursor", ["", "0", "x", "1.5", '{"$gt": 1}', "1" * 20, "٣"])
def test_a_malformed_cursor_is_refused(backend: Backend, cursor: str, call: CallContext) -> None:
    """Only an id reaches the condition."""
    with pytest.raises(ValidationFailed) as caught:
        backend.list(ModuleQuery(scope="1"), 10, cursor, call)
    assert caught.value.errors[0].pointer == "/page_token"


@pytest.mark.parametrize(
    ("parent", "sets", "error"),
    [
        ("10", [[{"bk_set_id": 10}]], None),
        ("10", [[], [{"bk_set_id": 11}]], ParentNotFound),
        ("10", [[], []], ScopeNotFound),
        (None, [[{"bk_set_id": 11}]], None),
        (None, [[]], ScopeNotFound),
    ],
)
def test_an_empty_list_is_explained(
    backend: Backend,
    wire: responses.RequestsMock,
    call: CallContext,
    parent: str | None,
    sets: list[Any],
    error: type[GatewayError] | None,
) -> None:
    """CMDB returns an empty list for an unknown business; a search for sets distinguishes missing from empty."""
    wire.post(f"{_CC}/search_module/", body=search_response())
    for rows in sets:
        wire.post(f"{_CC}/search_set/", body=search_response(*rows))
    query = ModuleQuery(scope="1", parent=parent)
    if error is None:
        assert backend.list(query, 10, None, call).modules == ()
        return
    with pytest.raises(error):
        backend.list(query, 10, None, call)


@pytest.mark.parametrize(
    ("sets", "error"),
    [
        ([[{"bk_set_id": 10, "set_template_id": 7}]], TemplateManaged),
        ([[], [{"bk_set_id": 11}]], ParentNotFound),
        ([[], []], ScopeNotFound),
    ],
)
def test_the_target_of_a_create_is_checked(
    backend: Backend, wire: responses.RequestsMock, call: CallContext, sets: list[Any], error: type[GatewayError]
) -> None:
    """A missing set, a missing business and a set from a template each have their own error."""
    for rows in sets:
        wire.post(f"{_CC}/search_set/", body=search_response(*rows))
    with pytest.raises(error):
        backend.check_target(DRAFT, call)


@pytest.mark.parametrize("data", [None, {"info": None}, {"count": 0, "info": None}])
def test_null_stands_for_an_empty_list(
    backend: Backend, wire: responses.RequestsMock, call: CallContext, data: Any
) -> None:
    """A list of modules or sets without rows may be null: Go encodes a nil slice so."""
    wire.post(f"{_CC}/search_module/", body=envelope(data))
    wire.post(f"{_CC}/search_set/", body=envelope(data))
    assert backend.find_by_natural_key(DRAFT, call) == ()
    with pytest.raises(ScopeNotFound):
        backend.check_target(DRAFT, call)
    with pytest.raises(ScopeNotFound):
        backend.list(ModuleQuery(scope="1"), 10, None, call)
    with pytest.raises(ModuleNotFound):
        backend.get("1.10.5", call)


@pytest.mark.parametrize("data", [[], {}, {"info": {}}, {"count": 3, "info": None}])
def test_a_search_without_rows_is_invalid(
    backend: Backend, wire: responses.RequestsMock, call: CallContext, data: Any
) -> None:
    """`info` must be a list, of modules and of sets."""
    wire.post(f"{_CC}/search_module/", body=envelope(data))
    wire.post(f"{_CC}/search_set/", body=envelope(data))
    for send in (lambda: backend.find_by_natural_key(DRAFT, call), lambda: backend.check_target(DRAFT, call)):
        with pytest.raises(GatewayError) as caught:
            send()
        assert caught.value.code == "backend_reply_invalid"


def test_the_natural_key_is_business_set_and_name(backend: Backend) -> None:
    """documented: cmdb.md §3, the unique index."""
    assert backend.natural_key(DRAFT) == ("1", "10", "test")
    assert backend.natural_key(ModuleDraft(scope="1", parent=None, name="a")) == ("1", "", "a")
