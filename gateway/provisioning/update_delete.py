"""Changing and deleting a module that is there.

Before either, the journal forgets which request id made the module: the same create, sent again under that id, must
from then on be a new create and no repetition. Where the journal cannot be written, nothing is sent.
"""

from __future__ import annotations

from contextlib import suppress

from gateway.domain.backend import Backend, CallContext
from gateway.domain.errors import GatewayError, JournalUnavailable, ModuleAlreadyExists
from gateway.domain.journal import Journal
from gateway.domain.module import Module, ModuleDraft, ModulePatch, Unset
from gateway.provisioning.writing import pre_write_read


def update(journal: Journal, backend: Backend, ref: str, patch: ModulePatch, call: CallContext) -> Module:
    """Change the given fields; an empty patch changes nothing and answers the module as it is."""
    journal.clear_dedup(f"{backend.name}.{ref}")
    try:
        with pre_write_read():
            return backend.get(ref, call) if patch.is_empty else backend.update(ref, patch, call)
    except ModuleAlreadyExists as error:
        raise _with_existing(backend, ref, patch, call, error) from error


def delete(journal: Journal, backend: Backend, ref: str, *, cascade: bool, call: CallContext) -> None:
    """Delete a module, its children too where `cascade`."""
    journal.clear_dedup(f"{backend.name}.{ref}")
    with pre_write_read():
        gone = backend.delete(ref, cascade=cascade, call=call)
    with suppress(JournalUnavailable):  # the children went with it: that is done, and is to be told
        for child in set(gone) - {ref}:
            journal.clear_dedup(f"{backend.name}.{child}")


def _with_existing(
    backend: Backend, ref: str, patch: ModulePatch, call: CallContext, error: ModuleAlreadyExists
) -> GatewayError:
    """Name the module that holds the wanted name, where it can be found."""
    if isinstance(patch.name, Unset):
        return error
    try:
        old = backend.get(ref, call)
        draft = ModuleDraft(scope=old.scope, parent=old.parent, name=patch.name)
        holder = next(iter(backend.find_by_natural_key(draft, call)), None)
    except GatewayError:
        return error
    return ModuleAlreadyExists(existing=holder.id, context=error.context) if holder else error
