"""The tree told the plain way, as a rule to hold the quick one against: every node is read first, then placed."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import replace
from typing import Any, Final

from gateway.backends.projectman.schemas import Origin, read_module
from gateway.backends.projectman.tree import Holding
from gateway.domain.module import Module, ModuleQuery
from tests.unit.backends.connections import PROJECT

ORIGIN: Final = Origin("projectman", PROJECT)

Answer = tuple[list[Module], str | None]


def flatten(nodes: list[Any]) -> list[Module]:
    """Read and place the nodes of a page; raises ValueError where one is none."""
    return [module for node in nodes for module in _branch(node)]


def held(nodes: list[Any], holding: Holding) -> list[Any]:
    """Return the nodes that hold what is looked for, themselves or below, and what is no node."""
    field, value = holding
    return [node for node in nodes if any(_says(each, field, value) for each in _all(node))]


def answer(nodes: list[Any], query: ModuleQuery, size: int, cursor: tuple[int, int], *, page: int) -> Answer:
    """List a project whose service shows `page` nodes at a time; raises ValueError where a page shows what is none."""
    offset, skip = cursor
    found: list[Module] = []
    for at, modules in _pages(nodes, offset, page):
        for index, module in enumerate(modules):
            if (at > offset or index >= skip) and _fits(module, query):
                if len(found) == size:
                    return found, f"{at}.{index}"
                found.append(module)
    return found, None


def find(nodes: list[Any], name: str, *, page: int) -> list[Module]:
    """Read the branches that hold a name; raises ValueError where one of them holds what is none."""
    pages = _pages(nodes, 0, page, ("module_name", name))
    return [module for _, modules in pages for module in modules if module.name == name]


def _pages(
    nodes: list[Any], offset: int, page: int, holding: Holding | None = None
) -> Iterator[tuple[int, list[Module]]]:
    """Show every module once, to the end or to a page that shows no top that is new."""
    seen: set[str] = set()
    for at in range(offset, max(len(nodes), offset + 1), page):
        shown = nodes[at : at + page]
        yield at, _unseen(flatten(held(shown, holding) if holding else shown), seen)
        if {_top(node) for node in shown} <= {_top(node) for node in nodes[offset:at]}:
            return


def _branch(node: Any) -> list[Module]:
    top = read_module(ORIGIN, node)
    modules = {top.native_id: top}
    around = [(child, top.native_id) for child in _children(node)]
    while around:
        child, parent = around.pop(0)
        module = read_module(ORIGIN, child)
        if module.native_id not in modules:
            modules[module.native_id] = replace(module, parent=module.parent or parent)
            around += [(grandchild, module.native_id) for grandchild in _children(child)]
    below: dict[str, list[Module]] = {native_id: [] for native_id in modules}
    strays: dict[str | None, list[Module]] = {}
    for module in list(modules.values())[1:]:
        (below if module.parent in below else strays).setdefault(module.parent or "", []).append(module)
    below[top.native_id] += itertools.chain(*strays.values())
    return _depth_first(top, below, 1)


def _depth_first(top: Module, below: dict[str, list[Module]], level: int) -> list[Module]:
    children = below[top.native_id]
    module = replace(
        top,
        depth=top.depth or level,
        has_children=bool(children or top.has_children),
        unavailable=tuple(name for name in top.unavailable if name != "depth"),
    )
    return [module, *(each for child in children for each in _depth_first(child, below, level + 1))]


def _all(node: Any) -> Iterator[Any]:
    yield node
    for child in _children(node):
        yield from _all(child)


def _says(node: Any, field: str, value: str) -> bool:
    return not isinstance(node, dict) or str(node.get(field)) == value


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


def _fits(module: Module, query: ModuleQuery) -> bool:
    return query.parent in {None, module.parent} and query.name in {None, module.name}


def _top(node: Any) -> str:
    return str(node.get("module_id"))
