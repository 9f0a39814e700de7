"""The tree of modules: the nodes of a page, filtered and flattened depth first, and the subtree of a module."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, Literal

from gateway.backends.projectman.schemas import ModuleSource, load_module
from gateway.domain.errors import ModuleNotFound
from gateway.domain.module import Module

#: A field of a node, and its value as text.
NodeFilter = tuple[Literal["module_id", "module_name"], str]


def flatten_tree(source: ModuleSource, nodes: list[Any]) -> list[Module]:
    """Return the modules of a page, parents before children; raises ValidationError if a node is not a module.

    The documentation does not say whether `children` contains the next level or all descendants; both are accepted.
    The parent of a module is the one that its node names, or else the node that encloses it.
    """
    modules: list[Module] = []
    for node in nodes:
        top = load_module(source, node)
        modules += _depth_first(top, _group_by_parent(source, node, top))
    return modules


def filter_subtrees(nodes: list[Any], node_filter: NodeFilter | None) -> list[Any]:
    """Return the top-level nodes that match the filter or have a descendant that does; without a filter, all.

    What is not a node matches every filter, so that loading it raises ValidationError.
    """
    return nodes if node_filter is None else [node for node in nodes if _subtree_contains(node, *node_filter)]


def count_nodes(nodes: list[Any]) -> int:
    """Return the number of nodes, with all descendants."""
    queue = list(nodes)
    for node in queue:  # grows during the iteration
        queue += _child_nodes(node) if isinstance(node, dict) else []
    return len(queue)


def top_level_ids(nodes: list[Any]) -> set[str]:
    """Return the ids of the top-level nodes."""
    return {str(node.get("module_id")) for node in nodes}


def subtree_of(modules: Sequence[Module], native_id: str) -> Sequence[Module]:
    """Return a module and its descendants, parents first; raises ModuleNotFound."""
    children: dict[str | None, list[Module]] = {}
    for module in modules:
        children.setdefault(module.parent, []).append(module)
    subtree = [module for module in modules if module.native_id == native_id]
    if not subtree:
        raise ModuleNotFound
    for module in subtree:  # grows during the iteration
        # Popped, because two modules that name each other as parent would be added without end.
        subtree += [child for child in children.pop(module.native_id, []) if child.native_id != native_id]
    return subtree


def _subtree_contains(top: Any, field: str, value: str) -> bool:
    """Return whether a node or a descendant has the value, or is not a node at all."""
    queue = [top]
    for node in queue:  # grows during the iteration
        if not isinstance(node, dict) or str(node.get(field)) == value:
            return True
        queue += _child_nodes(node)
    return False


def _group_by_parent(source: ModuleSource, top_node: Any, top: Module) -> dict[str | None, list[Module]]:
    """Group a top-level node's descendants by parent id; a repeated id is ignored."""
    groups: dict[str | None, list[Module]] = {}
    known_ids = {top.native_id}
    queue = [(child, top.native_id) for child in _child_nodes(top_node)]
    for node, enclosing_id in queue:  # grows during the iteration
        module = load_module(source, node)
        if module.native_id in known_ids:
            continue
        known_ids.add(module.native_id)
        if module.parent is None:
            module = replace(module, parent=enclosing_id)
        groups.setdefault(module.parent, []).append(module)
        queue += [(child, module.native_id) for child in _child_nodes(node)]
    # The children of a parent that is not in this tree are listed below the top-level node.
    for unknown_parent in [parent for parent in groups if parent not in known_ids]:
        groups.setdefault(top.native_id, []).extend(groups.pop(unknown_parent))
    return groups


def _depth_first(top: Module, groups: Mapping[str | None, list[Module]]) -> list[Module]:
    """Return a top-level module and its descendants, each with its position in the tree."""
    modules: list[Module] = []
    stack = [(top, 1)]
    while stack:
        module, level = stack.pop()
        children = groups.get(module.native_id, ())
        modules.append(_fill_in_position(module, level, has_children=bool(children or module.has_children)))
        stack += [(child, level + 1) for child in reversed(children)]
    return modules


def _fill_in_position(module: Module, level: int, *, has_children: bool) -> Module:
    """Fill in what the node leaves out and its position determines."""
    if module.depth and module.has_children is has_children:
        return module
    unavailable = tuple(field for field in module.unavailable if field != "depth")
    return replace(module, depth=module.depth or level, has_children=has_children, unavailable=unavailable)


def _child_nodes(node: Mapping[str, Any]) -> list[Any]:
    children = node.get("children")
    return children if isinstance(children, list) else []
