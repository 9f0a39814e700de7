"""What a lookup at the backend proves about a create whose outcome is unknown. All functions are pure."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from gateway.domain.errors import FieldError, GatewayError, ModuleAlreadyExists, ModuleExistsDifferently
from gateway.domain.messages import message
from gateway.domain.module import UNSET, Module, ModuleDraft, ModulePatch
from gateway.domain.operation import Operation, Settlement, State
from gateway.provisioning.serialization import refused, succeeded

#: The times of the lookups, in seconds after the outcome became unknown; one more follows when the window closes.
LOOKUP_SCHEDULE: Final = (0.3, 1.0, 3.0, 8.0, 20.0, 60.0)
#: Between lookups after the window has closed, if the backend could not be read; seconds.
_OVERDUE_INTERVAL: Final = 20.0
#: How far the backend's clock may be behind without making a new module look old; seconds.
CLOCK_SKEW: Final = 60.0
#: Values that stand for an empty field.
_EMPTY: Final[tuple[Any, ...]] = (None, "", [])


@dataclass(frozen=True, slots=True)
class Retry:
    """The lookup proved nothing; the next one is due at `due_at`."""

    due_at: float
    evidence: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class LookupResult:
    """The modules that had the natural key at `at`; `known_before` tells whether one was known before the claim."""

    at: float
    hits: Sequence[Module]
    known_before: Callable[[Module], bool]
    acting_user: str | None


def decide(operation: Operation, draft: ModuleDraft, lookup: LookupResult) -> Settlement | Retry:
    """Return how the operation is settled, or when to look up again."""
    if not lookup.hits:
        return _not_found(operation, lookup)
    if len(lookup.hits) > 1:
        return Settlement(state=State.AMBIGUOUS, at=lookup.at, evidence=_evidence(lookup, "several_found"))
    hit = lookup.hits[0]
    confidence = _confidence(operation, draft, hit, lookup)
    if confidence is None:
        return _name_taken(operation, draft, hit, lookup)
    evidence = {**_evidence(lookup, "found"), "confidence": confidence}
    return succeeded(hit, adopted=False, at=lookup.at, evidence=evidence)


def lookup_failed(operation: Operation, at: float, code: str) -> Retry:
    """Return when to look up again after the backend could not be read; a failed lookup proves nothing."""
    return Retry(_next_lookup(operation, at), {"at": at, "what": f"look_failed:{code}", "hits": None})


def find_differences(change: ModuleDraft | ModulePatch, module: Module) -> Mapping[str, Any]:
    """Return the given values that a module does not have, by JSON pointer; unreadable fields never differ.

    The change is compared as it is: `Capabilities.normalize` returns what the backend makes of it.
    """
    not_given = None if isinstance(change, ModuleDraft) else UNSET
    wanted = {f"/{name}": getattr(change, name, not_given) for name in ("parent", "name", "description", "owners")}
    found: dict[str, Any] = {"/parent": module.parent, "/name": module.name, "/description": module.description}
    found["/owners"] = tuple([owner.id for owner in module.owners])
    for name, value in change.attributes.items():
        pointer = f"/attributes/{name}"
        wanted[pointer], found[pointer] = value, module.attributes.get(name)
    differences: dict[str, Any] = {}
    for pointer, value in wanted.items():
        if value is not_given or value == found[pointer] or pointer.split("/")[1] in module.unavailable:
            continue
        pair = _comparable(value), _comparable(found[pointer])
        if not _is_equal(*pair):
            differences[pointer] = dict(zip(("wanted", "found"), pair, strict=True))
    return differences


def not_kept_errors(diff: Mapping[str, Any]) -> list[FieldError]:
    """Return an error for each value that a backend did not keep."""
    return [FieldError(pointer, "not_kept", message("value_not_kept")) for pointer in diff]


def _comparable(value: Any) -> Any:
    """Return the owners as a sorted list of distinct ids."""
    return sorted(set(value)) if isinstance(value, tuple) else value


def _is_equal(wanted: Any, found: Any) -> bool:
    """Compare two values: nothing, empty text and an empty list are equal; a time without a zone equals any with one.

    A backend may store a time that is sent as text in local time, and return it in another zone.
    """
    if wanted == found or (wanted in _EMPTY and found in _EMPTY):
        return True
    try:
        times = datetime.fromisoformat(wanted), datetime.fromisoformat(found)
    except (TypeError, ValueError):
        return False
    if None in (zones := {times[0].utcoffset(), times[1].utcoffset()}):
        return len(zones) > 1
    return times[0] == times[1]


def _name_taken(operation: Operation, draft: ModuleDraft, hit: Module, lookup: LookupResult) -> Settlement:
    """Return the settlement if another module has the name: adopted if requested and equal, else refused."""
    evidence = _evidence(lookup, "found_another")
    diff = find_differences(draft, hit)
    if operation.claim.draft["if_exists"] == "error":
        detail = message("name_taken_by_another")
        error: GatewayError = ModuleAlreadyExists(detail, existing=hit.id)
    elif diff:
        error = ModuleExistsDifferently(existing=hit.id, diff=diff)
    else:
        return succeeded(hit, adopted=True, at=lookup.at, evidence=evidence)
    return refused(error, at=lookup.at, evidence=evidence)


def _not_found(operation: Operation, lookup: LookupResult) -> Settlement | Retry:
    evidence = _evidence(lookup, "nothing_found")
    if operation.settles_at is not None and lookup.at >= operation.settles_at:
        return Settlement(state=State.NOT_APPLIED, at=lookup.at, evidence=evidence)
    return Retry(_next_lookup(operation, lookup.at), evidence)


def _confidence(operation: Operation, draft: ModuleDraft, hit: Module, lookup: LookupResult) -> str | None:
    """Return the confidence that this create made the hit, or None if it did not."""
    if find_differences(draft, hit) or lookup.known_before(hit):
        return None
    if lookup.acting_user is not None and hit.created_by is not None and hit.created_by != lookup.acting_user:
        return None
    if hit.created_at is not None:
        return "high" if hit.created_at.timestamp() >= operation.claim.claimed_at - CLOCK_SKEW else None
    return "high" if operation.claim.draft.get("probed") else "medium"


def _next_lookup(operation: Operation, now: float) -> float:
    """Return the next time of the schedule; after the end of the window, lookups follow at a fixed interval."""
    closes_at = operation.settles_at if operation.settles_at is not None else now
    opened_at = closes_at - operation.claim.settle_seconds
    times = [opened_at + seconds for seconds in LOOKUP_SCHEDULE if seconds < operation.claim.settle_seconds]
    return next((time for time in (*times, closes_at) if time > now), now + _OVERDUE_INTERVAL)


def _evidence(lookup: LookupResult, what: str) -> dict[str, Any]:
    return {"at": lookup.at, "what": what, "hits": [hit.native_id for hit in lookup.hits]}
