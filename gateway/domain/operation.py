"""The durable record of one create: who asked for what, what was done about it, and what became of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Any, Literal

from gateway.domain.errors import Outcome


class State(Enum):
    """Where an operation stands; the first two are *live*: nobody else may send the same name."""

    SENDING = "sending"  # claimed by a process that is on it, until its lease ends
    RECONCILING = "reconciling"  # sent, perhaps applied; looked for until the settle window closes
    SUCCEEDED = "succeeded"
    REFUSED = "refused"  # the backend said no, or it was provably never sent
    NOT_APPLIED = "not_applied"  # looked for until the window closed, and never seen
    AMBIGUOUS = "ambiguous"  # more than one module answers to it: a person decides

    @property
    def is_active(self) -> bool:
        """Tell whether the operation still holds its natural key."""
        return self in {State.SENDING, State.RECONCILING}

    @property
    def outcome(self) -> Outcome:
        """Say in the envelope's words what is known."""
        return _OUTCOMES.get(self, Outcome.UNKNOWN)


_OUTCOMES = {
    State.SUCCEEDED: Outcome.APPLIED,
    State.REFUSED: Outcome.NOT_APPLIED,
    State.NOT_APPLIED: Outcome.NOT_APPLIED,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim:
    """What is written down before the first byte goes upstream. Times are seconds since the epoch."""

    id: str
    backend: str
    natural_key: tuple[str, ...]
    caller: str
    idempotency_key: str | None
    request_id: str
    fingerprint: str  # SHA-256 of the validated request
    draft: Mapping[str, Any]  # what was asked for, enough to look for it
    claimed_at: float
    lease_until: float  # past it the sender is taken for dead
    dedup_until: float | None  # so long the same caller, request id and fingerprint are the same create
    settle_seconds: float  # how long a late commit may take
    worker_id: str  # the process that claimed it


@dataclass(frozen=True, slots=True, kw_only=True)
class Operation:
    """A claim and what has become of it."""

    claim: Claim
    state: State
    module: Mapping[str, Any] | None = None
    error: Mapping[str, Any] | None = None
    evidence: tuple[Mapping[str, Any], ...] = ()  # {"at", "what", "hits"}, oldest first
    settles_at: float | None = None
    due_at: float | None = None  # when somebody must act next: the sender's lease ends, or a look is due
    lookups: int = 0
    updated_at: float = 0.0


ClaimMatch = Literal["claimed", "key", "memory", "name"]


@dataclass(frozen=True, slots=True)
class ClaimResult:
    """What came of a claim: it is ours, or an operation stands in the way, and by which of its names."""

    match: ClaimMatch
    operation: Operation


@dataclass(frozen=True, slots=True, kw_only=True)
class Settlement:
    """The end of an operation."""

    state: State
    at: float
    module: Mapping[str, Any] | None = None
    module_id: str | None = None
    error: Mapping[str, Any] | None = None
    evidence: Mapping[str, Any] | None = None
