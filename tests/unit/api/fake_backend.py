"""A fake of the port `gateway.domain.backend.Backend`: modules in memory, and a record of the calls.

Like an adapter, it parses a ref and a cursor before it records a call. It serves tests of the API and of provisioning,
and proves nothing about a backend.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final

from gateway.domain.backend import CallContext, ConnectionState
from gateway.domain.capabilities import Capabilities
from gateway.domain.errors import (
    FieldError,
    ModuleAlreadyExists,
    ModuleNotFound,
    ParentNotFound,
    ScopeNotFound,
    ValidationFailed,
)
from gateway.domain.lookup import LookupItem, LookupPage, LookupQuery
from gateway.domain.messages import message
from gateway.domain.module import Module, ModuleDraft, ModulePatch, ModuleQuery, Owner, Page, Unset

WRITES: Final = frozenset({"create", "update", "delete"})
_REF: Final = re.compile(r"[0-9A-Za-z]{1,32}\.[0-9]{1,9}\.([0-9]{1,9})", re.ASCII)


@dataclass
class FakeBackend:
    """A connection; `fails` makes an operation raise, `takes` is the upstream time of each operation in seconds."""

    name: str
    capabilities: Capabilities
    scopes: tuple[str, ...]
    parents: tuple[str, ...] = ()  # exist from the start; created modules can be parents too
    state: ConnectionState = "unused"
    fails: dict[str, Exception] = field(default_factory=dict)
    takes: float = 0.0
    unavailable: tuple[str, ...] = ()
    choices: list[LookupItem] = field(default_factory=list)  # of every lookup
    modules: dict[str, Module] = field(default_factory=dict)
    last_id: int = 0  # ids are never given twice
    sent: list[tuple[str, Any]] = field(default_factory=list)

    @property
    def writes(self) -> list[tuple[str, Any]]:
        """Return the recorded writes."""
        return [call for call in self.sent if call[0] in WRITES]

    def scope_of(self, ref: str) -> str:
        _parse(ref)
        return ref.partition(".")[0]

    def natural_key(self, draft: ModuleDraft) -> tuple[str, ...]:
        return (draft.scope, draft.parent or "", draft.name)

    def create(self, draft: ModuleDraft, call: CallContext) -> Module:
        self._send("create", draft, call)
        self._check_target(draft)
        if self._modules_with_key_of(draft):
            raise ModuleAlreadyExists
        self.last_id += 1
        native_id = str(self.last_id)
        module = Module(
            backend=self.name,
            ref=f"{draft.scope}.{draft.parent or 0}.{native_id}",
            native_id=native_id,
            scope=draft.scope,
            parent=draft.parent,
            name=draft.name,
            description=draft.description,
            owners=tuple(map(Owner, draft.owners or ())),
            attributes=draft.attributes,
            unavailable=self.unavailable,
        )
        self.modules[native_id] = module
        return module

    def find_by_natural_key(self, draft: ModuleDraft, call: CallContext) -> tuple[Module, ...]:
        self._send("find", draft, call)
        return self._modules_with_key_of(draft)

    def check_target(self, draft: ModuleDraft, call: CallContext) -> None:
        self._send("check_target", draft, call)
        self._check_target(draft)

    def list(self, query: ModuleQuery, page_size: int, cursor: str | None, call: CallContext) -> Page:
        if not re.fullmatch(r"[0-9]{1,9}", cursor or "0", re.ASCII):
            raise ValidationFailed(errors=[FieldError("/page_token", "pattern", message("page_token_invalid"))])
        self._send("list", (query, page_size, cursor), call)
        if query.scope not in self.scopes:
            raise ScopeNotFound
        start = int(cursor or "0")
        matches = [module for module in self.modules.values() if _matches(module, query)]
        more = len(matches) > start + page_size
        return Page(tuple(matches[start : start + page_size]), str(start + page_size) if more else None)

    def get(self, ref: str, call: CallContext) -> Module:
        native_id = _parse(ref)
        self._send("get", ref, call)
        return self._module(native_id)

    def lookup(self, query: LookupQuery, page_size: int, cursor: str | None, call: CallContext) -> LookupPage:
        """Return the items of `choices` from the cursor on, whatever the query."""
        self._send("lookup", (query, page_size, cursor), call)
        if query.scope and query.scope not in self.scopes:
            raise ScopeNotFound
        start = int(cursor or "0")
        items = self.choices[start : start + page_size]
        more = len(self.choices) > start + page_size
        return LookupPage(tuple(items), str(start + page_size) if more else None, tuple(self.modules.values()))

    def update(
        self, ref: str, patch: ModulePatch, call: CallContext, check: Callable[[Module], None] | None = None
    ) -> Module:
        native_id = _parse(ref)
        if check is not None and native_id in self.modules:  # a read that is a part of the write is not recorded
            check(self.modules[native_id])
        self._send("update", patch, call)
        old = self._module(native_id)
        changes: dict[str, Any] = {"attributes": {**old.attributes, **patch.attributes}}
        changes |= {} if isinstance(patch.name, Unset) else {"name": patch.name}
        changes |= {} if isinstance(patch.description, Unset) else {"description": patch.description}
        changes |= {} if isinstance(patch.owners, Unset) else {"owners": tuple(map(Owner, patch.owners or ()))}
        self.modules[native_id] = replace(old, **changes)
        return self.modules[native_id]

    def descendants(self, ref: str, call: CallContext) -> Sequence[str]:
        """Like CMDB's adapter, send nothing."""
        native_id = _parse(ref)
        if "descendants" in self.fails:
            raise self.fails["descendants"]
        children = [module.ref for module in self.modules.values() if module.parent == native_id]
        return [*(ref for child in children for ref in self.descendants(child, call)), *children]

    def delete(self, ref: str, call: CallContext, check: Callable[[Module], None] | None = None) -> None:
        native_id = _parse(ref)
        if check is not None and native_id in self.modules:  # a read that is a part of the write is not recorded
            check(self.modules[native_id])
        self._send("delete", ref, call)
        self._module(native_id)
        del self.modules[native_id]

    def _send(self, operation: str, argument: object, call: CallContext) -> None:
        self.sent.append((operation, argument))
        call.upstream_seconds += self.takes
        if operation in self.fails:
            raise self.fails[operation]

    def _check_target(self, draft: ModuleDraft) -> None:
        if draft.scope not in self.scopes:
            raise ScopeNotFound
        if draft.parent is not None and draft.parent not in {*self.parents, *self.modules}:
            raise ParentNotFound

    def _modules_with_key_of(self, draft: ModuleDraft) -> tuple[Module, ...]:
        key = self.natural_key(draft)
        return tuple(
            module for module in self.modules.values() if (module.scope, module.parent or "", module.name) == key
        )

    def _module(self, native_id: str) -> Module:
        if native_id not in self.modules:
            raise ModuleNotFound
        return self.modules[native_id]


def body(backend: FakeBackend, /, **changes: Any) -> dict[str, Any]:
    """Return the body of a valid create on this backend, with changes."""
    document: dict[str, Any] = {"backend": backend.name, "scope": backend.scopes[0], "name": "demo", "owners": [OWNER]}
    document |= {"parent": backend.parents[0]} if backend.parents else {}
    return document | changes


def members(module: Mapping[str, Any], *names: str) -> dict[str, Any]:
    """Return some members of a document."""
    return {name: module[name] for name in names}


#: An owner id that is valid on both types of backends.
OWNER: Final = "09d75cde5180d4481f91c018e89cb8e2"


def _matches(module: Module, query: ModuleQuery) -> bool:
    named = query.parent in {None, module.parent} and query.name in {None, module.name}
    return named and module.scope == query.scope and (query.include_built_in or not module.built_in)


def _parse(ref: str) -> str:
    match = _REF.fullmatch(ref)
    if match is None:
        raise ModuleNotFound
    return match[1]
