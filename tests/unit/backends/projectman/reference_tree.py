"""A reference implementation of the tree, as simple as possible; the tests compare the adapter with it."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import replace
from typing import Any, Final

from gateway.backends.projectman.schemas import ModuleSource, load_module
from gateway.backends.projectman.tree import NodeFilter
from gateway.domain.module import Module, ModuleQuery
from tests.unit.backends.connections import PROJECT

SOURCE: Final = ModuleSource("projectman", PROJECT)

ListResult = tuple[list[Module], str | None]


def flatten(nodes: list[Any]) -> list[Module]:
    """Return the modules of a page; raises ValidationError if a node is not a module."""
    return [module for node in nodes for module in _subtree(node)]


def filter_nodes(nodes: list[Any], node_filter: NodeFilter) -> list[Any]:
    """Return the nodes that match or have a descendant that does; what is not a node matches."""
    field, value = node_filter
    return [
        node
        for node in nodes
        if any(not isinstance(item, dict) or str(item.get(field)) == value for item in _walk(node))
    ]


def list_modules(nodes: list[Any], query: ModuleQuery, size: int, cursor: tuple[int, int], *, page: int) -> ListResult:
    """Return a page of ours, from a service with `page` nodes on a page of its own."""
    offset, skip = cursor
    result: list[Module] = []
    for page_offset, modules in _pages(nodes, offset, page):
        for index, module in enumerate(modules):
            matches = query.parent in {None, module.parent} and query.name in {None, module.name}
            if (page_offset > offset or index >= skip) and matches:
                if len(result) == size:
                    return result, f"{page_offset}.{index}"
                result.append(module)
    return result, None


def find(nodes: list[Any], name: str, *, page: int) -> list[Module]:
    """Return the modules with a name; only top-level nodes that contain the name are loaded."""
    pages = _pages(nodes, 0, page, ("module_name", name))
    return [module for _, modules in pages for module in modules if module.name == name]


def _pages(
    nodes: list[Any], offset: int, page: int, node_filter: NodeFilter | None = None
) -> Iterator[tuple[int, list[Module]]]:
    """Yield every module once, up to the end or to a page without a new top-level node."""
    seen: set[str] = set()
    for page_offset in range(offset, max(len(nodes), offset + 1), page):
        page_nodes = nodes[page_offset : page_offset + page]
        matching = filter_nodes(page_nodes, node_filter) if node_filter else page_nodes
        yield page_offset, _unseen(flatten(matching), seen)
        earlier = {str(node.get("module_id")) for node in nodes[offset:page_offset]}
        if {str(node.get("module_id")) for node in page_nodes} <= earlier:
            return


def _subtree(node: Any) -> list[Module]:
    top = load_module(SOURCE, node)
    modules = {top.native_id: top}
    queue = [(child, top.native_id) for child in _children(node)]
    while queue:
        child, parent = queue.pop(0)
        module = load_module(SOURCE, child)
        if module.native_id not in modules:
            modules[module.native_id] = replace(module, parent=module.parent or parent)
            queue += [(grandchild, module.native_id) for grandchild in _children(child)]
    groups: dict[str, list[Module]] = {native_id: [] for native_id in modules}
    orphans: dict[str | None, list[Module]] = {}
    for module in list(modules.values())[1:]:
        (groups if module.parent in groups else orphans).setdefault(module.parent or "", []).append(module)
    groups[top.native_id] += itertools.chain(*orphans.values())
    return _depth_first(top, groups, 1)


def _depth_first(top: Module, groups: dict[str, list[Module]], level: int) -> list[Module]:
    children = groups[top.native_id]
    module = replace(
        top,
        depth=top.depth or level,
        has_children=bool(children or top.has_children),
        unavailable=tuple(name for name in top.unavailable if name != "depth"),
    )
    return [module, *(module for child in children for module in _depth_first(child, groups, level + 1))]


def _walk(node: Any) -> Iterator[Any]:
    yield node
    for child in _children(node):
        yield from _walk(child)


def _children(node: Any) -> list[Any]:
    children = node.get("children") if isinstance(node, dict) else None
    return children if isinstance(children, list) else []


def _unseen(modules: list[Module], seen: set[str]) -> list[Module]:
    unseen = []
    for module in modules:
        if module.native_id not in seen:
            seen.add(module.native_id)
            unseen.append(module)
    return unseen
