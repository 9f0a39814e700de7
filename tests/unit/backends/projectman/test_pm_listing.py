"""What a list tells without reading: the same modules, places, pages and refusals as if everything were read first."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final
from unittest import mock

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from gateway.backends.projectman import schemas, tree
from gateway.backends.projectman.adapter import ProjectManBackend
from gateway.domain.backend import CallContext
from gateway.domain.errors import BackendReplyInvalid
from gateway.domain.module import ModuleDraft, ModuleQuery
from tests.unit.backends.connections import PM_NODE, PROJECT
from tests.unit.backends.projectman import eager, trees
from tests.unit.backends.projectman.service import DRAFT, Service, node

_PAGE: Final = 3  # so that a few nodes are several pages
_REFUSED: Final = "refused"
_anew = settings(suppress_health_check=[HealthCheck.function_scoped_fixture])


@given(trees.PAGES)
@example([node(1, node(2, parent_module_id=98), node(3, parent_module_id=99), node(4, parent_module_id=98))])
def test_a_page_is_flattened_as_if_everything_were_read_first(nodes: list[Any]) -> None:
    """Order, place, depth, children and each field: nested, naming other parents, told twice, or no nodes at all."""
    assert _or_refused(lambda: [each.read() for each in tree.list_tree(eager.ORIGIN, nodes)]) == _or_refused(
        lambda: eager.flatten(nodes)
    )


@given(trees.PAGES, st.sampled_from([("module_id", str(number)) for number in range(14)]))
def test_the_same_branches_hold_an_id(nodes: list[Any], holding: tree.Holding) -> None:
    """The quick look at usual nodes finds what a look at each node finds."""
    assert tree.branches(nodes, holding) == eager.held(nodes, holding)


@given(trees.PAGES, st.sampled_from([("module_name", name) for name in ("a", "b", "None", "")]))
@example([{"module_id": 1}, {"module_id": 2, "module_name": None}], ("module_name", "None"))
def test_the_same_branches_hold_a_name(nodes: list[Any], holding: tree.Holding) -> None:
    """Names too, one that looks like no name among them."""
    assert tree.branches(nodes, holding) == eager.held(nodes, holding)


@pytest.mark.parametrize(("key", "value"), [("module_id", 1), *trees.ODD])
def test_what_is_not_read_could_be_read(key: str, value: Any) -> None:
    """What is told of a node without reading it is what reading tells; nothing is left that could be refused later."""
    one = {**PM_NODE, key: value}
    told = _or_refused(lambda: tree._list_one(eager.ORIGIN, one))
    module = _or_refused(lambda: schemas.read_module(eager.ORIGIN, one))
    assert (told == _REFUSED) is (module == _REFUSED)
    if told != _REFUSED:
        assert (told.native_id, told.parent, told.name) == (module.native_id, module.parent, module.name)


def test_every_field_that_is_read_is_looked_at() -> None:
    """A field that is new to the reader, and unknown to who decides without reading, could be refused too late."""
    assert {key for key, _ in tree._USUAL} == schemas.ModuleDocument().load_fields.keys()
    assert {key for key, _ in tree._USUAL_OWNER} == schemas.OwnerDocument().load_fields.keys()


@_anew
@given(
    nodes=trees.PAGES,
    parent=st.none() | st.sampled_from(["1", "2", "99"]),
    name=st.none() | st.sampled_from(["a", "b"]),
    size=st.integers(1, 5),
    cursor=st.tuples(st.sampled_from([0, _PAGE]), st.integers(0, 4)),
)
def test_a_list_answers_as_if_everything_were_read_first(
    nodes: list[Any],
    parent: str | None,
    name: str | None,
    size: int,
    cursor: tuple[int, int],
    backend: ProjectManBackend,
    service: Service,
    call: CallContext,
) -> None:
    """Modules and the next token, under every filter, from every place; and a page with a broken node is refused."""
    service.nodes = nodes
    query = ModuleQuery(scope=PROJECT, parent=parent, name=name)

    def told() -> eager.Answer:
        page = backend.list(query, size, f"{cursor[0]}.{cursor[1]}", call)
        return list(page.modules), page.next_cursor

    with _small_pages():
        assert _or_refused(told) == _or_refused(lambda: eager.answer(nodes, query, size, cursor, page=_PAGE))


@_anew
@given(nodes=trees.PAGES, name=st.sampled_from(["a", "b", "None"]))
def test_a_name_is_found_as_if_everything_were_read_first(
    nodes: list[Any], name: str, backend: ProjectManBackend, service: Service, call: CallContext
) -> None:
    """On every page, in branches that hold it and in no others; what is no node is refused, whoever looks for what."""
    service.nodes = nodes
    draft = ModuleDraft(scope=PROJECT, parent=None, name=name)
    with _small_pages():
        assert _or_refused(lambda: [*backend.find_by_natural_key(draft, call)]) == _or_refused(
            lambda: eager.find(nodes, name, page=_PAGE)
        )


@contextmanager
def _small_pages() -> Iterator[None]:
    with (
        mock.patch("gateway.backends.projectman.client.PAGE", _PAGE),
        mock.patch("gateway.backends.projectman.adapter.PAGE", _PAGE),
    ):
        yield


def _or_refused(tell: Any) -> Any:
    try:
        return tell()
    except (ValueError, BackendReplyInvalid):
        return _REFUSED


@pytest.fixture
def reads() -> Any:
    """Counts the nodes that are read into modules."""
    with mock.patch.object(tree, "read_module", wraps=schemas.read_module) as counted:
        yield counted


def _hundreds() -> list[dict[str, Any]]:
    """150 tops, each with a child that tells its parent and no children, as documented."""
    child = {**PM_NODE, "module_name": "c", "deepth": 2}
    del child["children"]
    return [
        node(top, {**child, "module_id": top + 1000, "parent_module_id": top}, is_parent=True) for top in range(1, 151)
    ]


@pytest.mark.parametrize(("cursor", "first"), [(None, "1"), ("0.40", "21"), ("100.20", "111")])
def test_only_what_is_asked_for_is_read(
    reads: Any, backend: ProjectManBackend, service: Service, call: CallContext, cursor: str | None, first: str
) -> None:
    """Ten modules are ten reads, wherever a page begins."""
    service.nodes = _hundreds()
    page = backend.list(ModuleQuery(scope=PROJECT), 10, cursor, call)
    assert (len(page.modules), page.modules[0].native_id) == (10, first)
    assert reads.call_count == 10


def test_what_a_filter_leaves_out_is_not_read(
    reads: Any, backend: ProjectManBackend, service: Service, call: CallContext
) -> None:
    """One of three hundred is one read, by name or by parent."""
    service.nodes = _hundreds()
    for query in (ModuleQuery(scope=PROJECT, name="m120"), ModuleQuery(scope=PROJECT, parent="120")):
        assert len(backend.list(query, 10, None, call).modules) == 1
    assert reads.call_count == 2


def test_what_tells_its_own_place_is_taken_as_it_is_read() -> None:
    """Nothing is put in its place, which costs as much as reading it."""
    with mock.patch.object(tree, "replace") as replace:
        (top, child) = (each.read() for each in tree.list_tree(eager.ORIGIN, _hundreds()[:1]))
    assert (top.native_id, child.native_id, child.parent) == ("1", "1001", "1")
    assert not replace.called


def test_who_looks_for_one_reads_one(
    reads: Any, backend: ProjectManBackend, service: Service, call: CallContext
) -> None:
    """A get reads the module, a search for a name those of that name, a look at a parent nothing."""
    service.nodes = _hundreds()
    assert backend.get(f"{PROJECT}.1120", call).name == "c"
    assert reads.call_count == 1
    assert backend.find_by_natural_key(DRAFT, call) == ()
    backend.check_target(DRAFT, call)
    assert reads.call_count == 1


def test_a_broken_node_that_nobody_asked_for_is_refused_all_the_same(
    backend: ProjectManBackend, service: Service, call: CallContext
) -> None:
    """At the end of the page, behind the module that was asked for: what makes no sense is not half believed."""
    service.nodes = [*(node(number) for number in range(1, 100)), {"module_id": 100}]
    with pytest.raises(BackendReplyInvalid):
        backend.list(ModuleQuery(scope=PROJECT), 1, None, call)


def test_of_two_that_tell_one_id_the_first_counts(
    backend: ProjectManBackend, service: Service, call: CallContext
) -> None:
    """On one page, and on two."""
    service.nodes = [node(1, module_name="first"), node(1, module_name="second"), *map(node, range(2, 101))]
    service.nodes[-1]["module_name"] = "third"
    service.nodes.append(node(1, module_name="fourth"))
    modules = backend.list(ModuleQuery(scope=PROJECT), 200, None, call).modules
    assert [module.name for module in modules if module.native_id == "1"] == ["first"]
    assert len(modules) == 100
