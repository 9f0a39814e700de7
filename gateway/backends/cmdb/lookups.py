"""Lookups in CMDB: businesses are scopes, sets are parents. CMDB has no call that lists the users who can be owners."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from marshmallow import Schema, ValidationError

from gateway.backends.cmdb.client import CmdbClient, ModulePath, parse_rows
from gateway.backends.cmdb.schemas import BusinessSchema, SetSchema
from gateway.domain.backend import CallContext
from gateway.domain.capabilities import INT64_MAX
from gateway.domain.errors import FieldError, ScopeNotFound, ValidationFailed
from gateway.domain.lookup import LookupBatch, LookupItem, LookupKind, LookupPage, LookupQuery, take_page
from gateway.domain.messages import message

#: The documented maximum of both searches. The last row of a full response is where the next one begins.
_LIMIT: Final = 200
_ID: Final = re.compile(r"[1-9][0-9]{0,18}", re.ASCII)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Search:
    """A search that returns the items of a lookup in the order of their ids."""

    operation: str
    rows: str  # names them in the error for a response without rows
    schema: Schema
    sort: str
    condition: Callable[[LookupQuery, int], Mapping[str, Any]]
    start: Callable[[int], int]  # of the page, for a cursor
    cursor_at: Callable[[int, int, LookupItem], int]  # for the cursor of the response, an item's index, and the item


#: A cursor in businesses is a position: search_business replaces every condition on ids but $eq and $in by the
#: businesses that the user has access to (inst_business.go, SearchBusiness), so that it cannot continue after an id.
_SEARCHES: Final[Mapping[LookupKind, _Search]] = {
    "scopes": _Search(
        operation="search_business",
        rows="businesses",
        schema=BusinessSchema(),
        sort="bk_biz_id",
        condition=lambda query, _cursor: {} if query.scopes is None else {"bk_biz_id": {"$in": _business_ids(query)}},
        start=lambda cursor: cursor,
        cursor_at=lambda cursor, index, _item: cursor + index,
    ),
    "parents": _Search(
        operation="search_set",
        rows="sets",
        schema=SetSchema(),
        sort="bk_set_id",
        condition=lambda _query, cursor: {"bk_set_id": {"$gte": cursor}} if cursor else {},
        start=lambda _cursor: 0,
        cursor_at=lambda _cursor, _index, item: int(item.id),
    ),
}


def lookup(client: CmdbClient, query: LookupQuery, page_size: int, cursor: str | None, call: CallContext) -> LookupPage:
    """Return one page of businesses or sets; raises ScopeNotFound for a business without sets: each has the idle pool.

    Names are compared here, because CMDB's patterns compare case in another way. Archived businesses are not listed.
    """
    start = parse_cursor(cursor)
    if query.kind == "scopes" and query.scopes is not None and not _business_ids(query):
        return LookupPage((), None)
    return take_page(_read(client, query, start, call), query, page_size)


def _read(client: CmdbClient, query: LookupQuery, cursor: int, call: CallContext) -> Iterator[LookupBatch]:
    search = _SEARCHES[query.kind]
    fields = [field.data_key for field in search.schema.load_fields.values()]
    has_more = True
    while has_more:
        page = {"start": search.start(cursor), "limit": _LIMIT, "sort": search.sort}
        payload = {"fields": fields, "condition": search.condition(query, cursor), "page": page}
        response, data = client.request(search.operation, ModulePath(int(query.scope or 0)), payload, call)
        rows = parse_rows(response, data, search.rows)
        if not rows and not cursor and query.scope:
            raise ScopeNotFound
        try:
            items = [_load_item(search.schema, row) for row in rows[:_LIMIT]]
        except ValidationError as error:
            raise response.invalid_response(f"no_{search.rows}") from error
        positions = [(search.cursor_at(cursor, index, item), item) for index, item in enumerate(items)]
        has_more = len(positions) == _LIMIT
        if has_more:
            cursor, _ = positions.pop()
        yield LookupBatch([(str(position), item) for position, item in positions], str(cursor) if has_more else None)


def _load_item(schema: Schema, row: Any) -> LookupItem:
    data: dict[str, Any] = schema.load(row)
    return LookupItem(**data, path=data["name"])


def _business_ids(query: LookupQuery) -> list[int]:
    """Return the scopes of an allow-list that are ids of businesses; it may name others."""
    return sorted(int(scope) for scope in query.scopes or () if _ID.fullmatch(scope) and int(scope) <= INT64_MAX)


def parse_cursor(cursor: str | None) -> int:
    """Return the number in a cursor, 0 without a cursor; raises ValidationFailed if it is no number."""
    if cursor is None:
        return 0
    if _ID.fullmatch(cursor) is None or int(cursor) > INT64_MAX:
        raise ValidationFailed(errors=[FieldError("/page_token", "pattern", message("page_token_invalid"))])
    return int(cursor)
