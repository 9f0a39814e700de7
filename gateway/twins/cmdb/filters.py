"""Condition, order, page and projection of a search, as MongoDB reads them; source: facts, section 1."""

import re
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from gateway.twins.cmdb.refusals import Refusal
from gateway.twins.cmdb.store import Row

FORBIDDEN: Final = frozenset({"$where", "$expr", "$accumulator", "$function"})
DESCENDING: Final = ("-1", "desc")
# The first kind that fits a value; MongoDB compares within a kind only, and sorts the kinds in this order.
KINDS: Final[tuple[tuple[type | tuple[type, ...], int], ...]] = (
    (type(None), 0),
    (bool, 5),
    ((int, float), 1),
    (str, 2),
    (dict, 3),
    (list, 4),
    (datetime, 6),
)


@dataclass(frozen=True)
class Query:
    """What a search asks for; `limit` 0 is all rows, no `fields` is all attributes."""

    condition: Mapping[str, Any]
    fields: tuple[str, ...] = ()
    sort: str = ""
    start: int = 0
    limit: int = 0


def read_query(body: Mapping[str, Any]) -> Query:
    """Read condition, fields and page, all optional; a wrong type is what the JSON decoder of CMDB refuses."""
    page = typed(body, "page", dict) or {}
    fields = typed(body, "fields", list) or []
    if not all(isinstance(each, str) for each in fields):
        raise Refusal(1199000)
    bounds = {name: typed(page, name, int) or 0 for name in ("start", "limit")}
    condition = typed(body, "condition", dict) or {}
    return Query(condition, tuple(fields), typed(page, "sort", str) or "", **bounds)


def typed(body: Mapping[str, Any], name: str, kind: type) -> Any:
    """Return a value, or None where it is absent or null; refuse one of another type."""
    value = body.get(name)
    if value is not None and (not isinstance(value, kind) or isinstance(value, bool)):
        raise Refusal(1199000)
    return value


def refuse_forbidden(condition: Any) -> None:
    """Refuse operators that run code, wherever they stand."""
    inner: Iterable[Any] = ()
    if isinstance(condition, dict):
        if FORBIDDEN & condition.keys():
            raise Refusal(1199998, "condition contains a forbidden operator")
        inner = condition.values()
    elif isinstance(condition, list):
        inner = condition
    for each in inner:
        refuse_forbidden(each)


def run(rows: Iterable[Row], query: Query) -> dict[str, Any]:
    """Return `count` of all matches and the page of them as `info`."""
    found = [row for row in rows if matches(row, query.condition)]
    if query.start < 0:
        raise Refusal(1199998, "(BadValue) Skip value must be non-negative")
    for key in filter(None, reversed(query.sort.replace(" ", "").split(","))):
        name, _, direction = key.lstrip("-+").partition(":")
        found.sort(key=_order(name), reverse=key.startswith("-") or direction in DESCENDING)
    end = query.start + abs(query.limit) if query.limit else None
    return {"count": len(found), "info": [project(row, query.fields) for row in found[query.start : end]]}


def project(row: Row, fields: Collection[str]) -> Row:
    """Keep the fields asked for, all where none is; `default` always comes along."""
    wanted = {*fields, "default"} if fields else row.keys()
    return {name: value for name, value in row.items() if name in wanted}


def matches(row: Row, condition: Mapping[str, Any]) -> bool:
    """Tell whether a row fulfils every part of a MongoDB filter."""
    return all(_fulfils(row, name, wanted) for name, wanted in condition.items())


def _fulfils(row: Row, name: str, wanted: Any) -> bool:
    if name in ("$and", "$or"):
        together = all if name == "$and" else any
        return together(matches(row, each) for each in _list(wanted))
    value = row.get(name)
    if isinstance(wanted, dict) and any(key.startswith("$") for key in wanted):
        return all(_operator(key)(value, operand) for key, operand in wanted.items())
    return _equal(value, wanted)


def _operator(name: str) -> Callable[[Any, Any], bool]:
    if name not in OPERATORS:
        raise Refusal(1199998, f"(BadValue) unknown operator: {name}")
    return OPERATORS[name]


def _rank(value: Any) -> int:
    return next((rank for kind, rank in KINDS if isinstance(value, kind)), -1)


def _order(name: str) -> Callable[[Row], tuple[int, Any]]:
    def key(row: Row) -> tuple[int, Any]:
        value = row.get(name)
        return (_rank(value), value if isinstance(value, str | int | float | datetime) else 0)

    return key


def _equal(value: Any, wanted: Any) -> bool:
    return _rank(value) == _rank(wanted) and bool(value == wanted)


def _compare(accept: Callable[[Any, Any], bool]) -> Callable[[Any, Any], bool]:
    return lambda value, wanted: value is not None and _rank(value) == _rank(wanted) and accept(value, wanted)


def _list(wanted: Any) -> list[Any]:
    if not isinstance(wanted, list):
        raise Refusal(1199998, "(BadValue) needs an array")
    return wanted


def _regex(value: Any, wanted: Any) -> bool:
    try:
        return isinstance(value, str) and re.search(wanted, value) is not None
    except (re.error, TypeError) as error:
        raise Refusal(1199998, f"(BadValue) $regex: {error}") from error


OPERATORS: Final[dict[str, Callable[[Any, Any], bool]]] = {
    "$eq": _equal,
    "$ne": lambda value, wanted: not _equal(value, wanted),
    "$gt": _compare(lambda value, wanted: bool(value > wanted)),
    "$gte": _compare(lambda value, wanted: bool(value >= wanted)),
    "$lt": _compare(lambda value, wanted: bool(value < wanted)),
    "$lte": _compare(lambda value, wanted: bool(value <= wanted)),
    "$in": lambda value, wanted: any(_equal(value, each) for each in _list(wanted)),
    "$nin": lambda value, wanted: not any(_equal(value, each) for each in _list(wanted)),
    "$regex": _regex,
    "$exists": lambda value, wanted: (value is not None) == bool(wanted),
}
