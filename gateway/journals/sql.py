"""The port in SQL; an engine adds its connections, its errors and the few words that it spells differently."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Any, ClassVar, Final

from gateway.domain.errors import JournalUnavailable
from gateway.domain.operation import Claim, ClaimMatch, ClaimResult, Operation, Settlement, State
from gateway.journals import queries, row_mapping

Parameters = Mapping[str, Any]
Execute = Callable[[str, Parameters], Sequence[row_mapping.Row]]

# Every repetition needs a rival that came and went between two statements, or is one of the two of our own making.
_ATTEMPTS: Final = 8

# What may stand in a claim's way, in the order in which it is looked for, and the column of it.
_HELD: Final[tuple[tuple[ClaimMatch, str], ...]] = (
    ("key", "holds_key"),
    ("memory", "holds_memory"),
    ("name", "holds_name"),
)


class SqlJournal(ABC):
    """A journal whose every change is one statement, hence one commit; taking what is due is the exception."""

    each: ClassVar[str]  # a table with the column `value`: the elements of the JSON list :ids
    lock_rows: ClassVar[str] = ""  # keeps others from taking the rows of a SELECT

    def claim(self, claim: Claim) -> ClaimResult:
        """Write first and look afterwards: as a rule nothing stands in the way, and then one statement was enough."""
        return self._insert(queries.CLAIM, claim, row_mapping.write_claim(claim)) or ClaimResult(
            "claimed", row_mapping.fresh(claim)
        )

    def get(self, operation_id: str) -> Operation | None:
        """Return an operation, None where there is none."""
        found = self._read(queries.GET, {"id": operation_id})
        return row_mapping.read_operation(found[0]) if found else None

    def settle(self, operation_id: str, settlement: Settlement) -> None:
        """End a live operation; one that has ended stays as it is."""
        self._change(queries.SETTLE, row_mapping.write_settlement(operation_id, settlement))

    def share_result(self, claim: Claim, operation: Operation, module_id: str) -> None:
        """Write a claim as the success that another's was; where its names are taken by now, they stay so."""
        copied = {
            **row_mapping.write_claim(claim),
            **row_mapping.write_result(operation, module_id),
            "holds_name": None,
        }
        self._insert(queries.COPY, claim, copied)

    def mark_unknown(self, operation_id: str, *, at: float, due_at: float, evidence: Mapping[str, Any]) -> None:
        """Turn a sending operation into a reconciling one; any other stays as it is."""
        note = row_mapping.write_note(evidence)
        self._change(queries.DOUBT, {"id": operation_id, "at": at, "due_at": due_at, "note": note})

    def lease_due(self, owner: str, *, now: float, lease_seconds: float, limit: int) -> Sequence[Operation]:
        """Take what is due, the oldest first."""
        note = row_mapping.write_note({"at": now, "what": "lease_expired", "hits": None})
        taking = {"now": now, "due_at": now + lease_seconds, "owner": owner, "note": note}
        with self._transaction() as execute:
            due = execute(queries.DUE + self.lock_rows, {"now": now, "limit": limit})
            taken = [execute(queries.TAKE, {**taking, "id": row[0]})[0] for row in due]
        return [row_mapping.read_operation(row) for row in taken]

    def reschedule(self, operation_id: str, *, due_at: float, evidence: Mapping[str, Any]) -> None:
        """Note a look that settled nothing, at the evidence's own time."""
        note = row_mapping.write_note(evidence)
        self._change(queries.POSTPONE, {"id": operation_id, "due_at": due_at, "note": note, "at": evidence["at"]})

    def next_due(self) -> float | None:
        """Return the earliest time at which somebody must act."""
        due_at: float | None = self._read(queries.NEXT_DUE, {})[0][0]
        return due_at

    def clear_dedup(self, module_id: str) -> None:
        """Give up the memory of what made this module."""
        self._change(queries.VOID_MEMORY, {"module_id": module_id})

    def record_seen(self, backend: str, scope: str, native_ids: Sequence[str], *, at: float) -> None:
        """Remember ids; where all are known, as after every second listing, nothing is written."""
        met = {"backend": backend, "scope": scope, "ids": row_mapping.write_ids(native_ids)}
        if self._read(queries.UNMET.format(each=self.each), met):
            self._change(queries.MEET.format(each=self.each), {**met, "at": at})

    def was_seen_before(self, backend: str, scope: str, native_id: str, *, before: float) -> bool:
        """Tell whether an id had been seen before a time."""
        asked = {"backend": backend, "scope": scope, "native_id": native_id, "before": before}
        return bool(self._read(queries.MET_BEFORE, asked))

    def find_creator(self, module_id: str) -> str | None:
        """Return the first operation that succeeded with this module."""
        found = self._read(queries.MADE_BY, {"module_id": module_id})
        return str(found[0][0]) if found else None

    def expire(self, *, settled_before: float, limit: int) -> int:
        """Delete what ended before a time, the oldest first."""
        return self._change(queries.EXPIRE, {"settled_before": settled_before, "limit": limit})

    def checkpoint(self) -> None:  # noqa: B027 - not every engine has to
        """Do nothing."""

    def counts(self) -> Mapping[str, int]:
        """Count operations by state, those without any among them."""
        return {state.value: 0 for state in State} | {row[0]: row[1] for row in self._read(queries.COUNTS, {})}

    @abstractmethod
    def close(self) -> None:
        """Release what this process holds open."""

    @abstractmethod
    def _read(self, statement: str, parameters: Parameters) -> Sequence[row_mapping.Row]:
        """Return what one statement finds; JournalUnavailable where it fails."""

    @abstractmethod
    def _change(self, statement: str, parameters: Parameters) -> int:
        """Execute one statement that commits by itself and return how many rows it changed; as above."""

    @abstractmethod
    def _transaction(self) -> AbstractContextManager[Execute]:
        """Execute several statements with one commit; JournalUnavailable where that fails."""

    def _insert(self, statement: str, claim: Claim, wanted: dict[str, Any]) -> ClaimResult | None:
        """Write an operation and return None, or what stands in its way."""
        for _ in range(_ATTEMPTS):
            if self._change(statement, wanted):
                return None
            match = self._in_the_way(claim, wanted)
            if match is not None:
                return match
        raise JournalUnavailable("Too many operations came and went under this name.")

    def _in_the_way(self, claim: Claim, wanted: dict[str, Any]) -> ClaimResult | None:
        """Say what kept a claim from being written; None where it may be tried again.

        A memory belongs to one operation, the first, until its time is over. To a claim with a key somebody else's
        memory is no obstacle: it goes without one, its key will be enough.
        """
        found: dict[ClaimMatch, Operation] = {}
        for *held, row in ((row[0], row[1], row[2], row[3:]) for row in self._read(queries.IN_THE_WAY, wanted)):
            operation = row_mapping.read_operation(row)
            if operation.claim.id == claim.id:  # our own, written by an attempt that was not answered
                return ClaimResult("claimed", operation)
            found |= {
                by: operation
                for (by, name), digest in zip(_HELD, held, strict=True)
                if digest and digest == wanted[name]
            }
        if "memory" in found and self._step_over(found["memory"], claim, wanted):
            del found["memory"]
        return next((ClaimResult(by, found[by]) for by, _ in _HELD if by in found), None)

    def _step_over(self, remembered: Operation, claim: Claim, wanted: dict[str, Any]) -> bool:
        """Remove a memory from a claim's way, or the claim's own, where it does not count."""
        if (remembered.claim.dedup_until or 0.0) <= claim.claimed_at:
            self._change(queries.FREE_MEMORY, {"id": remembered.claim.id})
            return True
        if claim.idempotency_key is not None:
            wanted["holds_memory"] = None
            return True
        return False
