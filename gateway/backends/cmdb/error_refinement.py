"""Why CMDB refused a write, if its code has several causes, and what became of a change that met another one."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from typing import Any, Final

from gateway.backends.cmdb.errors import duplicate_fields, field_pointer
from gateway.domain.errors import (
    ErrorContext,
    FieldError,
    GatewayError,
    ModuleAlreadyExists,
    ModuleBusy,
    ModuleNotFound,
    OutcomeUnknown,
    ParentNotFound,
    ScopeNotFound,
    UniqueFieldConflict,
    ValidationFailed,
)
from gateway.domain.module import UNSET, Module, ModuleDraft, ModulePatch

_NOT_FOUND: Final = "1199019"
#: A statement failed inside a transaction, which CMDB then rolls back: 1199020 and 1199021 (cmdb.md, sections 5 and 9).
_CONFLICTS: Final = frozenset({"1199020", "1199021"})
#: The place of a module, which is a part of most unique rules and never what collides.
_PLACE: Final = frozenset({"bk_biz_id", "bk_set_id", "bk_parent_id", "bk_supplier_account"})
#: In seconds, until the other transaction has ended.
_BUSY_RETRY_AFTER: Final = 1.0


def explain_duplicate(error: GatewayError, is_name_taken: Callable[[], bool]) -> GatewayError:
    """Return which fields collide: the name, if another module has it, or those that the text names by their ids.

    The text names one broken rule; a module of this name is what a repeated create has to find.
    """
    if not isinstance(error, UniqueFieldConflict) or error.context.failure is None:
        return error
    with suppress(GatewayError):  # the write was refused in any case
        if is_name_taken():
            return ModuleAlreadyExists(context=error.context)
    fields = sorted(duplicate_fields(error.context.failure.message) - _PLACE)
    errors = [FieldError(field_pointer(field), error.code) for field in fields]
    return UniqueFieldConflict(errors=errors, context=error.context)


def explain_not_found(error: GatewayError, draft: ModuleDraft, require_set: Callable[[], Any]) -> GatewayError:
    """Return what a create did not find: the business, its set or the service category, if one was sent."""
    if not isinstance(error, ParentNotFound) and _code(error) != _NOT_FOUND:
        return error
    try:
        require_set()
    except (ScopeNotFound, ParentNotFound) as cause:
        return type(cause)(errors=[FieldError(str(cause.pointer), cause.code)], context=error.context)
    except GatewayError:
        return error
    if _code(error) == _NOT_FOUND and draft.attributes.get("service_category_id"):
        errors = [FieldError(field_pointer("service_category_id"), ValidationFailed.code)]
        return ValidationFailed(errors=errors, context=error.context)
    return error


def is_conflict(error: GatewayError) -> bool:
    """Return whether the outcome of an update or delete can be read back, because its transaction has ended."""
    return isinstance(error, OutcomeUnknown) and _code(error) in _CONFLICTS


def settle_update(conflict: GatewayError, patch: ModulePatch, read: Callable[[], Module]) -> Module:
    """Return the module if it has all values of the patch; raise ModuleBusy if it has none, else `conflict`."""
    try:
        module = read()
    except GatewayError:
        raise conflict from None
    kept = _kept_values(patch, module)
    if kept == {False}:
        raise _busy(conflict) from conflict
    if False in kept:
        raise conflict
    return module


def settle_delete(conflict: GatewayError, read: Callable[[], Module]) -> None:
    """Return if the module is gone; raise ModuleBusy if it is still there, `conflict` if it cannot be read."""
    try:
        read()
    except ModuleNotFound:
        return
    except GatewayError:
        raise conflict from None
    raise _busy(conflict) from conflict


def _busy(conflict: GatewayError) -> ModuleBusy:
    return ModuleBusy(context=ErrorContext(conflict.context.failure, retry_after=_BUSY_RETRY_AFTER))


def _kept_values(patch: ModulePatch, module: Module) -> set[bool]:
    """Return whether the module has the values of a patch: {True}, {False}, or both if it has some of them."""
    compared: list[tuple[Any, Any]] = [(value, module.attributes.get(key)) for key, value in patch.attributes.items()]
    if patch.name is not UNSET:
        compared.append((patch.name, module.name))
    if patch.owners is not UNSET:
        compared.append((list(patch.owners or ()), [owner.id for owner in module.owners]))
    kept = {wanted == found for wanted, found in compared}
    return {True, False} if "owners" in module.unavailable else kept


def _code(error: GatewayError) -> str | None:
    return error.context.failure.code if error.context.failure else None
