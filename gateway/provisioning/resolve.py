"""A person's verdict on a create that the gateway cannot settle."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

from gateway.domain.backend import Backend, CallContext
from gateway.domain.errors import FieldError, GatewayError, ModuleNotFound, OperationNotResolvable, ValidationFailed
from gateway.domain.journal import Journal
from gateway.domain.messages import message
from gateway.domain.module import Module, ModuleDraft
from gateway.domain.operation import Operation, Settlement, State
from gateway.domain.runtime import Clock
from gateway.provisioning.serialization import draft_from_json, succeeded


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What a person decided, and why."""

    verdict: Literal["applied", "not_applied"]
    ref: str | None  # of the module that the create made, if it was applied
    reason: str
    caller: str
    user: str | None


@dataclass(frozen=True, slots=True)
class ResolveService:
    """Settles operations by verdicts."""

    journal: Journal
    clock: Clock
    #: How much of its settle window is over, in seconds.
    observed_seconds: Callable[[Operation], float]

    def resolve(self, backend: Backend, operation: Operation, verdict: Verdict, call: CallContext) -> Operation:
        """Settle an operation once and return it.

        Raises OperationNotResolvable if it is not ambiguous and not past its window, or was settled in the meantime,
        and ValidationFailed if the module is not one that the create could have made.
        """
        self._require_resolvable(operation, verdict)
        module = None if verdict.ref is None else _read_candidate(backend, operation, verdict.ref, call)
        now = self.clock.now()
        evidence: dict[str, Any] = {
            "at": now,
            "what": f"resolved:{verdict.verdict}",
            "hits": self._look_up(backend, operation, call),
            "reason": verdict.reason,
            "by": verdict.caller,
            "user": verdict.user,
        }
        if module is None:
            settlement = Settlement(state=State.NOT_APPLIED, at=now, evidence=evidence)
        else:
            settlement = succeeded(module, adopted=False, at=now, evidence=evidence)
        if not self.journal.resolve(operation.claim.id, settlement):
            raise OperationNotResolvable(message("operation_settled_meanwhile"))
        return self.journal.get(operation.claim.id) or operation

    def _require_resolvable(self, operation: Operation, verdict: Verdict) -> None:
        claim = operation.claim
        if operation.state is State.RECONCILING:
            is_window_over = self.observed_seconds(operation) >= claim.settle_seconds
            is_resolvable = is_window_over
        else:  # the estimate, because no process observes the window of an operation that has ended
            is_window_over = operation.settles_at is None or self.clock.now() >= operation.settles_at
            is_resolvable = operation.state is State.AMBIGUOUS
        if not is_resolvable:
            raise OperationNotResolvable(message("operation_in_state", state=operation.state.value))
        if verdict.verdict == "not_applied" and not is_window_over:
            raise OperationNotResolvable(message("operation_in_window"))

    @staticmethod
    def _look_up(backend: Backend, operation: Operation, call: CallContext) -> list[str] | None:
        """Return the native ids that have the natural key at the time of the verdict; None if they cannot be read."""
        draft = backend.capabilities.normalize(draft_from_json(operation.claim.draft["draft"]))
        try:
            return [hit.native_id for hit in backend.find_by_natural_key(draft, call)]
        except GatewayError:
            return None


def _read_candidate(backend: Backend, operation: Operation, ref: str, call: CallContext) -> Module:
    """Return the module that a person names; raises ValidationFailed unless it has the operation's natural key."""
    try:
        module = backend.get(ref, call)
    except ModuleNotFound as error:
        detail = message("resolved_module_missing", module=f"{backend.name}.{ref}")
        raise ValidationFailed(errors=[FieldError("/module", "choice", detail)]) from error
    draft = ModuleDraft(scope=module.scope, parent=module.parent, name=module.name)
    if backend.natural_key(draft) != operation.claim.natural_key:
        detail = message(
            "resolved_module_differs", module=module.id, natural_key=" / ".join(operation.claim.natural_key)
        )
        raise ValidationFailed(errors=[FieldError("/module", "choice", detail)])
    return module
