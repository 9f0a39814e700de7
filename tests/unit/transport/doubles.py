"""Test doubles: metrics that record what is reported, and a rate limiter with prescribed results."""

from __future__ import annotations

from collections.abc import Callable


class Recorder:
    """Metrics that record every report."""

    def __init__(self) -> None:
        self.results: list[str] = []
        self.seconds: list[float] = []
        self.circuits: list[bool] = []
        self.names: set[str] = set()
        self.codes: list[tuple[str, str]] = []

    def record_exchange(self, backend: str, result: str, seconds: float) -> None:
        self.names.add(backend)
        self.results.append(result)
        self.seconds.append(seconds)

    def record_circuit_state(self, backend: str, *, is_open: bool) -> None:
        self.names.add(backend)
        self.circuits.append(is_open)

    def record_unmapped_code(self, backend: str, code: str) -> None:
        self.codes.append((backend, code))


class After:
    """A limiter that allows a number of requests and then returns, or raises, what a function does."""

    def __init__(self, allowed: int, then: Callable[[], float]) -> None:
        self.allowed = allowed
        self.then = then
        self.keys: list[tuple[str, float]] = []

    def acquire(self, key: str, per_second: float) -> float:
        self.keys.append((key, per_second))
        return 0.0 if len(self.keys) <= self.allowed else self.then()
