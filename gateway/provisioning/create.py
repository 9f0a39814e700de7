"""One create: the request, the send and its result, and the checks that can be made without sending it."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Final, Literal

from gateway.domain.backend import Backend, CallContext
from gateway.domain.errors import (
    NO_CONTEXT,
    BackendReplyInvalid,
    BackendTimeout,
    BackendUnavailable,
    GatewayError,
    JournalUnavailable,
    ModuleAlreadyExists,
    ModuleExistsDifferently,
    Outcome,
    OutcomeUnknown,
    ParentNotFound,
    ScopeNotFound,
    TemplateManaged,
    UpdateNotKept,
    ValidationFailed,
)
from gateway.domain.journal import Journal
from gateway.domain.messages import message
from gateway.domain.module import Module, ModuleDraft
from gateway.provisioning.known_modules import BackendClocks
from gateway.provisioning.serialization import refused, succeeded
from gateway.provisioning.verdict import LOOKUP_SCHEDULE, find_differences, not_kept_errors

IfExists = Literal["error", "adopt"]
_log: Final = logging.getLogger("gateway.provisioning")


@dataclass(frozen=True, slots=True, kw_only=True)
class CreateRequest:
    """What a caller requests; the draft has been validated against the backend's capabilities."""

    draft: ModuleDraft
    if_exists: IfExists = "error"
    caller: str
    idempotency_key: str | None = None


@dataclass(frozen=True, slots=True)
class CreatedModule:
    """The module that a create returns; `adopted` is true if it existed before."""

    module: Module
    adopted: bool = False


@dataclass(frozen=True, slots=True)
class PreflightCheck:
    """One check that changes nothing; `error` is the error that a create would raise."""

    name: str
    error: GatewayError | None = None
    would_adopt: bool = False  # the module exists, and a create would return it


@contextmanager
def unavailable_before_write() -> Iterator[None]:
    """Turn a BackendTimeout or BackendReplyInvalid into BackendUnavailable, which states that nothing was applied.

    An adapter raises these two for reads only, such as those before a write. If the outcome of the write itself is
    unknown, it raises OutcomeUnknown.
    """
    try:
        yield
    except (BackendTimeout, BackendReplyInvalid) as error:
        what = message("read_before_write_failed")
        raise BackendUnavailable(what, context=error.context) from error


def send(
    backend: Backend,
    request: CreateRequest,
    call: CallContext,
    *,
    operation_id: str,
    journal: Journal,
    clocks: BackendClocks,
    existing: Module | None = None,
) -> CreatedModule | GatewayError | None:
    """Send a claimed create once and record its result; return the result, or None if the outcome is unknown.

    With `existing`, the module that a probe found, nothing is sent.

    If the journal cannot be written, the result is returned all the same: the lease of the claim expires, and the
    reconciler settles the operation.
    """
    result: CreatedModule | GatewayError | None = None
    fields = {"backend": backend.name, "request_id": call.request_id, "operation": operation_id}
    reason, clock = "internal", clocks.clock
    sent_at = clock.monotonic()
    try:
        result = _create_or_adopt(backend, request, call, existing)
        if not result.adopted:
            clocks.measure(result.module, sent_at=sent_at)
    except OutcomeUnknown as error:
        reason = error.code
    except GatewayError as error:
        result = error
    except Exception:  # a bug: the request may have been sent
        _log.exception("a create failed unexpectedly", extra={"fields": fields})
    now = clock.now()
    try:
        if result is None:
            evidence = {"at": now, "what": reason, "hits": None}
            journal.mark_unknown(operation_id, at=now, due_at=now + LOOKUP_SCHEDULE[0], evidence=evidence)
        elif isinstance(result, GatewayError):
            journal.settle(operation_id, refused(result, at=now))
        else:
            journal.settle(operation_id, succeeded(result.module, adopted=result.adopted, at=now))
    except JournalUnavailable:
        message = "failed to persist unknown outcome" if result is None else "failed to persist result"
        _log.warning(message, extra={"fields": fields})
    return result


def check_kept(backend: Backend, draft: ModuleDraft, module: Module, operation_id: str) -> None:
    """Raise UpdateNotKept if the module that a create made, or adopted, does not have the values of the draft.

    Values that a backend is known to normalize are no difference. Any other is an error, because a caller would
    take a success for the values that it sent; the module exists, and the error has its id.
    """
    if diff := find_differences(backend.capabilities.normalize(draft), module):
        raise UpdateNotKept(
            errors=not_kept_errors(diff),
            existing=module.id,
            diff=diff,
            operation=operation_id,
            outcome=Outcome.APPLIED,
        )


def preview(
    backend: Backend, draft: ModuleDraft, call: CallContext, if_exists: IfExists = "error"
) -> tuple[PreflightCheck, ...]:
    """Return the checks of a create that is not sent; the draft has been validated against the capabilities."""
    checks = (*_check_mode(backend), PreflightCheck("rules"))
    with unavailable_before_write():
        error = _check_target(backend, draft, call)
        if error is not None:
            return (*checks, PreflightCheck("place", error))
        existing = next(iter(backend.find_by_natural_key(draft, call)), None)
    name_check = PreflightCheck("name_free")
    if existing is not None and if_exists == "error":
        name_check = PreflightCheck("name_free", _already_exists_error(existing))
    elif existing is not None:
        diff = find_differences(backend.capabilities.normalize(draft), existing)
        error = ModuleExistsDifferently(diff=diff, existing=existing.id) if diff else None
        name_check = PreflightCheck("name_free", error, would_adopt=not diff)
    return (*checks, PreflightCheck("place"), name_check)


def probe(backend: Backend, request: CreateRequest, call: CallContext) -> Module | None:
    """Return the module that has the natural key, if the connection is set to look before each create.

    The items of a batch that may adopt modules look too, where one list of the scope serves all of them. Call it before
    the claim: the journal then has the module's id before the operation.
    """
    capabilities = backend.capabilities
    is_shared = call.snapshots is not None and request.if_exists == "adopt" and capabilities.lookup_lists_scope
    if not (capabilities.probe_before_create or is_shared):
        return None
    with unavailable_before_write():
        return next(iter(backend.find_by_natural_key(backend.capabilities.normalize(request.draft), call)), None)


def _create_or_adopt(
    backend: Backend, request: CreateRequest, call: CallContext, existing: Module | None
) -> CreatedModule:
    """Create the module, or adopt the one that has its natural key and the same values; `existing` is the probe's."""
    draft, conflict = backend.capabilities.normalize(request.draft), ModuleAlreadyExists()
    if existing is None:
        try:
            with unavailable_before_write():
                return CreatedModule(backend.create(draft, call))
        except ModuleAlreadyExists as error:
            conflict = error
        existing = _find_existing(backend, draft, call)
        if existing is None and call.snapshots is not None:  # it was created after the list that the batch shares
            call.snapshots.clear()
            existing = _find_existing(backend, draft, call)
    if existing is None:
        if conflict.existing:  # a module whose name the backend takes for the same; reading it records its id
            with suppress(GatewayError):
                backend.get(conflict.existing.removeprefix(f"{backend.name}."), call)
        raise conflict
    if request.if_exists == "error":
        raise _already_exists_error(existing, conflict) from conflict
    if diff := find_differences(draft, existing):
        raise ModuleExistsDifferently(diff=diff, existing=existing.id, context=conflict.context) from conflict
    return CreatedModule(existing, adopted=True)


def _find_existing(backend: Backend, draft: ModuleDraft, call: CallContext) -> Module | None:
    """Return the module that has the natural key, or None if the lookup fails: the create was refused in any case."""
    try:
        return next(iter(backend.find_by_natural_key(draft, call)), None)
    except GatewayError:
        return None


def _already_exists_error(existing: Module, conflict: ModuleAlreadyExists | None = None) -> ModuleAlreadyExists:
    key = "name_taken_in_parent" if existing.parent else "name_taken_in_scope"
    detail = message(key, name=existing.name, parent=existing.parent, scope=existing.scope)
    return ModuleAlreadyExists(detail, existing=existing.id, context=conflict.context if conflict else NO_CONTEXT)


def _check_mode(backend: Backend) -> tuple[PreflightCheck, ...]:
    """Return the check of a connection that is read-only; any other has none."""
    is_read_only = backend.capabilities.mode == "read_only"
    return (PreflightCheck("writable", backend.capabilities.read_only_error()),) if is_read_only else ()


def _check_target(backend: Backend, draft: ModuleDraft, call: CallContext) -> GatewayError | None:
    try:
        backend.check_target(draft, call)
    except (ScopeNotFound, ParentNotFound, TemplateManaged, ValidationFailed) as error:
        return error
    return None
