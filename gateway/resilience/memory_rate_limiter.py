"""Rate limits in the memory of one process."""

from __future__ import annotations

import threading
from collections import deque
from fractions import Fraction
from functools import cache
from typing import Final, NamedTuple

from gateway.domain.runtime import Clock


class RateWindow(NamedTuple):
    """At most `amount` requests in any period of `seconds`."""

    amount: int
    seconds: int


@cache  # the configuration has few rates
def to_window(per_second: float) -> RateWindow:
    """Return a rate as whole requests in whole seconds: 100 is 100 in 1, 0.5 is 1 in 2."""
    if per_second >= 1.0:
        rate = Fraction(per_second).limit_denominator(60)
        return RateWindow(rate.numerator, rate.denominator)
    interval = Fraction(1.0 / per_second).limit_denominator(60)
    return RateWindow(interval.denominator, interval.numerator)


class MovingWindowLimiter:
    """Limits requests in every period of the window's length, wherever it starts.

    A fixed window needs less memory, but allows twice the rate around its end, which a backend with its own limit
    refuses. Here each key stores the times of the requests in its window.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock: Final = clock
        self._lock: Final = threading.Lock()  # held briefly, without I/O
        self._times: Final[dict[str, deque[float]]] = {}

    def acquire(self, key: str, per_second: float) -> float:
        """Count one request and return 0, or return the seconds to wait without counting it."""
        window = to_window(per_second)
        with self._lock:
            now = self._clock.monotonic()
            times = self._times.get(key)
            if times is None:
                times = self._times[key] = deque()
            while times and times[0] <= now - window.seconds:
                times.popleft()
            if len(times) >= window.amount:
                return times[0] + window.seconds - now
            times.append(now)
            return 0.0
