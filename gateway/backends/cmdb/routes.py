"""The two ways to CMDB: the ESB (POST everywhere, ids in the body) and the API gateway (REST, ids in the path)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final, NamedTuple


@dataclass(frozen=True, slots=True)
class Place:
    """Where in the topology: business, set and module, 0 for *any*."""

    biz: int
    set: int = 0
    module: int = 0


class Target(NamedTuple):
    """What to send where."""

    method: str
    path: str
    body: Mapping[str, Any] | None


_Route = Callable[[Place, Mapping[str, Any]], Target]


def _esb(component: str, *keys: str, nested: bool = False) -> _Route:
    """Build a component's call: the ids that are not 0 under their names, the payload nested in `data` or beside."""

    def target(place: Place, payload: Mapping[str, Any]) -> Target:
        ids: dict[str, Any] = {"bk_biz_id": place.biz, "bk_set_id": place.set, "bk_module_id": place.module}
        body = {key: ids[key] for key in keys if ids[key]}
        body |= {"data": payload} if nested else payload
        return Target("POST", f"/api/c/compapi/v2/cc/{component}/", body)

    return target


def _apigw(method: str, path: str, *, body: bool = True) -> _Route:
    """Build a resource's call: the ids in the path, the payload flat."""

    def target(place: Place, payload: Mapping[str, Any]) -> Target:
        return Target(method, path.format(biz=place.biz, set=place.set, module=place.module), payload if body else None)

    return target


#: The supplier account in the API gateway's paths is cosmetic; 0 is the one there is.
ROUTES: Final[Mapping[str, Mapping[str, _Route]]] = {
    "esb": {
        "create": _esb("create_module", "bk_biz_id", "bk_set_id", nested=True),
        "update": _esb("update_module", "bk_biz_id", "bk_set_id", "bk_module_id", nested=True),
        "delete": _esb("delete_module", "bk_biz_id", "bk_set_id", "bk_module_id"),
        "search": _esb("search_module", "bk_biz_id", "bk_set_id"),
        "search_set": _esb("search_set", "bk_biz_id"),
    },
    "apigw": {
        "create": _apigw("POST", "/api/v3/module/{biz}/{set}"),
        "update": _apigw("PUT", "/api/v3/module/{biz}/{set}/{module}"),
        "delete": _apigw("DELETE", "/api/v3/module/{biz}/{set}/{module}", body=False),
        "search": _apigw("POST", "/api/v3/module/search/0/{biz}/{set}"),
        "search_set": _apigw("POST", "/api/v3/set/search/0/{biz}"),
    },
}
WRITES: Final = frozenset({"create", "update", "delete"})
