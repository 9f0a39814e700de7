"""What every adapter must do, tested over its twin; a new backend must pass this suite."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gateway.domain.backend import CallContext
from gateway.domain.errors import (
    REGISTRY,
    BackendPermissionDenied,
    GatewayError,
    ModuleAlreadyExists,
    ModuleNotFound,
    ParentNotFound,
    PreconditionFailed,
    ScopeNotFound,
)
from gateway.domain.lookup import LookupItem, LookupQuery
from gateway.domain.module import Module, ModulePatch, ModuleQuery
from tests.contract.testbed import BackendFixture

pytestmark = pytest.mark.loopback
Names = Callable[[], str]


def test_what_is_created_can_be_read(testbed: BackendFixture, call: CallContext, new_name: Names) -> None:
    """A created module can be read by its id, and equals in every field that both responses contain."""
    draft = testbed.draft(new_name())
    created = testbed.backend.create(draft, call)
    read = testbed.backend.get(created.ref, call)
    assert (created.scope, created.parent, created.name) == (draft.scope, draft.parent, draft.name)
    assert [owner.id for owner in created.owners] == [testbed.owner]
    unknown = {*created.unavailable, *read.unavailable}
    for field in ("id", "native_id", "scope", "parent", "name", "owners", "depth", "created_at", "description"):
        if field not in unknown:
            assert getattr(read, field) == getattr(created, field), field


def test_a_create_is_one_write(testbed: BackendFixture, call: CallContext, new_name: Names) -> None:
    """One create takes effect once."""
    before = testbed.writes()
    testbed.backend.create(testbed.draft(new_name()), call)
    assert testbed.writes() == before + 1


def test_unavailable_fields_are_null(testbed: BackendFixture, call: CallContext, new_name: Names) -> None:
    """What a reply could not know is null or empty, and nothing else is called unavailable."""
    created = testbed.backend.create(testbed.draft(new_name()), call)
    for module in (created, testbed.backend.get(created.ref, call)):
        assert not any(getattr(module, field) for field in module.unavailable)


def test_a_name_is_taken_once(testbed: BackendFixture, call: CallContext, new_name: Names) -> None:
    """A second create of the same natural key is refused, changes nothing, and the first can be found."""
    draft = testbed.draft(new_name())
    first = testbed.backend.create(draft, call)
    before = testbed.writes()
    with pytest.raises(ModuleAlreadyExists):
        testbed.backend.create(draft, call)
    assert testbed.writes() == before
    assert [module.id for module in testbed.backend.find_by_natural_key(draft, call)] == [first.id]


def test_a_check_sees_the_module_and_prevents_the_change(
    testbed: BackendFixture, call: CallContext, new_name: Names
) -> None:
    """`check` gets the module as it is, and what it raises leaves the module as it was."""
    module = testbed.backend.create(testbed.draft(new_name()), call)
    before, seen = testbed.writes(), []

    def refuse(found: Module) -> None:
        seen.append(found.id)
        raise PreconditionFailed

    patch = ModulePatch(name=new_name(), description=None)
    if testbed.backend.capabilities.description is not None:
        patch = replace(patch, description="d")
    else:
        patch = ModulePatch(name=patch.name)
    for change in (
        lambda: testbed.backend.update(module.ref, patch, call, refuse),
        lambda: testbed.backend.delete(module.ref, call, refuse),
    ):
        with pytest.raises(PreconditionFailed):
            change()
    assert (seen, testbed.writes()) == ([module.id] * 2, before)
    assert testbed.backend.update(module.ref, patch, call, lambda found: seen.append(found.id)).name == patch.name
    testbed.backend.delete(module.ref, call, lambda found: seen.append(found.id))
    assert seen == [module.id] * 4


def test_an_unused_name_is_not_found(testbed: BackendFixture, call: CallContext, new_name: Names) -> None:
    """A search for an unused name returns nothing."""
    assert testbed.backend.find_by_natural_key(testbed.draft(new_name()), call) == ()


def test_natural_keys_distinguish_names(testbed: BackendFixture, new_name: Names) -> None:
    """The natural key is the scope in which names are unique, and the name."""
    draft = testbed.draft(new_name())
    key = testbed.backend.natural_key(draft)
    assert testbed.backend.natural_key(replace(draft, description="other", owners=None)) == key
    assert testbed.backend.natural_key(replace(draft, name=new_name())) != key
    assert testbed.backend.natural_key(replace(draft, scope=testbed.unknown_scope)) != key
    moved = testbed.backend.natural_key(replace(draft, parent=testbed.unknown_parent))
    assert ("scope" if moved == key else "parent") == testbed.names_are_unique_in, (
        "the key has another extent than names"
    )


def test_an_unknown_target_is_refused(testbed: BackendFixture, call: CallContext, new_name: Names) -> None:
    """No module is created in a scope or under a parent that is not there."""
    draft, before = testbed.draft(new_name()), testbed.writes()
    with pytest.raises(ParentNotFound):
        testbed.backend.create(replace(draft, parent=testbed.unknown_parent), call)
    # CMDB checks the permission for a business before its existence.
    with pytest.raises((ScopeNotFound, ParentNotFound, BackendPermissionDenied)):
        testbed.backend.create(replace(draft, scope=testbed.unknown_scope), call)
    assert testbed.writes() == before


def test_a_target_can_be_checked(testbed: BackendFixture, call: CallContext, new_name: Names) -> None:
    """check_target raises the error that a create would raise, and writes nothing."""
    draft, before = testbed.draft(new_name()), testbed.writes()
    testbed.backend.check_target(draft, call)
    with pytest.raises(ParentNotFound):
        testbed.backend.check_target(replace(draft, parent=testbed.unknown_parent), call)
    with pytest.raises(ScopeNotFound):
        testbed.backend.check_target(replace(draft, scope=testbed.unknown_scope), call)
    assert testbed.writes() == before


@pytest.mark.parametrize("page_size", [1, 2, 50])
def test_a_list_has_every_module_once(
    testbed: BackendFixture, call: CallContext, new_name: Names, page_size: int
) -> None:
    """The pages contain every module once, parents before children, always in the same order."""
    created = {testbed.backend.create(testbed.draft(new_name()), call).id for _ in range(5)}
    runs = []
    for _ in range(2):
        ids: list[str] = []
        natives: list[str] = []
        cursor = None
        while True:
            page = testbed.backend.list(ModuleQuery(scope=testbed.scope), page_size, cursor, call)
            assert len(page.modules) <= page_size
            for module in page.modules:
                assert not testbed.makes_children or module.parent is None or module.parent in natives
                ids.append(module.id)
                natives.append(module.native_id)
            if (cursor := page.next_cursor) is None:
                break
        assert len(ids) == len(set(ids))
        runs.append(ids)
    assert runs[0] == runs[1]
    assert created <= set(runs[0])


def test_a_list_can_be_filtered(testbed: BackendFixture, call: CallContext, new_name: Names) -> None:
    """Filtered by name or parent, a list contains the matching modules only."""
    name = new_name()
    created = testbed.backend.create(testbed.draft(name), call)
    by_name = testbed.backend.list(ModuleQuery(scope=testbed.scope, name=name), 50, None, call)
    assert [module.id for module in by_name.modules] == [created.id]
    nothing = testbed.backend.list(ModuleQuery(scope=testbed.scope, name=new_name()), 50, None, call)
    assert nothing.modules == ()
    if testbed.parent is not None:
        below = testbed.backend.list(ModuleQuery(scope=testbed.scope, parent=testbed.parent), 200, None, call)
        assert created.id in {module.id for module in below.modules}
        assert {module.parent for module in below.modules} == {testbed.parent}


def test_an_unknown_scope_is_not_an_empty_one(testbed: BackendFixture, call: CallContext) -> None:
    """Listing an unknown scope is an error, not an empty page."""
    with pytest.raises(ScopeNotFound):
        testbed.backend.list(ModuleQuery(scope=testbed.unknown_scope), 50, None, call)


def test_lookups_are_complete(testbed: BackendFixture, call: CallContext) -> None:
    """The capabilities name the lookups; each returns every item once, and the same items in the same order again."""
    assert set(testbed.backend.capabilities.lookups) == testbed.lookups.keys()
    for kind, ids in testbed.lookups.items():
        for page_size in (1, 2, 200):
            assert tuple(item.id for item in _all_items(testbed, LookupQuery(kind=kind), call, page_size)) == ids


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_lookups_filter(testbed: BackendFixture, call: CallContext, data: st.DataObject) -> None:
    """The pages of any size together are the items that have the text in their name and are allowed."""
    kind = data.draw(st.sampled_from(sorted(testbed.lookups)))
    items = _all_items(testbed, LookupQuery(kind=kind), call, 200)
    names = [name for item in items for name in (item.name, item.name.upper(), item.name.swapcase())]
    parts = st.sampled_from(names).flatmap(
        lambda name: st.tuples(st.integers(0, len(name)), st.integers(0, len(name))).map(
            lambda ends: name[min(ends) : max(ends)]
        )
    )
    text = data.draw(parts | st.sampled_from([".", ".*", "^", "(", "$", "%", "\\", "[a-z]", "*"]) | st.text(max_size=3))
    ids = st.sampled_from([*testbed.lookups[kind], testbed.unknown_scope, "x"])
    allowed = data.draw(st.none() | st.frozensets(ids)) if kind == "scopes" else None
    query = LookupQuery(kind=kind, text=text, scopes=allowed)
    expected = [
        item
        for item in items
        if text.casefold() in item.name.casefold() or (kind == "owners" and text.casefold() in item.path.casefold())
        if allowed is None or item.id in allowed
    ]
    assert _all_items(testbed, query, call, data.draw(st.integers(1, 4))) == expected


def test_lookups_of_an_unknown_scope(testbed: BackendFixture, call: CallContext) -> None:
    """An unknown scope is an error, not an empty page."""
    for kind in testbed.lookups.keys() - {"scopes"}:
        with pytest.raises(ScopeNotFound):
            testbed.backend.lookup(LookupQuery(kind=kind, scope=testbed.unknown_scope), 50, None, call)


def test_usable_parents_can_be_used(testbed: BackendFixture, call: CallContext, new_name: Names) -> None:
    """A create under a usable parent succeeds, and under any other it is refused; the reason is a public code."""
    for parent in _all_items(testbed, LookupQuery(kind="parents"), call, 200):
        draft = testbed.draft(new_name(), parent=parent.id)
        if parent.usable:
            assert testbed.backend.create(draft, call).parent == parent.id
        else:
            assert parent.why in REGISTRY
            with pytest.raises(GatewayError):
                testbed.backend.create(draft, call)


def test_usable_owners_can_be_used(testbed: BackendFixture, call: CallContext, new_name: Names) -> None:
    """A module can have each usable owner."""
    if "owners" in testbed.lookups:
        for owner in _all_items(testbed, LookupQuery(kind="owners"), call, 200):
            created = testbed.backend.create(replace(testbed.draft(new_name()), owners=(owner.id,)), call)
            assert [owner.id for owner in created.owners] == [owner.id]


def test_a_change_is_kept(testbed: BackendFixture, call: CallContext, new_name: Names) -> None:
    """An update changes the given fields only."""
    created = testbed.backend.create(testbed.draft(new_name()), call)
    name = new_name()
    changed = testbed.backend.update(created.ref, _renamed(testbed, name), call)
    read = testbed.backend.get(created.ref, call)
    for module in (changed, read):
        assert (module.id, module.name, module.parent) == (created.id, name, created.parent)
        assert [owner.id for owner in module.owners] == [testbed.owner]


def test_a_name_cannot_be_taken_by_renaming(testbed: BackendFixture, call: CallContext, new_name: Names) -> None:
    """Renaming to a sibling's name is refused, and nothing is changed."""
    first, second = (testbed.backend.create(testbed.draft(new_name()), call) for _ in range(2))
    with pytest.raises(ModuleAlreadyExists):
        testbed.backend.update(second.ref, _renamed(testbed, first.name), call)
    assert testbed.backend.get(second.ref, call).name == second.name


def test_a_deleted_module_is_not_found(testbed: BackendFixture, call: CallContext, new_name: Names) -> None:
    """After a delete a read, an update and another delete raise ModuleNotFound."""
    created = testbed.backend.create(testbed.draft(new_name()), call)
    testbed.backend.delete(created.ref, call)
    before = testbed.writes()
    with pytest.raises(ModuleNotFound):
        testbed.backend.get(created.ref, call)
    with pytest.raises(ModuleNotFound):
        testbed.backend.update(created.ref, _renamed(testbed, new_name()), call)
    with pytest.raises(ModuleNotFound):
        testbed.backend.delete(created.ref, call)
    assert testbed.writes() == before


def test_a_module_is_deleted_after_its_descendants(testbed: BackendFixture, call: CallContext, new_name: Names) -> None:
    """Descendants are listed with children before their parents, and can be deleted in this order."""
    if not testbed.makes_children:
        pytest.skip("modules of this backend have no children")
    top = testbed.backend.create(testbed.draft(new_name()), call)
    child = testbed.backend.create(testbed.draft(new_name(), parent=top.native_id), call)
    leaf = testbed.backend.create(testbed.draft(new_name(), parent=child.native_id), call)
    read = testbed.backend.get(leaf.ref, call)
    assert (read.parent, read.depth, read.has_children) == (child.native_id, 3, False)
    assert testbed.backend.get(top.ref, call).has_children is True
    assert list(testbed.backend.descendants(top.ref, call)) == [leaf.ref, child.ref]
    assert list(testbed.backend.descendants(leaf.ref, call)) == []
    for module in (leaf, child, top):
        testbed.backend.delete(module.ref, call)
        with pytest.raises(ModuleNotFound):
            testbed.backend.get(module.ref, call)


def test_a_malformed_id_is_the_id_of_no_module(testbed: BackendFixture, call: CallContext) -> None:
    """A malformed id is not found, and no request is sent."""
    for ref in testbed.malformed_refs:
        for send in (
            lambda ref: testbed.backend.get(ref, call),
            lambda ref: testbed.backend.delete(ref, call),
            lambda ref: testbed.backend.update(ref, _renamed(testbed, "x"), call),
        ):
            with pytest.raises(ModuleNotFound):
                send(ref)
    assert testbed.backend.state == "unused"


def test_a_late_call_sends_nothing(testbed: BackendFixture, new_name: Names) -> None:
    """After the deadline nothing is sent."""
    late, before = CallContext("late", 0.0), testbed.writes()
    with pytest.raises(GatewayError):
        testbed.backend.create(testbed.draft(new_name()), late)
    assert testbed.writes() == before


def _renamed(testbed: BackendFixture, name: str) -> ModulePatch:
    return ModulePatch(name=name) if testbed.description is None else ModulePatch(name=name, description="changed")


def _all_items(testbed: BackendFixture, query: LookupQuery, call: CallContext, page_size: int) -> list[LookupItem]:
    """Return the items of all pages, of parents and owners in the fixture's scope."""
    items: list[LookupItem] = []
    cursor = None
    query = query if query.kind == "scopes" else replace(query, scope=testbed.scope)
    while True:
        page = testbed.backend.lookup(query, page_size, cursor, call)
        assert len(page.items) <= page_size
        items += page.items
        if (cursor := page.next_cursor) is None:
            return items
