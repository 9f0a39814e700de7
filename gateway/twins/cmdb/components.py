"""The ESB's components of CMDB and their forms; source: facts, section 1(a)."""

import re
from dataclasses import dataclass
from typing import Any, Final

COMMON: Final = 1306000
EMPTY: Final[tuple[object, ...]] = (None, "", [], {})
WHOLE: Final = re.compile(r"\s*(-?\d{1,40})(\.0*)?\s*", re.ASCII)


class Declined(Exception):
    """The ESB answers by itself, with `code` and a text that is always English."""

    def __init__(self, code: int, message: str) -> None:
        super().__init__(code, message)
        self.code = code
        self.message = message


@dataclass(frozen=True)
class Field:
    """One line of a component's form; `kind` is int, dict or list."""

    name: str
    label: str
    kind: type
    required: bool = False

    def clean(self, value: object) -> Any:
        """Return the value as the form passes it on: "3" is an int, an empty list a missing dict."""
        if value in EMPTY:
            if self.required:
                raise self._invalid("This field is required.")
            return self.kind() if value is not None and self.kind is not int else None
        if self.kind is int:
            found = WHOLE.fullmatch(str(value))
            if not found:
                raise self._invalid("Enter a whole number.")
            return int(found[1])
        if not isinstance(value, self.kind):
            raise self._invalid(f"Must be the specified parameter data type {self.kind.__name__}")
        return value

    def _invalid(self, text: str) -> Declined:
        return Declined(COMMON, f"{self.label} [{self.name}] {text}")


BIZ: Final = Field("bk_biz_id", "business id", int, required=True)
SET: Final = Field("bk_set_id", "set id", int, required=True)
MODULE: Final = Field("bk_module_id", "module id", int, required=True)
SEARCH: Final = (
    Field("fields", "fields", list),
    Field("condition", "condition", dict),
    Field("page", "page", dict),
)


@dataclass(frozen=True)
class Component:
    """How the ESB turns one component into a request; `body` names what becomes its body, "*" is all parameters."""

    method: str
    path: str
    form: tuple[Field, ...] = ()
    body: tuple[str, ...] = ()


QUERY: Final = ("fields", "condition", "page")
MODULE_PATH: Final = "/module/{bk_biz_id}/{bk_set_id}"
COMPONENTS: Final[dict[str, Component]] = {
    "create_module": Component(
        "POST", MODULE_PATH, (BIZ, SET, Field("data", "data", dict, required=True)), ("data", "bk_supplier_account")
    ),
    "update_module": Component(
        "PUT", MODULE_PATH + "/{bk_module_id}", (BIZ, SET, MODULE, Field("data", "data", dict)), ("data",)
    ),
    "delete_module": Component("DELETE", MODULE_PATH + "/{bk_module_id}", (BIZ, SET, MODULE)),
    "search_module": Component(
        "POST",
        "/findmany/module/biz/{bk_biz_id}",
        (BIZ, Field("bk_set_id", "set id", int), *SEARCH),
        ("bk_set_id", *QUERY),
    ),
    "search_set": Component("POST", "/set/search/{bk_supplier_account}/{bk_biz_id}", (BIZ, *SEARCH), QUERY),
    "search_business": Component("POST", "/biz/search/{bk_supplier_account}", SEARCH, QUERY),
    "find_module_batch": Component("POST", "/findmany/module/bk_biz_id/{bk_biz_id}", body=("*",)),
    "find_module_with_relation": Component("POST", "/findmany/module/with_relation/biz/{bk_biz_id}", body=("*",)),
    "find_set_batch": Component("POST", "/findmany/set/bk_biz_id/{bk_biz_id}", body=("*",)),
    "get_biz_internal_module": Component("GET", "/topo/internal/{bk_supplier_account}/{bk_biz_id}", (BIZ,)),
    "search_biz_inst_topo": Component("POST", "/find/topoinst/biz/{bk_biz_id}", (BIZ,)),
    "search_object_attribute": Component("POST", "/find/objectattr", body=("*",)),
}
