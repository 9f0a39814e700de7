"""Parsing and validation of requests, as documented for each field; references are checked by the commands."""

import json
import re
from collections.abc import Mapping
from typing import Any, Final

from gateway.twins.projectman.commands import Create, Update
from gateway.twins.projectman.errors import ErrorCode

PROJECT_ID: Final = re.compile(r"[A-Za-z0-9]{32}")
MODULE_ID: Final = re.compile(r"[1-9][0-9]{0,9}")
USER_ID: Final = re.compile(r"[0-9a-z]{32}")
# The documented pattern is `\u4E00-\u9FA5-_`: a hyphen after a complete range stands for itself.
CREATE_NAME: Final = re.compile(r"[A-Za-z0-9_\-\u4e00-\u9fa5]{1,30}")
# The documented pattern of an update is `[^/\:*?]{0,30}`; the backslash is read as a forbidden character.
UPDATE_NAME: Final = re.compile(r"[^/\\:*?]{0,30}")
MAX_DESCRIPTION_LENGTH: Final = 255
DEFAULT_LIMIT: Final = 10
MAX_OFFSET: Final = 10_000
_DIGITS: Final = re.compile(r"[0-9]{1,9}")


def parse_create(project_id: str, body: bytes) -> Create:
    """Parse a create request; raises PM.02175006."""
    fields = _parse_object(body)
    return Create(
        project_id=parse_project_id(project_id),
        name=_parse_text(fields, "module_name", CREATE_NAME),
        owner_id=_parse_owner_id(fields),
        description=_parse_description(fields),
        parent_id=_parse_parent_id(fields),
    )


def parse_update(project_id: str, module_id: str, body: bytes) -> Update:
    """Parse an update request, in which a parent is ignored; raises PM.02175006."""
    fields = _parse_object(body)
    return Update(
        project_id=parse_project_id(project_id),
        module_id=parse_module_id(module_id),
        name=_parse_text(fields, "module_name", UPDATE_NAME),
        owner_id=_parse_owner_id(fields),
        description=_parse_description(fields),
    )


def parse_project_id(value: str) -> str:
    """Return a well-formed project id; raises PM.02175006."""
    if not PROJECT_ID.fullmatch(value):
        raise ErrorCode.BAD_PARAMETER.error("project_id")
    return value


def parse_module_id(value: str) -> int:
    """Return the module id of a path; raises PM.02175006."""
    if not MODULE_ID.fullmatch(value):
        raise ErrorCode.BAD_PARAMETER.error("module_id")
    return int(value)


def parse_paging(query: Mapping[str, str], *, max_limit: int, aligned_offset: bool = True) -> slice:
    """Return `offset` and `limit` as a slice; an aligned offset is a multiple of the limit. Raises PM.02174103."""
    offset_text, limit_text = query.get("offset", "0"), query.get("limit", str(DEFAULT_LIMIT))
    if not (_DIGITS.fullmatch(offset_text) and _DIGITS.fullmatch(limit_text)):
        raise ErrorCode.BAD_PAGING.error()
    offset, limit = int(offset_text), int(limit_text)
    if not 1 <= limit <= max_limit or offset > MAX_OFFSET or (aligned_offset and offset % limit):
        raise ErrorCode.BAD_PAGING.error()
    return slice(offset, offset + limit)


def _parse_object(body: bytes) -> dict[str, Any]:
    try:
        document = json.loads(body)
    except (ValueError, RecursionError):
        raise ErrorCode.BAD_PARAMETER.error("body") from None
    if not isinstance(document, dict):
        raise ErrorCode.BAD_PARAMETER.error("body")
    return document


def _parse_text(fields: Mapping[str, Any], name: str, pattern: re.Pattern[str]) -> str:
    value = fields.get(name)
    if not isinstance(value, str) or not pattern.fullmatch(value):
        raise ErrorCode.BAD_PARAMETER.error(name)
    return value


def _parse_owner_id(fields: Mapping[str, Any]) -> str:
    owner = fields.get("owner")
    if not isinstance(owner, dict):
        raise ErrorCode.BAD_PARAMETER.error("owner")
    return _parse_text(owner, "user_id", USER_ID)


def _parse_description(fields: Mapping[str, Any]) -> str | None:
    value = fields.get("description")
    if value is not None and (not isinstance(value, str) or len(value) > MAX_DESCRIPTION_LENGTH):
        raise ErrorCode.BAD_PARAMETER.error("description")
    return value


def _parse_parent_id(fields: Mapping[str, Any]) -> int | None:
    value = fields.get("parent_module_id")
    if value is not None and (not isinstance(value, int) or not MODULE_ID.fullmatch(str(value))):
        raise ErrorCode.BAD_PARAMETER.error("parent_module_id")
    return value
