"""Counts requests in the memory of one process."""

from __future__ import annotations

import threading
from collections import deque
from fractions import Fraction
from functools import cache
from typing import Final, NamedTuple

from gateway.domain.runtime import Clock


class RateWindow(NamedTuple):
    """So many requests in any so many seconds."""

    amount: int
    seconds: int


@cache  # of a handful of configured rates
def to_window(per_second: float) -> RateWindow:
    """Write a rate as whole requests in whole seconds: 100 is 100 in 1, 0.5 is 1 in 2."""
    if per_second >= 1.0:
        rate = Fraction(per_second).limit_denominator(60)
        return RateWindow(rate.numerator, rate.denominator)
    pause = Fraction(1.0 / per_second).limit_denominator(60)
    return RateWindow(pause.denominator, pause.numerator)


class MovingWindowLimiter:
    """Moving windows: never more than so many requests in *any* so many seconds, wherever one begins to count.

    A window with fixed ends is cheaper to keep and lets twice as many through around each end, which a backend with a
    limit of its own refuses. Here a window is the times of its requests, and costs as many floats as it lets through.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock: Final = clock
        self._lock: Final = threading.Lock()  # held for a few steps that wait for nothing
        self._times: Final[dict[str, deque[float]]] = {}

    def acquire(self, key: str, per_second: float) -> float:
        """Count one request and return 0, or return without counting it how many seconds to wait for a place."""
        allowed = to_window(per_second)
        with self._lock:
            now = self._clock.monotonic()
            times = self._times.get(key)
            if times is None:
                times = self._times[key] = deque()
            while times and times[0] <= now - allowed.seconds:
                times.popleft()
            if len(times) >= allowed.amount:
                return times[0] + allowed.seconds - now
            times.append(now)
            return 0.0
