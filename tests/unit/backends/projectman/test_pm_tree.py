"""Flattening of ProjectMan's tree: both possible shapes of `children`, and invalid trees."""

from __future__ import annotations

import json
from typing import Any, Final

import pytest

from gateway.backends.projectman.adapter import ProjectManBackend
from gateway.backends.projectman.schemas import ModuleSource
from gateway.backends.projectman.tree import flatten_tree
from gateway.domain.backend import CallContext
from gateway.domain.errors import BackendReplyInvalid
from gateway.domain.module import Module, ModuleQuery, Owner
from gateway.transport import UpstreamResponse
from tests.unit.backends.connections import OWNER, PROJECT
from tests.unit.backends.projectman.service_stub import ServiceStub, node

Shape = list[tuple[str, str | None, int | None]]


def flat(*nodes: Any) -> list[Module]:
    return flatten_tree(ModuleSource("projectman", PROJECT), list(nodes))


def shape(modules: list[Module]) -> Shape:
    return [(module.native_id, module.parent, module.depth) for module in modules]


def bare(number: int, *children: dict[str, Any], **fields: Any) -> dict[str, Any]:
    """Return a node without depth and parent, unless they are among `fields`."""
    return {"module_id": number, "module_name": "m", "children": [*children], **fields}


_EXPECTED: Final[Shape] = [
    ("1", None, 1),
    ("2", "1", 2),
    ("3", "2", 3),
    ("4", "2", 3),
    ("5", "1", 2),
    ("6", None, 1),
]


def test_nested_children_are_flattened_depth_first() -> None:
    """Each level inside the one above: parents before children, in the order of the response."""
    nodes = [bare(1, bare(2, bare(3), bare(4)), bare(5)), bare(6)]
    assert shape(flat(*nodes)) == _EXPECTED


def test_a_flat_list_of_descendants_is_the_same_tree() -> None:
    """documented: projectman.md §2: children may contain all descendants, each with its parent, in any order."""
    below = [
        bare(3, parent_module_id=2),
        bare(5, parent_module_id=1),
        bare(2, parent_module_id=1),
        bare(4, parent_module_id=2),
    ]
    actual = shape(flat(bare(1, *below), bare(6)))
    assert sorted(actual) == sorted(_EXPECTED)
    order = [native_id for native_id, _, _ in actual]
    assert all(parent is None or order.index(parent) < order.index(native_id) for native_id, parent, _ in actual)


@pytest.mark.parametrize("children", [None, [], "none", 7, {}])
def test_children_that_are_not_a_list_are_ignored(children: Any) -> None:
    """documented: projectman.md §6, 14: null is tolerated, and so is a missing key."""
    with_key, without = flat({**bare(1), "children": children}, {"module_id": 2, "module_name": "m"})
    assert (with_key.has_children, without.has_children) == (False, False)


def test_a_repeated_node_is_one_module() -> None:
    """documented: projectman.md §2, de-duplicate by id: nested, and again below the top-level node."""
    top = bare(1, bare(2, bare(3)), bare(2), bare(3, parent_module_id=2), bare(1))
    assert shape(flat(top)) == [("1", None, 1), ("2", "1", 2), ("3", "2", 3)]


def test_a_child_repeated_at_the_top_level_is_listed_once(
    service: ServiceStub, backend: ProjectManBackend, call: CallContext
) -> None:
    """A child that is also a top-level node is one module."""
    service.nodes = [bare(1, bare(2)), bare(2, parent_module_id=1), bare(1)]
    page = backend.list(ModuleQuery(scope=PROJECT), 10, None, call)
    assert [module.native_id for module in page.modules] == ["1", "2"]


def test_modules_that_name_each_other_as_parent_are_listed_once_each(
    service: ServiceStub, backend: ProjectManBackend, call: CallContext
) -> None:
    """The search for descendants ends."""
    service.nodes = [bare(1, parent_module_id=2), bare(2, parent_module_id=1)]
    assert backend.descendants(f"{PROJECT}.1", call) == [f"{PROJECT}.2"]


def test_a_child_of_a_missing_parent_is_kept() -> None:
    """It is listed below the top-level node, and keeps the parent that it names."""
    assert shape(flat(bare(1, bare(2), bare(3, parent_module_id=99)))) == [
        ("1", None, 1),
        ("2", "1", 2),
        ("3", "99", 2),
    ]


def test_values_of_the_node_precede_those_of_its_position() -> None:
    """`deepth` and `is_parent` are used if they are present."""
    (module,) = flat(bare(1, deepth=3, is_parent=True))
    assert (module.depth, module.has_children) == (3, True)


def test_deep_nesting_is_flattened_without_recursion() -> None:
    """Five thousand levels are five thousand modules."""
    top = bare(5000)
    for number in range(4999, 0, -1):
        top = bare(number, top)
    modules = flat(top)
    assert [module.native_id for module in modules] == [str(number) for number in range(1, 5001)]
    assert modules[-1].depth == 5000


def test_json_that_is_nested_too_deeply_is_an_invalid_response(
    service: ServiceStub, backend: ProjectManBackend, call: CallContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A document that the parser rejects is an invalid response, not a crash."""
    prefix = '{"module_id": 1, "module_name": "m", "children": ['
    body = f'{{"modules": [{prefix * 5000}{"]}" * 5000}]}}'.encode()
    monkeypatch.setattr(service, "send", lambda *_: UpstreamResponse(200, {}, body, is_write=False))
    with pytest.raises(BackendReplyInvalid):
        backend.list(ModuleQuery(scope=PROJECT), 10, None, call)


def test_a_node_has_owner_and_position_but_no_description_and_no_times() -> None:
    """documented: projectman.md §2: fields that a list never contains are null and unavailable; ids may exceed 2^31."""
    (module,) = flat(node(2**40))
    assert module == Module(
        backend="projectman",
        ref=f"{PROJECT}.{2**40}",
        native_id=str(2**40),
        scope=PROJECT,
        parent=None,
        name=f"m{2**40}",
        owners=(Owner(OWNER, "demo_user_name_06", "模块demo"),),
        depth=1,
        has_children=False,
        unavailable=("description", "created_at", "updated_at"),
    )


@pytest.mark.parametrize("owner", [None, {}, {"user_id": None}, {"user_id": ""}, {"user_name": "nobody"}])
def test_an_owner_without_id_is_none(owner: Any) -> None:
    """documented: projectman.md §6, 14: owner:null is tolerated."""
    (module,) = flat({**bare(1), "owner": owner})
    assert module.owners == ()
    assert "owners" in module.unavailable


@pytest.mark.parametrize(
    "value", [None, [], "m", 7, {}, {"module_id": 1}, {"module_name": "m"}, {"module_id": 1.5, "module_name": "m"}]
)
def test_an_invalid_node_makes_the_page_invalid(
    service: ServiceStub, backend: ProjectManBackend, call: CallContext, value: Any
) -> None:
    """At the top level or below."""
    for nodes in ([value], [{**bare(1), "children": [value]}]):
        service.nodes = nodes
        with pytest.raises(BackendReplyInvalid):
            backend.list(ModuleQuery(scope=PROJECT), 10, None, call)


@pytest.mark.parametrize("body", [None, [], {}, {"modules": None, "total": 3}, {"modules": {}}, {"total": 3}])
def test_a_response_without_modules_is_invalid(
    service: ServiceStub, backend: ProjectManBackend, call: CallContext, monkeypatch: pytest.MonkeyPatch, body: Any
) -> None:
    """documented: projectman.md §4b: the vendor's client takes any other 200 for a success without fields."""
    monkeypatch.setattr(
        service, "send", lambda *_: UpstreamResponse(200, {}, json.dumps(body).encode(), is_write=False)
    )
    with pytest.raises(BackendReplyInvalid):
        backend.list(ModuleQuery(scope=PROJECT), 10, None, call)
