"""The kinds of fields that the public format is made of; their messages are codes, loading.py puts words to them."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import Any, ClassVar, Final, NoReturn

from marshmallow import ValidationError, fields

from gateway.domain.capabilities import strip_whitespace

_Messages = dict[str, str | list[Any] | dict[Any, Any]]
CODES: Final[_Messages] = {"required": "required", "null": "null", "invalid": "type", "invalid_utf8": "type"}
MAX_PAGE_SIZE: Final = 200
_OWNER: Final = {"id", "name", "display_name"}


class Text(fields.String):
    """A text."""

    as_is: ClassVar[type | None] = str
    default_error_messages: _Messages = CODES


class Name(Text):
    """A text without the white space around it."""

    as_is = None

    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> str:
        return strip_whitespace(super()._deserialize(value, attr, data, **kwargs) or "")


class Identifier(fields.Field[str]):
    """A backend's id: a text, or an integer for callers who keep it as one."""

    default_error_messages: _Messages = CODES

    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> str:  # noqa: ARG002 - marshmallow's signature
        if isinstance(value, str):
            return value
        if type(value) is int:
            return str(value)
        raise self.make_error("invalid")


class Owners(fields.Field[tuple[str, ...]]):
    """A list of ids, or of objects with an `id`; each as often as it is meant: once."""

    default_error_messages: _Messages = {**CODES, "duplicate": "duplicate"}  # noqa: RUF012 - marshmallow reads it off the class

    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> tuple[str, ...]:  # noqa: ARG002 - the same
        if not isinstance(value, list):
            raise self.make_error("invalid")
        ids = [each.get("id") if isinstance(each, dict) and each.keys() <= _OWNER else each for each in value]
        wrong = {index: ["type"] for index, each in enumerate(ids) if not isinstance(each, str)}
        if not wrong:
            first = {each: index for index, each in reversed(list(enumerate(ids)))}
            wrong = {index: ["duplicate"] for index, each in enumerate(ids) if first[each] != index}
        if wrong:
            raise ValidationError(wrong)
        return tuple(str(each) for each in ids)


class Fixed(fields.Field[None]):
    """A field of a module that no caller can change, to null no more than to anything else."""

    default_error_messages: _Messages = {"null": "immutable_field"}  # noqa: RUF012 - marshmallow reads it off the class

    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> NoReturn:  # noqa: ARG002 - the same
        raise ValidationError("immutable_field")


class Instant(fields.Field[datetime]):
    """RFC 3339, UTC, milliseconds."""

    def _serialize(self, value: datetime | None, attr: str | None, obj: Any, **kwargs: Any) -> str | None:  # noqa: ARG002 - the same
        return value.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z") if value else None


class Flag(fields.Field[bool]):
    """A query's yes or no: true or false, in lower case."""

    default_error_messages: _Messages = CODES

    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> bool:  # noqa: ARG002 - the same
        if value not in ("true", "false"):
            raise self.make_error("invalid")
        return bool(value == "true")


class PageSize(fields.Field[int]):
    """How many at most: 1 to 200, in digits."""

    default_error_messages: _Messages = {**CODES, "range": "range"}  # noqa: RUF012 - marshmallow reads it off the class

    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> int:  # noqa: ARG002 - the same
        if not (isinstance(value, str) and re.fullmatch(r"[0-9]{1,9}", value)):
            raise self.make_error("invalid")
        if not 1 <= int(value) <= MAX_PAGE_SIZE:
            raise self.make_error("range")
        return int(value)
