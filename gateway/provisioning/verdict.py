"""What a look at the backend proves about a create whose reply was lost. No side effects: evidence in, verdict out."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from gateway.domain.errors import GatewayError, ModuleAlreadyExists, ModuleExistsDifferently
from gateway.domain.module import Module, ModuleDraft
from gateway.domain.operation import Operation, Settlement, State
from gateway.provisioning.create import find_differences
from gateway.provisioning.serialization import error_to_json, module_to_json

#: When to look, seconds after the reply was lost; then once more when the settle window closes.
LOOKUP_SCHEDULE: Final = (0.3, 1.0, 3.0, 8.0, 20.0, 60.0)
#: Between looks when the window has closed and the backend could not be asked.
_LATE: Final = 20.0
#: Their clock may be behind ours by so much without making a new module look old.
CLOCK_SKEW: Final = 60.0


@dataclass(frozen=True, slots=True)
class Retry:
    """Nothing is proven yet."""

    due_at: float
    evidence: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class LookupResult:
    """What was found under the natural key at a time, and who tells whether a module was known before the claim."""

    at: float
    hits: Sequence[Module]
    known_before: Callable[[Module], bool]
    acting_user: str | None


def decide(operation: Operation, draft: ModuleDraft, look: LookupResult) -> Settlement | Retry:
    """Settle the operation, or say when to look again."""
    if not look.hits:
        return _nothing(operation, look)
    if len(look.hits) > 1:
        evidence = _evidence(look, "several_found")
        return Settlement(state=State.AMBIGUOUS, at=look.at, evidence=evidence)
    hit = look.hits[0]
    confidence = _confidence(operation, draft, hit, look)
    if confidence is None:
        return _taken(operation, draft, hit, look)
    return Settlement(
        state=State.SUCCEEDED,
        at=look.at,
        module=module_to_json(hit, adopted=False),
        module_id=hit.id,
        evidence={**_evidence(look, "found"), "confidence": confidence},
    )


def lookup_failed(operation: Operation, at: float, code: str) -> Retry:
    """Say when to look again after the backend could not be asked: nothing is ever concluded from silence."""
    return Retry(_next(operation, at), {"at": at, "what": f"look_failed:{code}", "hits": None})


def _taken(operation: Operation, draft: ModuleDraft, hit: Module, look: LookupResult) -> Settlement:
    """Another module holds the name: refused, unless it was to be adopted and is as asked for."""
    evidence = _evidence(look, "found_another")
    diff = find_differences(draft, hit)
    if operation.claim.draft["if_exists"] == "error":
        what = "A module of this name was there already, or is not as asked for."
        error: GatewayError = ModuleAlreadyExists(what, existing=hit.id)
    elif diff:
        error = ModuleExistsDifferently(existing=hit.id, diff=diff)
    else:
        module = module_to_json(hit, adopted=True)
        return Settlement(state=State.SUCCEEDED, at=look.at, module=module, module_id=hit.id, evidence=evidence)
    return Settlement(state=State.REFUSED, at=look.at, error=error_to_json(error), evidence=evidence)


def _nothing(operation: Operation, look: LookupResult) -> Settlement | Retry:
    evidence = _evidence(look, "nothing_found")
    if operation.settles_at is not None and look.at >= operation.settles_at:
        return Settlement(state=State.NOT_APPLIED, at=look.at, evidence=evidence)
    return Retry(_next(operation, look.at), evidence)


def _confidence(operation: Operation, draft: ModuleDraft, hit: Module, look: LookupResult) -> str | None:
    """Tell how sure it is that the hit is this create's work; None: it is not."""
    if find_differences(draft, hit) or look.known_before(hit):
        return None
    if look.acting_user is not None and hit.created_by is not None and hit.created_by != look.acting_user:
        return None
    if hit.created_at is not None:
        return "high" if hit.created_at.timestamp() >= operation.claim.claimed_at - CLOCK_SKEW else None
    return "high" if operation.claim.draft.get("probed") else "medium"


def _next(operation: Operation, now: float) -> float:
    """Return the next time of the schedule; past the window's end, a steady one."""
    closes = operation.settles_at if operation.settles_at is not None else now
    opened = closes - operation.claim.settle_seconds
    times = [opened + seconds for seconds in LOOKUP_SCHEDULE if seconds < operation.claim.settle_seconds]
    return next((time for time in (*times, closes) if time > now), now + _LATE)


def _evidence(look: LookupResult, what: str) -> dict[str, Any]:
    return {"at": look.at, "what": what, "hits": [hit.native_id for hit in look.hits]}
