"""Updates and deletes of existing modules, each recorded in the journal before it is sent and with its outcome.

A change that was applied, or may have been, voids the module's request deduplication: the same create, sent again under
the same request id, must then be a new create and not a replay. If the journal cannot be written, nothing is sent.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Final, Literal

from gateway.domain.backend import Backend, CallContext
from gateway.domain.errors import (
    GatewayError,
    JournalUnavailable,
    ModuleAlreadyExists,
    ModuleNotEmpty,
    Outcome,
    OutcomeUnknown,
    UpdateNotKept,
)
from gateway.domain.journal import Journal
from gateway.domain.messages import message
from gateway.domain.module import UNSET, Module, ModuleDraft, ModulePatch, Unset
from gateway.domain.operation import Change
from gateway.domain.runtime import Clock
from gateway.provisioning.create import unavailable_before_write
from gateway.provisioning.verdict import find_differences, not_kept_errors

#: How long after the end of its hard timeout the sender of a change counts as dead; seconds.
_LEASE_MARGIN: Final = 5.0


@dataclass(frozen=True, slots=True)
class ChangeService:
    """Changes modules, and records each change in the journal."""

    journal: Journal
    clock: Clock
    new_id: Callable[[], str]
    #: Settles the creates of a connection and scope whose outcome is unknown, as far as a lookup can.
    settle_creates: Callable[[str, str, CallContext], None] = lambda _backend, _scope, _call: None

    def update(self, backend: Backend, ref: str, patch: ModulePatch, call: CallContext) -> Module:
        """Change the given fields and return the module. An empty patch returns the module as it is."""
        backend.capabilities.check_writable()
        patch = backend.capabilities.normalize(patch)
        if patch.is_empty:
            with unavailable_before_write():
                return backend.get(ref, call)
        try:
            with self._recorded(backend, ref, "update", call), unavailable_before_write():
                module = backend.update(ref, patch, call)
                _check_kept(patch, module)
                return module
        except ModuleAlreadyExists as error:
            raise _add_existing_id(backend, ref, patch, call, error) from error

    def delete(self, backend: Backend, ref: str, *, cascade: bool, call: CallContext) -> None:
        """Delete the module, with `cascade` its descendants first; raises ModuleNotEmpty if it has some without."""
        backend.capabilities.check_writable()
        with unavailable_before_write():
            descendants = backend.descendants(ref, call)
        if descendants and not cascade:
            raise ModuleNotEmpty(message("module_has_children"))
        refs = (*descendants, ref)
        for count, deleted_ref in enumerate(refs):
            try:
                with self._recorded(backend, deleted_ref, "delete", call), unavailable_before_write():
                    backend.delete(deleted_ref, call)
            except GatewayError as error:
                if count == 0:
                    raise
                raise OutcomeUnknown(message("delete_incomplete", deleted=count, total=len(refs))) from error

    @contextmanager
    def _recorded(
        self, backend: Backend, ref: str, action: Literal["update", "delete"], call: CallContext
    ) -> Iterator[None]:
        """Record a change before it is sent, and its outcome afterwards; raises JournalUnavailable before the send.

        If the outcome cannot be recorded, the change counts as unknown when its lease ends.
        """
        self.settle_creates(backend.name, backend.scope_of(ref), call)
        now, lease_seconds = self.clock.now(), backend.capabilities.hard_timeout_seconds + _LEASE_MARGIN
        change = Change(
            id=self.new_id(),
            module_id=f"{backend.name}.{ref}",
            action=action,
            started_at=now,
            lease_until=now + lease_seconds,
        )
        self.journal.begin_change(change)
        outcome = Outcome.UNKNOWN
        try:
            yield
            outcome = Outcome.APPLIED
        except GatewayError as error:
            outcome = error.outcome
            raise
        finally:
            with suppress(JournalUnavailable):
                self.journal.end_change(change.id, outcome)


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
