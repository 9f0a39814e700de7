"""The tree that a list shows: flattened, looked through, and read only where somebody asks for a module."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from types import NoneType
from typing import Any, Final, Literal

from gateway.backends.projectman.schemas import Origin, read_module
from gateway.domain.capabilities import INT64_MAX
from gateway.domain.module import Module

#: Of which types the fields of a document are, where it is as usual.
Usual = tuple[tuple[str, tuple[type, ...]], ...]
_USUAL: Final[Usual] = (
    ("module_id", (int,)),
    ("module_name", (str,)),
    ("description", (str, NoneType)),
    ("owner", (dict, NoneType)),
    ("parent_module_id", (int, NoneType)),
    ("deepth", (int, NoneType)),
    ("is_parent", (bool, NoneType)),
)
_USUAL_OWNER: Final[Usual] = tuple((key, (str, NoneType)) for key in ("user_id", "user_name", "nick_name"))

#: A field of a node, and what it must say.
Holding = tuple[Literal["module_id", "module_name"], str]


@dataclass(slots=True, eq=False)
class Listed:
    """A module as a list shows it: told from the others at once, and read where somebody asks for it."""

    origin: Origin
    node: Any
    native_id: str
    parent: str | None
    name: str
    level: int = 1
    has_children: bool = False  # on this page; the node may know of others

    def read(self) -> Module:
        """Read the node; what it does not tell, its place does."""
        module = read_module(self.origin, self.node)
        has_children = self.has_children or bool(module.has_children)
        if module.depth and module.has_children is has_children and module.parent == self.parent:
            return module
        unavailable = tuple(field for field in module.unavailable if field != "depth")
        depth = module.depth or self.level
        return replace(module, parent=self.parent, depth=depth, has_children=has_children, unavailable=unavailable)


def list_tree(origin: Origin, nodes: list[Any]) -> list[Listed]:
    """Flatten the nodes of one page, depth first, parents before children; raises ValueError where one is none.

    Whether `children` holds the next level or all descendants is not documented; both are understood. The parent is
    what the node says, else the node around it.
    """
    listed: list[Listed] = []
    for node in nodes:
        top = _list_one(origin, node)
        has_children = "children" in node and node["children"]
        listed += _depth_first(top, _collect(origin, top)) if has_children else [top]
    return listed


def branches(nodes: list[Any], holding: Holding | None) -> list[Any]:
    """Return the nodes of one page, or those that hold what is looked for, in themselves or below."""
    if holding is None:
        return nodes
    field, value = holding
    return [
        node
        for node in nodes
        if type(node) is not dict  # what is no node is kept, for whoever reads it to refuse
        or str(node[field] if field in node else None) == value  # noqa: SIM401 - a page has a hundred: no calls
        or ("children" in node and node["children"] and _holds(node["children"], field, value))
    ]


def name_tops(nodes: list[Any]) -> set[str]:
    """Return what tells each node of the top level from the others."""
    return {str(node.get("module_id")) for node in nodes}


def _holds(children: Any, field: str, value: str) -> bool:
    """Look through a branch as it came; what is no node counts as found."""
    waiting = [*children] if type(children) is list else []
    for each in waiting:  # grows while it is walked
        if type(each) is not dict or str(each.get(field)) == value:
            return True
        if "children" in each:
            waiting += _children(each)
    return False


def _list_one(origin: Origin, node: Any) -> Listed:
    """Tell a node from others, and read it only where there is doubt that it can be read; raises ValueError."""
    if _is_usual(node):
        parent = node["parent_module_id"] if "parent_module_id" in node else None  # noqa: SIM401 - no calls
        return Listed(origin, node, str(node["module_id"]), str(parent) if parent else None, node["module_name"])
    module = read_module(origin, node)
    return Listed(origin, node, module.native_id, module.parent, module.name)


def _is_usual(node: Any) -> bool:
    """Tell whether nothing in a node could keep it from being read."""
    if type(node) is not dict or "module_id" not in node or "module_name" not in node:
        return False
    if not _fits(node, _USUAL) or not 0 < node["module_id"] <= INT64_MAX:
        return False
    return "owner" not in node or node["owner"] is None or _fits(node["owner"], _USUAL_OWNER)


def _fits(document: Mapping[str, Any], usual: Usual) -> bool:
    for key, types in usual:  # noqa: SIM110 - no generator for each of a hundred nodes
        if key in document and type(document[key]) not in types:
            return False
    return True


def _collect(origin: Origin, top: Listed) -> dict[str, list[Listed]]:
    """List all that is below a node, each under its parent's id."""
    below: dict[str, list[Listed]] = {}
    known = {top.native_id}
    waiting = [(child, top.native_id) for child in _children(top.node)]
    for child, around in waiting:  # grows while it is walked
        each = _list_one(origin, child)
        if each.native_id in known:
            continue
        known.add(each.native_id)
        each.parent = each.parent or around
        below.setdefault(each.parent, []).append(each)
        children = _children(child)
        if children:
            waiting += [(grandchild, each.native_id) for grandchild in children]
    for parent in [parent for parent in below if parent not in known]:
        # A parent that the page does not show: its children stand under the top.
        below.setdefault(top.native_id, []).extend(below.pop(parent))
    return below


def _depth_first(top: Listed, below: Mapping[str, list[Listed]]) -> list[Listed]:
    listed: list[Listed] = []
    waiting = [top]
    while waiting:
        each = waiting.pop()
        listed.append(each)
        if each.native_id in below:
            each.has_children = True
            for child in below[each.native_id]:
                child.level = each.level + 1
            waiting += reversed(below[each.native_id])
    return listed


def _children(node: Any) -> list[Any]:
    children = node["children"] if type(node) is dict and "children" in node else None
    return children if type(children) is list else []
