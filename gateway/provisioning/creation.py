"""Creating a module: the send, and what follows when the name is taken."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from gateway.domain.errors import (
    GatewayError,
    ModuleAlreadyExists,
    ModuleExistsDifferently,
    ParentNotFound,
    ScopeNotFound,
    TemplateManaged,
)
from gateway.domain.module import Module, ModuleDraft
from gateway.domain.ports import Backend, Call
from gateway.provisioning.writing import before_the_write

IfExists = Literal["error", "adopt"]


@dataclass(frozen=True, slots=True)
class Creation:
    """A module that is there; `adopted` says that it had been there before."""

    module: Module
    adopted: bool = False


@dataclass(frozen=True, slots=True)
class Check:
    """One thing looked at without changing anything; `error` is what a create would meet."""

    name: str
    error: GatewayError | None = None


def create(backend: Backend, draft: ModuleDraft, if_exists: IfExists, call: Call) -> Creation:
    """Create a module, or adopt the one of the same natural key where it holds the same values."""
    try:
        with before_the_write():
            return Creation(backend.create(draft, call))
    except ModuleAlreadyExists as error:
        return settle_existing(backend, draft, if_exists, call, error)


def settle_existing(
    backend: Backend, draft: ModuleDraft, if_exists: IfExists, call: Call, error: ModuleAlreadyExists
) -> Creation:
    """Adopt the module that holds the name, or raise why not."""
    existing = _existing(backend, draft, call)
    if existing is None:
        raise error
    if if_exists == "error":
        raise _taken(existing, error) from error
    if diff := differences(draft, existing):
        raise ModuleExistsDifferently(evidence=error.evidence, existing=existing.id, diff=diff) from error
    return Creation(existing, adopted=True)


def preview(backend: Backend, draft: ModuleDraft, call: Call) -> tuple[Check, ...]:
    """Look at everything that a create would meet; the rules of the backend's capabilities have been checked."""
    with before_the_write():
        place = _place_error(backend, draft, call)
        if place is not None:
            return (Check("rules"), Check("place", place))
        existing = next(iter(backend.find(draft, call)), None)
    return (Check("rules"), Check("place"), Check("name_free", _taken(existing) if existing else None))


def differences(draft: ModuleDraft, module: Module) -> Mapping[str, Any]:
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


def _existing(backend: Backend, draft: ModuleDraft, call: Call) -> Module | None:
    """Return who holds the name; None where nobody can tell, for the refusal stands anyway."""
    try:
        return next(iter(backend.find(draft, call)), None)
    except GatewayError:
        return None


def _taken(existing: Module, error: ModuleAlreadyExists | None = None) -> ModuleAlreadyExists:
    place = f"parent {existing.parent} of scope {existing.scope}" if existing.parent else f"scope {existing.scope}"
    detail = f"A module named '{existing.name}' is there already, under {place}."
    if error is None:
        return ModuleAlreadyExists(detail, existing=existing.id)
    return ModuleAlreadyExists(detail, existing=existing.id, evidence=error.evidence)


def _place_error(backend: Backend, draft: ModuleDraft, call: Call) -> GatewayError | None:
    try:
        backend.check_place(draft, call)
    except (ScopeNotFound, ParentNotFound, TemplateManaged) as error:
        return error
    return None
