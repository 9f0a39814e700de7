"""Condition, sort, page and projection of a search, with the semantics of MongoDB; source: facts, section 1."""

import operator
import re
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from gateway.twins.cmdb.errors import CmdbError
from gateway.twins.cmdb.store import Row

FORBIDDEN_OPERATORS: Final = frozenset({"$where", "$expr", "$accumulator", "$function"})
DESCENDING: Final = ("-1", "desc")
# MongoDB compares values of one type only, and sorts types by this rank. bool stands before int, its base class.
TYPE_ORDER: Final[tuple[tuple[type | tuple[type, ...], int], ...]] = (
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
    """A search; `limit` 0 returns all rows, empty `fields` all attributes."""

    condition: Mapping[str, Any]
    fields: tuple[str, ...] = ()
    sort: str = ""
    start: int = 0
    limit: int = 0


def parse_query(body: Mapping[str, Any]) -> Query:
    """Parse condition, fields and page, all optional; raises CmdbError 1199000 for a wrong type."""
    page = get_typed(body, "page", dict) or {}
    fields = get_typed(body, "fields", list) or []
    if not all(isinstance(field, str) for field in fields):
        raise CmdbError(1199000)
    bounds = {name: get_typed(page, name, int) or 0 for name in ("start", "limit")}
    condition = get_typed(body, "condition", dict) or {}
    return Query(condition, tuple(fields), get_typed(page, "sort", str) or "", **bounds)


def get_typed(body: Mapping[str, Any], name: str, expected_type: type) -> Any:
    """Return a value, or None if it is absent or null; raises CmdbError for another type."""
    value = body.get(name)
    if value is not None and (not isinstance(value, expected_type) or isinstance(value, bool)):
        raise CmdbError(1199000)
    return value


def check_operators(condition: Any) -> None:
    """Raise CmdbError if the condition contains, at any depth, an operator that executes code."""
    children: Iterable[Any] = ()
    if isinstance(condition, dict):
        if FORBIDDEN_OPERATORS & condition.keys():
            raise CmdbError(1199998, "condition contains a forbidden operator")
        children = condition.values()
    elif isinstance(condition, list):
        children = condition
    for child in children:
        check_operators(child)


def execute(rows: Iterable[Row], query: Query) -> dict[str, Any]:
    """Return the number of all matching rows as `count` and one page of them as `info`; raises CmdbError."""
    matching = [row for row in rows if matches(row, query.condition)]
    if query.start < 0:
        raise CmdbError(1199998, "(BadValue) Skip value must be non-negative")
    # A key is "name", "-name" or "name:-1". The last key is sorted first, because sorting is stable.
    for key in filter(None, reversed(query.sort.replace(" ", "").split(","))):
        name, _, direction = key.lstrip("-+").partition(":")
        matching.sort(key=_sort_key(name), reverse=key.startswith("-") or direction in DESCENDING)
    end = query.start + abs(query.limit) if query.limit else None  # MongoDB takes a negative limit as a positive one
    return {"count": len(matching), "info": [project(row, query.fields) for row in matching[query.start : end]]}


def project(row: Row, fields: Collection[str]) -> Row:
    """Return the given fields, or all if there are none; `default` is always included."""
    names = {*fields, "default"} if fields else row.keys()
    return {name: value for name, value in row.items() if name in names}


def matches(row: Row, condition: Mapping[str, Any]) -> bool:
    """Return whether a row matches a MongoDB filter."""
    return all(_matches_field(row, name, expected) for name, expected in condition.items())


def _matches_field(row: Row, name: str, expected: Any) -> bool:
    if name in ("$and", "$or"):
        combine = all if name == "$and" else any
        return combine(matches(row, condition) for condition in _require_list(expected))
    value = row.get(name)
    if isinstance(expected, dict) and any(key.startswith("$") for key in expected):
        return all(_find_operator(key)(value, operand) for key, operand in expected.items())
    return _is_equal(value, expected)


def _find_operator(name: str) -> Callable[[Any, Any], bool]:
    if name not in OPERATORS:
        raise CmdbError(1199998, f"(BadValue) unknown operator: {name}")
    return OPERATORS[name]


def _type_rank(value: Any) -> int:
    """Return the rank of the value's type, -1 for a type that is not in TYPE_ORDER."""
    return next((rank for type_, rank in TYPE_ORDER if isinstance(value, type_)), -1)


def _sort_key(name: str) -> Callable[[Row], tuple[int, Any]]:
    def key(row: Row) -> tuple[int, Any]:
        value = row.get(name)
        return (_type_rank(value), value if isinstance(value, str | int | float | datetime) else 0)

    return key


def _is_equal(value: Any, operand: Any) -> bool:
    return _type_rank(value) == _type_rank(operand) and bool(value == operand)


def _compare_same_type(compare: Callable[[Any, Any], bool]) -> Callable[[Any, Any], bool]:
    return lambda value, operand: (
        value is not None and _type_rank(value) == _type_rank(operand) and compare(value, operand)
    )


def _require_list(operand: Any) -> list[Any]:
    """Return the operand; raises CmdbError if it is not a list."""
    if not isinstance(operand, list):
        raise CmdbError(1199998, "(BadValue) needs an array")
    return operand


def _is_in(value: Any, operand: Any) -> bool:
    return any(_is_equal(value, element) for element in _require_list(operand))


def _matches_pattern(value: Any, pattern: Any) -> bool:
    try:
        return isinstance(value, str) and re.search(pattern, value) is not None
    except (re.error, TypeError) as error:
        raise CmdbError(1199998, f"(BadValue) $regex: {error}") from error


OPERATORS: Final[dict[str, Callable[[Any, Any], bool]]] = {
    "$eq": _is_equal,
    "$ne": lambda value, operand: not _is_equal(value, operand),
    "$gt": _compare_same_type(operator.gt),
    "$gte": _compare_same_type(operator.ge),
    "$lt": _compare_same_type(operator.lt),
    "$lte": _compare_same_type(operator.le),
    "$in": _is_in,
    "$nin": lambda value, operand: not _is_in(value, operand),
    "$regex": _matches_pattern,
    "$exists": lambda value, operand: (value is not None) == bool(operand),
}
