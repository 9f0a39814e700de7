"""Updates and deletes of an existing module.

Each first clears the module's request deduplication entry in the journal: the same create, sent again under the same
request id, must then be a new create and not a replay. If the journal cannot be written, nothing is sent.
"""

from __future__ import annotations

from contextlib import suppress

from gateway.domain.backend import Backend, CallContext
from gateway.domain.errors import GatewayError, JournalUnavailable, ModuleAlreadyExists, Outcome, UpdateNotKept
from gateway.domain.journal import Journal
from gateway.domain.module import UNSET, Module, ModuleDraft, ModulePatch, Unset
from gateway.provisioning.create import pre_write_read
from gateway.provisioning.verdict import find_differences, not_kept_errors


def update(journal: Journal, backend: Backend, ref: str, patch: ModulePatch, call: CallContext) -> Module:
    """Clear the module's deduplication entry, change the given fields and return the module.

    An empty patch changes nothing and returns the module as it is.
    """
    journal.clear_dedup(f"{backend.name}.{ref}")
    patch = backend.capabilities.normalize(patch)
    try:
        with pre_write_read():
            if patch.is_empty:
                return backend.get(ref, call)
            module = backend.update(ref, patch, call)
    except ModuleAlreadyExists as error:
        raise _add_existing_id(backend, ref, patch, call, error) from error
    _check_kept(patch, module)
    return module


def delete(journal: Journal, backend: Backend, ref: str, *, cascade: bool, call: CallContext) -> None:
    """Clear the module's deduplication entry and delete the module, with `cascade` its children too."""
    journal.clear_dedup(f"{backend.name}.{ref}")
    with pre_write_read():
        deleted_refs = backend.delete(ref, cascade=cascade, call=call)
    with suppress(JournalUnavailable):  # the delete was applied, so the caller must get its success
        for child_ref in set(deleted_refs) - {ref}:
            journal.clear_dedup(f"{backend.name}.{child_ref}")


def _check_kept(patch: ModulePatch, module: Module) -> None:
    """Raise UpdateNotKept if the module does not have the values of the patch: a backend may accept and ignore them."""
    if diff := find_differences(patch, module):
        fields = (patch.name, patch.description, patch.owners)
        given = len(patch.attributes) + sum(value is not UNSET for value in fields)
        outcome = Outcome.APPLIED if len(diff) < given else Outcome.NOT_APPLIED
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
