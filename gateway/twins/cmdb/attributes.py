"""The attributes of the module model and what a value of each must look like; source: facts, section 2."""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from gateway.twins.cmdb.refusals import Refusal
from gateway.twins.cmdb.versions import Version

NAME_PATTERN: Final = re.compile(r'[^\\|/:*,<>"?#\t\n\f\r ]+')
USERS_PATTERN: Final = re.compile(r"[0-9a-zA-Z][a-zA-Z0-9@.,_-]*")
# What Go's strings.TrimSpace takes off.
GO_SPACE: Final = "\t\n\v\f\r \x85\xa0\u1680\u2028\u2029\u202f\u205f\u3000" + "".join(map(chr, range(0x2000, 0x200B)))
SHORT: Final = 256
LONG: Final = 2000


@dataclass(frozen=True)
class Attribute:
    """One attribute of the model; `biz` 0 is every business."""

    name: str
    kind: str
    editable: bool = True
    biz: int = 0
    options: tuple[str, ...] = ()


BUILT_IN: Final = (
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


def custom(described: Mapping[str, Any]) -> Attribute:
    """Read a custom attribute as a seed describes it."""
    return Attribute(
        name=described["bk_property_id"],
        kind=described["bk_property_type"],
        editable=described.get("editable", True),
        biz=described.get("bk_biz_id", 0),
        options=tuple(described.get("option") or ()),
    )


def is_integer(value: object) -> bool:
    """Tell a JSON integer from everything else: true and 10.0 are none."""
    return isinstance(value, int) and not isinstance(value, bool)


def _name(attribute: Attribute, value: Any) -> Any:
    """Apply the six name rules in their order; what is stored has lost its outer ASCII spaces."""
    if not isinstance(value, str):
        raise Refusal(1199007, attribute.name)
    value = value.strip(" ")
    if not value:
        raise Refusal(1199010, attribute.name)
    if len(value) > SHORT:
        raise Refusal(1199073, attribute.name)
    if not NAME_PATTERN.fullmatch(value):
        raise Refusal(1199006, attribute.name)
    kept = value.strip(GO_SPACE)
    if not kept:
        raise Refusal(1199010, attribute.name)
    if len(kept.encode("utf-8", "replace")) > SHORT:
        raise Refusal(1199015, attribute.name)
    return value


def _enum(attribute: Attribute, value: Any) -> Any:
    if value is not None and value not in attribute.options:
        raise Refusal(1199006, attribute.name)
    return value


def _users(attribute: Attribute, value: Any) -> Any:
    """Names joined by commas without spaces; null and the empty string stand for nobody."""
    if value is None or value == "":
        return value
    if not isinstance(value, str):
        raise Refusal(1199006, attribute.name)
    if len(value.encode("utf-8", "replace")) > LONG:
        raise Refusal(1199015, attribute.name)
    if not USERS_PATTERN.fullmatch(value):
        raise Refusal(1199016, attribute.name)
    return value


def _creator(attribute: Attribute, value: Any) -> Any:
    if isinstance(value, str) and "," in value:
        raise Refusal(1199016, attribute.name)
    return _users(attribute, value)


def _integer(attribute: Attribute, value: Any) -> Any:
    if value is not None and not is_integer(value):
        raise Refusal(1199009, attribute.name)
    return value


def _boolean(attribute: Attribute, value: Any) -> Any:
    if not isinstance(value, bool):
        raise Refusal(1199006, attribute.name)
    return value


def _time(attribute: Attribute, value: Any) -> Any:
    try:
        if value not in (None, ""):
            datetime.fromisoformat(value)
    except (TypeError, ValueError):
        raise Refusal(1199006, attribute.name) from None
    return value


def _text(limit: int) -> Callable[[Attribute, Any], Any]:
    def check(attribute: Attribute, value: Any) -> Any:
        if value is not None and not isinstance(value, str):
            raise Refusal(1199007, attribute.name)
        if value is not None and len(value.encode("utf-8", "replace")) > limit:
            raise Refusal(1199015, attribute.name)
        return value

    return check


CHECKS: Final[dict[str, Callable[[Attribute, Any], Any]]] = {
    "name": _name,
    "enum": _enum,
    "objuser": _users,
    "creator": _creator,
    "int": _integer,
    "bool": _boolean,
    "time": _time,
    "singlechar": _text(SHORT),
    "longchar": _text(LONG),
}


def check(attribute: Attribute, value: Any, version: Version) -> Any:
    """Return the value as it is stored, or refuse: since 3.14.1 within a 1199011, before that as it is."""
    try:
        return CHECKS[attribute.kind](attribute, value)
    except Refusal as inner:
        if version.wraps_validation:
            raise Refusal(1199011, inner) from inner
        raise
