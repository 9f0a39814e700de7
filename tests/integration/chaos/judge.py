"""Judges a run: what callers were told and what the journal holds, against the ledgers of what took effect."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import astuple, dataclass
from datetime import datetime
from typing import Any, Self

from tests.integration.chaos.caller import Told
from tests.integration.chaos.stand import Stand


@dataclass(frozen=True, kw_only=True)
class Figures:
    """What came of one run, or of many; the last five must be 0."""

    runs: int = 1
    creates: int = 0
    kills: int = 0
    retries: int = 0
    duplicates: int = 0  # creates that took effect, beyond the first of each name that was asked for
    lost: int = 0  # answered 201, and not there
    wrong: int = 0  # answers that the ledger belies
    unanswered: int = 0  # callers without a final answer
    unsettled: int = 0  # operations that have not ended

    def __add__(self, other: Self) -> Figures:
        return Figures(**{name: getattr(self, name) + getattr(other, name) for name in self.names()})

    @classmethod
    def names(cls) -> tuple[str, ...]:
        """Return the columns."""
        return tuple(cls.__dataclass_fields__)

    @property
    def row(self) -> tuple[int, ...]:
        """Return the values of the columns."""
        return astuple(self)

    @property
    def sound(self) -> bool:
        """Tell whether every promise was kept."""
        return not any(self.row[4:])


def judge(stand: Stand, told: Iterable[Told], *, kills: int) -> Figures:
    """Wait until the journal has settled everything, then compare."""
    settled = stand.settles()
    stories = list(told)
    ledger = {backend: stand.created(backend) for backend in stand.twins}
    made = [(story, _made(ledger[story.wanted.backend], story.wanted.name)) for story in stories]
    return Figures(
        creates=len(stories),
        kills=kills,
        retries=sum(story.retries for story in stories),
        duplicates=max(sum(map(len, ledger.values())) - sum(bool(entries) for _, entries in made), 0),
        lost=sum(_is_lost(story, entries) for story, entries in made),
        wrong=sum(_wrong(story, entries) for story, entries in made),
        unanswered=sum(story.final is None for story in stories),
        unsettled=0 if settled else stand.live(),
    )


def _made(ledger: Iterable[Mapping[str, Any]], name: str) -> list[Mapping[str, Any]]:
    return [entry for entry in ledger if entry["natural_key"][-1] == name]


def _is_lost(story: Told, entries: list[Mapping[str, Any]]) -> bool:
    """Tell whether he was told of a module that nobody made."""
    ids = {str(entry["id"]) for entry in entries}
    return any(answer.status == 201 and answer.body["native_id"] not in ids for answer in story.answers)


def _wrong(story: Told, entries: list[Mapping[str, Any]]) -> int:
    """Count refusals of what nobody else asked for, *not applied* of what was there, and two answers to one request."""
    first = min((datetime.fromisoformat(entry["at"]).timestamp() for entry in entries), default=None)
    refused = sum(answer.status != 201 for answer in story.answers if answer is story.final)
    belied = sum(
        answer.code == "backend_unavailable" and first is not None and first < answer.at - 0.01
        for answer in story.answers
    )
    modules = {str(answer.body["id"]) for answer in story.answers if answer.status == 201}
    return refused + belied + max(len(modules) - 1, 0)
