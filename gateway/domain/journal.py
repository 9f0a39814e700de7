"""The journal port: the durable record of creates and of changes of modules."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

from gateway.domain.change import Change, ChangedFields, ChangeFilter, ChangePage
from gateway.domain.errors import Outcome
from gateway.domain.operation import Claim, ClaimResult, Operation, OperationFilter, Settlement


class ChangeJournal(Protocol):
    """Stores changes of modules: updates and deletes with the holds on their modules, and the log of all writes."""

    def begin_change(self, change: Change) -> bool:
        """Record an update or delete that is about to be sent; return False if another change holds its module."""
        ...

    def end_change(self, change_id: str, outcome: Outcome, *, at: float, fields: ChangedFields | None = None) -> None:
        """Record the outcome of a change, and its fields if they are known better than at its begin.

        A known outcome releases the module. An unknown one can be replaced by a known one, which is another entry of
        the log; any other change that has ended is left as it is.

        Unless it was not applied, the request deduplication entries of the creates that made the module (not their
        idempotency keys) are void, those of creates that are still on their way included. The same holds for a change
        without an outcome whose lease has ended: its sender has died.
        """
        ...

    def held_changes(self) -> Sequence[Change]:
        """Return changes that hold a module, the oldest first, at most a thousand."""
        ...

    def lease_change(self, change_id: str, *, now: float, due_at: float) -> bool:
        """Return whether the caller may read back a held change: one that is due, which is then due at `due_at`."""
        ...

    def release_change(self, change_id: str) -> None:
        """Release the module of a change."""
        ...

    def publish_changes(self, limit: int) -> int:
        """Append the writes that have an outcome, or a new one, to the change log; return how many, at most `limit`.

        One process at a time does this; the others return 0. An entry's `seq` is higher than that of every entry that
        a reader can have seen before.
        """
        ...

    def list_changes(self, change_filter: ChangeFilter, *, after: int, limit: int) -> ChangePage:
        """Return the entries after a `seq`, 0 for the oldest; a page may be empty although others follow.

        Raises ChangesExpired if entries after that `seq` have been deleted.
        """
        ...

    def expire_changes(self, *, published_before: float, limit: int) -> int:
        """Delete at most `limit` of the oldest entries of the change log, if they are older; return how many."""
        ...


class Journal(ChangeJournal, Protocol):
    """Stores operations durably, shared by all workers and replicas.

    Every method raises JournalUnavailable if the database cannot be reached or written, and none waits long.
    What a method wrote is on disk when it returns.
    """

    on_ended: Callable[[str], None]
    """Is called with the state of each operation that this process ends."""

    def claim(self, claim: Claim, seconds: float = math.inf) -> ClaimResult:
        """Insert a claim, unless another operation conflicts with it.

        Raises JournalUnavailable if it is not committed within `seconds`; it may be committed later.

        Conflicts are checked in this order. *key*: the caller has used this idempotency key before, for any
        request. *memory*: without a key, the same caller, request id and fingerprint within the deduplication
        period of that operation, unless its module has been changed. *name*: the natural key has an active operation.
        Keys and requests of another credential never conflict. The database enforces that keys and active names are
        unique.
        """
        ...

    def find_conflict(self, claim: Claim) -> ClaimResult | None:
        """Return what `claim` would find in the way, without writing anything; None if it would succeed."""
        ...

    def add_alias(self, claim: Claim, operation_id: str) -> None:
        """Make the key of a claim, or without a key its request, stand for another operation from now on."""
        ...

    def get(self, operation_id: str) -> Operation | None:
        """Return an operation, or None if it does not exist or has expired."""
        ...

    def list_operations(
        self, operation_filter: OperationFilter, *, before: str | None, limit: int
    ) -> Sequence[Operation]:
        """Return operations, the newest first; `before` is the id of the last one of the page before."""
        ...

    def resolve(self, operation_id: str, settlement: Settlement) -> bool:
        """Settle an ambiguous or reconciling operation by a person's verdict; return False if it has another state.

        The verdict *not applied* releases the idempotency key and the request deduplication entry.
        """
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

    def lease_due(
        self,
        worker_id: str,
        *,
        now: float,
        lease_seconds: float,
        horizon_seconds: float,
        except_backends: Sequence[str],
        limit: int,
    ) -> Sequence[Operation]:
        """Lease the active operations that are due; other workers do not get them for `lease_seconds`.

        The worker that made an operation's last lookup gets it first, because it has measured the time since then.
        Another worker gets it if that one is late.

        An operation that is due and still `sending` has lost its worker. It becomes `reconciling`, and its settle
        window starts now. The window is extended by the lease of the lost worker, which may be sending until then.

        A due time further away than `horizon_seconds` was written by a clock that has been set back. It counts as due.
        Operations of `except_backends` are left out.
        """
        ...

    def reschedule(
        self, operation_id: str, *, due_at: float, observed_seconds: float, evidence: Mapping[str, Any]
    ) -> None:
        """Record a lookup that settled nothing and the time of the next; an ended operation is left unchanged."""
        ...

    def active_operations(self, backend: str) -> Sequence[Operation]:
        """Return active operations of a connection, at most a hundred."""
        ...

    def next_due(self) -> float | None:
        """Return when the next active operation is due, or None if there is no active one."""
        ...

    def record_seen(self, backend: str, scope: str, native_ids: Sequence[str], *, at: float) -> None:
        """Record the ids seen in a scope; the first time of each id counts."""
        ...

    def was_seen_before(self, claim: Claim, scope: str, native_id: str, *, clock_skew_seconds: float) -> bool:
        """Return whether an id was recorded before an operation was claimed.

        This is decided by the order in which the journal stored the id and the claim. If that order is unknown, their
        times are compared. The id then counts as earlier only if it is so by more than `clock_skew_seconds`, the most
        that the clocks of two replicas may differ.
        """
        ...

    def find_creator(self, module_id: str) -> str | None:
        """Return the id of the operation that created this module, and not only adopted it; None if none is known."""
        ...

    def expire(self, *, settled_before: float, limit: int) -> int:
        """Delete at most `limit` operations that ended before a time; return how many. Active ones never expire."""
        ...

    def check(self) -> Sequence[str]:
        """Connect, create the tables if they are missing, and return what is not as safe as it could be."""
        ...

    def checkpoint(self) -> None:
        """Do maintenance that would otherwise delay a write; call it about once a second."""
        ...

    def unsettled_counts(self) -> Mapping[str, int]:
        """Return the number of active and ambiguous operations by state, and of those `past_window`.

        The cost does not depend on how many operations have ended.
        """
        ...

    def counts(self) -> Mapping[str, int]:
        """Return the number of operations by state; it reads every operation, so no request may call it."""
        ...

    def close(self) -> None:
        """Close the database connections."""
        ...
