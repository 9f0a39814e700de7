"""The journal port: the durable record of operations."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from gateway.domain.operation import Claim, ClaimResult, Operation, Settlement


class Journal(Protocol):
    """Stores operations durably, shared by all workers and replicas.

    Every method raises JournalUnavailable if the database cannot be reached or written, and none waits long.
    What a method wrote is on disk when it returns.
    """

    def claim(self, claim: Claim) -> ClaimResult:
        """Insert a claim, unless another operation conflicts with it.

        Conflicts are checked in this order. *key*: the caller has used this idempotency key before, for any
        request. *memory*: without a key, the same caller, request id and fingerprint within the deduplication
        period of that operation. *name*: the natural key has an active operation. The database enforces that keys
        and active names are unique.
        """
        ...

    def share_result(self, claim: Claim, operation: Operation, module_id: str) -> None:
        """Insert a claim that shares another operation's success, so that its own key and request id replay it."""
        ...

    def get(self, operation_id: str) -> Operation | None:
        """Return an operation, or None if it does not exist or has expired."""
        ...

    def settle(self, operation_id: str, settlement: Settlement) -> None:
        """End an active operation; one that has ended is left unchanged.

        The natural key becomes free. A success and an ambiguous outcome keep the idempotency key and the request
        deduplication entry; a refusal and *not applied* release both, so that the same request can be sent again.
        """
        ...

    def mark_unknown(self, operation_id: str, *, at: float, due_at: float, evidence: Mapping[str, Any]) -> None:
        """Change a sending operation to reconciling: first lookup at `due_at`, settle window from `at` on."""
        ...

    def lease_due(self, worker_id: str, *, now: float, lease_seconds: float, limit: int) -> Sequence[Operation]:
        """Lease the active operations that are due; other workers do not get them for `lease_seconds`.

        An operation that was still sending has lost its sender: it becomes reconciling, its window starts at `now`,
        and its evidence records that.
        """
        ...

    def reschedule(self, operation_id: str, *, due_at: float, evidence: Mapping[str, Any]) -> None:
        """Record a lookup that settled nothing and the time of the next; an ended operation is left unchanged."""
        ...

    def next_due(self) -> float | None:
        """Return when the next active operation is due, or None if there is no active one."""
        ...

    def clear_dedup(self, module_id: str) -> None:
        """Delete the request deduplication entries (not the idempotency keys) of creates that made this module."""
        ...

    def record_seen(self, backend: str, scope: str, native_ids: Sequence[str], *, at: float) -> None:
        """Record the ids seen in a scope; the first time of each id counts."""
        ...

    def was_seen_before(self, backend: str, scope: str, native_id: str, *, before: float) -> bool:
        """Return whether an id was seen before a time."""
        ...

    def find_creator(self, module_id: str) -> str | None:
        """Return the id of the operation that created this module, or None if no operation is known."""
        ...

    def expire(self, *, settled_before: float, limit: int) -> int:
        """Delete at most `limit` operations that ended before a time; return how many. Active ones never expire."""
        ...

    def checkpoint(self) -> None:
        """Do maintenance that would otherwise delay a write; call it about once a second."""
        ...

    def counts(self) -> Mapping[str, int]:
        """Return the number of operations by state."""
        ...

    def close(self) -> None:
        """Close the database connections."""
        ...
