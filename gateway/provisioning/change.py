"""Changing and deleting a module that is there.

Before either, the journal forgets which request id made the module: the same create, sent again under that id, must
from then on be a new create and no repetition. Where the journal cannot be written, nothing is sent.
"""

from __future__ import annotations

from contextlib import suppress

from gateway.domain.errors import GatewayError, JournalUnavailable, ModuleAlreadyExists
from gateway.domain.module import Module, ModuleDraft, ModulePatch, Unset
from gateway.domain.ports import Backend, Call, Journal
from gateway.provisioning.writing import before_the_write


def update(journal: Journal, backend: Backend, ref: str, patch: ModulePatch, call: Call) -> Module:
    """Change the given fields; an empty patch changes nothing and answers the module as it is."""
    journal.void_memory(f"{backend.name}.{ref}")
    try:
        with before_the_write():
            return backend.get(ref, call) if patch.empty else backend.update(ref, patch, call)
    except ModuleAlreadyExists as error:
        raise _with_existing(backend, ref, patch, call, error) from error


def delete(journal: Journal, backend: Backend, ref: str, *, cascade: bool, call: Call) -> None:
    """Delete a module, its children too where `cascade`."""
    journal.void_memory(f"{backend.name}.{ref}")
    with before_the_write():
        gone = backend.delete(ref, cascade=cascade, call=call)
    with suppress(JournalUnavailable):  # the children went with it: that is done, and is to be told
        for child in set(gone) - {ref}:
            journal.void_memory(f"{backend.name}.{child}")


def _with_existing(
    backend: Backend, ref: str, patch: ModulePatch, call: Call, error: ModuleAlreadyExists
) -> GatewayError:
    """Name the module that holds the wanted name, where it can be found."""
    if isinstance(patch.name, Unset):
        return error
    try:
        old = backend.get(ref, call)
        draft = ModuleDraft(scope=old.scope, parent=old.parent, name=patch.name)
        holder = next(iter(backend.find(draft, call)), None)
    except GatewayError:
        return error
    return ModuleAlreadyExists(existing=holder.id, evidence=error.evidence) if holder else error
