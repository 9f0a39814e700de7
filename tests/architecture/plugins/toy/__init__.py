"""A complete third backend in one folder; it keeps its modules in memory."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Final

from gateway.domain.backend import NO_SERVICES, Backend, BackendServices, CallContext, ConnectionState
from gateway.domain.capabilities import Capabilities, FieldSpec
from gateway.domain.errors import ModuleAlreadyExists, ModuleNotFound, ParentNotFound, ScopeNotFound
from gateway.domain.lookup import LookupBatch, LookupItem, LookupPage, LookupQuery, take_page
from gateway.domain.messages import verbatim
from gateway.domain.module import Module, ModuleDraft, ModulePatch, ModuleQuery, Owner, Page
from gateway.domain.runtime import Clock
from gateway.settings import SettingsSchema
from gateway.settings.fields import Text


@dataclass(frozen=True)
class Options:
    """The settings of a connection."""

    shelf: str


class OptionsSchema(SettingsSchema):
    """The table of a connection."""

    target = Options

    shelf = Text(required=True)


def create_backend(name: str, options: Options, clock: Clock, services: BackendServices = NO_SERVICES) -> Backend:
    """Create a connection; the clock is not needed."""
    return ToyBackend(name, options, clock)


class ToyBackend:
    """Modules in a dictionary; there is one scope, the shelf."""

    capabilities: Final = Capabilities(
        type="toy",
        title="A box of toys",
        scope=FieldSpec(name="scope", required=True, writable=("create",), pattern=r"[a-z]+"),
        parent=FieldSpec(name="parent", writable=("create",), pattern="box"),
        name=FieldSpec(name="name", required=True, max_length=64),
        description=FieldSpec(name="description", max_length=255),
        owners=FieldSpec(name="owners", kind="owners", pattern=r"[a-z]+"),
        settle_seconds=1.0,
        hard_timeout_seconds=1.0,
        lookups=("scopes", "parents"),
    )

    def __init__(self, name: str, options: Options, _clock: Clock) -> None:
        self.name: Final = name
        self.state: ConnectionState = "unused"
        self.writes = 0
        self._options = options
        self._ids = itertools.count(1)
        self._modules: dict[str, Module] = {}

    def scope_of(self, ref: str) -> str:
        """Return the shelf."""
        return self._options.shelf

    def natural_key(self, draft: ModuleDraft) -> tuple[str, ...]:
        """Return shelf and name."""
        return (draft.scope, draft.name)

    def create(self, draft: ModuleDraft, call: CallContext) -> Module:
        """Add a module."""
        if call.deadline <= 0:
            raise ModuleNotFound(verbatim("The deadline has passed; nothing was done."))
        self.check_target(draft, call)
        self._check_free(draft.name)
        ref = str(next(self._ids))
        module = Module(
            backend=self.name,
            ref=ref,
            native_id=ref,
            scope=draft.scope,
            parent=draft.parent,
            name=draft.name,
            description=draft.description,
            owners=tuple(Owner(owner) for owner in draft.owners or ()),
            unavailable=("created_at", "updated_at", "depth", "has_children"),
        )
        return self._store(module)

    def find_by_natural_key(self, draft: ModuleDraft, call: CallContext) -> tuple[Module, ...]:
        """Return the modules with the name."""
        return self.list(ModuleQuery(scope=draft.scope, name=draft.name), 1, None, call).modules

    def check_target(self, draft: ModuleDraft, call: CallContext) -> None:
        """Accept one scope, the shelf, and one parent, the box."""
        if draft.scope != self._options.shelf:
            raise ScopeNotFound
        if draft.parent not in {None, "box"}:
            raise ParentNotFound

    def list(self, query: ModuleQuery, page_size: int, cursor: str | None, call: CallContext) -> Page:
        """Return one page; the cursor is the index of its first module."""
        if query.scope != self._options.shelf:
            raise ScopeNotFound
        matches = [module for module in self._modules.values() if query.name in {None, module.name}]
        start = int(cursor or 0)
        has_more = len(matches) > start + page_size
        return Page(tuple(matches[start : start + page_size]), str(start + page_size) if has_more else None)

    def get(self, ref: str, call: CallContext) -> Module:
        """Return one module."""
        if ref not in self._modules:
            raise ModuleNotFound
        return self._modules[ref]

    def lookup(self, query: LookupQuery, page_size: int, cursor: str | None, call: CallContext) -> LookupPage:
        """Return the shelf, or the box on it; there is no list of owners."""
        if query.kind == "parents" and query.scope != self._options.shelf:
            raise ScopeNotFound
        item_id = self._options.shelf if query.kind == "scopes" else "box"
        batch = LookupBatch([("0", LookupItem(id=item_id, name=item_id, path=item_id))], next_cursor=None)
        return take_page([batch], query, page_size)

    def update(
        self, ref: str, patch: ModulePatch, call: CallContext, check: Callable[[Module], None] | None = None
    ) -> Module:
        """Replace a module."""
        old = self.get(ref, call)
        if check is not None:
            check(old)
        name = patch.name if isinstance(patch.name, str) else old.name
        if name != old.name:
            self._check_free(name)
        description = patch.description if isinstance(patch.description, str) else old.description
        return self._store(replace(old, name=name, description=description))

    def descendants(self, ref: str, call: CallContext) -> Sequence[str]:
        """Return nothing: modules have no children."""
        return ()

    def delete(self, ref: str, call: CallContext, check: Callable[[Module], None] | None = None) -> None:
        """Remove a module."""
        module = self.get(ref, call)
        if check is not None:
            check(module)
        del self._modules[ref]
        self.writes += 1

    def _check_free(self, name: str) -> None:
        if any(module.name == name for module in self._modules.values()):
            raise ModuleAlreadyExists

    def _store(self, module: Module) -> Module:
        self._modules[module.ref] = module
        self.writes += 1
        return module
