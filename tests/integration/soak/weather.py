"""What goes wrong in the backends while a soak lasts: faults from the twins' own menus, one after the other."""

from __future__ import annotations

import random
import threading
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, Final

from tests.integration.chaos.stand import Stand

#: Of every twin, then of one; what a fault does not say is its default.
_COMMON: Final[Sequence[Mapping[str, Any]]] = (
    {"fault": "delay", "seconds": 0.5},
    {"fault": "delay", "seconds": 2.5},  # longer than the hard timeout
    {"fault": "delay", "seconds": 2.5, "when": "after", "operation": "create"},
    {"fault": "drop", "effect": "now", "operation": "create"},
    {"fault": "drop", "effect": "never"},
    {"fault": "drop", "effect": "late", "seconds": 1.0, "operation": "create"},
    {"fault": "reset"},
    {"fault": "reset", "byte": 40},
    {"fault": "html"},
    {"fault": "status", "status": 503},
    {"fault": "status", "status": 500, "body": "json"},
    {"fault": "redirect"},
    {"fault": "truncate"},
    {"fault": "drip", "bytes": 50, "seconds": 0.05},
)
_OWN: Final[Mapping[str, Sequence[Mapping[str, Any]]]] = {
    "cmdb": (
        {"fault": "proxy-timeout"},
        {"fault": "commit-failed", "effect": "now", "operation": "create"},
        {"fault": "commit-failed"},
        {"fault": "rate-limited"},
        {"fault": "gateway-rate-limited"},
    ),
    "projectman": (
        {"fault": "gateway-timeout"},
        {"fault": "gateway-timeout", "effect": "now", "operation": "create"},
        {"fault": "busy"},
        {"fault": "rate-limited"},
        {"fault": "gateway-rate-limited"},
    ),
}


class Weather:
    """Orders one fault after the other, in an order that the seed decides."""

    def __init__(self, stand: Stand, seed: int) -> None:
        self.ordered: Counter[str] = Counter()
        self._stand = stand
        self._random = random.Random(seed)  # noqa: S311 - a history that can be repeated
        self._hands = [(backend, [*_COMMON, *own]) for backend, own in _OWN.items()]

    def blow(self, pause: float, over: threading.Event) -> None:
        """Order a fault for the next request of its kind, every so many seconds."""
        while not over.wait(pause):
            backend, menu = self._random.choice(self._hands)
            order = self._random.choice(menu)
            self._stand.twin(backend, "POST", "faults", order)
            self.ordered[f"{backend} {order['fault']}"] += 1

    def calm(self) -> None:
        """Forget what has not struck yet."""
        for backend in _OWN:
            self._stand.twin(backend, "DELETE", "faults")
