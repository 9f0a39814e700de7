"""Listing and filtering give the same modules, positions, pages and errors as the reference implementation."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any, Final
from unittest import mock

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from marshmallow import ValidationError

from gateway.backends.projectman import schemas, tree
from gateway.backends.projectman.adapter import ProjectManBackend
from gateway.backends.projectman.schemas import ModuleSource, load_module
from gateway.backends.projectman.tree import NodeFilter
from gateway.domain.backend import CallContext
from gateway.domain.errors import BackendReplyInvalid
from gateway.domain.module import Module, ModuleDraft, ModuleQuery
from tests.unit.backends.connections import PM_NODE, PROJECT
from tests.unit.backends.projectman.service_stub import DRAFT, ServiceStub, node

_OWNER: Final = PM_NODE["owner"]
_REQUIRED_FIELDS: Final[dict[str, Any]] = {
    "module_id": st.integers(1, 12),
    "module_name": st.sampled_from(["a", "b", "None"]),
}
_OPTIONAL_FIELDS: Final[dict[str, Any]] = {
    "owner": st.sampled_from([None, {}, _OWNER, {"user_id": None}]),
    "parent_module_id": st.none() | st.integers(0, 14),
    "deepth": st.none() | st.integers(0, 3),
    "is_parent": st.none() | st.booleans(),
    "description": st.none() | st.just("d"),
}
#: Values of another type or size than documented; the schema accepts some of them.
_UNUSUAL_VALUES: Final[dict[str, tuple[Any, ...]]] = {
    "module_id": ("3", 4.0, True, 1.5, 0, -1, 2**63, 2**63 - 1, None, "x"),
    "module_name": (None, 7, "", " a "),
    "owner": ("me", 7, [], {"user_id": 7}, {"user_name": {}}, {"nick_name": []}),
    "parent_module_id": ("3", "", 2.0, 2.5, True, "x", -3, 2**70),
    "deepth": ("2", 1.0, True, "deep"),
    "is_parent": ("true", 0, 1, "no", 7),
    "description": (7, {}),
}
UNUSUAL: Final = [(key, value) for key, values in _UNUSUAL_VALUES.items() for value in values]
_NO_CHILDREN: Final = st.sampled_from([None, "none", 7, {"a": 1}])
_NOT_A_NODE: Final[st.SearchStrategy[Any]] = st.sampled_from(
    [None, 7, "text", [], {}, {"module_id": 1}, {"module_name": "m"}]
)

_NODE: Final = st.fixed_dictionaries(_REQUIRED_FIELDS, optional=_OPTIONAL_FIELDS)
_UNUSUAL_NODE: Final = st.builds(lambda node, item: {**node, item[0]: item[1]}, _NODE, st.sampled_from(UNUSUAL))


def _trees(nodes: st.SearchStrategy[Any], no_children: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    """Nest nodes in nodes."""

    def extend(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
        children = st.lists(inner, max_size=4) | no_children
        return st.builds(lambda node, below: {**node, "children": below}, _NODE, children)

    return st.recursive(nodes, extend, max_leaves=8)


_DOCUMENTED: Final = _trees(_NODE, st.just([]))
_ANY: Final = _trees(_NODE | _NODE | _NODE | _UNUSUAL_NODE | _NOT_A_NODE, _NO_CHILDREN)
#: Most nodes are as documented, so that the nodes after an unusual one are also checked.
PAGES: Final = st.lists(_DOCUMENTED, max_size=9) | st.lists(_DOCUMENTED | _DOCUMENTED | _ANY, max_size=9)


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


_PAGE: Final = 3  # a few nodes are several pages
_INVALID: Final = "invalid"
_shared_fixtures = settings(suppress_health_check=[HealthCheck.function_scoped_fixture])


@given(PAGES)
@example([node(1, node(2, parent_module_id=98), node(3, parent_module_id=99), node(4, parent_module_id=98))])
def test_a_page_is_flattened_like_the_reference(nodes: list[Any]) -> None:
    """Order, position, depth, children and every field: nested, with other parents, repeated, or not nodes at all."""
    assert _or_invalid(lambda: tree.flatten_tree(SOURCE, nodes)) == _or_invalid(lambda: flatten(nodes))


@given(PAGES, st.sampled_from([("module_id", str(number)) for number in range(14)]))
def test_a_filter_by_id_matches_the_same_nodes(nodes: list[Any], node_filter: tree.NodeFilter) -> None:
    """Top-level nodes that have the id or contain it."""
    assert tree.filter_subtrees(nodes, node_filter) == filter_nodes(nodes, node_filter)


@given(PAGES, st.sampled_from([("module_name", name) for name in ("a", "b", "None", "")]))
@example([{"module_id": 1}, {"module_id": 2, "module_name": None}], ("module_name", "None"))
def test_a_filter_by_name_matches_the_same_nodes(nodes: list[Any], node_filter: tree.NodeFilter) -> None:
    """Names too, among them "None", as which a missing name reads."""
    assert tree.filter_subtrees(nodes, node_filter) == filter_nodes(nodes, node_filter)


@_shared_fixtures
@given(
    nodes=PAGES,
    parent=st.none() | st.sampled_from(["1", "2", "99"]),
    name=st.none() | st.sampled_from(["a", "b"]),
    size=st.integers(1, 5),
    cursor=st.tuples(st.sampled_from([0, _PAGE]), st.integers(0, 4)),
)
def test_a_list_equals_the_reference(
    nodes: list[Any],
    parent: str | None,
    name: str | None,
    size: int,
    cursor: tuple[int, int],
    backend: ProjectManBackend,
    service: ServiceStub,
    call: CallContext,
) -> None:
    """Modules and next cursor, for every filter and cursor; a page with an invalid node is refused as a whole."""
    service.nodes = nodes
    query = ModuleQuery(scope=PROJECT, parent=parent, name=name)

    def list_in_adapter() -> ListResult:
        page = backend.list(query, size, f"{cursor[0]}.{cursor[1]}", call)
        return list(page.modules), page.next_cursor

    with _small_pages():
        assert _or_invalid(list_in_adapter) == _or_invalid(lambda: list_modules(nodes, query, size, cursor, page=_PAGE))


@_shared_fixtures
@given(nodes=PAGES, name=st.sampled_from(["a", "b", "None"]))
def test_a_search_for_a_name_equals_the_reference(
    nodes: list[Any], name: str, backend: ProjectManBackend, service: ServiceStub, call: CallContext
) -> None:
    """On every page, in the top-level nodes that contain the name; what is not a node is refused for every name.

    A page that repeats earlier ids ends the list, which is then incomplete and no evidence.
    """
    service.nodes = nodes
    draft = ModuleDraft(scope=PROJECT, parent=None, name=name)
    with _small_pages():
        found = _or_invalid(lambda: [*backend.find_by_natural_key(draft, call)])
        expected = _or_invalid(lambda: find(nodes, name, page=_PAGE))
    ids = {str(node.get("module_id")) for node in nodes if isinstance(node, dict)}
    assert found == expected or (found is _INVALID and len(ids) < len(nodes))


@contextmanager
def _small_pages() -> Iterator[None]:
    with (
        mock.patch("gateway.backends.projectman.client.PAGE_SIZE", _PAGE),
        mock.patch("gateway.backends.projectman.lookups.PAGE_SIZE", _PAGE),
    ):
        yield


def _or_invalid(load: Callable[[], Any]) -> Any:
    try:
        return load()
    except (ValidationError, BackendReplyInvalid):
        return _INVALID


def _top_level_nodes_with_a_child() -> list[dict[str, Any]]:
    """150 top-level nodes, each with a child that names its parent and has no `children`, as documented."""
    child = {**PM_NODE, "module_name": "c", "deepth": 2}
    del child["children"]
    return [
        node(top, {**child, "module_id": top + 1000, "parent_module_id": top}, is_parent=True) for top in range(1, 151)
    ]


@pytest.mark.parametrize(("cursor", "first"), [(None, "1"), ("0.40", "21"), ("100.20", "111")])
def test_a_cursor_may_point_into_a_page(
    backend: ProjectManBackend, service: ServiceStub, call: CallContext, cursor: str | None, first: str
) -> None:
    """The list continues at the module that the cursor names."""
    service.nodes = _top_level_nodes_with_a_child()
    page = backend.list(ModuleQuery(scope=PROJECT), 10, cursor, call)
    assert (len(page.modules), page.modules[0].native_id) == (10, first)


def test_a_read_loads_only_the_subtree_that_contains_the_module(
    backend: ProjectManBackend, service: ServiceStub, call: CallContext
) -> None:
    """Of 300 modules a get loads two, the top-level node and the child, and a search for an unused name none."""
    service.nodes = _top_level_nodes_with_a_child()
    with mock.patch.object(tree, "load_module", wraps=schemas.load_module) as load_module:
        assert backend.get(f"{PROJECT}.1120", call).name == "c"
        assert load_module.call_count == 2
        assert backend.find_by_natural_key(DRAFT, call) == ()
        assert load_module.call_count == 2


def test_an_invalid_node_behind_the_requested_ones_is_refused(
    backend: ProjectManBackend, service: ServiceStub, call: CallContext
) -> None:
    """At the end of the page, after the module that is returned."""
    service.nodes = [*(node(number) for number in range(1, 100)), {"module_id": 100}]
    with pytest.raises(BackendReplyInvalid):
        backend.list(ModuleQuery(scope=PROJECT), 1, None, call)


def test_the_first_of_two_nodes_with_one_id_counts(
    backend: ProjectManBackend, service: ServiceStub, call: CallContext
) -> None:
    """On one page, and on two."""
    service.nodes = [node(1, module_name="first"), node(1, module_name="second"), *map(node, range(2, 101))]
    service.nodes[-1]["module_name"] = "third"
    service.nodes.append(node(1, module_name="fourth"))
    modules = backend.list(ModuleQuery(scope=PROJECT), 200, None, call).modules
    assert [module.name for module in modules if module.native_id == "1"] == ["first"]
    assert len(modules) == 100


#: By the position in UNUSUAL: the field that is loaded and its value; every other unusual value is invalid.
LOADED: Final[dict[tuple[str, str], tuple[str, Any]]] = {
    ("module_id", "'3'"): ("native_id", "3"),
    ("module_id", "4.0"): ("native_id", "4"),
    ("module_id", str(2**63 - 1)): ("native_id", str(2**63 - 1)),
    ("module_name", "''"): ("name", ""),
    ("module_name", "' a '"): ("name", " a "),
    ("parent_module_id", "'3'"): ("parent", "3"),
    ("parent_module_id", "2.0"): ("parent", "2"),
    ("parent_module_id", "-3"): ("parent", "-3"),
    ("parent_module_id", str(2**70)): ("parent", str(2**70)),
    ("deepth", "'2'"): ("depth", 2),
    ("deepth", "1.0"): ("depth", 1),
    ("is_parent", "'true'"): ("has_children", True),
    ("is_parent", "0"): ("has_children", False),
    ("is_parent", "1"): ("has_children", True),
    ("is_parent", "'no'"): ("has_children", False),
}


@pytest.mark.parametrize(("key", "value"), UNUSUAL, ids=repr)
def test_an_unusual_value_is_converted_or_refused(key: str, value: Any) -> None:
    """Digits and whole numbers are integers; nothing is rounded, because 1.5 is not the id of module 1."""
    expected = LOADED.get((key, repr(value)))
    if expected is None:
        with pytest.raises(ValidationError):
            load_module(SOURCE, {**PM_NODE, key: value})
    else:
        assert getattr(load_module(SOURCE, {**PM_NODE, key: value}), expected[0]) == expected[1]
