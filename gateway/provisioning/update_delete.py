"""Updates and deletes of existing modules: one at a time for each module, and none without a record in the journal.

Neither backend can compare before it writes, so the gateway does: a change holds its module in the journal, in the same
commit that records it, until its outcome is known. A change that was applied, or may have been, voids the module's
request deduplication: the same create, sent again under the same request id, must then be a new create, no replay.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any, Final, Literal

from gateway.domain.backend import Backend, CallContext
from gateway.domain.change import Change, ChangedFields
from gateway.domain.errors import (
    GatewayError,
    ModuleAlreadyExists,
    ModuleNotEmpty,
    Outcome,
    OutcomeUnknown,
    PreconditionFailed,
    UpdateNotKept,
)
from gateway.domain.journal import ChangeJournal
from gateway.domain.messages import message
from gateway.domain.module import UNSET, Module, ModuleDraft, ModulePatch, Unset
from gateway.domain.runtime import Runtime
from gateway.provisioning.create import unavailable_before_write
from gateway.provisioning.module_holds import ModuleHolds
from gateway.provisioning.verdict import find_differences, not_kept_errors

#: How long after the end of its hard timeout the sender of a change counts as dead; seconds.
_LEASE_MARGIN: Final = 5.0
#: The prefix of an attribute's name in ChangedFields.
_ATTRIBUTE: Final = "attributes."


@dataclass(slots=True)
class ChangeService:
    """Changes modules, and records each change in the journal. Each process has one."""

    journal: ChangeJournal
    runtime: Runtime
    new_id: Callable[[], str]
    #: Settles the creates of a connection and scope whose outcome is unknown, as far as a lookup can.
    settle_creates: Callable[[str, str, CallContext], None] = lambda _backend, _scope, _call: None
    _holds: ModuleHolds = field(init=False)

    def __post_init__(self) -> None:
        self._holds = ModuleHolds(self.journal, self.runtime)

    def update(
        self,
        backend: Backend,
        ref: str,
        patch: ModulePatch,
        call: CallContext,
        *,
        caller: str = "",
        if_match: Sequence[str] | None = None,
    ) -> Module:
        """Change the given fields and return the module. An empty patch returns the module as it is.

        With `if_match`, raises PreconditionFailed unless the module has one of these etags. The check holds: no other
        change that goes through the gateway is sent between it and this one.
        """
        backend.capabilities.check_writable()
        patch = backend.capabilities.normalize(patch)
        if patch.is_empty:
            with unavailable_before_write():
                module = backend.get(ref, call)
            _Check(backend, if_match)(module)
            return module
        try:
            with self._recorded(backend, ref, "update", call, caller=caller, if_match=if_match, patch=patch) as (
                check,
                update_call,
            ):
                module = backend.update(ref, patch, update_call, check.if_needed("update"))
                _check_kept(patch, module)
                return module
        except ModuleAlreadyExists as error:
            raise _add_existing_id(backend, ref, patch, call, error) from error

    def delete(
        self,
        backend: Backend,
        ref: str,
        *,
        cascade: bool,
        call: CallContext,
        caller: str = "",
        if_match: Sequence[str] | None = None,
    ) -> None:
        """Delete the module, with `cascade` its descendants first; raises ModuleNotEmpty if it has some without.

        `if_match` is that of `update`; it concerns the module itself, and is checked before a descendant is deleted.
        """
        backend.capabilities.check_writable()
        with unavailable_before_write():
            descendants = backend.descendants(ref, call)
            if descendants and cascade and if_match is not None:
                _Check(backend, if_match)(backend.get(ref, call))
        if descendants and not cascade:
            raise ModuleNotEmpty(message("module_has_children"))
        refs = (*descendants, ref)
        for count, deleted_ref in enumerate(refs):
            etags = if_match if deleted_ref == ref else None
            try:
                with self._recorded(backend, deleted_ref, "delete", call, caller=caller, if_match=etags) as (
                    check,
                    delete_call,
                ):
                    backend.delete(deleted_ref, delete_call, check.if_needed("delete"))
            except GatewayError as error:
                if count == 0:
                    raise
                raise OutcomeUnknown(message("delete_incomplete", deleted=count, total=len(refs))) from error

    @contextmanager
    def _recorded(
        self,
        backend: Backend,
        ref: str,
        action: Literal["update", "delete"],
        call: CallContext,
        *,
        caller: str,
        if_match: Sequence[str] | None,
        patch: ModulePatch | None = None,
    ) -> Iterator[tuple[_Check, CallContext]]:
        """Hold the module and record the change before it is sent, and its outcome afterwards.

        Yields what checks and remembers the module, and the context of the change's calls. Raises ModuleBusy or
        JournalUnavailable before the send.
        """
        self.settle_creates(backend.name, backend.scope_of(ref), call)
        capabilities = backend.capabilities
        check = _Check(backend, if_match)
        change = Change(
            id=self.new_id(),
            backend=backend.name,
            scope=backend.scope_of(ref),
            module_id=f"{backend.name}.{ref}",
            action=action,
            caller=caller,
            user=call.user,
            request_id=call.request_id,
            fields=changed_fields(patch, None),
            started_at=0.0,
            lease_seconds=capabilities.hard_timeout_seconds + _LEASE_MARGIN,
            settle_seconds=capabilities.settle_seconds,
        )
        with self._holds.hold(change, call.deadline) as began_at:
            # The change is over when its lease ends: a process that was suspended since then sends nothing.
            deadline = min(call.deadline, began_at + capabilities.hard_timeout_seconds)
            change_call = replace(call, deadline=deadline)
            outcome = Outcome.UNKNOWN
            try:
                with unavailable_before_write():
                    yield check, change_call
                outcome = Outcome.APPLIED
            except GatewayError as error:
                outcome = error.outcome
                raise
            finally:
                call.upstream_seconds = change_call.upstream_seconds
                fields = None if check.module is None else changed_fields(patch, check.module)
                self._holds.end(change.id, outcome, fields)


@dataclass(slots=True)
class _Check:
    """Compares a module with the etags of If-Match before it is changed, and remembers the module."""

    backend: Backend
    if_match: Sequence[str] | None  # `*` matches every module
    module: Module | None = field(default=None)

    def __call__(self, module: Module) -> None:
        """Raise PreconditionFailed if the module has none of the etags."""
        self.module = module
        if self.if_match is None or "*" in self.if_match:
            return
        etag = self.backend.capabilities.etag(module)
        if etag not in self.if_match:
            raise PreconditionFailed(message("etag_differs", module=module.id), existing=module.id, etag=etag)

    def if_needed(self, action: Literal["update", "delete"]) -> _Check | None:
        """Return this check if it decides, or if the module is read before the action in any case."""
        is_decisive = self.if_match is not None and "*" not in self.if_match
        return self if is_decisive or action in self.backend.capabilities.reads_before else None


def changed_fields(patch: ModulePatch | None, module: Module | None) -> ChangedFields:
    """Return what a patch, or without one a delete, does to the fields of a module, which may be unknown."""
    if patch is None:
        return {} if module is None else {"name": {"from": module.name, "to": None}}
    given: dict[str, Any] = {
        name: value for name in ("name", "description", "owners") if (value := getattr(patch, name)) is not UNSET
    }
    given |= {f"{_ATTRIBUTE}{name}": value for name, value in patch.attributes.items()}
    before = {} if module is None else _values(module)
    return {
        name: ({"from": before[name]} if name in before else {})
        | {"to": list(value) if isinstance(value, tuple) else value}
        for name, value in given.items()
    }


def is_shown(fields: ChangedFields, module: Module) -> bool:
    """Return whether a module shows that an update was applied: it has all values, and had not all of them before.

    Values that it had before prove nothing: the update may still be on its way.
    """
    attributes = {name.removeprefix(_ATTRIBUTE): pair["to"] for name, pair in fields.items() if _ATTRIBUTE in name}
    values = {name: pair["to"] for name, pair in fields.items() if _ATTRIBUTE not in name}
    if isinstance(values.get("owners"), list):
        values["owners"] = tuple(values["owners"])
    now = _values(module)
    is_new = any("from" in pair and name in now and pair["from"] != now[name] for name, pair in fields.items())
    return is_new and not find_differences(ModulePatch(**values, attributes=attributes), module)


def _values(module: Module) -> Mapping[str, Any]:
    """Return the fields of a module that an update can change and that its response contains."""
    values: dict[str, Any] = {
        "name": module.name,
        "description": module.description,
        "owners": [owner.id for owner in module.owners],
        "attributes": module.attributes,
    }
    readable = {name: value for name, value in values.items() if name not in module.unavailable}
    attributes = readable.pop("attributes", {})
    return readable | {f"{_ATTRIBUTE}{name}": value for name, value in attributes.items()}


def _check_kept(patch: ModulePatch, module: Module) -> None:
    """Raise UpdateNotKept if the module does not have the values of the patch: a backend may accept and ignore them."""
    if diff := find_differences(patch, module):
        fields = (patch.name, patch.description, patch.owners)
        given_count = len(patch.attributes) + sum(value is not UNSET for value in fields)
        owners = () if isinstance(patch.owners, Unset) else patch.owners or ()
        is_applied_in_part = len(diff) < given_count or any(owner.id in owners for owner in module.owners)
        outcome = Outcome.APPLIED if is_applied_in_part else Outcome.NOT_APPLIED
        raise UpdateNotKept(errors=not_kept_errors(diff), diff=diff, existing=module.id, outcome=outcome)


def _add_existing_id(
    backend: Backend, ref: str, patch: ModulePatch, call: CallContext, error: ModuleAlreadyExists
) -> GatewayError:
    """Return the error with the id of the module that has the new name, if that module can be found."""
    if isinstance(patch.name, Unset):
        return error
    try:
        module = backend.get(ref, call)
        draft = ModuleDraft(scope=module.scope, parent=module.parent, name=patch.name)
        existing = next(iter(backend.find_by_natural_key(draft, call)), None)
    except GatewayError:
        return error
    return ModuleAlreadyExists(existing=existing.id, context=error.context) if existing else error
