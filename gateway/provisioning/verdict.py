"""What a lookup at the backend proves about a create whose outcome is unknown. All functions are pure."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import Enum, auto
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
#: How much earlier than the claim a creation time counts as new if the backend's clock was never measured; seconds.
_TOLERANCE: Final = 2.0
#: Values that stand for an empty field.
_EMPTY: Final[tuple[Any, ...]] = (None, "", [])


@dataclass(frozen=True, slots=True)
class Retry:
    """The lookup proved nothing; the next one is due at `due_at`."""

    due_at: float
    observed_seconds: float
    evidence: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class LookupResult:
    """The modules that had the natural key at `at`, after `observed_seconds` of the settle window."""

    at: float
    observed_seconds: float
    hits: Sequence[Module]
    known_before: Callable[[Module], bool]  # whether a module existed before the claim, or another create made it
    clock_skew_seconds: float


class Origin(Enum):
    """What proves where a module comes from."""

    OURS = auto()  # nothing contradicts that the create made it
    ANOTHER = auto()  # positive evidence that the create did not make it
    UNCERTAIN = auto()


def decide(operation: Operation, draft: ModuleDraft, lookup: LookupResult) -> Settlement | Retry:
    """Return how the operation is settled, or when to look up again.

    A module that another create or person made proves that this one was not applied. Without such a proof, and
    without every sign that the module is this create's, the outcome is ambiguous: never *not applied*.
    """
    verdict = _judge(operation, draft, lookup)
    # Another replica's clock may be behind, so the sender may be alive: only its success is certain before its lease,
    # measured on this process's monotonic clock, is over.
    may_be_sending = lookup.observed_seconds < operation.claim.lease_seconds and any(
        entry["what"] == "lease_expired" for entry in operation.evidence
    )
    if isinstance(verdict, Settlement) and verdict.state is not State.SUCCEEDED and may_be_sending:
        due_at = lookup.at + _seconds_to_next(operation, lookup.observed_seconds)
        return Retry(due_at, lookup.observed_seconds, verdict.evidence or {})
    return verdict


def _judge(operation: Operation, draft: ModuleDraft, lookup: LookupResult) -> Settlement | Retry:
    if not lookup.hits:
        return _not_found(operation, lookup)
    candidates = [
        (hit, origin) for hit in lookup.hits if (origin := _origin(operation, draft, hit, lookup)) is not Origin.ANOTHER
    ]
    if not candidates:
        return _name_taken(operation, draft, lookup.hits[0], lookup)
    if len(candidates) > 1:
        return Settlement(state=State.AMBIGUOUS, at=lookup.at, evidence=_evidence(lookup, "several_found"))
    hit, origin = candidates[0]
    if origin is Origin.UNCERTAIN:
        return Settlement(state=State.AMBIGUOUS, at=lookup.at, evidence=_evidence(lookup, "origin_uncertain"))
    evidence = {**_evidence(lookup, "found"), "confidence": _confidence(operation, hit)}
    return succeeded(hit, adopted=False, at=lookup.at, evidence=evidence)


def lookup_failed(operation: Operation, at: float, observed_seconds: float, code: str) -> Retry:
    """Return when to look up again after the backend could not be read; a failed lookup proves nothing."""
    evidence = {"at": at, "what": f"look_failed:{code}", "hits": None}
    return Retry(at + _seconds_to_next(operation, observed_seconds), observed_seconds, evidence)


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
    return [
        FieldError(pointer, "not_kept", message("value_not_kept", value=pair["wanted"], stored=pair["found"]))
        for pointer, pair in diff.items()
    ]


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
    if is_window_over(operation, lookup.observed_seconds):
        return Settlement(state=State.NOT_APPLIED, at=lookup.at, evidence=evidence)
    due_at = lookup.at + _seconds_to_next(operation, lookup.observed_seconds)
    return Retry(due_at, lookup.observed_seconds, evidence)


def is_window_over(operation: Operation, observed_seconds: float) -> bool:
    """Return whether a create that is not found by now was not applied and will not be."""
    return operation.state is State.RECONCILING and observed_seconds >= operation.claim.settle_seconds


def _origin(operation: Operation, draft: ModuleDraft, hit: Module, lookup: LookupResult) -> Origin:
    """Return what the evidence says about a module that has the natural key."""
    claim, acting_user = operation.claim, operation.claim.draft.get("acts_as")
    is_creator_known = acting_user is not None and hit.created_by is not None
    if lookup.known_before(hit) or (is_creator_known and hit.created_by != acting_user):
        return Origin.ANOTHER
    if hit.created_at is not None:
        created_at, claimed_at = hit.created_at.timestamp(), claim.draft.get("backend_time")
        if claimed_at is not None:  # the time of the claim on the backend's own clock
            is_older, is_of_unknown_age = created_at < claimed_at, False
        else:  # the backend's clock was never measured, and may differ by the skew from the one of the claim
            is_older = created_at < claim.claimed_at - lookup.clock_skew_seconds
            is_of_unknown_age = created_at < claim.claimed_at - _TOLERANCE and not is_creator_known
        if is_older:
            is_clearly_older = created_at < claim.claimed_at - lookup.clock_skew_seconds
            return Origin.UNCERTAIN if is_creator_known and not is_clearly_older else Origin.ANOTHER
        if is_of_unknown_age:
            return Origin.UNCERTAIN
    return Origin.UNCERTAIN if find_differences(draft, hit) else Origin.OURS


def _confidence(operation: Operation, hit: Module) -> str:
    """Return `high` if a time on the backend's own clock, or a lookup before the send, shows that the module is new."""
    draft = operation.claim.draft
    is_new = draft.get("probed") or (hit.created_at is not None and draft.get("backend_time") is not None)
    return "high" if is_new else "medium"


def _seconds_to_next(operation: Operation, observed_seconds: float) -> float:
    """Return how long until the next lookup; after the end of the window, they follow at a fixed interval."""
    window = operation.claim.settle_seconds
    times = [seconds for seconds in (*LOOKUP_SCHEDULE, window) if observed_seconds < seconds <= window]
    return times[0] - observed_seconds if times else _OVERDUE_INTERVAL


def _evidence(lookup: LookupResult, what: str) -> dict[str, Any]:
    return {"at": lookup.at, "what": what, "hits": [hit.native_id for hit in lookup.hits]}
