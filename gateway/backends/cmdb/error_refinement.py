"""What a refused write means, found by reading: which of several causes its code has, and whether it was applied."""

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
_TRANSACTION_CONFLICTS: Final = frozenset({"1199020", "1199021"})
#: The fields that say where a module is; most unique rules contain them, and they never are what collides.
_LOCATION_FIELDS: Final = frozenset({"bk_biz_id", "bk_set_id", "bk_parent_id", "bk_supplier_account"})
#: In seconds, until the other transaction has ended.
_BUSY_RETRY_AFTER: Final = 1.0


def explain_duplicate(error: GatewayError, is_name_taken: Callable[[], bool]) -> GatewayError:
    """Return which fields collide: the name, if another module has it, or those that the text names by their ids.

    The text names one broken rule, but a repeated create must find the module of its name. Every other error is
    returned as it is.
    """
    if not isinstance(error, UniqueFieldConflict) or error.context.failure is None:
        return error
    with suppress(GatewayError):  # the write was refused in any case
        if is_name_taken():
            return ModuleAlreadyExists(context=error.context)
    fields = sorted(duplicate_fields(error.context.failure.message) - _LOCATION_FIELDS)
    errors = [FieldError(field_pointer(field), error.code) for field in fields]
    return UniqueFieldConflict(errors=errors, context=error.context)


def explain_not_found(error: GatewayError, draft: ModuleDraft, require_set: Callable[[], Any]) -> GatewayError:
    """Return the error for what a create did not find: the business, its set or the service category, if one was sent.

    `require_set` raises ScopeNotFound or ParentNotFound. Every other error, and one whose cause cannot be read, is
    returned as it is.
    """
    if not isinstance(error, ParentNotFound) and _failure_code(error) != _NOT_FOUND:
        return error
    try:
        require_set()
    except (ScopeNotFound, ParentNotFound) as cause:
        return type(cause)(errors=[FieldError(str(cause.pointer), cause.code)], context=error.context)
    except GatewayError:  # the search failed: the cause stays unknown
        return error
    if _failure_code(error) == _NOT_FOUND and draft.attributes.get("service_category_id"):
        errors = [FieldError(field_pointer("service_category_id"), ValidationFailed.code)]
        return ValidationFailed(errors=errors, context=error.context)
    return error


def is_transaction_conflict(error: GatewayError) -> bool:
    """Return whether a write met another transaction; its own has ended, so that a read shows the outcome."""
    return isinstance(error, OutcomeUnknown) and _failure_code(error) in _TRANSACTION_CONFLICTS


def settle_update(conflict: GatewayError, patch: ModulePatch, read: Callable[[], Module]) -> Module:
    """Return the module if it has all values of the patch; raise ModuleBusy if it has none.

    Raises `conflict`, whose outcome is unknown, if it has some of them or cannot be read.
    """
    try:
        module = read()
    except GatewayError:
        raise conflict from None
    if "owners" in module.unavailable:  # they cannot be compared
        raise conflict
    kept = _kept_values(patch, module)
    if all(kept):
        return module
    if any(kept):
        raise conflict
    raise _busy_error(conflict) from conflict


def settle_delete(conflict: GatewayError, read: Callable[[], Module]) -> None:
    """Return if the module is gone; raise ModuleBusy if it is still there, `conflict` if it cannot be read."""
    try:
        read()
    except ModuleNotFound:
        return
    except GatewayError:
        raise conflict from None
    raise _busy_error(conflict) from conflict


def _busy_error(conflict: GatewayError) -> ModuleBusy:
    return ModuleBusy(context=ErrorContext(conflict.context.failure, retry_after=_BUSY_RETRY_AFTER))


def _kept_values(patch: ModulePatch, module: Module) -> list[bool]:
    """Return for each value of a patch whether the module has it."""
    kept = [module.attributes.get(name) == value for name, value in patch.attributes.items()]
    if patch.name is not UNSET:
        kept.append(module.name == patch.name)
    if patch.owners is not UNSET:
        kept.append([owner.id for owner in module.owners] == list(patch.owners or ()))
    return kept


def _failure_code(error: GatewayError) -> str | None:
    return error.context.failure.code if error.context.failure else None
