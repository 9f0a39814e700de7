"""Compares the callers' responses and the journal of a run with the twins' ledgers."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import astuple, dataclass
from datetime import datetime
from typing import Any, Self

from tests.integration.chaos.caller import CreateHistory
from tests.integration.chaos.testbed import GatewayTestbed


@dataclass(frozen=True, kw_only=True)
class Totals:
    """The results of one run or of several; the last five must be 0."""

    runs: int = 1
    creates: int = 0
    kills: int = 0
    retries: int = 0
    duplicates: int = 0  # creates that took effect, beyond the first of each requested name
    lost: int = 0  # answered with 201, and not in the ledger
    wrong: int = 0  # responses that contradict the ledger
    unanswered: int = 0  # callers without a final response
    unsettled: int = 0  # operations that have not ended

    def __add__(self, other: Self) -> Totals:
        return Totals(**{name: getattr(self, name) + getattr(other, name) for name in self.names()})

    @classmethod
    def names(cls) -> tuple[str, ...]:
        """Return the columns."""
        return tuple(cls.__dataclass_fields__)

    @property
    def row(self) -> tuple[int, ...]:
        """Return the values of the columns."""
        return astuple(self)

    @property
    def correct(self) -> bool:
        """Return whether every promise was kept."""
        return not any(self.row[4:])


def verify(testbed: GatewayTestbed, histories: Iterable[CreateHistory], *, kills: int) -> Totals:
    """Wait until all operations have settled, then compare."""
    settled = testbed.wait_until_settled()
    ledgers = {backend: testbed.created(backend) for backend in testbed.twins}
    pairs = [(history, _entries(ledgers[history.spec.backend], history.spec.name)) for history in histories]
    return Totals(
        creates=len(pairs),
        kills=kills,
        retries=sum(history.retries for history, _ in pairs),
        duplicates=max(sum(map(len, ledgers.values())) - sum(bool(entries) for _, entries in pairs), 0),
        lost=sum(_is_lost(history, entries) for history, entries in pairs),
        wrong=sum(_count_wrong(history, entries) for history, entries in pairs),
        unanswered=sum(history.final is None for history, _ in pairs),
        unsettled=0 if settled else testbed.live(),
    )


def _entries(ledger: Iterable[Mapping[str, Any]], name: str) -> list[Mapping[str, Any]]:
    return [entry for entry in ledger if entry["natural_key"][-1] == name]


def _is_lost(history: CreateHistory, entries: list[Mapping[str, Any]]) -> bool:
    """Return whether a response has a module that is not in the ledger."""
    ids = {str(entry["id"]) for entry in entries}
    return any(response.status == 201 and response.body["native_id"] not in ids for response in history.responses)


def _count_wrong(history: CreateHistory, entries: list[Mapping[str, Any]]) -> int:
    """Count final refusals of a unique name, *not applied* after the module was made, and different modules."""
    made_at = min((datetime.fromisoformat(entry["at"]).timestamp() for entry in entries), default=None)
    refused = sum(response.status != 201 for response in history.responses if response is history.final)
    contradicted = sum(
        response.code == "backend_unavailable" and made_at is not None and made_at < response.received_at - 0.01
        for response in history.responses
    )
    modules = {str(response.body["id"]) for response in history.responses if response.status == 201}
    return refused + contradicted + max(len(modules) - 1, 0)
