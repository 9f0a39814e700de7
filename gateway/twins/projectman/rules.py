"""The shape of what a caller may send, as documented field by field; what a value refers to is judged elsewhere."""

import json
import re
from collections.abc import Mapping
from typing import Any, Final

from .refusals import Reason
from .writes import Create, Update

PROJECT_ID: Final = re.compile(r"[A-Za-z0-9]{32}")
MODULE_ID: Final = re.compile(r"[1-9][0-9]{0,9}")
USER_ID: Final = re.compile(r"[0-9a-z]{32}")
# The page prints `\u4E00-\u9FA5-_`: after a finished range the hyphen stands for itself.
CREATE_NAME: Final = re.compile(r"[A-Za-z0-9_\-\u4e00-\u9fa5]{1,30}")
# Update has a rule of its own, `[^/\:*?]{0,30}`; the backslash is read as one more forbidden character.
UPDATE_NAME: Final = re.compile(r"[^/\\:*?]{0,30}")
DESCRIPTION_MAX: Final = 255
DEFAULT_LIMIT: Final = 10
MAX_OFFSET: Final = 10_000
_NUMBER: Final = re.compile(r"[0-9]{1,9}")


def read_create(project_id: str, body: bytes) -> Create:
    """Read the body of a create; raises PM.02175006."""
    given = _read_object(body)
    return Create(
        project_id=read_project_id(project_id),
        name=_text(given, "module_name", CREATE_NAME),
        owner_id=_owner(given),
        description=_description(given),
        parent_id=_parent(given),
    )


def read_update(project_id: str, module_id: str, body: bytes) -> Update:
    """Read the body of an update, in which a parent means nothing; raises PM.02175006."""
    given = _read_object(body)
    return Update(
        project_id=read_project_id(project_id),
        module_id=read_module_id(module_id),
        name=_text(given, "module_name", UPDATE_NAME),
        owner_id=_owner(given),
        description=_description(given),
    )


def read_project_id(given: str) -> str:
    """Check the shape of a project's id."""
    if not PROJECT_ID.fullmatch(given):
        raise Reason.BAD_PARAMETER.refusal("project_id")
    return given


def read_module_id(given: str) -> int:
    """Check the shape of a module's id in a path."""
    if not MODULE_ID.fullmatch(given):
        raise Reason.BAD_PARAMETER.refusal("module_id")
    return int(given)


def read_paging(query: Mapping[str, str], *, most: int, aligned: bool = True) -> slice:
    """Turn `offset` and `limit` into a slice; `aligned` wants the one a multiple of the other; raises PM.02174103."""
    numbers = query.get("offset", "0"), query.get("limit", str(DEFAULT_LIMIT))
    if not all(_NUMBER.fullmatch(number) for number in numbers):
        raise Reason.BAD_PAGING.refusal()
    offset, limit = map(int, numbers)
    if not 1 <= limit <= most or offset > MAX_OFFSET or (aligned and offset % limit):
        raise Reason.BAD_PAGING.refusal()
    return slice(offset, offset + limit)


def _read_object(body: bytes) -> dict[str, Any]:
    try:
        given = json.loads(body)
    except (ValueError, RecursionError):
        raise Reason.BAD_PARAMETER.refusal("body") from None
    if not isinstance(given, dict):
        raise Reason.BAD_PARAMETER.refusal("body")
    return given


def _text(given: Mapping[str, Any], name: str, pattern: re.Pattern[str]) -> str:
    value = given.get(name)
    if not isinstance(value, str) or not pattern.fullmatch(value):
        raise Reason.BAD_PARAMETER.refusal(name)
    return value


def _owner(given: Mapping[str, Any]) -> str:
    owner = given.get("owner")
    if not isinstance(owner, dict):
        raise Reason.BAD_PARAMETER.refusal("owner")
    return _text(owner, "user_id", USER_ID)


def _description(given: Mapping[str, Any]) -> str | None:
    value = given.get("description")
    if value is not None and (not isinstance(value, str) or len(value) > DESCRIPTION_MAX):
        raise Reason.BAD_PARAMETER.refusal("description")
    return value


def _parent(given: Mapping[str, Any]) -> int | None:
    value = given.get("parent_module_id")
    if value is not None and (not isinstance(value, int) or not MODULE_ID.fullmatch(str(value))):
        raise Reason.BAD_PARAMETER.refusal("parent_module_id")
    return value
