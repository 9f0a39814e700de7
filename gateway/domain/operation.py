"""The durable record of a create: its claim, state and result."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Any, Literal

from gateway.domain.errors import Outcome


class State(Enum):
    """The state of an operation; in one of the first two, it excludes other creates of its natural key."""

    SENDING = "sending"  # claimed by a process, until its lease ends
    RECONCILING = "reconciling"  # sent and perhaps applied; looked up until the settle window closes
    SUCCEEDED = "succeeded"
    REFUSED = "refused"  # refused by the backend, or provably not sent
    NOT_APPLIED = "not_applied"  # looked up until the window closed, and not found
    AMBIGUOUS = "ambiguous"  # several modules match, or one of uncertain origin: a person decides

    @property
    def is_active(self) -> bool:
        """Whether the operation still holds its natural key."""
        return self in {State.SENDING, State.RECONCILING}

    @property
    def outcome(self) -> Outcome:
        """The outcome that the state proves."""
        return _OUTCOME_BY_STATE.get(self, Outcome.UNKNOWN)


_OUTCOME_BY_STATE = {
    State.SUCCEEDED: Outcome.APPLIED,
    State.REFUSED: Outcome.NOT_APPLIED,
    State.NOT_APPLIED: Outcome.NOT_APPLIED,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim:
    """What the journal stores before the first byte is sent upstream. Times are seconds since the epoch."""

    id: str
    backend: str
    natural_key: tuple[str, ...]
    caller: str
    idempotency_key: str | None
    request_id: str
    fingerprint: str  # SHA-256 of the validated request
    draft: Mapping[str, Any]  # the draft and options of the request; enough to look the module up
    claimed_at: float
    lease_until: float  # after it the sender counts as dead
    dedup_until: float | None  # until then a request of equal caller, request id and fingerprint repeats this create
    settle_seconds: float  # how long after a lost reply a create may still be applied
    worker_id: str  # the process that claimed it

    @property
    def lease_seconds(self) -> float:
        """How long the sender may take; a difference of two times of one clock, so that no other clock matters."""
        return self.lease_until - self.claimed_at

    @property
    def requester(self) -> tuple[Any, ...]:
        """The caller, the acting user and the digest of the credential: only an equal requester shares a result."""
        return self.caller, self.draft.get("acts_as"), self.credential

    @property
    def scope(self) -> str:
        """The scope of the module to create."""
        return str(self.draft["draft"]["scope"])

    @property
    def credential(self) -> str | None:
        """The digest of the caller's own credential, if the connection passes it through."""
        return self.draft.get("credential")


@dataclass(frozen=True, slots=True, kw_only=True)
class Operation:
    """A claim and its state."""

    claim: Claim
    state: State
    module: Mapping[str, Any] | None = None
    error: Mapping[str, Any] | None = None
    evidence: tuple[Mapping[str, Any], ...] = ()  # {"at", "what", "hits"}, oldest first
    settles_at: float | None = None  # an estimate: the window is measured as `observed_seconds`
    #: How much of the settle window living processes have observed, on clocks that never step.
    observed_seconds: float = 0.0
    due_at: float | None = None  # the end of the sender's lease, or the time of the next lookup
    lookups: int = 0
    updated_at: float = 0.0


#: `claimed` without a conflict, or the kind of conflict: see `Journal.claim`.
ClaimMatch = Literal["claimed", "key", "memory", "name"]


@dataclass(frozen=True, slots=True)
class ClaimResult:
    """The result of a claim: a new operation, or the one it conflicts with and the kind of conflict."""

    match: ClaimMatch
    operation: Operation


@dataclass(frozen=True, slots=True, kw_only=True)
class Settlement:
    """The final state of an operation, and its result."""

    state: State
    at: float
    module: Mapping[str, Any] | None = None
    module_id: str | None = None
    error: Mapping[str, Any] | None = None
    evidence: Mapping[str, Any] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class OperationFilter:
    """Which operations a list contains.

    A caller sees its own, and all in the places where it may operate: pairs of connection and scope, in which None
    stands for any.
    """

    caller: str
    places: Sequence[tuple[str | None, str | None]] = ()
    states: Sequence[State] = ()  # empty: any
    backend: str | None = None
    scope: str | None = None
