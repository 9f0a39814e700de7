"""The field types of the public format; their messages are codes, to which `request_parsing` adds the texts."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import Any, Final, NoReturn

from marshmallow import ValidationError, fields

from gateway.domain.capabilities import strip_whitespace

_Messages = dict[str, str | list[Any] | dict[Any, Any]]
ERROR_CODES: Final[_Messages] = {"required": "required", "null": "null", "invalid": "type", "invalid_utf8": "type"}
MAX_PAGE_SIZE: Final = 200
_OWNER_MEMBERS: Final = {"id", "name", "display_name"}


def format_utc(time: datetime | float | None) -> str | None:
    """Format a time, or seconds since the epoch, as RFC 3339 in UTC with milliseconds."""
    if time is None:
        return None
    moment = time.astimezone(UTC) if isinstance(time, datetime) else datetime.fromtimestamp(time, UTC)
    return f"{moment.isoformat('T', 'milliseconds')[:-6]}Z"  # Z in place of +00:00


class StringField(fields.String):
    """A string."""

    default_error_messages: _Messages = ERROR_CODES


class TrimmedString(StringField):
    """A string without the white space at both ends."""

    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> str:
        return strip_whitespace(super()._deserialize(value, attr, data, **kwargs) or "")


class FilterText(StringField):
    """A query parameter that is compared with texts of the journal, which contain no NUL."""

    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> str:
        text: str = super()._deserialize(value, attr, data, **kwargs)
        if "\0" in text:
            raise self.make_error("invalid")
        return text


class IdField(fields.Field[str]):
    """A backend's id: a string, or an integer."""

    default_error_messages: _Messages = ERROR_CODES

    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> str:  # noqa: ARG002 - marshmallow's signature
        if isinstance(value, str):
            return value
        if type(value) is int:
            return str(value)
        raise self.make_error("invalid")


class OwnerList(fields.Field[tuple[str, ...]]):
    """A list of ids, or of objects with an `id`; no id may be there twice."""

    default_error_messages: _Messages = {**ERROR_CODES, "duplicate": "duplicate"}  # noqa: RUF012 - marshmallow reads it off the class

    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> tuple[str, ...]:  # noqa: ARG002 - marshmallow's signature
        if not isinstance(value, list):
            raise self.make_error("invalid")
        ids: list[Any] = [
            owner.get("id") if isinstance(owner, dict) and owner.keys() <= _OWNER_MEMBERS else owner for owner in value
        ]
        if errors := {index: ["type"] for index, id_ in enumerate(ids) if not isinstance(id_, str)}:
            raise ValidationError(errors)
        seen: set[str] = set()
        for index, id_ in enumerate(ids):
            if id_ in seen:
                errors[index] = ["duplicate"]
            seen.add(id_)
        if errors:
            raise ValidationError(errors)
        return tuple(ids)


class ReadOnlyField(fields.Field[None]):
    """A member of a module that a caller cannot change, not even to null."""

    default_error_messages: _Messages = {"null": "immutable_field"}  # noqa: RUF012 - marshmallow reads it off the class

    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> NoReturn:  # noqa: ARG002 - marshmallow's signature
        raise ValidationError("immutable_field")


class UtcDateTime(fields.Field[datetime]):
    """A time, or seconds since the epoch, as RFC 3339 in UTC with milliseconds."""

    def _serialize(self, value: datetime | float | None, attr: str | None, obj: Any, **kwargs: Any) -> str | None:  # noqa: ARG002 - marshmallow's signature
        return format_utc(value)


class QueryBoolean(fields.Field[bool]):
    """A query parameter that is `true` or `false`."""

    default_error_messages: _Messages = ERROR_CODES

    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> bool:  # noqa: ARG002 - marshmallow's signature
        if value not in ("true", "false"):
            raise self.make_error("invalid")
        return bool(value == "true")


class PageSize(fields.Field[int]):
    """The maximum number of items on a page: 1 to 200, in digits."""

    default_error_messages: _Messages = {**ERROR_CODES, "range": "range"}  # noqa: RUF012 - marshmallow reads it off the class

    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> int:  # noqa: ARG002 - marshmallow's signature
        if not (isinstance(value, str) and re.fullmatch(r"[0-9]{1,9}", value)):
            raise self.make_error("invalid")
        if not 1 <= int(value) <= MAX_PAGE_SIZE:
            raise self.make_error("range")
        return int(value)


class SequenceNumber(fields.Field[int]):
    """The number of an entry of the change log, in digits."""

    default_error_messages: _Messages = ERROR_CODES

    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> int:  # noqa: ARG002 - marshmallow's signature
        if not (isinstance(value, str) and re.fullmatch(r"[0-9]{1,18}", value, re.ASCII)):
            raise self.make_error("invalid")
        return int(value)
