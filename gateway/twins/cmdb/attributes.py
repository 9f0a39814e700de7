"""The attributes of the module model and the validation of their values; source: facts, section 2."""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from gateway.twins.cmdb.errors import CmdbError
from gateway.twins.cmdb.seed import Version

NAME_PATTERN: Final = re.compile(r'[^\\|/:*,<>"?#\t\n\f\r ]+')
USERS_PATTERN: Final = re.compile(r"[0-9a-zA-Z][a-zA-Z0-9@.,_-]*")
# The characters that Go's strings.TrimSpace removes.
GO_SPACE: Final = "\t\n\v\f\r \x85\xa0\u1680\u2028\u2029\u202f\u205f\u3000" + "".join(map(chr, range(0x2000, 0x200B)))
MAX_SHORT: Final = 256
MAX_LONG: Final = 2000


@dataclass(frozen=True)
class Attribute:
    """An attribute of the model; `biz` 0 stands for all businesses."""

    name: str
    kind: str
    editable: bool = True
    biz: int = 0
    options: tuple[str, ...] = ()
    unique: bool = False  # a unique rule of the model, over all businesses


BUILT_IN_ATTRIBUTES: Final = (
    Attribute("bk_module_name", "name"),
    Attribute("bk_module_type", "enum", options=("1", "2")),
    Attribute("operator", "objuser"),
    Attribute("bk_bak_operator", "objuser"),
    Attribute("service_category_id", "int"),
    Attribute("host_apply_enabled", "bool"),
    Attribute("bk_created_by", "creator", editable=False),
    Attribute("bk_updated_by", "creator", editable=False),
    Attribute("bk_created_at", "time", editable=False),
    Attribute("bk_updated_at", "time", editable=False),
    Attribute("create_time", "time", editable=False),
    Attribute("last_time", "time", editable=False),
)


def custom_attribute(entry: Mapping[str, Any]) -> Attribute:
    """Return the custom attribute that an entry of the seed describes."""
    return Attribute(
        name=entry["bk_property_id"],
        kind=entry["bk_property_type"],
        editable=entry.get("editable", True),
        biz=entry.get("bk_biz_id", 0),
        options=tuple(entry.get("option") or ()),
        unique=entry.get("unique", False),
    )


def is_integer(value: object) -> bool:
    """Return whether a value is a JSON integer; true and 10.0 are not."""
    return isinstance(value, int) and not isinstance(value, bool)


def _validate_name(attribute: Attribute, value: Any, max_characters: int) -> Any:
    """Apply the six rules for names, in order, and return the name without outer white space."""
    if not isinstance(value, str):
        raise CmdbError(1199007, attribute.name)
    value = value.strip(" ")
    if not value:
        raise CmdbError(1199010, attribute.name)
    if len(value) > max_characters:
        raise CmdbError(1199073, (attribute.name, max_characters))
    if not NAME_PATTERN.fullmatch(value):
        raise CmdbError(1199006, attribute.name)
    trimmed = value.strip(GO_SPACE)
    if not trimmed:
        raise CmdbError(1199010, attribute.name)
    if len(trimmed.encode("utf-8", "replace")) > MAX_SHORT:
        raise CmdbError(1199015, attribute.name)
    return trimmed


def _validate_enum(attribute: Attribute, value: Any) -> Any:
    if value is not None and value not in attribute.options:
        raise CmdbError(1199006, attribute.name)
    return value


def _validate_users(attribute: Attribute, value: Any) -> Any:
    """Validate user names, separated by commas without spaces; null and the empty string are no user."""
    if value is None or value == "":
        return value
    if not isinstance(value, str):
        raise CmdbError(1199006, attribute.name)
    if len(value.encode("utf-8", "replace")) > MAX_LONG:
        raise CmdbError(1199015, attribute.name)
    if not USERS_PATTERN.fullmatch(value):
        raise CmdbError(1199016, attribute.name)
    return value


def _validate_creator(attribute: Attribute, value: Any) -> Any:
    if isinstance(value, str) and "," in value:
        raise CmdbError(1199016, attribute.name)
    return _validate_users(attribute, value)


def _validate_integer(attribute: Attribute, value: Any) -> Any:
    if value is not None and not is_integer(value):
        raise CmdbError(1199009, attribute.name)
    return value


def _validate_boolean(attribute: Attribute, value: Any) -> Any:
    if not isinstance(value, bool):
        raise CmdbError(1199006, attribute.name)
    return value


def _validate_time(attribute: Attribute, value: Any) -> Any:
    try:
        if value not in (None, ""):
            datetime.fromisoformat(value)
    except (TypeError, ValueError):
        raise CmdbError(1199006, attribute.name) from None
    return value


def _text_validator(max_bytes: int) -> Callable[[Attribute, Any], Any]:
    def validate_text(attribute: Attribute, value: Any) -> Any:
        if value is not None and not isinstance(value, str):
            raise CmdbError(1199007, attribute.name)
        if value is not None and len(value.encode("utf-8", "replace")) > max_bytes:
            raise CmdbError(1199015, attribute.name)
        return value

    return validate_text


VALIDATORS: Final[dict[str, Callable[[Attribute, Any], Any]]] = {
    "enum": _validate_enum,
    "objuser": _validate_users,
    "creator": _validate_creator,
    "int": _validate_integer,
    "bool": _validate_boolean,
    "time": _validate_time,
    "singlechar": _text_validator(MAX_SHORT),
    "longchar": _text_validator(MAX_LONG),
}


def validate(attribute: Attribute, value: Any, version: Version) -> Any:
    """Return the value to store, text without outer white space (CS/instance_validate.go).

    Raises CmdbError, which is wrapped in a 1199011 since 3.14.1.
    """
    try:
        if attribute.kind == "name":
            return _validate_name(attribute, value, version.name_max)
        if isinstance(value, str):
            value = value.strip(GO_SPACE)
        return VALIDATORS[attribute.kind](attribute, value)
    except CmdbError as error:
        if version.wraps_validation:
            raise CmdbError(1199011, error) from error
        raise
