"""The journal port in SQL; a subclass for each database adds connections, errors and the SQL that differs."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Any, ClassVar, Final

from gateway.domain.errors import JournalUnavailable
from gateway.domain.messages import message
from gateway.domain.operation import Claim, ClaimMatch, ClaimResult, Operation, Settlement, State
from gateway.journals import queries, row_mapping

Parameters = Mapping[str, Any]
Execute = Callable[[str, Parameters], Sequence[row_mapping.Row]]

# A further attempt follows a conflict that ended between two statements, or one of two that _skip_expired_dedup ends.
_MAX_ATTEMPTS: Final = 8

# The conflicts of a claim in the order in which they are checked, with their columns.
_CONFLICT_COLUMNS: Final[tuple[tuple[ClaimMatch, str], ...]] = (
    ("key", "holds_key"),
    ("memory", "holds_memory"),
    ("name", "holds_name"),
)


class SqlJournal(ABC):
    """A journal in which every write is one statement, hence one commit, except for `lease_due`."""

    json_array_table: ClassVar[str]  # a table with the column `value`: the elements of the JSON array :ids
    lock_clause: ClassVar[str] = ""  # keeps other transactions from leasing the rows of a SELECT

    def claim(self, claim: Claim) -> ClaimResult:
        """Insert a claim, and search for conflicts only if that fails: usually one statement is enough."""
        return self._insert(queries.CLAIM, claim, row_mapping.claim_params(claim)) or ClaimResult(
            "claimed", row_mapping.new_operation(claim)
        )

    def get(self, operation_id: str) -> Operation | None:
        """Return an operation, or None if it does not exist."""
        rows = self._read(queries.GET, {"id": operation_id})
        return row_mapping.operation_from_row(rows[0]) if rows else None

    def settle(self, operation_id: str, settlement: Settlement) -> None:
        """End an active operation; one that has ended is left unchanged."""
        self._execute_write(queries.SETTLE, row_mapping.settlement_params(operation_id, settlement))

    def share_result(self, claim: Claim, operation: Operation, module_id: str) -> None:
        """Insert a claim as succeeded with another operation's result; names that are held by now stay held."""
        parameters = {
            **row_mapping.claim_params(claim),
            **row_mapping.result_params(operation, module_id),
            "holds_name": None,
        }
        self._insert(queries.SHARE_RESULT, claim, parameters)

    def mark_unknown(self, operation_id: str, *, at: float, due_at: float, evidence: Mapping[str, Any]) -> None:
        """Change a sending operation to reconciling; any other is left unchanged."""
        note = row_mapping.evidence_line(evidence)
        self._execute_write(queries.MARK_UNKNOWN, {"id": operation_id, "at": at, "due_at": due_at, "note": note})

    def lease_due(self, worker_id: str, *, now: float, lease_seconds: float, limit: int) -> Sequence[Operation]:
        """Lease the operations that are due, in the order of their due times."""
        note = row_mapping.evidence_line({"at": now, "what": "lease_expired", "hits": None})
        parameters = {"now": now, "due_at": now + lease_seconds, "owner": worker_id, "note": note}
        with self._transaction() as execute:
            due = execute(queries.FIND_DUE + self.lock_clause, {"now": now, "limit": limit})
            leased = [execute(queries.LEASE, {**parameters, "id": row[0]})[0] for row in due]
        return [row_mapping.operation_from_row(row) for row in leased]

    def reschedule(self, operation_id: str, *, due_at: float, evidence: Mapping[str, Any]) -> None:
        """Record a lookup that settled nothing, at the time in its evidence."""
        note = row_mapping.evidence_line(evidence)
        self._execute_write(
            queries.RESCHEDULE, {"id": operation_id, "due_at": due_at, "note": note, "at": evidence["at"]}
        )

    def next_due(self) -> float | None:
        """Return the earliest due time of an active operation."""
        due_at: float | None = self._read(queries.NEXT_DUE, {})[0][0]
        return due_at

    def clear_dedup(self, module_id: str) -> None:
        """Delete the request deduplication entries of the creates that made this module."""
        self._execute_write(queries.CLEAR_DEDUP_FOR_MODULE, {"module_id": module_id})

    def record_seen(self, backend: str, scope: str, native_ids: Sequence[str], *, at: float) -> None:
        """Record ids; nothing is written if all are recorded already, as with most listings."""
        parameters = {"backend": backend, "scope": scope, "ids": row_mapping.ids_json(native_ids)}
        if self._read(queries.FIND_UNSEEN.format(json_array_table=self.json_array_table), parameters):
            statement = queries.INSERT_SEEN.format(json_array_table=self.json_array_table)
            self._execute_write(statement, {**parameters, "at": at})

    def was_seen_before(self, backend: str, scope: str, native_id: str, *, before: float) -> bool:
        """Return whether an id was seen before a time."""
        parameters = {"backend": backend, "scope": scope, "native_id": native_id, "before": before}
        return bool(self._read(queries.WAS_SEEN_BEFORE, parameters))

    def find_creator(self, module_id: str) -> str | None:
        """Return the id of the first operation that succeeded with this module."""
        rows = self._read(queries.FIND_CREATOR, {"module_id": module_id})
        return str(rows[0][0]) if rows else None

    def expire(self, *, settled_before: float, limit: int) -> int:
        """Delete operations that ended before a time, the oldest first."""
        return self._execute_write(queries.EXPIRE, {"settled_before": settled_before, "limit": limit})

    def checkpoint(self) -> None:  # noqa: B027 - optional in a subclass
        """Do nothing."""

    def counts(self) -> Mapping[str, int]:
        """Return the number of operations by state, 0 included."""
        return {state.value: 0 for state in State} | {row[0]: row[1] for row in self._read(queries.COUNTS, {})}

    @abstractmethod
    def close(self) -> None:
        """Close the connections of this process."""

    @abstractmethod
    def _read(self, statement: str, parameters: Parameters) -> Sequence[row_mapping.Row]:
        """Return the rows of one statement. Raises JournalUnavailable if it fails."""

    @abstractmethod
    def _execute_write(self, statement: str, parameters: Parameters) -> int:
        """Commit one statement and return how many rows it changed. Raises JournalUnavailable if it fails."""

    @abstractmethod
    def _transaction(self) -> AbstractContextManager[Execute]:
        """Execute several statements in one transaction. Raises JournalUnavailable if it fails."""

    def _insert(self, statement: str, claim: Claim, parameters: dict[str, Any]) -> ClaimResult | None:
        """Insert an operation; return the conflict that prevents it, or None."""
        for _ in range(_MAX_ATTEMPTS):
            if self._execute_write(statement, parameters):
                return None
            conflict = self._find_conflict(claim, parameters)
            if conflict is not None:
                return conflict
        raise JournalUnavailable(message("journal_contention"))

    def _find_conflict(self, claim: Claim, parameters: dict[str, Any]) -> ClaimResult | None:
        """Return the first conflict of a claim, or None if the insert can be tried again.

        A request deduplication entry belongs to the first operation until it expires. It does not conflict with a
        claim that has an idempotency key: that claim is inserted without an entry.
        """
        conflicts: dict[ClaimMatch, Operation] = {}
        for row in self._read(queries.FIND_CONFLICTS, parameters):
            digests, operation = row[:3], row_mapping.operation_from_row(row[3:])
            if operation.claim.id == claim.id:  # inserted by an earlier attempt whose response was lost
                return ClaimResult("claimed", operation)
            conflicts |= {
                match: operation
                for (match, column), digest in zip(_CONFLICT_COLUMNS, digests, strict=True)
                if digest and digest == parameters[column]
            }
        if "memory" in conflicts and self._skip_expired_dedup(conflicts["memory"], claim, parameters):
            del conflicts["memory"]
        return next(
            (ClaimResult(match, conflicts[match]) for match, _ in _CONFLICT_COLUMNS if match in conflicts), None
        )

    def _skip_expired_dedup(self, existing: Operation, claim: Claim, parameters: dict[str, Any]) -> bool:
        """Delete an expired entry, or leave out the entry of a claim with a key; return False if neither applies."""
        if (existing.claim.dedup_until or 0.0) <= claim.claimed_at:
            self._execute_write(queries.CLEAR_DEDUP, {"id": existing.claim.id})
            return True
        if claim.idempotency_key is not None:
            parameters["holds_memory"] = None
            return True
        return False
