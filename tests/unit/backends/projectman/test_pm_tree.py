"""ProjectMan's tree, flattened: both shapes that the facts leave open, and what no tree should be."""

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


def bare(number: int, *children: dict[str, Any], **told: Any) -> dict[str, Any]:
    """Return a node that tells no depth and no parent by itself."""
    return {"module_id": number, "module_name": "m", "children": [*children], **told}


_EXPECTED: Final[Shape] = [
    ("1", None, 1),
    ("2", "1", 2),
    ("3", "2", 3),
    ("4", "2", 3),
    ("5", "1", 2),
    ("6", None, 1),
]


def test_nested_children_are_flattened_depth_first() -> None:
    """Each level inside the one above: parents before children, in the order of the reply."""
    told = [bare(1, bare(2, bare(3), bare(4)), bare(5)), bare(6)]
    assert shape(flat(*told)) == _EXPECTED


def test_a_flat_list_of_descendants_is_the_same_tree() -> None:
    """documented: projectman.md §2: children may hold all descendants, each naming its parent; in any order."""
    below = [
        bare(3, parent_module_id=2),
        bare(5, parent_module_id=1),
        bare(2, parent_module_id=1),
        bare(4, parent_module_id=2),
    ]
    found = shape(flat(bare(1, *below), bare(6)))
    assert sorted(found) == sorted(_EXPECTED)
    order = [native_id for native_id, _, _ in found]
    assert all(parent is None or order.index(parent) < order.index(native_id) for native_id, parent, _ in found)


@pytest.mark.parametrize("children", [None, [], "none", 7, {}])
def test_children_that_are_none_are_none(children: Any) -> None:
    """documented: projectman.md §6, 14: null is tolerated, and so is a missing key."""
    with_key, without = flat({**bare(1), "children": children}, {"module_id": 2, "module_name": "m"})
    assert (with_key.has_children, without.has_children) == (False, False)


def test_a_node_is_told_once() -> None:
    """documented: projectman.md §2, de-duplicate by id: nested, and again in the flat list of its top."""
    told = bare(1, bare(2, bare(3)), bare(2), bare(3, parent_module_id=2), bare(1))
    assert shape(flat(told)) == [("1", None, 1), ("2", "1", 2), ("3", "2", 3)]


def test_a_node_on_two_tops_of_a_page_is_listed_once(
    service: ServiceStub, backend: ProjectManBackend, call: CallContext
) -> None:
    """A child that is listed at the top as well is one module."""
    service.nodes = [bare(1, bare(2)), bare(2, parent_module_id=1), bare(1)]
    page = backend.list(ModuleQuery(scope=PROJECT), 10, None, call)
    assert [module.native_id for module in page.modules] == ["1", "2"]


def test_two_that_name_each_other_are_deleted_once_each(
    service: ServiceStub, backend: ProjectManBackend, call: CallContext
) -> None:
    """A circle has no end to wait for."""
    service.nodes = [bare(1, parent_module_id=2), bare(2, parent_module_id=1)]
    assert backend.delete(f"{PROJECT}.1", cascade=True, call=call) == [f"{PROJECT}.1", f"{PROJECT}.2"]
    assert service.writes == ["DELETE P/modules/2", "DELETE P/modules/1"]


def test_a_child_of_a_parent_that_is_not_shown_is_kept() -> None:
    """It stands under the top, and still names its own parent."""
    assert shape(flat(bare(1, bare(2), bare(3, parent_module_id=99)))) == [
        ("1", None, 1),
        ("2", "1", 2),
        ("3", "99", 2),
    ]


def test_what_the_reply_tells_comes_before_what_the_place_tells() -> None:
    """Deepth and is_parent are believed where they are given."""
    (module,) = flat(bare(1, deepth=3, is_parent=True))
    assert (module.depth, module.has_children) == (3, True)


def test_nesting_without_end_is_walked_without_recursion() -> None:
    """Five thousand levels are five thousand modules."""
    told = bare(5000)
    for number in range(4999, 0, -1):
        told = bare(number, told)
    modules = flat(told)
    assert [module.native_id for module in modules] == [str(number) for number in range(1, 5001)]
    assert modules[-1].depth == 5000


def test_json_nested_without_end_is_an_invalid_reply(
    service: ServiceStub, backend: ProjectManBackend, call: CallContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What the parser cannot hold is no reply, and no crash."""
    piece = '{"module_id": 1, "module_name": "m", "children": ['
    body = f'{{"modules": [{piece * 5000}{"]}" * 5000}]}}'.encode()
    monkeypatch.setattr(service, "send", lambda *_: UpstreamResponse(200, {}, body, is_write=False))
    with pytest.raises(BackendReplyInvalid):
        backend.list(ModuleQuery(scope=PROJECT), 10, None, call)


def test_a_node_knows_owner_and_place_but_no_description_and_no_times() -> None:
    """documented: projectman.md §2: what v4 never tells in a list is null and named; ids above 2^31 are ids."""
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
    "told", [None, [], "m", 7, {}, {"module_id": 1}, {"module_name": "m"}, {"module_id": 1.5, "module_name": "m"}]
)
def test_what_is_no_module_makes_the_page_invalid(
    service: ServiceStub, backend: ProjectManBackend, call: CallContext, told: Any
) -> None:
    """At the top or below it: a page that describes no module is an invalid reply."""
    for nodes in ([told], [{**bare(1), "children": [told]}]):
        service.nodes = nodes
        with pytest.raises(BackendReplyInvalid):
            backend.list(ModuleQuery(scope=PROJECT), 10, None, call)


@pytest.mark.parametrize("body", [None, [], {}, {"modules": None}, {"modules": {}}, {"total": 3}])
def test_a_reply_without_modules_is_invalid(
    service: ServiceStub, backend: ProjectManBackend, call: CallContext, monkeypatch: pytest.MonkeyPatch, body: Any
) -> None:
    """documented: projectman.md §4b: a 200 of anything else is a success without fields to the vendor's client."""
    monkeypatch.setattr(
        service, "send", lambda *_: UpstreamResponse(200, {}, json.dumps(body).encode(), is_write=False)
    )
    with pytest.raises(BackendReplyInvalid):
        backend.list(ModuleQuery(scope=PROJECT), 10, None, call)
