"""Businesses and sets: the exact requests, pages, and responses that are not lists of them."""

from __future__ import annotations

import json
from typing import Any, Final

import pytest
import responses

from gateway.backends.cmdb import create_backend
from gateway.domain.backend import Backend, CallContext
from gateway.domain.errors import BackendReplyInvalid, BackendUnavailable, GatewayError, ScopeNotFound, ValidationFailed
from gateway.domain.lookup import LookupItem, LookupQuery
from tests.conftest import VirtualClock
from tests.unit.backends.cmdb.conftest import BASE, HEADERS
from tests.unit.backends.connections import cmdb_options, search_response
from tests.unit.backends.exchanges import Exchange

_CC: Final = f"{BASE}/api/c/compapi/v2/cc"
_URLS: Final = {
    ("esb", "scopes"): f"{_CC}/search_business/",
    ("esb", "parents"): f"{_CC}/search_set/",
    ("apigw", "scopes"): f"{BASE}/api/v3/biz/search/0",
    ("apigw", "parents"): f"{BASE}/api/v3/set/search/0/1",
}
SCOPES: Final = LookupQuery(kind="scopes")
PARENTS: Final = LookupQuery(kind="parents", scope="1")
BIZ: Final = {"bk_biz_id": 1, "bk_biz_name": "demo", "default": 0}
SET: Final = {"bk_set_id": 10, "bk_set_name": "web", "set_template_id": 0, "default": 0}


@pytest.mark.parametrize("route", ["esb", "apigw"])
@pytest.mark.parametrize(
    ("query", "cursor", "body", "row", "item"),
    [
        (
            LookupQuery(kind="scopes", text="D.*", scopes=frozenset({"7", "1", "01", "x", "*", str(2**63)})),
            None,
            {
                "fields": ["bk_biz_id", "bk_biz_name"],
                "condition": {"bk_biz_id": {"$in": [1, 7]}},
                "page": {"start": 0, "limit": 200, "sort": "bk_biz_id"},
            },
            {**BIZ, "bk_biz_name": "D.*"},
            LookupItem(id="1", name="D.*", path="D.*"),
        ),
        (
            SCOPES,
            "199",
            {
                "fields": ["bk_biz_id", "bk_biz_name"],
                "condition": {},
                "page": {"start": 199, "limit": 200, "sort": "bk_biz_id"},
            },
            BIZ,
            LookupItem(id="1", name="demo", path="demo"),
        ),
        (
            PARENTS,
            None,
            {
                "fields": ["bk_set_id", "bk_set_name", "set_template_id"],
                "condition": {},
                "page": {"start": 0, "limit": 200, "sort": "bk_set_id"},
            },
            SET,
            LookupItem(id="10", name="web", path="web"),
        ),
        (
            PARENTS,
            "10",
            {
                "fields": ["bk_set_id", "bk_set_name", "set_template_id"],
                "condition": {"bk_set_id": {"$gte": 10}},
                "page": {"start": 0, "limit": 200, "sort": "bk_set_id"},
            },
            {**SET, "set_template_id": 4},
            LookupItem(id="10", name="web", path="web", why="template_managed"),
        ),
    ],
)
def test_requests(
    clock: VirtualClock,
    wire: responses.RequestsMock,
    call: CallContext,
    route: str,
    query: LookupQuery,
    cursor: str | None,
    body: dict[str, Any],
    row: dict[str, Any],
    item: LookupItem,
) -> None:
    """documented: cmdb.md §1 (a) and (b). Names are never sent; of an allow-list, the ids of businesses are."""
    ids = {"bk_biz_id": 1} if (route, query.kind) == ("esb", "parents") else {}
    Exchange(
        method="POST",
        url=_URLS[route, query.kind],
        headers=HEADERS,
        body={**ids, **body},
        response=json.loads(search_response(row)),
    ).register(wire)
    page = create_backend("cmdb", cmdb_options(BASE, route), clock).lookup(query, 50, cursor, call)
    assert (page.items, page.next_cursor, page.modules) == ((item,), None, ())


def test_the_acting_user_searches(backend: Backend, wire: responses.RequestsMock, call: CallContext) -> None:
    """search_business returns the businesses that the acting user has access to."""
    wire.post(_URLS["esb", "scopes"], body=search_response(BIZ))
    call.user = "tom"
    backend.lookup(SCOPES, 50, None, call)
    assert '"bk_username": "tom"' in wire.calls[0].request.headers["X-Bkapi-Authorization"]


@pytest.mark.parametrize("kind", ["scopes", "parents"])
@pytest.mark.parametrize(("count", "reads"), [(199, 1), (200, 2), (398, 2), (399, 3), (1000, 5), (1200, 5)])
def test_reads_are_bounded(
    backend: Backend, wire: responses.RequestsMock, call: CallContext, kind: Any, count: int, reads: int
) -> None:
    """A response has 199 items and the first of the next; a page without matches ends after five responses.

    The following pages continue there, and find what comes later.
    """
    rows = [
        {**BIZ, **SET, "bk_biz_id": n, "bk_set_id": n, "bk_biz_name": f"n{n}-", "bk_set_name": f"n{n}-"}
        for n in range(1, count + 1)
    ]

    def search(request: Any) -> tuple[int, dict[str, str], bytes]:
        body = json.loads(request.body)
        first = body["condition"].get("bk_set_id", {"$gte": 0})["$gte"]
        start, limit = body["page"]["start"], body["page"]["limit"]
        return 200, {}, search_response(*[row for row in rows if row["bk_set_id"] >= first][start : start + limit])

    wire.add_callback("POST", _URLS["esb", kind], callback=search)
    query = LookupQuery(kind=kind, scope="" if kind == "scopes" else "1", text=f"N{count}-")
    page = backend.lookup(query, 1, None, call)
    assert len(wire.calls) == reads
    while page.next_cursor is not None:
        page = backend.lookup(query, 1, page.next_cursor, call)
    assert [item.id for item in page.items] == [str(count)]


@pytest.mark.parametrize("scopes", [frozenset(), frozenset({"x", "0", "01"})])
def test_no_business_of_the_allow_list(backend: Backend, call: CallContext, scopes: frozenset[str]) -> None:
    """Nothing is sent for an allow-list without ids of businesses: an empty $in would mean every business."""
    page = backend.lookup(LookupQuery(kind="scopes", scopes=scopes), 50, None, call)
    assert (page.items, page.next_cursor, backend.state) == ((), None, "unused")


@pytest.mark.parametrize("empty", [None, {"count": 0, "info": []}, {"count": 0, "info": None}])
def test_no_rows(backend: Backend, wire: responses.RequestsMock, call: CallContext, empty: Any) -> None:
    """No business is an empty page; a business without a set does not exist, because each has the idle pool."""
    body = json.dumps({"result": True, "code": 0, "message": "", "data": empty})
    wire.post(_URLS["esb", "scopes"], body=body)
    wire.post(_URLS["esb", "parents"], body=body)
    assert backend.lookup(SCOPES, 50, None, call).items == ()
    with pytest.raises(ScopeNotFound):
        backend.lookup(PARENTS, 50, None, call)
    assert backend.lookup(PARENTS, 50, "7", call).items == ()  # the sets after the cursor are gone


@pytest.mark.parametrize("cursor", ["", "0", "x", "1.5", '{"$gt": 1}', "1" * 20, "٣", "-1"])
@pytest.mark.parametrize("query", [SCOPES, PARENTS])
def test_a_malformed_cursor_is_refused(backend: Backend, query: LookupQuery, cursor: str, call: CallContext) -> None:
    """Only a number reaches CMDB."""
    with pytest.raises(ValidationFailed) as caught:
        backend.lookup(query, 10, cursor, call)
    assert (caught.value.errors[0].pointer, backend.state) == ("/page_token", "unused")


@pytest.mark.parametrize(
    ("query", "row"),
    [
        *((SCOPES, {**BIZ, **wrong}) for wrong in ({"bk_biz_id": "1"}, {"bk_biz_id": 0}, {"bk_biz_name": None})),
        *((PARENTS, {**SET, **wrong}) for wrong in ({"bk_set_id": None}, {"bk_set_name": 7}, {"set_template_id": "4"})),
        (SCOPES, None),
        (PARENTS, []),
    ],
)
def test_a_wrong_type_is_an_invalid_response(
    backend: Backend, wire: responses.RequestsMock, call: CallContext, query: LookupQuery, row: Any
) -> None:
    """One invalid row makes the response invalid."""
    wire.post(_URLS["esb", query.kind], body=search_response(row))
    with pytest.raises(BackendReplyInvalid):
        backend.lookup(query, 50, None, call)


@pytest.mark.parametrize(
    ("code", "error"),
    [
        (1101086, BackendUnavailable),  # CCErrorTopoGetAuthorizedBusinessListFailed, src/common/errInfo.go
        (1199046, BackendUnavailable),
    ],
)
def test_iam_is_down(
    backend: Backend, wire: responses.RequestsMock, call: CallContext, code: int, error: type[GatewayError]
) -> None:
    """CMDB could not read what the user has access to."""
    body = {"result": False, "code": code, "message": "m", "data": None}
    wire.post(_URLS["esb", "scopes"], body=json.dumps(body))
    with pytest.raises(error):
        backend.lookup(SCOPES, 50, None, call)
