"""Looking for one module in a page of many: only its branch is read, and it is the same module."""

from __future__ import annotations

import itertools
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.backends.projectman.schemas import Origin
from gateway.backends.projectman.tree import branches, list_tree
from gateway.domain.module import Module

ORIGIN = Origin("pm", "0792b7d26cb74bd799cbae80063dc74a")


def _numbered(shape: list[Any], ids: itertools.count[int]) -> list[dict[str, Any]]:
    """Make nodes of a shape: a list for each node, of those below it; every third name is there twice."""
    nodes = []
    for below in shape:
        number = next(ids)
        children = _numbered(below, ids)
        nodes.append({"module_id": number, "module_name": f"m{number % 3}", "children": children})
    return nodes


def _read(nodes: list[Any]) -> list[Module]:
    return [each.read() for each in list_tree(ORIGIN, nodes)]


_SHAPES: st.SearchStrategy[Any] = st.recursive(
    st.just([]), lambda inner: st.lists(inner, max_size=4), max_leaves=12
).filter(lambda shape: isinstance(shape, list))


@given(_SHAPES)
def test_the_branch_tells_what_the_page_tells(shape: list[Any]) -> None:
    """Each module, looked for by id or by name, is what reading everything finds: place, depth, children and all."""
    nodes = _numbered(shape, itertools.count(1))
    everything = _read(nodes)
    for module in everything:
        by_id = _read(branches(nodes, ("module_id", module.native_id)))
        assert [each for each in by_id if each.native_id == module.native_id] == [module]
        by_name = _read(branches(nodes, ("module_name", module.name)))
        wanted = [each for each in everything if each.name == module.name]
        assert [each for each in by_name if each.name == module.name] == wanted


def test_nothing_but_its_branch_is_read() -> None:
    """Of a hundred nodes one is left; what nobody looks for costs nothing."""
    nodes = _numbered([[]] * 100, itertools.count(1))
    assert [node["module_id"] for node in branches(nodes, ("module_id", "42"))] == [42]
    assert branches(nodes, ("module_id", "101")) == []
    assert branches(nodes, None) is nodes


@pytest.mark.parametrize("nonsense", [None, 7, "text", [], {"module_id": 1, "children": [None]}])
def test_what_is_no_node_is_not_passed_over(nonsense: Any) -> None:
    """It is left for the reader, who refuses it: a page that makes no sense proves nothing about a module."""
    kept = branches([nonsense], ("module_id", "42"))
    assert kept == [nonsense]
    with pytest.raises(ValueError, match=r"."):
        list_tree(ORIGIN, kept)
