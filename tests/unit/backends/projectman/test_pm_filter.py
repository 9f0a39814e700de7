"""A filter keeps the top-level nodes that contain a module, and the module loaded from them is the same."""

from __future__ import annotations

import itertools
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from marshmallow import ValidationError

from gateway.backends.projectman.schemas import ModuleSource
from gateway.backends.projectman.tree import filter_subtrees, flatten_tree
from gateway.domain.module import Module

SOURCE = ModuleSource("pm", "0792b7d26cb74bd799cbae80063dc74a")


def _numbered(shape: list[Any], ids: itertools.count[int]) -> list[dict[str, Any]]:
    """Return one node for each list of the shape, with its lists as children; three names alternate."""
    nodes = []
    for below in shape:
        number = next(ids)
        children = _numbered(below, ids)
        nodes.append({"module_id": number, "module_name": f"m{number % 3}", "children": children})
    return nodes


def _load(nodes: list[Any]) -> list[Module]:
    return flatten_tree(SOURCE, nodes)


_SHAPES: st.SearchStrategy[Any] = st.recursive(
    st.just([]), lambda inner: st.lists(inner, max_size=4), max_leaves=12
).filter(lambda shape: isinstance(shape, list))


@given(_SHAPES)
def test_a_filtered_page_gives_the_same_modules(shape: list[Any]) -> None:
    """Each module, filtered by id or by name, has the position, depth and children that it has in the whole page."""
    nodes = _numbered(shape, itertools.count(1))
    modules = _load(nodes)
    for module in modules:
        by_id = _load(filter_subtrees(nodes, ("module_id", module.native_id)))
        assert [match for match in by_id if match.native_id == module.native_id] == [module]
        by_name = _load(filter_subtrees(nodes, ("module_name", module.name)))
        expected = [other for other in modules if other.name == module.name]
        assert [match for match in by_name if match.name == module.name] == expected


def test_other_top_level_nodes_are_left_out() -> None:
    """One of a hundred nodes is left."""
    nodes = _numbered([[]] * 100, itertools.count(1))
    assert [node["module_id"] for node in filter_subtrees(nodes, ("module_id", "42"))] == [42]
    assert filter_subtrees(nodes, ("module_id", "101")) == []
    assert filter_subtrees(nodes, None) is nodes


@pytest.mark.parametrize("value", [None, 7, "text", [], {"module_id": 1, "children": [None]}])
def test_what_is_not_a_node_is_kept_and_refused(value: Any) -> None:
    """An invalid page does not prove that a module is missing."""
    nodes = filter_subtrees([value], ("module_id", "42"))
    assert nodes == [value]
    with pytest.raises(ValidationError):
        flatten_tree(SOURCE, nodes)
