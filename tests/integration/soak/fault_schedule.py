"""Injects faults into the twins during a soak, in a random order that the seed determines."""

from __future__ import annotations

import random
import threading
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, Final

from tests.integration.chaos.testbed import GatewayTestbed

#: Faults of both twins, then of one; parameters that are left out have their defaults.
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
_SPECIFIC: Final[Mapping[str, Sequence[Mapping[str, Any]]]] = {
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


class FaultSchedule:
    """Injects one fault after the other."""

    def __init__(self, testbed: GatewayTestbed, seed: int) -> None:
        self.injected: Counter[str] = Counter()
        self._testbed = testbed
        self._random = random.Random(seed)  # noqa: S311 - a reproducible sequence
        self._faults = [(backend, [*_COMMON, *specific]) for backend, specific in _SPECIFIC.items()]

    def run(self, interval: float, stopped: threading.Event) -> None:
        """Inject a fault into the next matching request every `interval` seconds, until stopped."""
        while not stopped.wait(interval):
            backend, faults = self._random.choice(self._faults)
            fault = self._random.choice(faults)
            self._testbed.twin(backend, "POST", "faults", fault)
            self.injected[f"{backend} {fault['fault']}"] += 1

    def clear(self) -> None:
        """Remove the remaining faults."""
        for backend in _SPECIFIC:
            self._testbed.twin(backend, "DELETE", "faults")
