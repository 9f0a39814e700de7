"""What every adapter must do, over its twin: the suite that a new backend passes to be one."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from gateway.domain.backend import CallContext
from gateway.domain.errors import (
    BackendPermissionDenied,
    GatewayError,
    ModuleAlreadyExists,
    ModuleNotEmpty,
    ModuleNotFound,
    ParentNotFound,
    ScopeNotFound,
)
from gateway.domain.module import ModulePatch, ModuleQuery
from tests.contract.stand import Stand

pytestmark = pytest.mark.loopback
Names = Callable[[], str]


def test_what_is_created_can_be_read(stand: Stand, call: CallContext, new_name: Names) -> None:
    """A created module is found under its id, equal in every field that both replies know."""
    draft = stand.draft(new_name())
    created = stand.backend.create(draft, call)
    found = stand.backend.get(created.ref, call)
    assert (created.scope, created.parent, created.name) == (draft.scope, draft.parent, draft.name)
    assert [owner.id for owner in created.owners] == [stand.owner]
    unknown = {*created.unavailable, *found.unavailable}
    for field in ("id", "native_id", "scope", "parent", "name", "owners", "depth", "created_at", "description"):
        if field not in unknown:
            assert getattr(found, field) == getattr(created, field), field


def test_a_create_is_one_write(stand: Stand, call: CallContext, new_name: Names) -> None:
    """One create takes effect once."""
    before = stand.writes()
    stand.backend.create(stand.draft(new_name()), call)
    assert stand.writes() == before + 1


def test_unavailable_fields_are_null(stand: Stand, call: CallContext, new_name: Names) -> None:
    """What a reply could not know is null or empty, and nothing else is called unavailable."""
    created = stand.backend.create(stand.draft(new_name()), call)
    for module in (created, stand.backend.get(created.ref, call)):
        assert not any(getattr(module, field) for field in module.unavailable)


def test_a_name_is_taken_once(stand: Stand, call: CallContext, new_name: Names) -> None:
    """A second create of the same natural key is refused, changes nothing, and the first can be found."""
    draft = stand.draft(new_name())
    first = stand.backend.create(draft, call)
    before = stand.writes()
    with pytest.raises(ModuleAlreadyExists):
        stand.backend.create(draft, call)
    assert stand.writes() == before
    assert [module.id for module in stand.backend.find_by_natural_key(draft, call)] == [first.id]


def test_nothing_is_found_before_it_is_created(stand: Stand, call: CallContext, new_name: Names) -> None:
    """A free name finds nothing."""
    assert stand.backend.find_by_natural_key(stand.draft(new_name()), call) == ()


def test_natural_keys_tell_names_apart(stand: Stand, new_name: Names) -> None:
    """The natural key is the scope in which names are unique, and the name."""
    draft = stand.draft(new_name())
    key = stand.backend.natural_key(draft)
    assert stand.backend.natural_key(replace(draft, description="other", owners=None)) == key
    assert stand.backend.natural_key(replace(draft, name=new_name())) != key
    assert stand.backend.natural_key(replace(draft, scope=stand.unknown_scope)) != key
    moved = stand.backend.natural_key(replace(draft, parent=stand.unknown_parent))
    assert (moved == key) is (stand.names_are_unique_in == "scope")


def test_an_unknown_place_is_refused(stand: Stand, call: CallContext, new_name: Names) -> None:
    """No module is created in a scope or under a parent that is not there."""
    draft, before = stand.draft(new_name()), stand.writes()
    with pytest.raises(ParentNotFound):
        stand.backend.create(replace(draft, parent=stand.unknown_parent), call)
    # CMDB asks about the right to a business before it looks for it.
    with pytest.raises((ScopeNotFound, ParentNotFound, BackendPermissionDenied)):
        stand.backend.create(replace(draft, scope=stand.unknown_scope), call)
    assert stand.writes() == before


def test_a_place_can_be_checked(stand: Stand, call: CallContext, new_name: Names) -> None:
    """check_place says beforehand what a create would meet, and writes nothing."""
    draft, before = stand.draft(new_name()), stand.writes()
    stand.backend.check_target(draft, call)
    with pytest.raises(ParentNotFound):
        stand.backend.check_target(replace(draft, parent=stand.unknown_parent), call)
    with pytest.raises(ScopeNotFound):
        stand.backend.check_target(replace(draft, scope=stand.unknown_scope), call)
    assert stand.writes() == before


@pytest.mark.parametrize("page_size", [1, 2, 50])
def test_a_list_has_every_module_once(stand: Stand, call: CallContext, new_name: Names, page_size: int) -> None:
    """Page by page, every module comes once, parents before children, in the same order each time."""
    created = {stand.backend.create(stand.draft(new_name()), call).id for _ in range(5)}
    runs = []
    for _ in range(2):
        ids: list[str] = []
        natives: list[str] = []
        cursor = None
        while True:
            page = stand.backend.list(ModuleQuery(scope=stand.scope), page_size, cursor, call)
            assert len(page.modules) <= page_size
            for module in page.modules:
                assert not stand.makes_children or module.parent is None or module.parent in natives
                ids.append(module.id)
                natives.append(module.native_id)
            if (cursor := page.next_cursor) is None:
                break
        assert len(ids) == len(set(ids))
        runs.append(ids)
    assert runs[0] == runs[1]
    assert created <= set(runs[0])


def test_a_list_can_be_filtered(stand: Stand, call: CallContext, new_name: Names) -> None:
    """By name and by parent, a list holds what fits and nothing else."""
    name = new_name()
    created = stand.backend.create(stand.draft(name), call)
    by_name = stand.backend.list(ModuleQuery(scope=stand.scope, name=name), 50, None, call)
    assert [module.id for module in by_name.modules] == [created.id]
    nothing = stand.backend.list(ModuleQuery(scope=stand.scope, name=new_name()), 50, None, call)
    assert nothing.modules == ()
    if stand.parent is not None:
        below = stand.backend.list(ModuleQuery(scope=stand.scope, parent=stand.parent), 200, None, call)
        assert created.id in {module.id for module in below.modules}
        assert {module.parent for module in below.modules} == {stand.parent}


def test_an_unknown_scope_is_not_an_empty_one(stand: Stand, call: CallContext) -> None:
    """Listing what is not there is an error, not an empty page."""
    with pytest.raises(ScopeNotFound):
        stand.backend.list(ModuleQuery(scope=stand.unknown_scope), 50, None, call)


def test_a_change_is_kept(stand: Stand, call: CallContext, new_name: Names) -> None:
    """An update changes what it names and leaves the rest."""
    created = stand.backend.create(stand.draft(new_name()), call)
    name = new_name()
    changed = stand.backend.update(created.ref, _renamed(stand, name), call)
    found = stand.backend.get(created.ref, call)
    for module in (changed, found):
        assert (module.id, module.name, module.parent) == (created.id, name, created.parent)
        assert [owner.id for owner in module.owners] == [stand.owner]


def test_a_name_cannot_be_taken_by_renaming(stand: Stand, call: CallContext, new_name: Names) -> None:
    """Renaming to a sibling's name is refused, and nothing is changed."""
    first, second = (stand.backend.create(stand.draft(new_name()), call) for _ in range(2))
    with pytest.raises(ModuleAlreadyExists):
        stand.backend.update(second.ref, _renamed(stand, first.name), call)
    assert stand.backend.get(second.ref, call).name == second.name


def test_what_is_deleted_is_gone(stand: Stand, call: CallContext, new_name: Names) -> None:
    """After a delete the id is that of no module, for a read, an update and another delete."""
    created = stand.backend.create(stand.draft(new_name()), call)
    assert list(stand.backend.delete(created.ref, cascade=False, call=call)) == [created.ref]
    before = stand.writes()
    with pytest.raises(ModuleNotFound):
        stand.backend.get(created.ref, call)
    with pytest.raises(ModuleNotFound):
        stand.backend.update(created.ref, _renamed(stand, new_name()), call)
    with pytest.raises(ModuleNotFound):
        stand.backend.delete(created.ref, cascade=False, call=call)
    assert stand.writes() == before


def test_children_are_not_deleted_by_accident(stand: Stand, call: CallContext, new_name: Names) -> None:
    """A module with children is deleted only with cascade, and then with all of them."""
    if not stand.makes_children:
        pytest.skip("modules of this backend have no children")
    top = stand.backend.create(stand.draft(new_name()), call)
    child = stand.backend.create(stand.draft(new_name(), parent=top.native_id), call)
    leaf = stand.backend.create(stand.draft(new_name(), parent=child.native_id), call)
    found = stand.backend.get(leaf.ref, call)
    assert (found.parent, found.depth, found.has_children) == (child.native_id, 3, False)
    assert stand.backend.get(top.ref, call).has_children is True
    before = stand.writes()
    with pytest.raises(ModuleNotEmpty):
        stand.backend.delete(top.ref, cascade=False, call=call)
    assert stand.writes() == before
    assert set(stand.backend.delete(top.ref, cascade=True, call=call)) == {top.ref, child.ref, leaf.ref}
    for gone in (top, child, leaf):
        with pytest.raises(ModuleNotFound):
            stand.backend.get(gone.ref, call)


def test_a_malformed_id_is_the_id_of_no_module(stand: Stand, call: CallContext) -> None:
    """What is not exactly an id of this backend is not found, and nothing is asked upstream."""
    for ref in stand.malformed_refs:
        for ask in (
            lambda ref: stand.backend.get(ref, call),
            lambda ref: stand.backend.delete(ref, cascade=True, call=call),
            lambda ref: stand.backend.update(ref, _renamed(stand, "x"), call),
        ):
            with pytest.raises(ModuleNotFound):
                ask(ref)
    assert stand.backend.state == "unused"


def test_a_late_call_sends_nothing(stand: Stand, new_name: Names) -> None:
    """Past the deadline nothing is sent any more."""
    late, before = CallContext("late", 0.0), stand.writes()
    with pytest.raises(GatewayError):
        stand.backend.create(stand.draft(new_name()), late)
    assert stand.writes() == before


def _renamed(stand: Stand, name: str) -> ModulePatch:
    return ModulePatch(name=name) if stand.description is None else ModulePatch(name=name, description="changed")
