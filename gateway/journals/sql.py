"""The journal port in SQL; a subclass for each database adds connections, errors and the SQL that differs."""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, ClassVar, Final

from gateway import json_codec
from gateway.domain.errors import JournalUnavailable
from gateway.domain.messages import message
from gateway.domain.operation import Claim, ClaimMatch, ClaimResult, Operation, OperationFilter, Settlement, State
from gateway.journals import change_queries, queries, row_mapping
from gateway.journals.sql_changes import Execute, Parameters, SqlChangeJournal

# A further attempt follows a conflict that ended between two statements, and one that _find_conflict removes.
_MAX_ATTEMPTS: Final = 8
# How late the worker that last looked an operation up must be before another one takes over; seconds.
_TAKEOVER_DELAY: Final = 10.0

# Higher than every id, which consists of hexadecimal digits.
_AFTER_ALL_IDS: Final = "z"

# The conflicts of a claim in the order in which they are checked, with their columns.
_CONFLICT_COLUMNS: Final[tuple[tuple[ClaimMatch, str], ...]] = (
    ("key", "holds_key"),
    ("memory", "holds_memory"),
    ("name", "holds_name"),
)


class SqlJournal(SqlChangeJournal):
    """A journal in which every write of a request is one statement, hence one commit."""

    json_array_table: ClassVar[str]  # a table with the column `value`: the elements of the JSON array :ids
    next_number: ClassVar[str]  # an expression: the number of an operation that is inserted, higher than all before
    last_number: ClassVar[str]  # an expression: the highest number given so far; later operations get a higher one

    def __init__(self) -> None:
        self.on_ended: Callable[[str], None] = lambda _state: None  # is called with the state of each that ends

    def claim(self, claim: Claim, seconds: float = math.inf) -> ClaimResult:
        """Insert a claim, and search for conflicts only if that fails: usually one statement is enough."""
        statement, parameters = queries.CLAIM.format(next_number=self.next_number), row_mapping.claim_params(claim)
        for _ in range(_MAX_ATTEMPTS):
            if self.execute_write(statement, parameters, seconds):
                return ClaimResult("claimed", row_mapping.new_operation(claim))
            conflict = self._find_conflict(claim, parameters)
            if conflict is not None:
                return conflict
        raise JournalUnavailable(message("journal_contention"))

    def find_conflict(self, claim: Claim) -> ClaimResult | None:
        """Return the first conflict of a claim that is not made."""
        return self._read_conflicts(claim, row_mapping.claim_params(claim))[0]

    def get(self, operation_id: str) -> Operation | None:
        """Return an operation, or None if it does not exist."""
        rows = self.read(queries.GET, {"id": operation_id})
        return row_mapping.operation_from_row(rows[0]) if rows else None

    def list_operations(
        self, operation_filter: OperationFilter, *, before: str | None, limit: int
    ) -> Sequence[Operation]:
        """Read each place and each state by an index, and merge what they return."""
        rows: dict[str, row_mapping.Row] = {}
        for conditions in _list_conditions(operation_filter):
            texts = ["id < :before", *(f"{name} = :{name}" for name in conditions)]
            statement = queries.LIST.format(conditions=" AND ".join(texts))
            parameters = {**conditions, "before": before or _AFTER_ALL_IDS, "limit": limit}
            rows |= {row[0]: row for row in self.read(statement, parameters)}
        return [row_mapping.operation_from_row(rows[id_]) for id_ in sorted(rows, reverse=True)[:limit]]

    def resolve(self, operation_id: str, settlement: Settlement) -> bool:
        """Settle an ambiguous or reconciling operation."""
        return bool(self.execute_write(queries.RESOLVE, row_mapping.settlement_params(operation_id, settlement)))

    def settle(self, operation_id: str, settlement: Settlement) -> None:
        """End an active operation; one that has ended is left unchanged."""
        if self.execute_write(queries.SETTLE, row_mapping.settlement_params(operation_id, settlement)):
            self.on_ended(settlement.state.value)

    def add_alias(self, claim: Claim, operation_id: str) -> None:
        """Insert an alias; an operation or a valid alias that holds the same name continues to hold it."""
        self.execute_write(queries.ADD_ALIAS, row_mapping.alias_params(claim, operation_id))

    def mark_unknown(self, operation_id: str, *, at: float, due_at: float, evidence: Mapping[str, Any]) -> None:
        """Change a sending operation to reconciling; any other is left unchanged."""
        note = row_mapping.evidence_line(evidence)
        self.execute_write(queries.MARK_UNKNOWN, {"id": operation_id, "at": at, "due_at": due_at, "note": note})

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
        """Lease the operations that are due, in the order of their due times."""
        note = row_mapping.evidence_line({"at": now, "what": "lease_expired", "hits": None})
        parameters = {"now": now, "due_at": now + lease_seconds, "owner": worker_id, "note": note}
        selection = {
            "now": now,
            "overdue": now - _TAKEOVER_DELAY,
            "horizon": now + horizon_seconds,
            "owner": worker_id,
            "ids": row_mapping.ids_json(except_backends),
            "limit": limit,
        }
        find_due = queries.FIND_DUE.format(json_array_table=self.json_array_table) + self.lock_clause
        leased = self.run_transaction(
            lambda execute: [
                execute(queries.LEASE, {**parameters, "id": row[0]})[0] for row in execute(find_due, selection)
            ]
        )
        return [row_mapping.operation_from_row(row) for row in leased]

    def reschedule(
        self, operation_id: str, *, due_at: float, observed_seconds: float, evidence: Mapping[str, Any]
    ) -> None:
        """Record a lookup that settled nothing, at the time in its evidence."""
        parameters = {"id": operation_id, "due_at": due_at, "observed_seconds": observed_seconds, "at": evidence["at"]}
        self.execute_write(queries.RESCHEDULE, {**parameters, "note": row_mapping.evidence_line(evidence)})

    def active_operations(self, backend: str) -> Sequence[Operation]:
        """Return active operations of a connection."""
        return [row_mapping.operation_from_row(row) for row in self.read(queries.FIND_ACTIVE, {"backend": backend})]

    def next_due(self) -> float | None:
        """Return the earliest due time of an active operation."""
        due_at: float | None = self.read(queries.NEXT_DUE, {})[0][0]
        return due_at

    def record_seen(self, backend: str, scope: str, native_ids: Sequence[str], *, at: float) -> None:
        """Record ids; nothing is written if all are recorded already, as with most listings."""
        parameters = {"backend": backend, "scope": scope, "ids": row_mapping.ids_json(native_ids)}
        fragments = {"json_array_table": self.json_array_table, "last_number": self.last_number}
        if self.read(queries.FIND_UNSEEN.format(**fragments), parameters):
            self.execute_write(queries.INSERT_SEEN.format(**fragments), {**parameters, "at": at})

    def was_seen_before(self, claim: Claim, scope: str, native_id: str, *, clock_skew_seconds: float) -> bool:
        """Return whether an id was recorded before an operation was claimed."""
        parameters = {"backend": claim.backend, "scope": scope, "native_id": native_id, "id": claim.id}
        before = claim.claimed_at - clock_skew_seconds
        return bool(self.read(queries.WAS_SEEN_BEFORE, {**parameters, "before": before}))

    def find_creator(self, module_id: str) -> str | None:
        """Return the id of the first operation that created the module."""
        for operation_id, module in self.read(queries.FIND_BY_MODULE, {"module_id": module_id}):
            if not json_codec.loads(module)["adopted"]:
                return str(operation_id)
        return None

    def expire(self, *, settled_before: float, limit: int) -> int:
        """Delete operations that ended before a time, the oldest first, with their aliases, and old changes.

        The ids of their modules stay, as seen: they are not the result of a later create.
        """
        parameters = {"settled_before": settled_before, "limit": limit}
        native_ids: dict[tuple[str, str], list[str]] = {}
        expired = self.read(queries.FIND_EXPIRED, parameters)
        for _, text in expired:
            module = (json_codec.loads(text).get("module") if text else None) or {}
            if native_id := module.get("native_id"):
                native_ids.setdefault((module["backend"], module["scope"]), []).append(native_id)
        for (backend, scope), ids in native_ids.items():
            self.record_seen(backend, scope, ids, at=settled_before)
        deleted = self._delete_operations(row_mapping.ids_json([row[0] for row in expired])) if expired else 0
        self.execute_write(change_queries.EXPIRE_ENDED, parameters)
        return deleted

    def _delete_operations(self, ids: str) -> int:
        fragments, parameters = {"json_array_table": self.json_array_table}, {"ids": ids}

        def work(execute: Execute) -> int:
            execute(queries.EXPIRE_ALIASES.format(**fragments), parameters)
            return len(execute(queries.EXPIRE_OPERATIONS.format(**fragments), parameters))

        return self.run_transaction(work)

    def check(self) -> Sequence[str]:
        """Begin a transaction that writes; a subclass adds warnings about its database."""
        self.run_transaction(lambda _execute: None)
        return ()

    def checkpoint(self) -> None:
        """Do nothing."""

    def unsettled_counts(self) -> Mapping[str, int]:
        """Return the number of operations that a process or a person has to settle, 0 included."""
        rows = self.read(queries.UNSETTLED_COUNTS, {})
        return {state.value: 0 for state in State if state.is_active or state is State.AMBIGUOUS} | {
            row[0]: row[1] for row in rows
        }

    def counts(self) -> Mapping[str, int]:
        """Return the number of operations by state, 0 included."""
        return {state.value: 0 for state in State} | {row[0]: row[1] for row in self.read(queries.COUNTS, {})}

    @abstractmethod
    def close(self) -> None:
        """Close the connections of this process."""

    def _find_conflict(self, claim: Claim, parameters: dict[str, Any]) -> ClaimResult | None:
        """Return the first conflict of a claim, or None if the insert can be tried again.

        Removes what made the insert fail without being a conflict: a request deduplication entry that has expired or
        whose module has been changed, and an alias that is not valid any more.
        """
        conflict, void_ids = self._read_conflicts(claim, parameters)
        for operation_id in void_ids:
            self.execute_write(queries.CLEAR_DEDUP, {"id": operation_id})
            self.execute_write(queries.DELETE_MEMORY_ALIAS, parameters)
        if conflict is None:
            self.execute_write(queries.DELETE_INVALID_ALIASES, parameters)
        return conflict

    def _read_conflicts(self, claim: Claim, parameters: Parameters) -> tuple[ClaimResult | None, Sequence[str]]:
        """Return the first conflict of a claim, and the operations whose request deduplication entry is void."""
        conflicts: dict[ClaimMatch, Operation] = {}
        void_ids: list[str] = []
        for row in self.read(queries.FIND_CONFLICTS, parameters):
            digests, is_memory_void, operation = row[:3], row[3], row_mapping.operation_from_row(row[4:])
            if operation.claim.id == claim.id:  # inserted by an earlier attempt whose response was lost
                return ClaimResult("claimed", operation), ()
            for (match, column), digest in zip(_CONFLICT_COLUMNS, digests, strict=True):
                if digest is None or digest != parameters[column]:
                    continue
                if match == "memory" and is_memory_void:
                    void_ids.append(operation.claim.id)
                else:
                    conflicts.setdefault(match, operation)
        first = (ClaimResult(match, conflicts[match]) for match, _ in _CONFLICT_COLUMNS if match in conflicts)
        return next(first, None), void_ids


def _list_conditions(operation_filter: OperationFilter) -> Iterator[Mapping[str, str]]:
    """Yield the columns and values of the statements that together read what a filter selects."""
    given, *places = (
        {name: value for name, value in (("backend", backend), ("scope", scope)) if value is not None}
        for backend, scope in ((operation_filter.backend, operation_filter.scope), *operation_filter.places)
    )
    for place in ({"caller": operation_filter.caller}, *places):
        if all(place.get(name, value) == value for name, value in given.items()):
            for state in operation_filter.states or (None,):
                yield {**place, **given, **({} if state is None else {"state": state.value})}
