"""Creating a module: the send, and what follows when the name is taken."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from gateway.domain.backend import Backend, CallContext
from gateway.domain.errors import (
    GatewayError,
    ModuleAlreadyExists,
    ModuleExistsDifferently,
    ParentNotFound,
    ScopeNotFound,
    TemplateManaged,
)
from gateway.domain.module import Module, ModuleDraft
from gateway.provisioning.writing import pre_write_read

IfExists = Literal["error", "adopt"]


@dataclass(frozen=True, slots=True)
class CreatedModule:
    """A module that is there; `adopted` says that it had been there before."""

    module: Module
    adopted: bool = False


@dataclass(frozen=True, slots=True)
class PreflightCheck:
    """One thing looked at without changing anything; `error` is what a create would meet."""

    name: str
    error: GatewayError | None = None


def create(backend: Backend, draft: ModuleDraft, if_exists: IfExists, call: CallContext) -> CreatedModule:
    """Create a module, or adopt the one of the same natural key where it holds the same values."""
    try:
        with pre_write_read():
            return CreatedModule(backend.create(draft, call))
    except ModuleAlreadyExists as error:
        return resolve_conflict(backend, draft, if_exists, call, error)


def resolve_conflict(
    backend: Backend, draft: ModuleDraft, if_exists: IfExists, call: CallContext, error: ModuleAlreadyExists
) -> CreatedModule:
    """Adopt the module that holds the name, or raise why not."""
    existing = _existing(backend, draft, call)
    if existing is None:
        raise error
    if if_exists == "error":
        raise _taken(existing, error) from error
    if diff := find_differences(draft, existing):
        raise ModuleExistsDifferently(context=error.context, existing=existing.id, diff=diff) from error
    return CreatedModule(existing, adopted=True)


def preview(backend: Backend, draft: ModuleDraft, call: CallContext) -> tuple[PreflightCheck, ...]:
    """Look at everything that a create would meet; the rules of the backend's capabilities have been checked."""
    with pre_write_read():
        place = _place_error(backend, draft, call)
        if place is not None:
            return (PreflightCheck("rules"), PreflightCheck("place", place))
        existing = next(iter(backend.find_by_natural_key(draft, call)), None)
    return (
        PreflightCheck("rules"),
        PreflightCheck("place"),
        PreflightCheck("name_free", _taken(existing) if existing else None),
    )


def find_differences(draft: ModuleDraft, module: Module) -> Mapping[str, Any]:
    """Compare what was given with what is there, by JSON pointer; what cannot be read back cannot differ."""
    wanted: dict[str, Any] = {"/parent": draft.parent, "/description": draft.description}
    found: dict[str, Any] = {"/parent": module.parent, "/description": module.description}
    if draft.owners is not None:
        wanted["/owners"] = sorted(draft.owners)
        found["/owners"] = sorted(owner.id for owner in module.owners)
    for name, value in draft.attributes.items():
        wanted[f"/attributes/{name}"] = value
        found[f"/attributes/{name}"] = module.attributes.get(name)
    return {
        pointer: {"wanted": value, "found": found[pointer]}
        for pointer, value in wanted.items()
        if value is not None and value != found[pointer] and pointer[1:] not in module.unavailable
    }


def _existing(backend: Backend, draft: ModuleDraft, call: CallContext) -> Module | None:
    """Return who holds the name; None where nobody can tell, for the refusal stands anyway."""
    try:
        return next(iter(backend.find_by_natural_key(draft, call)), None)
    except GatewayError:
        return None


def _taken(existing: Module, error: ModuleAlreadyExists | None = None) -> ModuleAlreadyExists:
    place = f"parent {existing.parent} of scope {existing.scope}" if existing.parent else f"scope {existing.scope}"
    detail = f"A module named '{existing.name}' is there already, under {place}."
    if error is None:
        return ModuleAlreadyExists(detail, existing=existing.id)
    return ModuleAlreadyExists(detail, existing=existing.id, context=error.context)


def _place_error(backend: Backend, draft: ModuleDraft, call: CallContext) -> GatewayError | None:
    try:
        backend.check_target(draft, call)
    except (ScopeNotFound, ParentNotFound, TemplateManaged) as error:
        return error
    return None
