"""A caller as the contract wants him: the same request again, through any replica, until there is a final answer."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import cycle
from typing import Any, Final

from tests.integration.chaos.http import BROKEN, Answer, ask
from tests.integration.chaos.stand import PLACES

_PATIENCE: Final = 75.0
_PAUSE: Final = 0.2
#: What a caller sends again as it was; a broken connection besides.
_AGAIN: Final = frozenset(
    {"create_in_progress", "outcome_unknown", "backend_unavailable", "draining", "journal_unavailable"}
)


@dataclass(frozen=True)
class Wanted:
    """One create, and how its repetitions are known: by `key`, or by `request-id` alone."""

    backend: str
    name: str
    by: str = "key"

    @property
    def body(self) -> dict[str, Any]:
        """Return what is sent."""
        return {"backend": self.backend, "name": self.name, **PLACES[self.backend]}

    @property
    def headers(self) -> Mapping[str, str]:
        """Return what makes the repetitions one request."""
        return {"Idempotency-Key" if self.by == "key" else "X-Request-Id": f"again-{self.backend}-{self.name}"}


@dataclass
class Told:
    """What a caller was told, from the first answer to the last."""

    wanted: Wanted
    answers: list[Answer] = field(default_factory=list)
    broken: int = 0

    @property
    def final(self) -> Answer | None:
        """Return the answer that he rested with."""
        return self.answers[-1] if self.answers and is_final(self.answers[-1]) else None

    @property
    def retries(self) -> int:
        """Count the times he asked again before that."""
        return len(self.answers) + self.broken - (2 if self.final else 1)


def is_final(answer: Answer) -> bool:
    """Tell whether asking again is of no use."""
    return answer.code not in _AGAIN


def create(addresses: Sequence[str], wanted: Wanted) -> Told:
    """Ask until there is a final answer, at one replica after the other; then once more, for the same."""
    told = Told(wanted)
    until = time.monotonic() + _PATIENCE
    for address in cycle(addresses):
        try:
            told.answers.append(ask(address, "POST", "/modules", wanted.body, wanted.headers))
        except BROKEN:
            told.broken += 1
        finals = sum(is_final(answer) for answer in told.answers)
        if finals > 1 or time.monotonic() > until:
            return told
        time.sleep(_PAUSE)
    return told
