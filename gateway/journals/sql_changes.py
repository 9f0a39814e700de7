"""The journal's changes in SQL: holds on modules, and the change log."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import partial
from typing import Any, ClassVar, Final, TypeVar

from gateway import json_codec
from gateway.domain.change import Change, ChangedFields, ChangeEntry, ChangeFilter, ChangePage
from gateway.domain.errors import ChangesExpired, Outcome
from gateway.domain.operation import State
from gateway.journals import change_queries as queries
from gateway.journals.row_mapping import Row

_T = TypeVar("_T")
Parameters = Mapping[str, Any]
Execute = Callable[[str, Parameters], Sequence[Row]]

#: How many entries a page reads at most, if a filter leaves out most of them.
_MAX_SCAN: Final = 10_000


class SqlChangeJournal(ABC):
    """The part of the journal port about changes; a subclass for each database executes the statements."""

    lock_clause: ClassVar[str] = ""  # keeps other transactions from changing the rows of a SELECT
    publisher_lock: ClassVar[str] = "SELECT 1"  # returns a row for the one transaction that may publish

    def begin_change(self, change: Change) -> bool:
        """Insert a change that holds its module, unless another one holds it."""
        return bool(self.execute_write(queries.BEGIN, _change_params(change)))

    def end_change(self, change_id: str, outcome: Outcome, *, at: float, fields: ChangedFields | None = None) -> None:
        """Set the outcome of a change that has none, or an unknown one."""
        text = None if fields is None else _to_json(fields)
        self.execute_write(queries.END, {"id": change_id, "outcome": outcome.value, "at": at, "fields": text})

    def held_changes(self) -> Sequence[Change]:
        """Return the changes that hold a module."""
        return [_change_from_row(row) for row in self.read(queries.FIND_HELD, {})]

    def lease_change(self, change_id: str, *, now: float, due_at: float) -> bool:
        """Move the due time of a held change, if it is reached."""
        return bool(self.execute_write(queries.LEASE, {"id": change_id, "now": now, "due_at": due_at}))

    def release_change(self, change_id: str) -> None:
        """Release the module of a change."""
        self.execute_write(queries.RELEASE, {"id": change_id})

    def publish_changes(self, limit: int) -> int:
        """Copy what is unpublished into the log, in the order of its time; usually there is nothing."""
        if not self.read(queries.IS_UNPUBLISHED, {}):
            return 0
        return self.run_transaction(partial(self._publish, limit))

    def _publish(self, limit: int, execute: Execute) -> int:
        if not execute(self.publisher_lock, {})[0][0]:
            return 0
        entries: list[tuple[str, dict[str, Any]]] = []
        for table, statement, to_entry in _SOURCES:
            entries += ((table, to_entry(row)) for row in execute(statement + self.lock_clause, {"limit": limit}))
        entries.sort(key=lambda item: item[1]["at"])
        for table, entry in entries[:limit]:
            execute(queries.PUBLISH, entry)
            execute(queries.MARK_PUBLISHED.format(table=table), {"id": entry["id"]})
        return min(len(entries), limit)

    def list_changes(self, change_filter: ChangeFilter, *, after: int, limit: int) -> ChangePage:
        """Read the bounds of the log first: entries up to the newest of that moment are visible to the second read."""
        ((first, newest),) = self.read(queries.BOUNDS, {})
        if 0 < after < first - 1:
            raise ChangesExpired
        after = max(min(after, newest), first - 1)  # a number of the future is from another journal
        last = newest if change_filter.module else min(newest, after + _MAX_SCAN)
        conditions, parameters = _conditions(change_filter)
        statement = queries.LIST.format(conditions=" AND ".join(conditions))
        rows = self.read(statement, {**parameters, "after": after, "last": last, "limit": limit})
        entries = [_entry_from_row(row) for row in rows]
        return ChangePage(entries, entries[-1].seq if len(entries) == limit else max(after, last))

    def expire_changes(self, *, published_before: float, limit: int) -> int:
        """Delete the oldest entries of the log."""
        return self.execute_write(queries.EXPIRE, {"before": published_before, "limit": limit})

    @abstractmethod
    def read(self, statement: str, parameters: Parameters) -> Sequence[Row]:
        """Return the rows of one statement. Raises JournalUnavailable if it fails."""

    @abstractmethod
    def execute_write(self, statement: str, parameters: Parameters, seconds: float = math.inf) -> int:
        """Commit one statement and return how many rows it changed.

        Raises JournalUnavailable if it fails, or if it takes longer than `seconds`; it may be committed all the same.
        """

    @abstractmethod
    def run_transaction(self, work: Callable[[Execute], _T]) -> _T:
        """Return the result of work that executes several statements in one transaction; they may be in a thread.

        Raises JournalUnavailable if it fails.
        """


def _change_params(change: Change) -> dict[str, Any]:
    return {
        "id": change.id,
        "backend": change.backend,
        "scope": change.scope,
        "module_id": change.module_id,
        "action": change.action,
        "caller": change.caller,
        "acting_user": change.user,
        "request_id": change.request_id,
        "fields": _to_json(change.fields),
        "started_at": change.started_at,
        "lease_until": change.started_at + change.lease_seconds,
        "lease_seconds": change.lease_seconds,
        "settle_seconds": change.settle_seconds,
    }


def _change_from_row(row: Row) -> Change:
    return Change(
        id=row[0],
        backend=row[1],
        scope=row[2],
        module_id=row[3],
        action=row[4],
        caller=row[5],
        user=row[6],
        request_id=row[7],
        fields=json_codec.loads(row[8]),
        started_at=float(row[9]),
        lease_seconds=float(row[10]),
        settle_seconds=float(row[11]),
        outcome=None if row[12] is None else Outcome(row[12]),
    )


def _entry_of_change(row: Row) -> dict[str, Any]:
    """Return the log entry of a row of FIND_UNPUBLISHED_CHANGES."""
    change = _change_from_row(row)
    return {
        **_change_params(change),
        "at": row[13],
        "outcome": change.outcome and change.outcome.value,
        "operation_id": None,
    }


def _entry_of_operation(row: Row) -> dict[str, Any]:
    """Return the log entry of a row of FIND_UNPUBLISHED_OPERATIONS. A create that adopted a module changed nothing."""
    operation_id, backend, module, module_id, state, caller, draft, request_id, updated_at = row
    document = json_codec.loads(draft)
    is_adopted = module is not None and json_codec.loads(module)["adopted"]
    return {
        "id": operation_id,
        "at": updated_at,
        "action": "create",
        "outcome": (Outcome.NOT_APPLIED if is_adopted else State(state).outcome).value,
        "module_id": module_id,
        "backend": backend,
        "scope": document["draft"]["scope"],
        "caller": caller,
        "acting_user": document.get("user"),
        "request_id": request_id,
        "operation_id": operation_id,
        "fields": _to_json(dict(_created_fields(document["draft"]))),
    }


def _created_fields(draft: Mapping[str, Any]) -> Iterator[tuple[str, Mapping[str, Any]]]:
    attributes = {f"attributes.{name}": value for name, value in draft["attributes"].items()}
    for name, value in {**draft, **attributes}.items():
        if value is not None and name not in {"scope", "attributes"}:
            yield name, {"from": None, "to": value}


_SOURCES: Final[Iterable[tuple[str, str, Callable[[Row], dict[str, Any]]]]] = (
    ("operations", queries.FIND_UNPUBLISHED_OPERATIONS, _entry_of_operation),  # before the changes of their modules
    ("changes", queries.FIND_UNPUBLISHED_CHANGES, _entry_of_change),
)


def _conditions(change_filter: ChangeFilter) -> tuple[list[str], dict[str, Any]]:
    """Return the conditions of a filter and their parameters."""
    parameters: dict[str, Any] = {}

    def equal(column: str, value: str | None) -> str:
        if value is None:
            return "true"
        name = f"value{len(parameters)}"
        parameters[name] = value
        return f"{column} = :{name}"

    places = [f"{equal('backend', backend)} AND {equal('scope', scope)}" for backend, scope in change_filter.places]
    return [
        f"({' OR '.join(places) or 'false'})",
        equal("backend", change_filter.backend),
        equal("scope", change_filter.scope),
        equal("module_id", change_filter.module),
    ], parameters


def _entry_from_row(row: Row) -> ChangeEntry:
    return ChangeEntry(
        seq=row[0],
        at=float(row[1]),
        action=row[2],
        outcome=Outcome(row[3]),
        module=row[4],
        backend=row[5],
        scope=row[6],
        caller=row[7],
        user=row[8],
        request_id=row[9],
        operation=row[10],
        fields=json_codec.loads(row[11]),
    )


def _to_json(document: Any) -> str:
    return json_codec.dumps(dict(document)).decode()
